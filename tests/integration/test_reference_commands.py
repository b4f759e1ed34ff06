"""``holdfast reference``: releases from their build to their end, with and without a control plane."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from attesting_builders import Builder
from holdfast.adapters.system import SystemClock
from holdfast_core.attestation.reference import STATEMENT_TYPE, parse_statement
from holdfast_core.formats.dsse import open_envelope, read_key
from holdfast_core.kernel.instants import DAY, Instant, rfc3339
from reference_builders import (
    DEVICE,
    PARTS,
    RELEASE,
    WHY,
    Commands,
    attested_folder,
    key_files,
    log_file,
    release_files,
)

MADE = ("--made-at", "2026-11-01T00:00:00Z")
DAY_AFTER = rfc3339(Instant(SystemClock().now() + 403 * DAY))[:10]
LATER = rfc3339(Instant(SystemClock().now() + 400 * DAY))[:10]


@pytest.fixture
def builder():
    return Builder()


@pytest.fixture
def nowhere(tmp_path):
    """Commands with no data folder, which must stay so."""
    yield Commands(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def keys(tmp_path, builder):
    return key_files(tmp_path, builder)


def building(tmp_path, keys, version="1.0.0", *more, svn="1", parts=None):
    """The arguments of a build, and the file that it writes."""
    out = tmp_path / f"release-{version}.json"
    folder = tmp_path / f"files-{version}"
    folder.mkdir(exist_ok=True)
    given = release_files(folder, version) if parts is None else parts
    named = ("--model", "site-gateway", "--version", version, "--svn", svn, "--key", str(keys[0]))
    return ("reference", "build", *named, *given, "--out", str(out), *MADE, *more), out


def opened(file, builder):
    signed = open_envelope(file.read_bytes(), STATEMENT_TYPE, {"builder": read_key(builder.public)})
    return parse_statement(signed.payload)


def test_a_release_is_built_with_no_server(nowhere, tmp_path, builder, keys):
    arguments, out = building(tmp_path, keys, "1.0.0", "--retire", LATER)
    said = nowhere.says(*arguments)
    assert f"{RELEASE}, svn 1, is in {out}" in said
    statement = opened(out, builder)
    assert {(m.register, m.what, m.digest) for m in statement.measurements} >= {
        (9, "part-2", hashlib.sha256(b"kernel 1.0.0").hexdigest())
    }
    assert len(statement.artefacts) == PARTS
    assert statement.retire_at % (24 * 3600 * 1000) == 0, "a day counts to its end"
    told = nowhere.told(*arguments)
    assert (told["release"], told["statement"]["svn"]) == (RELEASE, 1)
    assert told["file"] == str(out)


def test_the_same_build_gives_the_same_file(nowhere, tmp_path, keys):
    arguments, out = building(tmp_path, keys)
    nowhere.run(*arguments)
    first = out.read_bytes()
    nowhere.run(*arguments)
    assert out.read_bytes() == first
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "p256.pem").write_bytes(pem)
    found = set()
    for _ in range(2):
        arguments, out = building(tmp_path, (tmp_path / "p256.pem",), "1.0.1")
        nowhere.run(*arguments)
        found.add(out.read_bytes())
    assert len(found) == 1


def test_the_time_of_a_build_comes_from_its_environment(nowhere, tmp_path, builder, keys, monkeypatch):
    arguments, out = building(tmp_path, keys)
    arguments = tuple(each for each in arguments if each not in MADE)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    nowhere.run(*arguments)
    assert opened(out, builder).made_at == 1_700_000_000_000
    for wrong in ("yesterday", "-1", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        nowhere.run(*arguments, code=2)


def test_files_for_ima_come_from_a_folder_or_a_list(nowhere, tmp_path, builder, keys):
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/app").write_bytes(b"application")
    (root / "usr/bin/copy").write_bytes(b"application")
    (root / "usr/bin/link").symlink_to("/etc/passwd")
    (tmp_path / "list").write_text(f"{hashlib.sha256(b'other').hexdigest()}  /opt/other\n")
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    (tmp_path / "ima.pem").write_bytes(signer.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    more = ("--files-from", str(root), "--files-from", str(tmp_path / "list"), "--file-key", str(tmp_path / "ima.pem"))
    arguments, out = building(tmp_path, keys, "1.0.0", *more)
    assert "2 files by their digest" in nowhere.says(*arguments)
    statement = opened(out, builder)
    assert [(value.path, value.digest) for value in statement.files] == [
        ("/usr/bin/app", hashlib.sha256(b"application").hexdigest()),
        ("/opt/other", hashlib.sha256(b"other").hexdigest()),
    ]
    assert len(statement.file_keys) == 1
    (tmp_path / "list").write_text("no digest\n")
    assert "reference.files_list" in nowhere.says(*arguments, code=1)
    (tmp_path / "ima.pem").write_text("no key\n")
    assert "reference.file_key" in nowhere.says(*building(tmp_path, keys, "1.0.0", *more[4:])[0], code=1)


@pytest.mark.parametrize(
    "case",
    [
        (("--artefact", "kernel:part"), 2, "with a KIND of"),
        (("--artefact", "file:part@99"), 2, "registers are 0 to 23"),
        (("--artefact", "file:missing@9"), 1, "files.unreadable"),
        (("--artefact", "file:part"), 1, "reference.register"),
        (("--artefact", "uki:part"), 1, "do this"),
        (("--artefact", "fit:part"), 1, "do this"),
        (("--artefact", "event-log:part"), 1, "do this"),
        ((), 1, "reference.empty"),
    ],
)
def test_what_cannot_be_measured_is_refused(nowhere, tmp_path, keys, case, monkeypatch):
    parts, code, told = case
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part").write_bytes(b"a part")
    arguments, out = building(tmp_path, keys, parts=parts)
    assert told in nowhere.says(*arguments, code=code)
    assert not out.exists()


def test_an_artefact_may_have_another_name_than_its_file(nowhere, tmp_path, builder, keys):
    (tmp_path / "out@3").write_bytes(b"a kernel")
    parts = ("--artefact", f"the kernel=file:{tmp_path / 'out@3'}@9")
    arguments, out = building(tmp_path, keys, parts=parts)
    nowhere.run(*arguments)
    (measurement,) = opened(out, builder).measurements
    assert (measurement.what, measurement.register) == ("the kernel", 9)


def test_a_key_that_cannot_sign_or_is_locked_is_refused(nowhere, tmp_path, builder, keys):
    for text in ("no key", builder.public.decode()):
        (tmp_path / "wrong.pem").write_text(text)
        arguments, _ = building(tmp_path, (tmp_path / "wrong.pem",))
        assert "reference.key]" in nowhere.says(*arguments, code=1)
    weak = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "wrong.pem").write_bytes(weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    assert "reference.key]" in nowhere.says(*arguments, code=1)
    key_files(tmp_path, builder, passphrase=b"a passphrase")
    arguments, out = building(tmp_path, keys)
    assert "reference.key_encrypted" in nowhere.says(*arguments, code=1)
    assert not out.exists()


def test_a_release_that_ended_before_it_began_is_refused(nowhere, tmp_path, keys):
    nowhere.run(*building(tmp_path, keys, "1.0.0", "--retire", "2026-10-30")[0], code=2)
    assert "model.date" in nowhere.says(*building(tmp_path, keys, "1.0.0", "--retire", "2026-02-30")[0], code=1)


def test_a_release_is_added_under_a_trusted_key_and_recognizes_what_runs(tmp_path, builder, keys):
    plane = attested_folder(tmp_path / "data", builder=builder, runs="1.1.0")
    assert "contraindicated" in plane.says("attest", "show", DEVICE)
    assert "part-2" not in plane.says("reference", "explain", DEVICE, code=3)
    arguments, out = building(tmp_path, keys, "1.1.0")
    plane.run(*arguments)
    assert "site-gateway:1.1.0 is known" in plane.says("reference", "add", str(out))
    assert plane.told("reference", "add", str(out))["standing"] == "current", "twice is once"
    assert "The device booted site-gateway:1.1.0" in plane.says("reference", "explain", DEVICE)
    page = plane.told("reference", "show", "site-gateway:1.1.0")
    assert (page["signer"], page["measurements"], len(page["measured"])) == ("builder", PARTS, PARTS)
    assert "part-2" in plane.says("reference", "show", "site-gateway:1.1.0")
    assert {each["release"] for each in plane.told("reference", "list")["items"]} == {"site-gateway:1.1.0", RELEASE}
    assert RELEASE in plane.says("reference", "list", "--model", "site-gateway")
    assert "No releases" in plane.says("reference", "list", "--model", "other")


def test_a_statement_that_nobody_trusted_signed_is_refused(tmp_path, builder):
    plane = attested_folder(tmp_path / "data", builder=builder)
    arguments, out = building(tmp_path, key_files(tmp_path, Builder()), "2.0.0")
    plane.run(*arguments)
    assert "dsse.signature" in plane.says("reference", "add", str(out), code=1)
    envelope = json.loads(out.read_bytes())
    envelope["payload"] = base64.b64encode(base64.b64decode(envelope["payload"]) + b" ").decode()
    out.write_text(json.dumps(envelope))
    assert "dsse.signature" in plane.says("reference", "add", str(out), code=1)
    out.write_bytes(b"")
    assert "dsse.malformed" in plane.says("reference", "add", str(out), code=1)


def test_keys_are_trusted_listed_and_distrusted(tmp_path, builder):
    plane = attested_folder(tmp_path / "data", builder=builder)
    _, public = key_files(tmp_path, Builder())
    added = plane.told("reference", "trust", "ci-2026", str(public))
    assert plane.told("reference", "trust", "ci-2027", str(key_files(tmp_path, Builder())[1]))["name"] == "ci-2027"
    assert added["digest"] in "".join(plane.run("reference", "keys").stdout.split())
    assert "reference.key_exists" in plane.says("reference", "trust", "ci-2026", str(public), code=1)
    said = plane.says("reference", "distrust", "builder", *WHY)
    assert f"Still good is what it signed: {RELEASE}" in said
    assert [key["name"] for key in plane.told("reference", "keys")["items"]] == ["ci-2026", "ci-2027"]
    assert "why.missing" in plane.says("reference", "distrust", "ci-2026", code=1)
    assert "reference.key_unknown" in plane.says("reference", "distrust", "builder", *WHY, code=1)


def test_what_an_event_booted_is_explained_by_release(tmp_path, builder):
    plane = attested_folder(tmp_path / "data", builder=builder, versions=("1.0.0", "1.1.0"), tampered=True)
    said = plane.says("reference", "explain", DEVICE, code=3)
    assert "booted no release that is known" in said
    assert "kernel of a stranger" in said
    assert "The digests are what the TPM signed" in said
    told = plane.told("reference", "explain", DEVICE, code=3)
    assert {each["pcr"] for each in told["differences"]} == {9}


def test_a_log_is_explained_with_no_server(nowhere, tmp_path, keys):
    files = []
    for version in ("1.0.0", "1.1.0"):
        arguments, out = building(tmp_path, keys, version)
        nowhere.run(*arguments)
        files += ["--reference", str(out)]
    log = ("reference", "explain", "--log", str(log_file(tmp_path, "1.1.0")))
    said = nowhere.says(*log, *files)
    assert "booted site-gateway:1.1.0, which is current" in said
    assert "Nothing vouches for these statements" in said
    assert "Nothing vouches" not in nowhere.says(*log, *files, "--key", str(keys[1]))
    said = nowhere.says(*log, *files[:2], code=3)
    assert "Nearest is site-gateway:1.0.0" in said
    assert "what the TPM signed" not in said, "of a file nobody knows what a TPM signed"
    assert "A log in a file proves nothing by itself" in said
    damaged = tmp_path / "damaged.json"
    damaged.write_bytes(b"no statement")
    assert f"{damaged}: These are no reference values" in nowhere.says(
        *log, *files, "--reference", str(damaged), code=1
    )
    _, stranger = key_files(tmp_path, Builder())
    assert "dsse.signature" in nowhere.says(*log, *files, "--key", str(stranger), code=1)
    (tmp_path / "log").write_bytes(b"no log")
    assert "reference.log_unreadable" in nowhere.says(
        "reference", "explain", "--log", str(tmp_path / "log"), *files, code=1
    )
    nowhere.run("reference", "explain", code=2)
    nowhere.run("reference", "explain", DEVICE, *files, code=2)
    nowhere.run(*log, code=2)


def test_releases_are_compared_wherever_they_are(tmp_path, nowhere, builder, keys):
    plane = attested_folder(tmp_path / "data", builder=builder)
    built = []
    for version in ("1.1.0", "1.2.0"):
        arguments, out = building(tmp_path, keys, version)
        nowhere.run(*arguments)
        built.append(str(out))
    told = nowhere.told("reference", "diff", *built)
    assert (told["before"], told["after"]) == ("site-gateway:1.1.0", "site-gateway:1.2.0")
    kernel = [change for change in told["changes"] if change["what"] == "part-2"]
    assert [(change["sign"], change["pcr"]) for change in kernel] == [("-", 9), ("+", 9)]
    assert "4 gone, 4 new" in nowhere.says("reference", "diff", *built)
    assert "They measure the same" in nowhere.says("reference", "diff", built[0], built[0])
    assert RELEASE in plane.says("reference", "diff", RELEASE, built[0])
    plane.run("reference", "add", built[0])
    on_server = plane.told("reference", "diff", RELEASE, "site-gateway:1.1.0")
    assert on_server["changes"]
    assert "reference.unknown" in plane.says("reference", "diff", RELEASE, "site-gateway:9.9.9", code=1)
    assert "release.name" in plane.says("reference", "diff", RELEASE, "nothing", code=1)
    assert "files.unreadable" in nowhere.says("reference", "diff", built[0], "mistyped.json", code=1)


def test_a_release_is_learned_from_a_device_with_a_reason(tmp_path, builder):
    plane = attested_folder(tmp_path / "data", builder=builder, runs="1.1.0")
    learn = ("reference", "learn", DEVICE, "--version", "1.1.0", "--svn", "1")
    assert "why.missing" in plane.says(*learn, code=1)
    assert "site-gateway:1.1.0 is what gate-1 booted" in plane.says(*learn, *WHY)
    assert "learned, not built: from gate-1" in plane.says("reference", "show", "site-gateway:1.1.0")
    assert "The device booted site-gateway:1.1.0" in plane.says("reference", "explain", DEVICE)


def test_a_release_is_retired_at_the_end_of_a_day_or_at_once(tmp_path, builder):
    plane = attested_folder(tmp_path / "data", builder=builder)
    told = plane.told("reference", "retire", RELEASE, "--at", LATER, *WHY)
    assert (told["standing"], told["retire_at"][11:]) == ("current", "00:00:00.000Z")
    assert "reference.later" in plane.says("reference", "retire", RELEASE, "--at", DAY_AFTER, *WHY, code=1)
    assert "it is retired now" in plane.says("reference", "retire", RELEASE, "--at", "now", *WHY)
    assert f"{DEVICE} warning" in plane.says("attest", "show", DEVICE)
    said = plane.says("reference", "retire", RELEASE, "--at", "tomorrow", *WHY, code=1)
    assert "time.invalid" in said
    assert "Write a day" in said


def test_a_revoked_release_tells_who_runs_it_and_holds_it_against_them(tmp_path, builder):
    plane = attested_folder(tmp_path / "data", builder=builder)
    plane.run("reference", "revoke", RELEASE, *WHY, code=2)
    assert plane.told("reference", "show", RELEASE, "--devices")["devices"] == [DEVICE]
    assert "1 device is known to run it" in plane.says("reference", "revoke", RELEASE, "--yes", *WHY)
    assert f"{DEVICE} contraindicated" in plane.says("attest", "show", DEVICE)
    assert "revoked" in plane.says("reference", "show", RELEASE)
    assert "reference.revoked" in plane.says("reference", "revoke", RELEASE, "--yes", *WHY, code=1)
    told = plane.told("reference", "list")["items"][0]
    assert (told["standing"], told["revoked_why"]) == ("revoked", WHY[1])
