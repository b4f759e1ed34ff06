"""``holdfast attest`` on a data folder with no server running: how a device stands, and what its evidence came to."""

from __future__ import annotations

import json
import sqlite3

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from holdfast.bootstrap import DATABASE
from holdfast_core.attestation.model import KeptEvidence
from holdfast_core.kernel.appraisals import Tier
from reference_builders import DEVICE, RELEASE, WHY, attested_folder


@pytest.fixture
def plane(tmp_path):
    return attested_folder(tmp_path / "data", times=3)


def altered(folder, number, **fields):
    """Evidence that somebody changes in the database."""
    with sqlite3.connect(folder / DATABASE) as database:
        (table,) = (
            name for (name,) in database.execute("select name from sqlite_master where type='table'")
            if name == "attestation"
        )  # fmt: skip
        (body,) = database.execute(f"select body from {table} where number=?", (number,)).fetchone()  # noqa: S608  (a name of ours)
        kept = msgspec.msgpack.decode(body, type=KeptEvidence)
        changed = msgspec.msgpack.encode(msgspec.structs.replace(kept, **fields))
        database.execute(f"update {table} set body=? where number=?", (changed, number))  # noqa: S608  (a name of ours)
    database.close()


def test_show_tells_tier_release_claims_and_what_is_asked(plane):
    said = plane.says("attest", "show", DEVICE)
    assert f"{DEVICE} affirming, fresh {RELEASE} (svn 1)" in said
    assert "✓ instance identity recognized" in said
    assert "✓ executables approved boot" in said
    assert "· storage opaque nothing is known" in said
    assert "PCRs 0, 4, 7-9 in sha256" in said
    page = plane.told("attest", "show", DEVICE)
    assert page["vector"]["instance-identity"] == 2
    assert (page["evidence"], page["svn"], page["refused"]) == (3, 1, None)


def test_a_device_that_never_attested_is_told_to_be_so(tmp_path, plane):
    plane.run("device", "add", "gate-2", "--model", plane.told("model", "list")["items"][0]["reference"])
    said = plane.says("attest", "show", "gate-2")
    assert "gate-2 none, never" in said
    assert "asked at its next check-in" in said
    assert "none is bound" in said
    assert "No evidence of gate-2 is kept" in plane.says("attest", "evidence", "gate-2")
    assert "attestation.no_evidence" in plane.says("attest", "replay", "gate-2", code=1)
    assert plane.told("attest", "replay", "gate-2", "--all") == {"items": [], "good": True}
    assert "attestation.no_log" in plane.says("attest", "boot-log", "gate-2", str(tmp_path / "log"), code=1)


def test_a_device_that_nobody_knows_is_refused(plane):
    for command in ("show", "evidence", "replay", "result"):
        assert "device.unknown" in plane.says("attest", command, "gate-9", code=1)


def test_the_device_page_names_the_release(plane):
    assert f"affirming, fresh, {RELEASE}" in plane.says("device", "show", DEVICE)


def test_evidence_is_listed_newest_first_in_pages(plane):
    first = plane.told("attest", "evidence", DEVICE, "--limit", "2")
    assert [each["number"] for each in first["items"]] == [3, 2]
    assert first["next"] == 2
    rest = plane.told("attest", "evidence", DEVICE, "--before", "2")
    assert ([each["number"] for each in rest["items"]], rest["next"]) == ([1], None)
    assert "--before 2" in plane.says("attest", "evidence", DEVICE, "--limit", "2")
    assert RELEASE in plane.says("attest", "evidence", DEVICE)


def test_old_verdicts_come_out_again(plane):
    told = plane.told("attest", "replay", DEVICE, "--all")
    assert [(each["same"], each["chained"]) for each in told["items"]] == [(True, True)] * 3
    assert "The same verdict" in plane.says("attest", "replay", DEVICE)
    assert [
        each["evidence"]["number"] for each in plane.told("attest", "replay", DEVICE, "--number", "2")["items"]
    ] == [2]
    plane.run("attest", "replay", DEVICE, "--all", "--number", "2", code=2)


def test_a_verdict_that_somebody_changed_does_not_come_out_again(plane):
    kept = plane.told("attest", "replay", DEVICE, "--number", "2")["items"][0]["evidence"]
    assert kept["tier"] == "affirming"
    altered(plane.folder, 2, result=msgspec.structs.replace(result_of(plane.folder, 2), tier=Tier.WARNING))
    assert "ANOTHER" in plane.says("attest", "replay", DEVICE, "--number", "2", code=3)
    told = plane.told("attest", "replay", DEVICE, "--all", code=3)
    assert {each["evidence"]["number"]: (each["same"], each["chained"]) for each in told["items"]} == {
        3: (True, False),
        2: (False, False),
        1: (True, True),
    }
    assert "BROKEN" in plane.says("attest", "replay", DEVICE, "--all", code=3)


