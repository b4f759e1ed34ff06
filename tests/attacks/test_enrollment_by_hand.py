"""Ways to get a certificate past the person who approves, or to keep honest devices from that person."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from builders import ACTOR, FakeClock, enrolled, new_plane, request_for
from holdfast.identity.approvals import SILENT
from holdfast.identity.enrollment import Pending, Shown
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.store import Removed
from holdfast_core.identity.model import Method
from holdfast_core.identity.pending import WAITS, PendingRequest
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import MINUTE
from holdfast_core.kernel.limits import LIMITS

pytestmark = pytest.mark.anyio


async def expected(plane, *names):
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes("door-camera"), actor=ACTOR)
    rows = [Row(1, DeviceId(name), model.reference) for name in names]
    return [await plane.inventory.add_device(scope, row, actor=ACTOR) for row in rows]


async def ask(plane, name, request, address="192.0.2.7"):
    answer = await plane.enrollment.enroll(Shown(address=address), (name, ""), request)
    await plane.approvals.settled()
    return answer


def waiting(plane):
    return plane.approvals.pending(plane.config.scope)


def names(plane):
    return {request.device for request in waiting(plane)}


async def test_control_the_approved_request_gets_its_certificate_and_the_record_says_who(tmp_path):
    async with new_plane(tmp_path) as plane:
        (device,) = await expected(plane, "cam-1")
        request = request_for("cam-1")
        assert isinstance(await ask(plane, "cam-1", request), Pending)
        assert isinstance(await ask(plane, "cam-1", request), Pending)
        (pending,) = waiting(plane)
        assert (pending.device, pending.address) == ("cam-1", "192.0.2.7")
        await plane.approvals.approve(device.key.scope, pending.id, actor=ACTOR)
        made = await ask(plane, "cam-1", request)
        assert isinstance(made, x509.Certificate)
        assert not waiting(plane)
        (credential,) = plane.store.credentials_of(device.key)
        assert credential.method is Method.APPROVAL
        kinds = [leaf.data for leaf in await plane.store.history(device.key, kinds=["device.enrolled"], limit=5)]
        assert b"approved_by" in kinds[0]
        assert ACTOR.encode() in kinds[0]


async def test_control_the_same_request_gets_the_same_certificate_while_it_was_never_used(tmp_path):
    async with new_plane(tmp_path) as plane:
        (device,) = await expected(plane, "cam-1")
        request = request_for("cam-1")
        await ask(plane, "cam-1", request)
        await plane.approvals.approve(device.key.scope, waiting(plane)[0].id, actor=ACTOR)
        assert await ask(plane, "cam-1", request) == await ask(plane, "cam-1", request)
        assert len(plane.store.credentials_of(device.key)) == 1


async def test_another_key_under_the_name_that_was_approved(tmp_path):
    async with new_plane(tmp_path) as plane:
        (device,) = await expected(plane, "cam-1")
        await ask(plane, "cam-1", request_for("cam-1"))
        await plane.approvals.approve(device.key.scope, waiting(plane)[0].id, actor=ACTOR)
        assert isinstance(await ask(plane, "cam-1", request_for("cam-1")), Pending)
        assert not plane.store.credentials_of(device.key)
        assert len(waiting(plane)) == 2


async def test_approved_key_under_the_name_of_another_device(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, other = await expected(plane, "cam-1", "cam-2")
        key = ec.generate_private_key(ec.SECP256R1())
        await ask(plane, "cam-1", request_for("cam-1", key))
        await plane.approvals.approve(device.key.scope, waiting(plane)[0].id, actor=ACTOR)
        assert isinstance(await ask(plane, "cam-2", request_for("cam-2", key)), Pending)
        assert not plane.store.credentials_of(other.key)


async def test_approval_that_lapsed(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        (device,) = await expected(plane, "cam-1")
        request = request_for("cam-1")
        await ask(plane, "cam-1", request)
        await plane.approvals.approve(device.key.scope, waiting(plane)[0].id, actor=ACTOR)
        clock.forward(WAITS)
        assert isinstance(await ask(plane, "cam-1", request), Pending)
        assert not plane.store.credentials_of(device.key)


async def test_key_whose_approval_was_taken_back(tmp_path):
    async with new_plane(tmp_path) as plane:
        (device,) = await expected(plane, "cam-1")
        request = request_for("cam-1")
        await ask(plane, "cam-1", request)
        (pending,) = waiting(plane)
        await plane.approvals.approve(device.key.scope, pending.id, actor=ACTOR)
        await plane.approvals.refuse(device.key.scope, pending.id, why="the wrong line of the list", actor=ACTOR)
        with pytest.raises(IdentityRefused) as told:
            await ask(plane, "cam-1", request)
        assert told.value.code == "enrollment.refused"
        assert not plane.store.credentials_of(device.key)


async def test_approval_taken_back_while_it_is_used(tmp_path):
    """Either the certificate is made or the approval is taken back: nobody is told both."""
    async with new_plane(tmp_path) as plane:
        for number in range(20):
            (device,) = await expected(plane, f"cam-{number}")
            request = request_for(f"cam-{number}")
            await ask(plane, f"cam-{number}", request)
            (pending,) = waiting(plane)
            await plane.approvals.approve(device.key.scope, pending.id, actor=ACTOR)
            tries = [
                plane.enrollment.enroll(Shown(), (f"cam-{number}", ""), request),
                plane.approvals.refuse(device.key.scope, pending.id, why="wrong", actor=ACTOR),
            ]
            ends = await asyncio.gather(*(tries if number % 2 else tries[::-1]), return_exceptions=True)
            made, back = ends if number % 2 else ends[::-1]
            assert isinstance(made, x509.Certificate) is isinstance(back, HostileData)
            assert len(plane.store.credentials_of(device.key)) == isinstance(made, x509.Certificate)
            if not isinstance(back, HostileData):
                await plane.store.commit([Removed(PendingRequest, device.key.scope, pending.id)])


async def test_approval_from_before_a_revocation(tmp_path):
    """A person ended the device's identity: a key that was approved before, and waited, does not bring it back."""
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane, "cam-1")
        request = request_for("cam-1")
        await ask(plane, "cam-1", request)
        (pending,) = waiting(plane)
        await plane.approvals.approve(device.key.scope, pending.id, actor=ACTOR)
        clock.forward(MINUTE)
        await plane.identity.revoke(device.key, why="stolen", actor=ACTOR)
        with pytest.raises(IdentityRefused) as told:
            await ask(plane, "cam-1", request)
        assert told.value.code == "enrollment.refused"
        clock.forward(MINUTE)
        await plane.approvals.approve(device.key.scope, pending.id, actor=ACTOR)  # and now a person knows of both
        assert isinstance(await ask(plane, "cam-1", request), x509.Certificate)


