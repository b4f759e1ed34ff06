"""Sealed secrets from the operator who seals them to the device that is affirmed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sqlite3
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from api_builders import holder, problem_of
from builders import ACTOR, FakeClock, enrolled, new_plane, plane_on, request_for
from holdfast.attestation.sealed import FETCHED_WITHIN
from holdfast.bootstrap import Plane
from holdfast.cli.app import build
from holdfast.config import load
from holdfast_core.attestation.model import Freshness
from holdfast_core.attestation.sealed import MOST_PER_DEVICE, SealedSecret
from holdfast_core.identity.model import Permission
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import HOUR
from holdfast_core.record.model import Kind
from holdfast_core.wire.sealed import LARGEST
from sealed_builders import LIFE, WHY, attested, on_record
from server_process import Caller, ServerProcess, configured, enroll_on_disk

pytestmark = pytest.mark.anyio
DATA = b"\x00\xffa key that opens the disk\n"
KINDS = (Kind.SECRET_SEALED, Kind.SECRET_RELEASED, Kind.SECRET_WITHHELD)


async def code_of(work):
    with pytest.raises(HostileData) as refused:
        await work
    return refused.value.code


async def sealed_for(plane, name="cam-1"):
    device = await enrolled(plane, name)
    await plane.sealed.seal(device.key, "disk", DATA, actor=ACTOR)
    return device


def fetch(device, name="disk"):
    return device.plane.sealed.fetch(device.fingerprint, name)


def release(device, name="disk", why=WHY):
    return device.plane.sealed.release(device.key, name, why=why, actor=ACTOR)


async def test_it_is_refused_before_the_device_attested_and_released_once_it_is_affirmed(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await sealed_for(plane)
        assert await code_of(fetch(device)) == "sealed.not_attested"
        assert await code_of(release(device)) == "sealed.not_attested"
        await attested(device)
        assert await fetch(device) == DATA
        assert await release(device) == DATA
        (secret,) = plane.sealed.listed(device.key.scope, device="cam-1", limit=10)
        assert (secret.released, secret.released_to, secret.withheld, secret.size) == (2, ACTOR, "", len(DATA))
        assert on_record(plane, *KINDS) == [
            ("secret.sealed", ACTOR, b'{"name":"disk","replaces":false,"size":28}'),
            ("secret.withheld", "device:cam-1", b'{"code":"sealed.not_attested","name":"disk"}'),
            (
                "secret.withheld",
                ACTOR,
                b'{"code":"sealed.not_attested","name":"disk","why":"the disk is read on the bench"}',
            ),
            ("secret.released", "device:cam-1", b'{"name":"disk"}'),
            ("secret.released", ACTOR, b'{"name":"disk","why":"the disk is read on the bench"}'),
        ]


async def test_a_device_fetches_within_minutes_and_a_person_until_the_appraisal_lapses_to_the_millisecond(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await sealed_for(plane)
        await attested(device)
        clock.forward(FETCHED_WITHIN)
        assert await fetch(device) == DATA
        clock.forward(1)
        assert await code_of(fetch(device)) == "sealed.stale"
        clock.forward(LIFE - FETCHED_WITHIN - 2)
        assert await release(device) == DATA
        clock.forward(1)
        assert await code_of(release(device)) == "sealed.stale"
        await attested(device)
        assert await fetch(device) == DATA


@pytest.mark.parametrize("tier", [Tier.NONE, Tier.WARNING, Tier.CONTRAINDICATED])
async def test_it_is_sealed_at_every_other_tier(tmp_path, tier):
    async with new_plane(tmp_path) as plane:
        device = await sealed_for(plane)
        await attested(device)
        assert await fetch(device) == DATA
        await attested(device, tier)
        assert await code_of(fetch(device)) == "sealed.not_affirming"
        assert await code_of(release(device)) == "sealed.not_affirming"


async def test_a_boot_that_is_not_confirmed_opens_nothing(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await sealed_for(plane)
        await attested(device, freshness=Freshness.PENDING)
        assert await code_of(fetch(device)) == "sealed.pending"
        await attested(device)
        assert await fetch(device) == DATA


async def test_a_device_that_enrolled_again_attests_again_first(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await sealed_for(plane)
        await attested(device)
        claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        (leaf, *_) = await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        device.fingerprint = digest_of(leaf.public_bytes(Encoding.DER))
        assert await code_of(fetch(device)) == "sealed.not_attested"


async def test_everything_is_the_same_after_a_restart(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await sealed_for(plane)
        await attested(device)
        await fetch(device)
    async with plane_on(tmp_path, clock=clock) as plane:
        device.plane = plane
        assert await fetch(device) == DATA
        (secret,) = plane.sealed.listed(device.key.scope, device="", limit=10)
        assert secret.released == 2
        clock.forward(LIFE)
        assert await code_of(fetch(device)) == "sealed.stale"


async def test_a_rotated_vault_opens_every_secret_and_no_older_bytes(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, other = await sealed_for(plane), await sealed_for(plane, "cam-2")
        old = {each.sealed for each in plane.store.all_kept(SealedSecret)}
        done = await plane.vault_keys.rotate(plane.config.scope, actor=ACTOR)
        assert (done.resealed, done.destroyed) == (2, 1)
        assert not old & {each.sealed for each in plane.store.all_kept(SealedSecret)}
        for each in (device, other):
            await attested(each)
            assert await fetch(each) == DATA
    async with plane_on(tmp_path) as plane:
        device.plane = plane
        assert await fetch(device) == DATA
        assert (await plane.vault_keys.rotate(plane.config.scope, actor=ACTOR)).resealed == 2


async def test_sealing_again_replaces_it_and_the_counters_begin_anew(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await sealed_for(plane)
        await attested(device)
        await fetch(device)
        before = plane.store.all_kept(SealedSecret)[0]
        await plane.sealed.seal(device.key, "disk", b"another", actor="token:other")
        (after,) = plane.store.all_kept(SealedSecret)
        assert after.made_at > before.made_at, "the old bytes do not open in its place, though no time passed"
        assert (after.released, after.by) == (0, "token:other")
        assert await fetch(device) == b"another"


async def test_what_is_destroyed_is_gone_and_that_is_on_record(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await sealed_for(plane)
        await attested(device)
        assert await code_of(plane.sealed.destroy(device.key, "disk", why=" ", actor=ACTOR)) == "why.missing"
        await plane.sealed.destroy(device.key, "disk", why="the key was changed", actor=ACTOR)
        assert await code_of(fetch(device)) == "sealed.unknown"
        assert await code_of(plane.sealed.destroy(device.key, "disk", why=WHY, actor=ACTOR)) == "sealed.unknown"
        assert on_record(plane, Kind.SECRET_DESTROYED) == [
            ("secret.destroyed", ACTOR, b'{"name":"disk","why":"the key was changed"}')
        ]


async def test_with_the_device_its_secrets_are_gone_and_nobody_elses(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, other = await sealed_for(plane), await sealed_for(plane, "cam-2")
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        assert [each.device for each in plane.store.all_kept(SealedSecret)] == [other.key.device]
        assert await code_of(plane.sealed.seal(device.key, "disk", DATA, actor=ACTOR)) == "device.retired"
    async with plane_on(tmp_path) as plane:
        assert [each.device for each in plane.store.all_kept(SealedSecret)] == [other.key.device]


async def test_how_many_and_how_large_is_bounded(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await sealed_for(plane)
        assert (
            await code_of(plane.sealed.seal(device.key, "big", bytes(LARGEST + 1), actor=ACTOR)) == "sealed.too_large"
        )
        assert await code_of(plane.sealed.seal(device.key, "A", DATA, actor=ACTOR)) == "name.invalid"
        for number in range(MOST_PER_DEVICE - 1):
            await plane.sealed.seal(device.key, f"s{number}", bytes(LARGEST), actor=ACTOR)
        assert await code_of(plane.sealed.seal(device.key, "more", DATA, actor=ACTOR)) == "sealed.too_many"
        await plane.sealed.seal(device.key, "s0", DATA, actor=ACTOR)  # in place of one, it needs no room
        await sealed_for(plane, "cam-2")
        unknown = DeviceKey(device.key.scope, DeviceId("cam-9"))
        assert await code_of(plane.sealed.seal(unknown, "disk", DATA, actor=ACTOR)) == "device.unknown"


async def test_the_operator_api_says_the_same_and_takes_who_may_into_account(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        at, data = "/sealed-secrets/cam-1/disk", base64.b64encode(DATA).decode()
        async with holder(plane, Permission.OPERATE, name="operator") as operator:
            for path, body in ((at, {"data": data}), (f"{at}/release", {"why": WHY}), (f"{at}/destroy", {"why": WHY})):
                assert problem_of(await operator.post(path, json=body)) == (403, "token.permission")
            assert (await operator.get("/sealed-secrets")).json() == {"items": []}
        async with holder(plane) as admin:
            made = await admin.post(at, json={"data": data})
            assert (made.json()["size"], made.json()["by"], made.json()["released"]) == (len(DATA), "token:robot", 0)
            refused = await admin.post(f"{at}/release", json={"why": WHY})
            assert problem_of(refused) == (403, "sealed.not_attested")
            await attested(device)
            assert problem_of(await admin.post(f"{at}/release", json={"why": " "})) == (400, "why.missing")
            answer = await admin.post(f"{at}/release", json={"why": WHY})
            assert answer.json() == {"device": "cam-1", "name": "disk", "data": data}
            assert answer.headers["cache-control"] == "no-store"
            listed = await admin.get("/sealed-secrets", params={"device": "cam-1"})
            assert [(each["name"], each["released"]) for each in listed.json()["items"]] == [("disk", 1)]
            assert data not in listed.text
            for bad in ("a", "****", "é", "aGk=\n", "aGk"):
                assert problem_of(await admin.post(at, json={"data": bad})) == (400, "sealed.malformed")
            large = base64.b64encode(bytes(LARGEST + 1)).decode()
            assert problem_of(await admin.post(at, json={"data": large})) == (413, "sealed.too_large")
            huge = await admin.post(at, json={"data": "A" * 20_000})
            assert problem_of(huge) == (422, "request.invalid")
            assert "AAAA" not in huge.text
            assert problem_of(await admin.get("/sealed-secrets", params={"device": "cam-9"})) == (404, "device.unknown")
            gone = await admin.post(f"{at}/destroy", json={"why": WHY})
            assert gone.json() == {"device": "cam-1", "name": "disk"}


# --- by the commands, and over the wire

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "120"})


def run(folder: Path, *arguments: str, said: bytes = b""):
    return runner.invoke(build(), [*arguments, "--data", str(folder)], input=said)


def rows_of(folder: Path) -> str:
    """Every cell of every row of a folder's database."""
    with contextlib.closing(sqlite3.connect(folder / "holdfast.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return repr([database.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables])  # noqa: S608  (its own names)


class Known:
    """A device whose posture a test can change, by what it is on disk."""

    def __init__(self, plane: Plane, device: Device) -> None:
        self.plane, self.device, self.key = plane, device, device.key


def affirmed(folder: Path) -> None:
    """Let the device of a folder, which no server works on, be affirmed."""
    asyncio.run(_affirm(folder))


async def _affirm(folder: Path) -> None:
    async with Plane.open(load(folder, {}), folder) as plane:
        device = plane.store.device(DeviceKey(plane.config.scope, DeviceId("cam-1")))
        assert device is not None
        await attested(Known(plane, device))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A data folder with an enrolled device, whose identity lies beside it."""

    async def enroll() -> None:
        async with Plane.open(config, folder) as plane:
            await enroll_on_disk(plane, tmp_path)

    folder = tmp_path / "data"
    config = configured(folder)
    asyncio.run(enroll())
    return folder


def test_by_the_commands(site: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "disk.key", tmp_path / "out.key"
    source.write_bytes(DATA)
    done = run(site, "secret", "seal", "cam-1", "disk", "--from", str(source))
    assert done.exit_code == 0, done.output
    told = json.loads(run(site, "secret", "seal", "cam-1", "vpn", "--from", "-", "--json", said=b"x").stdout)
    assert (told["name"], told["size"], told["released"]) == ("vpn", 1, 0)
    refused = run(site, "secret", "release", "cam-1", "disk", "--why", WHY, "--out", str(out), "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["code"] == "sealed.not_attested"
    assert not out.exists(), "what was refused leaves no file"
    affirmed(site)
    released = run(site, "secret", "release", "cam-1", "disk", "--why", WHY)
    assert released.exit_code == 0, released.output
    assert released.stdout_bytes == DATA, "as it is, to the last byte"
    assert run(site, "secret", "release", "cam-1", "disk", "--why", WHY, "--out", str(out)).exit_code == 0
    assert out.read_bytes() == DATA
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    told = json.loads(run(site, "secret", "release", "cam-1", "disk", "--why", WHY, "--json").stdout)
    assert base64.b64decode(told["data"]) == DATA
    listed = run(site, "secret", "sealed", "--device", "cam-1").stdout
    assert "disk" in listed
    assert "vpn" in listed
    assert run(site, "secret", "destroy", "cam-1", "vpn", "--why", "not needed").exit_code == 0
    items = json.loads(run(site, "secret", "sealed", "--json").stdout)["items"]
    assert [(each["name"], each["released"]) for each in items] == [("disk", 3)]
    missing = run(site, "secret", "release", "cam-1", "disk", "--json")
    assert json.loads(missing.stdout)["code"] == "why.missing"


def test_an_unwritable_place_releases_nothing(site: Path, tmp_path: Path) -> None:
    run(site, "secret", "seal", "cam-1", "disk", "--from", "-", said=DATA)
    affirmed(site)
    done = run(site, "secret", "release", "cam-1", "disk", "--why", WHY, "--out", str(tmp_path / "no" / "x"), "--json")
    assert json.loads(done.stdout)["code"] == "files.unwritable"
    (item,) = json.loads(run(site, "secret", "sealed", "--json").stdout)["items"]
    assert item["released"] == 0


def test_over_the_wire_the_secret_comes_as_it_is_and_is_nowhere_else(site: Path, tmp_path: Path) -> None:
    """A running server, real mutual TLS; then its files, journal, log and record are searched for the secret."""
    secret = bytes(range(256)) + b"a key that opens the disk"
    identity = tmp_path / "cam-1.pem"
    (tmp_path / "source").write_bytes(secret)
    with ServerProcess(site) as server:
        done = run(site, "secret", "seal", "cam-1", "disk", "--from", str(tmp_path / "source"))
        assert done.exit_code == 0, done.output
        with Caller(server, identity) as caller:
            status, body = caller.post(b"", "/v1/sealed/disk")
            assert (status, json.loads(body)["code"]) == (403, "sealed.not_attested")
        with Caller(server, None) as stranger:
            status, body = stranger.post(b"", "/v1/sealed/disk")
            assert (status, json.loads(body)["code"]) == (401, "identity.certificate_required")
    affirmed(site)
    said = b""
    with ServerProcess(site) as server, Caller(server, identity) as caller:
        assert caller.post(b"", "/v1/sealed/disk") == (200, secret)
        assert caller.post(b"{}", "/v1/sealed/disk")[0] == 200
        for path in ("/v1/sealed/", "/v1/sealed/vpn", "/v1/sealed/disk/more", "/v1/sealed/..%2fcam-2%2fdisk"):
            status, body = caller.post(b"", path)
            assert status == 404, path
            said += body
        assert caller.post(b"x" * 2000, "/v1/sealed/disk")[0] == 413
        said += run(
            site, "secret", "release", "cam-1", "disk", "--why", WHY, "--out", str(tmp_path / "out")
        ).output_bytes
        said += run(site, "vault", "rotate").output_bytes
        said += run(site, "log", "show", "--json").output_bytes
        assert caller.post(b"", "/v1/sealed/disk") == (200, secret), "sealed anew, it opens"
    assert b"secret.released" in said
    (tmp_path / "out").unlink()
    (tmp_path / "source").unlink()
    digest = digest_of(secret).removeprefix("sha256:")
    forms = (
        secret,
        base64.b64encode(secret).rstrip(b"=")[:-1],
        secret.hex().encode(),
        digest.encode(),
        b"opens the disk",
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"holdfast.db", "serve.log"} <= {path.name for path in files}
    for form in forms:
        assert form not in said
        assert [path.name for path in files if form in path.read_bytes()] == []
        assert form.decode("latin-1") not in rows_of(site)