def result_of(folder, number):
    database = sqlite3.connect(folder / DATABASE)
    (body,) = database.execute("select body from attestation where number=?", (number,)).fetchone()
    database.close()
    return msgspec.msgpack.decode(body, type=KeptEvidence).result


def test_the_newest_evidence_that_somebody_changed_is_noticed(plane):
    altered(plane.folder, 3, model="another@1.0.0")
    (told,) = plane.told("attest", "replay", DEVICE, code=3)["items"]
    assert not told["chained"]


def test_the_event_log_of_a_boot_can_be_read_again(plane, tmp_path):
    file = tmp_path / "log"
    plane.run("attest", "boot-log", DEVICE, str(file))
    assert "kernel 1.0.0" in plane.says("attest", "log", str(file))
    plane.run("attest", "boot-log", DEVICE, str(tmp_path / "first"), "--number", "1")
    assert (tmp_path / "first").read_bytes() == file.read_bytes()
    assert plane.run("attest", "boot-log", DEVICE, "-").stdout_bytes == file.read_bytes()


def test_a_result_is_verified_without_the_server(plane, tmp_path):
    file, key = tmp_path / "result.jwt", plane.run("log", "key").stdout.strip()
    plane.run("attest", "result", DEVICE, "--out", str(file))
    elsewhere = type(plane)(tmp_path / "nowhere")
    said = elsewhere.says("attest", "verify", str(file), "--key", key)
    assert f"{DEVICE} affirming, fresh {RELEASE}" in said
    assert "Genuine, in time and affirming" in said
    told = elsewhere.told("attest", "verify", str(file), "--key", key, "--device", DEVICE)
    assert (told["good"], told["claims"]["submods"][DEVICE]["ear.status"]) == (True, 2)
    assert "result.device" in elsewhere.says("attest", "verify", str(file), "--key", key, "--device", "gate-2", code=1)
    text = file.read_text()
    file.write_text(text[:40] + ("A" if text[40] != "A" else "B") + text[41:])
    assert "result." in elsewhere.says("attest", "verify", str(file), "--key", key, code=1)
    assert not (tmp_path / "nowhere").exists()


def test_a_result_that_does_not_affirm_is_genuine_and_not_good(plane, tmp_path):
    plane.run("reference", "revoke", RELEASE, "--yes", *WHY)
    (tmp_path / "result.jwt").write_text(plane.run("attest", "result", DEVICE).stdout)
    key = tmp_path / "log.pub"
    key.write_text(plane.run("log", "key").stdout)
    said = plane.says("attest", "verify", str(tmp_path / "result.jwt"), "--key", str(key), code=3)
    assert "do not rely on this device" in said


def test_reset_needs_a_reason_and_begins_anew(plane):
    plane.run("attest", "reset", DEVICE, *WHY, code=2)
    assert "why.missing" in plane.says("attest", "reset", DEVICE, "--yes", code=1)
    page = plane.told("attest", "reset", DEVICE, "--yes", *WHY)
    assert (page["freshness"], page["counters"], page["evidence"]) == ("never", None, 3)
    assert plane.told("attest", "replay", DEVICE, "--all")["good"]
    assert "attestation.reset" in plane.says("log", "show", "--device", DEVICE)


def test_the_key_of_tokens_is_named(plane, tmp_path):
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    for name, encoding in (("key.pem", Encoding.PEM), ("key.der", Encoding.DER)):
        (tmp_path / name).write_bytes(public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo))
    plane.run("device", "add", "gate-2", "--model", plane.told("model", "list")["items"][0]["reference"])
    pem = plane.told("attest", "key", "gate-2", str(tmp_path / "key.pem"))
    assert pem["method"] == "token"
    assert plane.told("attest", "key", "gate-2", str(tmp_path / "key.der"))["digest"] == pem["digest"]
    (tmp_path / "text").write_text("no key")
    assert "attestation.token_key" in plane.says("attest", "key", "gate-2", str(tmp_path / "text"), code=1)
    assert "attestation.key_in_chip" in plane.says("attest", "key", DEVICE, str(tmp_path / "key.pem"), code=1)


def test_json_of_every_command_is_one_document(plane, tmp_path):
    for command in (
        ["show", DEVICE],
        ["evidence", DEVICE],
        ["replay", DEVICE],
        ["result", DEVICE],
        ["boot-log", DEVICE, str(tmp_path / "log")],
    ):
        assert json.loads(plane.run("attest", *command, "--json").stdout)
