"""Releases over the operator API: uploads in pieces, adding, approving, validating; who may, and what is refused."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from api_builders import anybody, holder, problem_of, remote_app
from builders import FakeClock, new_plane, plane_on
from holdfast.adapters.artefacts.inspector import ToolInspector
from holdfast.ports.artefacts import Inspected
from holdfast.update.uploads import IDLE, PIECE, UNDER_WAY
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import Scope
from holdfast_core.supply.model import LARGEST_PAYLOAD, PayloadKind
from release_builders import (
    HARDWARE,
    MODEL,
    NEW,
    OLD,
    PAYLOAD,
    an_updater,
    declared,
    founded,
    published,
    put,
    release,
    send,
)

pytestmark = pytest.mark.anyio
HERE = f"/artefacts/{digest_of(PAYLOAD)}"
RESULTS = digest_of(b"all tests passed")
SIGNATURES = "the image repository's threshold of signatures"


async def test_a_file_comes_in_pieces_and_is_whole_with_the_last(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        nothing = (await operator.get(HERE)).json()
        assert nothing == {"digest": digest_of(PAYLOAD), "received": 0, "size": None, "whole": False}
        first = (await put(operator, HERE, PAYLOAD[:1000], start=0, total=len(PAYLOAD))).json()
        assert (first["received"], first["size"], first["whole"]) == (1000, len(PAYLOAD), False)
        last = (await put(operator, HERE, PAYLOAD[1000:], start=1000, total=len(PAYLOAD))).json()
        assert (last["received"], last["whole"]) == (len(PAYLOAD), True)
        again = (await put(operator, HERE, PAYLOAD[:10], start=0, total=len(PAYLOAD))).json()
        assert again["whole"], "what is whole needs no piece more"
        assert plane.updating.artefacts.read(digest_of(PAYLOAD), 0, len(PAYLOAD)) == PAYLOAD


async def test_an_upload_that_was_interrupted_goes_on_where_it_stopped(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        total = len(PAYLOAD)
        await put(operator, HERE, PAYLOAD[:700], start=0, total=total)
        for start in (699, 701, total - 1):
            answer = await put(operator, HERE, PAYLOAD[start:], start=start, total=total)
            assert problem_of(answer) == (409, "artefact.offset"), start
        other = await put(operator, HERE, PAYLOAD[700:900], start=700, total=total + 1)
        assert problem_of(other) == (409, "artefact.offset")
        here = (await operator.get(HERE)).json()["received"]
        assert here == 700
        assert (await put(operator, HERE, PAYLOAD[here:], start=here, total=total)).json()["whole"]


async def test_two_that_send_the_same_piece_at_once_do_not_mix_them_up(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        half, total = len(PAYLOAD) // 2, len(PAYLOAD)
        await put(operator, HERE, PAYLOAD[:half], start=0, total=total)
        both = [put(operator, HERE, PAYLOAD[half:], start=half, total=total) for _ in range(2)]
        answers = await asyncio.gather(*both)
        assert any(each.is_success and each.json()["whole"] for each in answers)
        assert all(each.is_success or problem_of(each) == (409, "artefact.offset") for each in answers)
        assert plane.updating.artefacts.read(digest_of(PAYLOAD), 0, total) == PAYLOAD


async def test_an_upload_may_begin_anew(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await put(operator, HERE, b"something else", start=0, total=len(PAYLOAD))
        assert (await send(operator, PAYLOAD)).json()["whole"]
        assert list((tmp_path / "artefacts" / "incoming").iterdir()) == []


async def test_an_upload_whose_digest_does_not_match_is_thrown_away(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        wrong = digest_of(b"another")
        assert problem_of(await send(operator, PAYLOAD, digest=wrong)) == (400, "artefact.other_digest")
        assert (await operator.get(f"/artefacts/{wrong}")).json()["received"] == 0
        assert not plane.updating.artefacts.holds(wrong)
        assert not plane.updating.artefacts.holds(digest_of(PAYLOAD))
        assert (await send(operator, PAYLOAD)).json()["whole"], "the control"


async def test_what_is_too_large_or_misplaced_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        huge = await put(operator, HERE, b"x", start=0, total=LARGEST_PAYLOAD + 1)
        assert problem_of(huge) == (413, "artefact.too_large")
        piece = await put(operator, HERE, bytes(PIECE + 1), start=0, total=PIECE + 1)
        assert problem_of(piece) == (413, "http.body_too_large")
        assert problem_of(await put(operator, HERE, b"abc", start=0, total=2)) == (400, "artefact.range")
        for said in ("bytes 0-3/3", "bytes 3-0/9", "bytes */3", "bytes 0-2/*", "0-2/3", "bytes \u0660-2/3", "x" * 60):
            answer = await operator.put(HERE, content=b"abc", headers={"content-range": said.encode()})
            assert problem_of(answer) == (400, "artefact.range"), said
        assert problem_of(await operator.put(HERE, content=b"abc")) == (422, "request.invalid")
        empty = await operator.put(HERE, content=b"", headers={"content-range": "bytes 0-0/1"})
        assert problem_of(empty) == (400, "artefact.range")
        for name in ("x", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha256:..%2f..%2fholdfast.db"):
            assert (await operator.get(f"/artefacts/{name}")).status_code in (400, 404), name
            assert (await put(operator, f"/artefacts/{name}", b"x", start=0, total=1)).status_code in (400, 404), name


async def test_a_full_disk_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await put(operator, HERE, PAYLOAD[:700], start=0, total=len(PAYLOAD))

        def full(_handle: int, _data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as disk:
            disk.setattr("holdfast.adapters.artefacts.folder.os.write", full)
            answer = await put(operator, HERE, PAYLOAD[700:], start=700, total=len(PAYLOAD))
        assert problem_of(answer) == (507, "artefact.disk_full")
        assert list((tmp_path / "artefacts" / "incoming").iterdir()) == []
        assert (await operator.get(HERE)).json()["received"] == 0
        assert (await send(operator, PAYLOAD)).json()["whole"], "it begins anew once there is room"


async def test_uploads_are_bounded_and_a_forgotten_one_gives_way(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane, holder(plane, Permission.OPERATE) as operator:
        for number in range(UNDER_WAY):
            path = f"/artefacts/{digest_of(str(number).encode())}"
            assert (await put(operator, path, b"x", start=0, total=9)).is_success
        assert problem_of(await put(operator, HERE, b"x", start=0, total=9)) == (429, "artefact.uploads")
        clock.forward(IDLE - 1)
        assert problem_of(await put(operator, HERE, b"x", start=0, total=9)) == (429, "artefact.uploads")
        clock.forward(2)  # and the token ends, too
        async with holder(plane, Permission.OPERATE, name="later") as later:
            assert (await put(later, HERE, b"x", start=0, total=9)).is_success


async def test_another_tenant_neither_sees_nor_uses_what_was_sent(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, name="ours") as ours:
        await release(ours)
        payload = PAYLOAD + b"2.0"
        path = f"/artefacts/{digest_of(payload)}"
        assert (await ours.get(path)).json()["whole"], "the control"
        async with holder(plane, scope=Scope("other", "production"), name="theirs") as theirs:
            assert (await theirs.get(path)).json()["received"] == 0
            stolen = await theirs.post("/update/releases", json=declared(payload=payload))
            assert problem_of(stolen) == (404, "artefact.missing")
            assert (await theirs.get("/update/releases")).json() == {"items": [], "next": None}
            assert problem_of(await theirs.get(f"/update/releases/{NEW}")) == (404, "release.unknown")
            assert (await send(theirs, payload)).json()["whole"], "who has the file may send it"


async def test_a_release_is_added_shown_and_listed(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await release(operator, "1.0", counter=1)
        sbom = b'{"bomFormat": "CycloneDX"}'
        await send(operator, sbom)
        told = await release(operator, sbom=digest_of(sbom), needs=1, support_end="2030-12-31", svn=4)
        assert (told["release"], told["counter"], told["svn"], told["needs"]) == (NEW, 2, 4, 1)
        assert (told["file"], told["kind"], told["nature"]) == ("rootfs-2.0.img", "file", "security")
        assert (told["hardware"], told["sbom"], told["by"]) == ([HARDWARE], digest_of(sbom), "token:robot")
        assert [lack.partition(" (")[0] for lack in told["lacks"]] == [SIGNATURES, "1 more approval(s)"]
        assert (await operator.get(f"/update/releases/{NEW}")).json() == told
        listed = (await operator.get("/update/releases")).json()["items"]
        assert [each["release"] for each in listed] == [NEW, OLD]
        assert (await operator.get("/update/releases?model=other")).json() == {"items": [], "next": None}
        assert await plane.store.blob(plane.config.scope, digest_of(sbom)) == sbom
        again = await operator.post("/update/releases", json=declared(payload=PAYLOAD + b"2.0", counter=2))
        assert problem_of(again) == (409, "release.exists")


async def test_what_cannot_be_declared_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:

        async def refused(**more):
            return problem_of(await operator.post("/update/releases", json=declared(**more)))

        assert await refused() == (404, "artefact.missing")
        assert await refused(artefact="sha256:no") == (400, "digest.invalid")
        await send(operator, PAYLOAD)
        assert await refused(sbom=digest_of(b"no such")) == (404, "artefact.missing")
        for wrong in (
            {"counter": -1},
            {"counter": 2**53},
            {"counter": "high"},
            {"kind": "apk"},
            {"nature": "other"},
            {"hardware": []},
            {"hardware": ["x"] * 33},
            {"surprise": 1},
        ):
            assert await refused(**wrong) == (422, "request.invalid"), wrong
        assert await refused(file="../../etc/passwd") == (400, "release.malformed")
        assert await refused(hardware=["NO SUCH"]) == (400, "release.malformed")
        assert await refused(support_end="soon") == (400, "release.malformed")
        assert await refused(version="2 0") == (400, "name.invalid")
        await release(operator)
        assert await refused(version="2.1", counter=2) == (409, "release.counter")


async def test_what_the_payload_says_of_itself_must_agree(tmp_path, monkeypatch):
    said = Inspected(PayloadKind.RAUC, "2.0", (HARDWARE,), 3, details=(("version", "2.0"),))
    monkeypatch.setattr(ToolInspector, "inspect", lambda *_arguments, **_more: said)
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await send(operator, PAYLOAD)
        for wrong in ({"version": "2.1"}, {"hardware": ["other"]}, {"svn": 2}):
            answer = await operator.post("/update/releases", json=declared(kind="rauc", **{"svn": 3, **wrong}))
            assert problem_of(answer) == (400, "release.disagrees"), wrong
        added = await operator.post("/update/releases", json=declared(kind="rauc", svn=3))
        assert added.json()["payload_says"] == [{"name": "version", "value": "2.0"}]


async def test_a_payload_that_is_not_what_it_is_said_to_be_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await send(operator, PAYLOAD)
        for kind in ("rauc", "swupdate", "mcuboot"):
            answer = await operator.post("/update/releases", json=declared(kind=kind))
            assert problem_of(answer)[1].startswith("artefact."), kind
        assert (await operator.get("/update/releases")).json() == {"items": [], "next": None}
        assert (await operator.post("/update/releases", json=declared())).is_success, "the control"


async def test_the_signers_are_asked_for_a_release_once_there_are_any(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        path, scope = f"/update/releases/{NEW}", plane.config.scope
        body = declared(payload=PAYLOAD + b"2.0")
        await send(operator, PAYLOAD + b"2.0")
        assert not (await operator.post("/update/releases", json=body)).json()["proposed"]
        assert problem_of(await operator.post(f"{path}/propose")) == (409, "repository.not_founded")
        await founded(plane)
        assert (await operator.post(f"{path}/propose")).json() == {"proposed": True}
        (waiting,) = [each for each in plane.updating.images.proposals(scope) if each.proposal.id == MODEL]
        assert (await operator.post(f"{path}/propose")).json() == {"proposed": False}
        assert not (await operator.post("/update/releases", json=body)).json()["proposed"]
        same = [each for each in plane.updating.images.proposals(scope) if each.proposal.id == MODEL]
        assert same == [waiting], "who signed already need not sign again"
        assert any(SIGNATURES in lack for lack in (await operator.get(path)).json()["lacks"])
        await published(plane, NEW)
        assert not any(SIGNATURES in lack for lack in (await operator.get(path)).json()["lacks"])
        assert (await operator.post(f"{path}/propose")).json() == {"proposed": False}
        payload = PAYLOAD + b"3.0"
        await send(operator, payload)
        added = await operator.post("/update/releases", json=declared("3.0", payload))
        assert added.json()["proposed"]
        assert problem_of(await operator.post("/update/releases/a:9/propose")) == (404, "release.unknown")


async def test_two_people_are_needed_and_the_policy_says_how_many(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await release(admin)
        await published(plane, NEW)
        own = await admin.post(f"/update/releases/{NEW}/approve")
        assert problem_of(own) == (403, "release.own")
        assert (await admin.get("/update/policy")).json() == {"approvals": 1, "lab_sites": []}
        policy = {"approvals": 2, "lab_sites": ["lab"]}
        assert (await admin.post("/update/policy", json=policy)).json() == policy
        for bad in ({"approvals": 9, "lab_sites": []}, {"approvals": -1, "lab_sites": []}, {"approvals": 1}):
            assert problem_of(await admin.post("/update/policy", json=bad)) == (422, "request.invalid")
        async with holder(plane, Permission.OPERATE, name="second") as second:
            told = (await second.post(f"/update/releases/{NEW}/approve")).json()
            assert [vote["actor"] for vote in told["approvals"]] == ["token:second"]
            assert told["lacks"] == ["1 more approval(s) (holdfast release approve)"]
            twice = await second.post(f"/update/releases/{NEW}/approve")
            assert problem_of(twice) == (409, "release.approved")
        async with holder(plane, Permission.OPERATE, name="third") as third:
            told = (await third.post(f"/update/releases/{NEW}/approve")).json()
            assert told["lacks"] == [], "no device stands outside of the lab yet"


async def test_a_validation_names_lab_devices_that_run_the_release(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await release(admin)
        await published(plane, NEW)
        bench, far = await an_updater(plane, "bench", site="lab"), await an_updater(plane, "far", site="berlin")
        await admin.post("/update/policy", json={"approvals": 0, "lab_sites": ["lab"]})
        path = f"/update/releases/{NEW}/validate"

        async def validated(*devices, ticket="CHG-1", results=RESULTS):
            body = {"devices": list(devices), "results": results, "ticket": ticket}
            return await admin.post(path, json=body)

        assert (await admin.get(f"/update/releases/{NEW}")).json()["lacks_in_lab"] == []
        assert problem_of(await validated("bench")) == (400, "release.not_proved")
        for device in (bench, far):
            device.runs = NEW
            await device.say()
        assert problem_of(await validated("far")) == (400, "release.not_lab")
        assert problem_of(await validated("nobody")) == (404, "device.unknown")
        assert problem_of(await validated("bench", ticket="")) == (400, "release.validation")
        assert problem_of(await validated("bench", results="green")) == (400, "digest.invalid")
        assert problem_of(await validated()) == (422, "request.invalid")
        told = (await validated("bench")).json()
        assert (told["validation"]["devices"], told["validation"]["weak"]) == (["bench"], True)
        assert told["lacks"] == []
        assert told["spread"] == {"running": 2, "proved": 0, "given": 0}


async def test_who_may_do_what(tmp_path):
    async with new_plane(tmp_path) as plane:
        async with holder(plane, name="admin") as admin:
            await release(admin)
        operators = (
            ("/update/releases", declared()),
            (f"/update/releases/{NEW}/approve", {}),
            (f"/update/releases/{NEW}/propose", {}),
            (f"/update/releases/{NEW}/validate", {"devices": ["a"], "results": RESULTS, "ticket": "CHG-1"}),
        )
        admins = (("/update/policy", {"approvals": 1, "lab_sites": []}),)
        async with holder(plane, Permission.READ, name="reader") as reader:
            for path, body in (*operators, *admins):
                assert problem_of(await reader.post(path, json=body)) == (403, "token.permission"), path
            assert problem_of(await put(reader, HERE, b"x", start=0, total=1)) == (403, "token.permission")
            assert problem_of(await reader.get(HERE)) == (403, "token.permission")
            for path in ("/update/releases", f"/update/releases/{NEW}", "/update/policy"):
                assert (await reader.get(path)).is_success, path
        async with holder(plane, Permission.OPERATE, name="operator") as operator:
            for path, body in admins:
                assert problem_of(await operator.post(path, json=body)) == (403, "token.permission"), path
            assert (await operator.post(operators[1][0])).is_success
        async with anybody(remote_app(plane)) as nobody:
            for path in ("/update/releases", "/update/policy", HERE, "/rollouts"):
                assert problem_of(await nobody.get(path)) == (401, "token.required"), path
            assert problem_of(await put(nobody, HERE, bytes(PIECE), start=0, total=PIECE)) == (401, "token.required")


async def test_what_was_sent_outlives_the_server_once_it_is_of_a_release(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await release(admin)
        await put(admin, HERE, PAYLOAD[:100], start=0, total=len(PAYLOAD))
    async with plane_on(tmp_path) as plane, holder(plane, name="next") as admin:
        assert (await admin.get(f"/artefacts/{digest_of(PAYLOAD + b'2.0')}")).json()["whole"]
        assert (await admin.get(HERE)).json()["received"] == 0, "uploads under way end with the server"
        assert (await admin.get(f"/update/releases/{NEW}")).json()["model"] == MODEL
