"""A device that is retired at real brokers: cut off with the order, though its certificate still stands."""

from __future__ import annotations

import asyncio

import pytest

from broker_builders import eventually, now
from builders import ACTOR
from fleet_builders import SCOPE, Fleet, fleet_at, watched
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.broker import BrokerKind
from holdfast_core.inventory.retirement import Step
from holdfast_core.kernel.ids import DeviceId, DeviceKey

pytestmark = pytest.mark.anyio
ERASING = b"\nretirement: {erase: agent, paths: [/data/clips]}\n"
EVERY = pytest.mark.parametrize("kind", list(BrokerKind), ids=lambda kind: kind.value)


async def in_use(fleet: Fleet, name: str) -> DeviceKey:
    """A device that could erase itself."""
    plane, key = fleet.plane, DeviceKey(SCOPE, DeviceId(name))
    model = await plane.inventory.add_model(SCOPE, example_bytes("door-camera") + ERASING, actor=ACTOR)
    await fleet.enroll(name, model=model.reference)
    posture, _ = plane.verdicts.begin(plane.store.device(key), None, now())
    await plane.store.commit([posture])
    return key


async def hears_itself(fleet: Fleet, name: str) -> bool:
    """Whether it gets in and has a right there: mosquitto lets in whoever has a certificate, and gives it nothing."""
    client = await fleet.client(name)
    if not client.alive:
        return False
    await asyncio.to_thread(client.subscribe, f"fleet/{name}/#")
    client.publish(f"fleet/{name}/up/t", b"21")
    return await eventually(lambda: bool(client.messages), 2)


@EVERY
async def test_a_retiring_device_is_cut_off_while_its_certificate_still_stands(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet, watched(fleet):
        key, _ = await in_use(fleet, "cam-1"), await in_use(fleet, "cam-2")
        leaving, staying = await fleet.arrives("cam-1"), await fleet.arrives("cam-2")
        ordered = await fleet.plane.retirement.retire(key, why="sold", actor=ACTOR)
        assert (ordered.step, ordered.withdrawn) == (Step.ORDERED, True)
        assert [credential.revoked_at for credential in fleet.plane.store.credentials_of(key)] == [None]
        assert await eventually(lambda: leaving.ended)
        assert staying.alive
        assert not await hears_itself(fleet, "cam-1")
        assert await hears_itself(fleet, "cam-2")


@EVERY
async def test_a_broker_that_is_away_lets_go_as_soon_as_it_is_back(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet:
        key = await in_use(fleet, "cam-1")
        async with watched(fleet):
            await fleet.arrives("cam-1")
        files = await fleet.service.rendered(fleet.world.broker)  # as they lie there: with the device
        await asyncio.to_thread(fleet.world.stop)
        ordered = await fleet.plane.retirement.retire(key, why="sold", actor=ACTOR)
        assert not ordered.withdrawn
        await fleet.plane.retirement.sweep()
        assert not fleet.plane.retirement.require(key).withdrawn
        await asyncio.to_thread(fleet.world.start, files)
        await fleet.plane.retirement.sweep()
        assert fleet.plane.retirement.require(key).withdrawn
        assert not await hears_itself(fleet, "cam-1")
