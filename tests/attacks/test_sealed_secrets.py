"""Who wants a sealed secret without being affirmed, or somebody else's."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from api_builders import holder, problem_of
from builders import ACTOR, FakeClock, enrolled, new_plane
from holdfast_core.attestation.model import Freshness
from holdfast_core.attestation.sealed import RELEASES_PER_HOUR, SealedSecret
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from sealed_builders import LIFE, WHY, attested, on_record, reason_of

pytestmark = pytest.mark.anyio
DATA = b"a key that opens the disk"


async def refusal(work):
    with pytest.raises((HostileData, WorldError)) as refused:
        await work
    assert refused.value.remedy
    assert DATA.decode() not in str(refused.value)
    return refused.value.code


async def affirmed(plane, name="cam-1", data=DATA):
    """A device that is affirmed and for which a secret is sealed."""
    device = await enrolled(plane, name)
    await plane.sealed.seal(device.key, "disk", data, actor=ACTOR)
    await attested(device)
    return device


def fetch(device, name="disk"):
    return device.plane.sealed.fetch(device.fingerprint, name)


def release(device, name="disk"):
    return device.plane.sealed.release(device.key, name, why=WHY, actor=ACTOR)


def released(plane):
    return on_record(plane, Kind.SECRET_RELEASED)


async def test_control_an_affirmed_device_and_a_person_get_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        assert await fetch(device) == DATA
        assert await release(device) == DATA
        assert len(released(plane)) == 2


async def test_another_device_asks_with_its_own_certificate(tmp_path):
    async with new_plane(tmp_path) as plane:
        await affirmed(plane)
        other = await enrolled(plane, "cam-2")
        await attested(other)
        for name in ("disk", "cam-1/disk", "../cam-1/disk", "", "cam-1", "disk\x00"):
            assert await refusal(fetch(other, name)) == "sealed.unknown"
        assert released(plane) == []


async def test_a_device_that_never_attested_learns_nothing_of_what_is_sealed(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await plane.sealed.seal(device.key, "disk", DATA, actor=ACTOR)
        assert (
            await refusal(fetch(device, "disk")) == await refusal(fetch(device, "not-there")) == "sealed.not_attested"
        )


async def test_an_appraisal_that_lapsed_is_used_after_the_device_booted_something_else(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await affirmed(plane)
        clock.forward(LIFE)
        assert await refusal(fetch(device)) == "sealed.stale"
        assert await refusal(release(device)) == "sealed.stale"
        assert released(plane) == []


async def test_evidence_of_a_new_boot_is_spoilt_so_that_the_old_appraisal_stands(tmp_path):
    """Evidence that does not count leaves the appraisal as it was; it must not be living on."""
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        await attested(device, refused=Reason("attestation.nonce_foreign", "Of another nonce.", "Nothing."))
        assert await refusal(fetch(device)) == "sealed.pending"
        await attested(device, freshness=Freshness.PENDING)
        assert await refusal(fetch(device)) == "sealed.pending"
        await attested(device)
        assert await fetch(device) == DATA


async def test_a_contraindicated_device_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        await attested(device, Tier.CONTRAINDICATED)
        assert await refusal(fetch(device)) == "sealed.not_affirming"
        assert await refusal(release(device)) == "sealed.not_affirming"


async def test_a_device_asks_that_booted_well_and_is_quarantined_for_something_else(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        posture, now = plane.store.posture(device.key), plane.clock.now()
        against = Appraisal("baseline", Tier.CONTRAINDICATED, (reason_of(Tier.WARNING),), now, Instant(now + HOUR))
        await plane.store.commit([posture.with_appraisal(against)])
        assert await refusal(fetch(device)) == "sealed.quarantined"


async def test_a_held_device_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        await device.check_in()
        await plane.response.quarantine(device.key, why="odd", actor=ACTOR)
        assert await refusal(fetch(device)) == "sealed.held"
        assert await refusal(release(device)) == "sealed.held"
        await plane.response.release(device.key, why="all is well", actor=ACTOR)
        assert await fetch(device) == DATA


async def test_a_revoked_device_asks_and_a_person_asks_for_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        await plane.identity.revoke(device.key, why="stolen", actor=ACTOR)
        assert await refusal(fetch(device)) == "identity.revoked"
        assert await refusal(release(device)) == "sealed.held"
        assert released(plane) == []


async def test_a_retired_device_asks_and_a_person_asks_for_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        assert (await refusal(fetch(device))).startswith("identity.")
        assert await refusal(release(device)) == "sealed.held"


async def test_a_certificate_that_nobody_issued_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        device.fingerprint = "sha256:" + "0" * 64
        assert await refusal(fetch(device)) == "identity.unknown"


async def test_a_hold_races_with_a_fetch_and_nothing_is_told_after_it(tmp_path):
    """The release is judged under the device's lock: whichever comes first, what is held is told nothing."""
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        await device.check_in()
        work = [fetch(device) for _ in range(8)]
        work.insert(4, plane.response.quarantine(device.key, why="odd", actor=ACTOR))
        answers = await asyncio.gather(*work, return_exceptions=True)
        refused = [each for each in answers if isinstance(each, HostileData)]
        assert {each.code for each in refused} == {"sealed.held"}
        kinds = [kind for kind, _, _ in on_record(plane, Kind.SECRET_RELEASED, Kind.DEVICE_QUARANTINED)]
        assert kinds == ["secret.released"] * (8 - len(refused)) + ["device.quarantined"]


