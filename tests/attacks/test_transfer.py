"""What an old owner could still do with a device that was sold, and whoever finds a code."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, FakeClock, enrolled, new_plane, request_for, settled
from holdfast.identity.enrollment import Pending, Shown
from holdfast_core.identity.model import Revocation
from holdfast_core.identity.ownership import HANDED_OVER_WITHIN, PossessionCode
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, HOUR

pytestmark = pytest.mark.anyio


async def sold(plane, device, owner="Bob"):
    return await plane.ownership.transfer(device.key, owner, why="sold", actor=ACTOR)


async def renewed(plane, device):
    chain = await plane.renewal.renew(device.fingerprint, request_for(device.key.device))
    return DeviceInTest(plane, device.device, digest_of(chain[0].public_bytes(Encoding.DER)))


def kinds_of(reply):
    return [directive.kind for directive in reply.directives]


async def test_control_a_sold_device_gets_another_identity_and_the_old_one_ends_with_its_first_use(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        clock.forward(HOUR)
        assert "renew" not in kinds_of(await device.check_in())
        await sold(plane, device)
        assert plane.store.device(device.key).owner == "Bob"
        (renew,) = [told for told in (await device.check_in()).directives if told.kind == "renew"]
        after = await renewed(plane, device)
        after.seq = device.seq
        assert "renew" not in kinds_of(await after.check_in(reports=settled(renew.id)))
        with pytest.raises(IdentityRefused) as told:
            await device.check_in()
        assert told.value.code == "identity.superseded"


async def test_identity_of_the_old_owner_after_the_time_for_the_handover(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
        clock.forward(HOUR)
        await sold(plane, device)
        clock.forward(HANDED_OVER_WITHIN - 1)
        assert await plane.ownership.sweep() == 0
        await device.check_in()
        clock.forward(1)
        assert await plane.ownership.sweep() == 1
        assert await plane.ownership.sweep() == 0
        with pytest.raises(IdentityRefused) as told:
            await device.check_in()
        assert told.value.code == "identity.revoked"
        (credential,) = plane.store.credentials_of(device.key)
        assert credential.revoked_code is Revocation.AFFILIATION_CHANGED


async def test_control_the_sweep_spares_what_was_issued_to_the_new_owner(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
        clock.forward(HOUR)
        await sold(plane, device)
        after = await renewed(plane, device)
        clock.forward(HANDED_OVER_WITHIN)
        assert await plane.ownership.sweep() == 1
        after.seq = device.seq
        await after.check_in()


async def test_second_sale_gives_the_first_owners_key_no_longer_life(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await sold(plane, device)
        clock.forward(6 * DAY)
        await sold(plane, device, "Cyd")
        clock.forward(DAY)
        assert await plane.ownership.sweep() == 1


async def test_claim_that_the_old_owner_kept(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        kept, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        await sold(plane, device)
        with pytest.raises(IdentityRefused) as told:
            await plane.identity.enroll("cam-1", kept, request_for("cam-1"))
        assert told.value.code == "claim.withdrawn"
        new, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.enroll("cam-1", new, request_for("cam-1"))


async def test_request_that_was_approved_for_the_old_owner(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        request = request_for("cam-1")
        await plane.enrollment.enroll(Shown(), ("cam-1", ""), request)
        await plane.approvals.settled()
        scope = device.key.scope
        await plane.approvals.approve(scope, plane.approvals.pending(scope)[0].id, actor=ACTOR)
        clock.forward(HOUR)
        await sold(plane, device)
        assert not plane.approvals.pending(scope)
        assert isinstance(await plane.enrollment.enroll(Shown(), ("cam-1", ""), request), Pending)


async def test_code_that_was_used_replaced_or_guessed(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        scope = device.key.scope
        replaced = await plane.ownership.create_code(device.key, actor=ACTOR)
        code = await plane.ownership.create_code(device.key, actor=ACTOR)
        told = []
        other = code.replace(".cam-1", ".cam-2")
        for wrong in (replaced, other, "hfp_guessed.cam-1", "hfp_guessed.nobody", "hfp_", "", "x" * 500, code[:-1]):
            with pytest.raises(IdentityRefused) as refused:
                await plane.ownership.claim(scope, wrong, owner="Eve", actor=ACTOR)
            told.append((refused.value.code, refused.value.sentence))
        assert len(set(told)) == 1
        assert (await plane.ownership.claim(scope, code, owner="Bob", actor=ACTOR)).owner == "Bob"
        with pytest.raises(IdentityRefused):
            await plane.ownership.claim(scope, code, owner="Eve", actor=ACTOR)


async def test_code_raced_a_hundred_ways_makes_one_owner(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        code = await plane.ownership.create_code(device.key, actor=ACTOR)
        tries = [plane.ownership.claim(device.key.scope, code, owner=f"buyer {n}", actor=ACTOR) for n in range(100)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1


async def test_code_is_kept_as_its_digest_alone(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        code = await plane.ownership.create_code(device.key, actor=ACTOR)
        await plane.store.settled()
        assert plane.store.kept(PossessionCode, device.key.scope, "cam-1").digest == digest_of(code.encode())
        files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(code.encode() in data for data in files)


async def test_retired_device_finds_no_buyer(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        code = await plane.ownership.create_code(device.key, actor=ACTOR)
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        with pytest.raises(HostileData) as told:
            await plane.ownership.claim(device.key.scope, code, owner="Bob", actor=ACTOR)
        assert told.value.code == "possession.unknown"


async def test_withdrawn_claim(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        text, claim = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        name = claim.digest.removeprefix("sha256:")[:12]
        await plane.identity.withdraw_claim(device.key.scope, name, actor=ACTOR)
        with pytest.raises(IdentityRefused) as refused:
            await plane.identity.enroll("cam-1", text, request_for("cam-1"))
        assert refused.value.code == "claim.withdrawn"
        with pytest.raises(HostileData) as told:
            await plane.identity.withdraw_claim(device.key.scope, name, actor=ACTOR)
        assert told.value.code == "claim.none"


@pytest.mark.parametrize(
    ("owner", "code"), [("", "owner.missing"), ("token:test", "owner.same"), ("x" * 600, "device.text")]
)
async def test_owner_that_is_none(tmp_path, owner, code):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        with pytest.raises(HostileData) as told:
            await sold(plane, device, owner)
        assert told.value.code == code
        await plane.ownership.set_owner(device.key, "Bob", actor=ACTOR)
        assert plane.store.device(device.key).owner_since is None