async def test_refused_key_asks_again(tmp_path):
    async with new_plane(tmp_path) as plane:
        (device,) = await expected(plane, "cam-1")
        request = request_for("cam-1")
        await ask(plane, "cam-1", request)
        await plane.approvals.refuse(device.key.scope, waiting(plane)[0].id, why="not ours", actor=ACTOR)
        with pytest.raises(IdentityRefused) as refused:
            await ask(plane, "cam-1", request)
        assert refused.value.code == "enrollment.refused"
        with pytest.raises(HostileData):
            await plane.approvals.approve(device.key.scope, waiting(plane)[0].id, actor=ACTOR)


async def test_names_are_probed(tmp_path):
    """Expected, unknown, unmanaged and retired names, and a key that is in use, are all told the same."""
    async with new_plane(tmp_path) as plane:
        scope = plane.config.scope
        _, gone = await expected(plane, "cam-1", "cam-2")
        await plane.inventory.add_device(scope, Row(1, DeviceId("cam-3")), actor=ACTOR)
        await plane.retirement.retire(gone.key, why="scrapped", actor=ACTOR)
        answers = [await ask(plane, name, request_for(name)) for name in ("cam-1", "cam-2", "cam-3", "nobody")]
        assert len(set(map(repr, answers))) == 1
        assert [request.device for request in waiting(plane)] == ["cam-1"]


async def test_nobody_answers_before_the_name_was_looked_up(tmp_path):
    """What is kept is written after the answer: a commit would tell an expected name by its time."""
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1")
        size = plane.store.log_size()
        await plane.enrollment.enroll(Shown(), ("cam-1", ""), request_for("cam-1"))
        assert not waiting(plane)
        await plane.approvals.settled()
        assert len(waiting(plane)) == 1
        assert plane.store.log_size() == size


async def test_one_name_floods_the_list(tmp_path):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "cam-2")
        for _ in range(LIMITS.pending_per_device + 3):
            await ask(plane, "cam-1", request_for("cam-1"))
        assert len(waiting(plane)) == LIMITS.pending_per_device
        await ask(plane, "cam-2", request_for("cam-2"))
        assert "cam-2" in names(plane)


async def test_refused_keys_under_a_name_keep_nobody_from_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        (device,) = await expected(plane, "cam-1")
        for _ in range(LIMITS.pending_per_device):
            await ask(plane, "cam-1", request_for("cam-1"))
        for request in waiting(plane):
            await plane.approvals.refuse(device.key.scope, request.id, why="not the camera's", actor=ACTOR)
        await ask(plane, "cam-1", request_for("cam-1"))
        assert [r.decision for r in waiting(plane)].count("waiting") == 1


async def test_full_list_keeps_who_asks_on_and_lets_the_silent_go(tmp_path, monkeypatch):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        few = msgspec.structs.replace(LIMITS, pending_requests=2)
        monkeypatch.setattr(plane.approvals, "_limits", few)
        await expected(plane, "cam-1", "cam-2", "cam-3")
        faithful = request_for("cam-1")
        await ask(plane, "cam-1", faithful)
        await ask(plane, "cam-2", request_for("cam-2"))
        late = request_for("cam-3")
        await ask(plane, "cam-3", late)
        assert names(plane) == {"cam-1", "cam-2"}
        clock.forward(SILENT)
        await ask(plane, "cam-1", faithful)
        await ask(plane, "cam-3", late)
        assert names(plane) == {"cam-1", "cam-3"}


async def test_key_of_an_enrolled_device_waits_for_nobody(tmp_path):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-2")
        key = ec.generate_private_key(ec.SECP256R1())
        device = await enrolled(plane, "cam-1")
        claim, _ = await plane.identity.create_claim(device.key, lifetime=1000, actor=ACTOR)
        await plane.identity.enroll("cam-1", claim, request_for("cam-1", key))
        await ask(plane, "cam-2", request_for("cam-2", key))
        assert not waiting(plane)