async def test_a_device_asks_for_ever_to_fill_the_record(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await affirmed(plane)
        codes = []
        for _ in range(RELEASES_PER_HOUR + 40):
            try:
                await fetch(device)
            except HostileData as error:
                codes.append(error.code)
        assert codes == ["sealed.too_often"] * 40
        assert len(released(plane)) == RELEASES_PER_HOUR
        clock.forward(LIFE)
        for _ in range(40):
            assert await refusal(fetch(device)) == "sealed.stale"
            assert await refusal(fetch(device, "not-there")) == "sealed.stale"
        assert [data for _, _, data in on_record(plane, Kind.SECRET_WITHHELD)] == [
            b'{"code":"sealed.too_often","name":"disk"}',
            b'{"code":"sealed.stale","name":"disk"}',
        ]


async def test_a_person_tries_again_and_again_and_each_time_stands_in_the_record(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        await attested(device, Tier.WARNING)
        for _ in range(3):
            assert await refusal(release(device)) == "sealed.not_affirming"
        assert len(on_record(plane, Kind.SECRET_WITHHELD)) == 3


async def test_a_person_asks_without_a_reason(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        work = plane.sealed.release(device.key, "disk", why="  ", actor=ACTOR)
        assert await refusal(work) == "why.missing"
        assert released(plane) == []


@pytest.mark.parametrize("permission", [Permission.READ, Permission.OPERATE])
async def test_an_operator_without_the_right_asks(tmp_path, permission):
    async with new_plane(tmp_path) as plane:
        await affirmed(plane)
        async with holder(plane, permission) as caller:
            answer = await caller.post("/sealed-secrets/cam-1/disk/release", json={"why": WHY})
            assert problem_of(answer) == (403, "token.permission")
        assert released(plane) == []


async def test_an_administrator_of_another_environment_asks(tmp_path):
    async with new_plane(tmp_path) as plane:
        await affirmed(plane)
        async with holder(plane, scope=Scope("default", "test")) as caller:
            answer = await caller.post("/sealed-secrets/cam-1/disk/release", json={"why": WHY})
            assert problem_of(answer) == (404, "device.unknown")
            assert (await caller.get("/sealed-secrets")).json()["items"] == []


async def put(plane, record, **fields):
    await plane.store.commit([msgspec.structs.replace(record, **fields)])


async def test_somebody_changes_the_sealed_bytes_in_the_database(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        (record,) = plane.store.all_kept(SealedSecret)
        good = record.sealed
        for sealed in (good[:-1] + bytes([good[-1] ^ 1]), good[:-1], b"", b"hunter2"):
            await put(plane, record, sealed=sealed)
            assert await refusal(fetch(device)) in {"vault.refused", "vault.malformed"}
        assert released(plane) == []
        await put(plane, record)
        assert await fetch(device) == DATA


async def test_somebody_moves_a_secret_to_a_device_that_is_affirmed(tmp_path):
    """In the database, so that a device of the attacker's is told the victim's secret."""
    async with new_plane(tmp_path) as plane:
        await affirmed(plane, "victim")
        mine = await affirmed(plane, "mine", b"my own")
        secrets = {each.device: each for each in plane.store.all_kept(SealedSecret)}
        await put(plane, secrets["mine"], sealed=secrets["victim"].sealed)
        assert await refusal(fetch(mine)) == "vault.refused"
        await put(plane, secrets["mine"], sealed=secrets["victim"].sealed, made_at=secrets["victim"].made_at)
        assert await refusal(fetch(mine)) == "vault.refused"


async def test_somebody_puts_an_old_secret_in_the_place_of_the_new_one(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await affirmed(plane)
        (old,) = plane.store.all_kept(SealedSecret)
        await plane.sealed.seal(device.key, "disk", b"another", actor=ACTOR)
        (new,) = plane.store.all_kept(SealedSecret)
        await put(plane, new, sealed=old.sealed)
        assert await refusal(fetch(device)) == "vault.refused"
