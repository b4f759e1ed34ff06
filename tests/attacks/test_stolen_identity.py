"""What a second user of a device's identity can do: be found."""

from __future__ import annotations

import msgspec
import pytest

from builders import ACTOR, DeviceInTest, enrolled, new_plane
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.errors import HostileData
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.wire.frame import Level

pytestmark = pytest.mark.anyio


def posture_of(device: DeviceInTest):
    posture = device.plane.store.posture(device.key)
    assert posture is not None
    return posture


async def stolen_and_used(device: DeviceInTest) -> None:
    """Somebody checks in with a copy of the identity, from the first number on, and is refused."""
    thief = DeviceInTest(device.plane, device.device, device.fingerprint)
    with pytest.raises(IdentityRefused):
        await thief.check_in(healthy=False)


async def test_control_a_device_that_counts_alone_stays_trusted(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        for _ in range(5):
            reply = await device.check_in()
        assert reply.verdict.level is Level.TRUSTED
        assert plane.store.open_incidents(plane.config.scope) == []


async def test_stolen_certificate_that_counts_from_its_own_number_opens_a_clone_incident(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        for _ in range(3):
            await device.check_in()
        thief = DeviceInTest(plane, device.device, device.fingerprint)
        with pytest.raises(IdentityRefused) as refused:
            await thief.check_in(audit=False)
        assert refused.value.code == "identity.clone-sequence"
        assert refused.value.http_status == 409
        assert posture_of(device).verdict.level is Level.QUARANTINED
        incident = plane.store.open_incident(device.key, "clone")
        assert incident is not None
        assert (await device.check_in()).verdict.level is Level.QUARANTINED


async def test_thief_who_goes_on_counting_is_found_when_the_device_comes_back(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        thief = DeviceInTest(plane, device.device, device.fingerprint)
        thief.seq, thief.boot = device.seq, "boot-of-the-thief"
        await thief.check_in()
        with pytest.raises(IdentityRefused, match="came twice"):
            await device.check_in()
        assert posture_of(device).hold is not None


async def test_two_boots_that_take_turns_are_a_clone(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        thief = DeviceInTest(plane, device.device, device.fingerprint)
        thief.seq, thief.boot = 10, "boot-of-the-thief"
        await thief.check_in()
        device.seq = 20
        with pytest.raises(IdentityRefused) as refused:
            await device.check_in()
        assert refused.value.code == "identity.clone-boot"


async def test_control_a_reboot_is_no_clone(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        for boot in ("boot-0001", "boot-0002", "boot-0003"):
            device.boot = boot
            reply = await device.check_in()
        assert reply.verdict.level is Level.TRUSTED


async def test_control_a_byte_identical_resend_gets_the_stored_reply_and_changes_nothing(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        first = await device.check_in()
        size = plane.store.log_size()
        assert await device.send(device.last) == first
        assert plane.store.log_size() == size
        assert posture_of(device).hold is None


async def test_replayed_older_check_in_is_refused_without_an_incident(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        captured = device.last
        await device.check_in()
        with pytest.raises(HostileData) as refused:
            await device.send(captured)
        assert refused.value.code == "checkin.replayed"
        assert posture_of(device).hold is None


async def test_skipped_number_that_comes_late_is_refused_and_no_clone(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        late = device.message()  # given up by its sender, and still on its way
        await device.check_in()
        size = plane.store.log_size()
        with pytest.raises(HostileData) as told:
            await device.send(late)
        assert (told.value.code, told.value.http_status) == ("checkin.out_of_order", 409)
        assert posture_of(device).hold is None
        assert plane.store.log_size() == size
        assert (await device.check_in()).verdict.level is Level.TRUSTED


async def test_clone_stays_quarantined_until_a_person_releases_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await stolen_and_used(device)
        await device.check_in()
        assert posture_of(device).verdict.level is Level.QUARANTINED
        await plane.response.release(device.key, why="the copy was found and wiped", actor=ACTOR)
        assert posture_of(device).verdict.level is Level.TRUSTED
        assert plane.store.open_incidents(plane.config.scope) == []


async def test_clone_of_a_device_that_a_person_holds_leaves_its_incident_too(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await plane.response.quarantine(device.key, why="smoke", actor=ACTOR)
        thief = DeviceInTest(plane, device.device, device.fingerprint)
        for _ in range(2):  # the second time says nothing new
            thief.seq = 0
            with pytest.raises(IdentityRefused):
                await thief.check_in(healthy=False)
        causes = [incident.cause for incident in plane.store.open_incidents(plane.config.scope)]
        assert causes.count("clone") == 1
        assert posture_of(device).hold.by == ACTOR  # the person's hold stands


async def test_the_record_names_the_person_who_closed_an_incident(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await stolen_and_used(device)
        await plane.response.release(device.key, why="found", actor=ACTOR)
        entries = [parse_entry(leaf.data) for leaf in await plane.record.leaves(0, 1_000)]
        closed = {e.actor for e in entries if e.kind is Kind.INCIDENT_CLOSED}
        assert closed == {ACTOR, "server"}  # the clone's by the person, the verdict's by what followed
        opened = [e.actor for e in entries if e.kind is Kind.INCIDENT_OPENED]
        assert set(opened) == {"server"}


async def test_revoked_certificate_is_refused_at_the_next_request(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        assert await plane.identity.revoke(device.key, why="stolen", actor=ACTOR) == 1
        with pytest.raises(IdentityRefused) as refused:
            await device.check_in()
        assert refused.value.code == "identity.revoked"


async def test_certificate_of_a_retired_device_is_refused(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await plane.retirement.retire(device.key, why="sold", actor=ACTOR)
        with pytest.raises(IdentityRefused):
            await device.check_in()
        assert posture_of(device).verdict.level is Level.RETIRED


async def test_shorter_log_than_a_device_has_seen_opens_an_incident_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        seen = {"size": plane.store.log_size() + 100, "root": "cm9vdA=="}
        for _ in range(2):
            data = msgspec.json.decode(device.message())
            await device.send(msgspec.json.encode({**data, "pin": seen}))
        incidents = plane.store.open_incidents(plane.config.scope)
        assert [incident.cause for incident in incidents] == ["log"]
