"""Attestation and releases over the operator API: who may do what, and what is sent."""

from __future__ import annotations

import msgspec
import pytest

from api_builders import holder, problem_of
from attest_builders import booted
from attesting_builders import Builder, added, an_attester, stated
from builders import new_plane
from holdfast_core.attestation.ear import PROFILE, open_result
from holdfast_core.attestation.reference import statement_bytes
from holdfast_core.formats.dsse import LARGEST_ENVELOPE
from holdfast_core.formats.note import parse_verifier_key
from holdfast_core.identity.model import Permission

pytestmark = pytest.mark.anyio
DEVICE, RELEASE = "gate-1", "site-gateway:1.0.0"
HERE = f"/devices/{DEVICE}/attestation"
WHY = {"why": "because the test says so"}


async def attested(plane, version="1.0.0"):
    builder = Builder()
    await added(plane, builder, stated())
    device = await an_attester(plane)
    await device.audit()
    await device.tell()
    device.log = device.tpm.boot(booted(version))
    await device.attest(log=device.log)
    return device, builder


async def test_a_device_its_evidence_and_its_log_are_shown(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.READ) as reader:
        device, _ = await attested(plane)
        page = (await reader.get(HERE)).json()
        assert (page["tier"], page["freshness"], page["release"], page["svn"]) == ("affirming", "fresh", RELEASE, 1)
        assert page["vector"]["executables"] == 3
        assert page["asked"]["pcrs"] == [0, 4, 7, 8, 9]
        evidence = (await reader.get(f"{HERE}/evidence")).json()
        assert ([each["number"] for each in evidence["items"]], evidence["next"]) == ([1], None)
        log = await reader.get(f"{HERE}/log")
        assert (log.headers["content-type"], log.content) == ("application/octet-stream", device.log)
        assert (await reader.get(f"{HERE}/log?number=1")).content == device.log
        assert problem_of(await reader.get(f"{HERE}/log?number=2")) == (404, "attestation.no_evidence")
        told = (await reader.get(f"{HERE}/explain")).json()
        assert (told["release"], told["differences"]) == (RELEASE, [])
        shown = (await reader.get(f"/devices/{DEVICE}")).json()["attestation"]
        assert shown == {"freshness": "fresh", "release": RELEASE, "evidence": 1, "refused": ""}


async def test_a_result_is_sent_as_the_signed_token_that_it_is(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.READ) as reader:
        await attested(plane)
        answer = await reader.get(f"{HERE}/result")
        assert answer.headers["content-type"] == f'application/eat+jwt; eat_profile="{PROFILE}"'
        claims = open_result(answer.text, parse_verifier_key(plane.record.verifier_key()))
        assert claims["submods"][DEVICE]["ear.status"] == 2


async def test_replaying_takes_a_number_or_none(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.READ) as reader:
        await attested(plane)
        for body in ({}, {"number": 1}):
            told = (await reader.post(f"{HERE}/replay", json=body)).json()
            assert (told["same"], told["chained"], told["tier"]) == (True, True, "affirming")
        assert problem_of(await reader.post(f"{HERE}/replay", json={"number": 2})) == (404, "attestation.no_evidence")
        for number in (0, -1, 2**53, "one"):
            answer = await reader.post(f"{HERE}/replay", json={"number": number})
            assert problem_of(answer) == (422, "request.invalid")
            assert (await reader.get(f"{HERE}/log", params={"number": number})).status_code == 422
            assert (await reader.get(f"{HERE}/evidence", params={"before": number})).status_code == 422


async def test_who_may_do_what(tmp_path):
    async with new_plane(tmp_path) as plane:
        await attested(plane)
        pem = Builder().public.decode()
        learning = {"device": DEVICE, "version": "9.0.0", "svn": 1, **WHY}
        retiring = {"at": "2030-01-01T00:00:00Z", **WHY}
        operators = ((f"{HERE}/key", {"key": pem}), (f"/releases/{RELEASE}/retire", retiring))
        admins = (
            (f"{HERE}/reset", WHY),
            ("/releases/learn", learning),
            (f"/releases/{RELEASE}/revoke", WHY),
            ("/release-keys", {"name": "ci", "key": pem}),
            ("/release-keys/builder/distrust", WHY),
        )
        async with holder(plane, Permission.READ, name="reader") as reader:
            for path, body in (*operators, *admins):
                assert problem_of(await reader.post(path, json=body)) == (403, "token.permission"), path
            assert problem_of(await reader.post("/releases", content=b"{}")) == (403, "token.permission")
        async with holder(plane, Permission.OPERATE, name="operator") as operator:
            for path, body in admins:
                assert problem_of(await operator.post(path, json=body)) == (403, "token.permission"), path
            refused, retired = [await operator.post(path, json=body) for path, body in operators]
            assert problem_of(refused) == (409, "attestation.key_in_chip")
            assert retired.is_success
        async with holder(plane, name="admin") as admin:
            for path, body in (*admins[1:], admins[0]):
                assert (await admin.post(path, json=body)).is_success, path


async def test_a_release_is_added_shown_compared_and_given_out_as_signed(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        _, builder = await attested(plane, "1.1.0")
        newer = stated("1.1.0")
        answer = await admin.post("/releases", content=builder.envelope(newer))
        assert answer.status_code == 201
        assert answer.json()["standing"] == "current"
        page = (await admin.get("/releases/site-gateway:1.1.0")).json()
        assert (page["signer"], page["pcrs"]) == ("builder", sorted(newer.registers))
        statement = await admin.get("/releases/site-gateway:1.1.0/statement")
        assert statement.content == statement_bytes(newer)[0]
        told = (await admin.get(f"/releases/{RELEASE}/diff/site-gateway:1.1.0")).json()
        assert {change["sign"] for change in told["changes"]} == {"-", "+"}
        same = (await admin.get(f"/releases/{RELEASE}/diff/{RELEASE}")).json()
        assert same["changes"] == []
        assert len((await admin.get("/releases")).json()["items"]) == 2
        assert (await admin.get("/releases?model=other")).json()["items"] == []


async def test_a_release_of_another_name_or_form_is_a_problem(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await attested(plane)
        assert problem_of(await admin.get("/releases/nothing")) == (400, "release.name")
        assert problem_of(await admin.get("/releases/a:9")) == (404, "reference.unknown")
        assert problem_of(await admin.get("/releases/A:9/devices")) == (400, "name.invalid")
        assert problem_of(await admin.post("/releases", content=b"")) == (400, "dsse.malformed")
        assert problem_of(await admin.post("/releases", content=b"[" * 100_000)) == (400, "dsse.malformed")
        large = b" " * (LARGEST_ENVELOPE + 1)
        assert problem_of(await admin.post("/releases", content=large)) == (413, "http.body_too_large")
        stranger = Builder().envelope(stated("3.0.0"))
        assert problem_of(await admin.post("/releases", content=stranger)) == (403, "dsse.signature")
        assert problem_of(await admin.post("/release-keys", json={"name": "x", "key": "no key"})) == (400, "dsse.key")
        late = await admin.post(f"/releases/{RELEASE}/retire", json={"at": "later", **WHY})
        assert problem_of(late) == (400, "time.invalid")


async def test_a_statement_whose_times_are_none_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        _, builder = await attested(plane)
        for made_at in (-1, 2**60):
            forged = msgspec.structs.replace(stated("2.0.0"), made_at=made_at)
            answer = await admin.post("/releases", content=builder.envelope(forged))
            assert problem_of(answer) == (400, "reference.malformed")


async def test_devices_of_a_release_come_in_pages(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.READ) as reader:
        await attested(plane)
        for name in ("gate-2", "gate-3"):
            device = await an_attester(plane, name)
            await device.tell()
            device.log = device.tpm.boot()
            await device.attest(log=device.log)
        first = (await reader.get(f"/releases/{RELEASE}/devices?limit=2")).json()
        assert first == {"items": ["gate-1", "gate-2"], "next": "gate-2"}
        rest = (await reader.get(f"/releases/{RELEASE}/devices?limit=2&after=gate-2")).json()
        assert rest == {"items": ["gate-3"], "next": None}


async def test_revoking_tells_how_many_devices_run_it(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await attested(plane)
        told = (await admin.post(f"/releases/{RELEASE}/revoke", json=WHY)).json()
        assert (told["devices"], told["release"]["standing"]) == (1, "revoked")
        page = (await admin.get(HERE)).json()
        assert (page["tier"], page["reasons"][0]["code"]) == ("contraindicated", "attestation.release_revoked")
