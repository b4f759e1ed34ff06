"""What every broker must do, tried on real servers with real MQTT clients: delivery counts, no acknowledgement does."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from broker_builders import QUIET, BrokerWorld, broker_world, eventually, now
from broker_fake import FakeWorld
from holdfast.ports.broker import Action, BrokerKind
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import HOUR, Instant

MEMORY = "memory"


@pytest.fixture(params=[*BrokerKind, MEMORY])
def world(request, tmp_path):
    if request.param == MEMORY:
        fake = FakeWorld(tmp_path)
        fake.start()
        yield fake
        return
    with broker_world(request.param, tmp_path) as running:
        yield running


async def connected(world: BrokerWorld, *devices: str) -> list:
    for device in devices:
        world.admit(device)
    await world.apply()
    clients = [await asyncio.to_thread(world.client, device) for device in devices]
    assert all(client.alive for client in clients)
    return clients


def test_a_device_publishes_and_reads_under_its_own_name(world):
    async def run():
        (pump,) = await connected(world, "pump-1")
        await asyncio.to_thread(pump.subscribe, "fleet/pump-1/#")
        pump.publish("fleet/pump-1/up/flow", b"12")
        assert await eventually(lambda: ("fleet/pump-1/up/flow", b"12") in pump.messages)

    asyncio.run(run())


def test_a_device_with_dots_in_its_id_has_topics_of_its_own(world):
    async def run():
        (pump,) = await connected(world, "pump.hall.1")
        await asyncio.to_thread(pump.subscribe, "fleet/pump~hall~1/#")
        pump.publish("fleet/pump~hall~1/up/flow", b"12")
        assert await eventually(lambda: pump.messages)

    asyncio.run(run())


def test_what_its_flows_say_is_granted_and_taken_again(world):
    async def run():
        world.admit("gate", publish=("alarm/hall/gate",))
        world.admit("panel", subscribe=("alarm/hall/+",))
        await world.apply()
        gate, panel = [await asyncio.to_thread(world.client, name) for name in ("gate", "panel")]
        await asyncio.to_thread(panel.subscribe, "alarm/hall/+")
        gate.publish("alarm/hall/gate", b"open")
        assert await eventually(lambda: panel.messages == [("alarm/hall/gate", b"open")])
        world.admit("gate")
        await world.apply()
        gate = gate if gate.alive else await asyncio.to_thread(world.client, "gate")
        gate.publish("alarm/hall/gate", b"again")
        await asyncio.sleep(QUIET)
        assert panel.messages == [("alarm/hall/gate", b"open")]

    asyncio.run(run())


def test_a_revoked_device_is_cut_off_and_others_go_on(world):
    async def run():
        pump, fan = await connected(world, "pump-1", "fan-1")
        world.revoke("pump-1")
        await world.adapter.cut_off(("pump-1",), world.next_publication())
        assert await eventually(lambda: pump.ended)
        again = await asyncio.to_thread(world.client, "pump-1")
        assert not again.alive
        assert fan.alive
        await asyncio.to_thread(fan.subscribe, "fleet/fan-1/#")
        fan.publish("fleet/fan-1/up/x", b"still here")
        assert await eventually(lambda: fan.messages)
        assert [found.device for found in await world.adapter.connections()] == ["fan-1"]

    asyncio.run(run())


def test_a_kicked_device_may_come_again(world):
    async def run():
        pump, fan = await connected(world, "pump-1", "fan-1")
        await world.adapter.kick(("pump-1",))
        assert await eventually(lambda: pump.ended)
        back = pump
        while not back.alive:  # nats-server lets one wait a second whose id was in use just now
            back = await asyncio.to_thread(world.client, "pump-1")
        assert fan.alive

    asyncio.run(run())


def test_live_connections_are_listed_by_identity(world):
    async def run():
        await connected(world, "pump-1", "fan-1")
        found = await world.adapter.connections()
        assert [(entry.device, entry.client_id) for entry in found] == [("fan-1", "fan-1"), ("pump-1", "pump-1")]
        assert all(abs(entry.since - now()) < HOUR and entry.address for entry in found)

    asyncio.run(run())


def test_refusals_and_subscriptions_are_told_once_each_from_a_mark_on(world):
    async def run():
        (pump,) = await connected(world, "pump-1")
        await asyncio.to_thread(pump.subscribe, "fleet/pump-1/cmd")
        pump.publish("fleet/fan-1/up/x", b"not mine")
        await asyncio.sleep(QUIET)
        observed = await world.adapter.observe("")
        refused = [(s.device, s.action, s.topic) for s in observed.seen if s.refused]
        assert refused == [("pump-1", Action.PUBLISH, "fleet/fan-1/up/x")]
        assert any(s.action is Action.SUBSCRIBE and s.topic == "fleet/pump-1/cmd" for s in observed.seen)
        after = await world.adapter.observe(observed.mark)
        assert not after.missed
        assert not [s for s in after.seen if s.refused]

    asyncio.run(run())


def test_a_log_that_was_taken_away_is_told(world):
    async def run():
        await connected(world, "pump-1")
        observed = await world.adapter.observe("17:99")
        assert observed.missed

    asyncio.run(run())


def test_a_broker_that_obeys_has_no_faults(world):
    async def run():
        await connected(world, "pump-1")
        assert await world.adapter.check(world.publication, now()) == ()

    asyncio.run(run())


def test_an_alarm_comes_before_the_revocations_lapse(world):
    async def run():
        await connected(world, "pump-1")
        late = Instant(world.publication.lapses_at - 23 * HOUR)
        assert [r.code for r in await world.adapter.check(world.publication, late)] == ["broker.revocations_lapse"]

    asyncio.run(run())


def test_a_broker_that_is_away_is_told_from_one_that_refuses(world):
    async def run():
        await connected(world, "pump-1")
        world.stop()
        assert "broker.unreachable" in [r.code for r in await world.adapter.check(world.publication, now())]
        world.admit("fan-1")
        with pytest.raises(WorldError) as raised:
            await world.apply()
        assert raised.value.code in {"broker.not_running", "broker.unreachable"}
        world.start()  # on the files that were published while it was away
        await world.apply()
        assert (await asyncio.to_thread(world.client, "fan-1")).alive

    asyncio.run(run())


def test_a_publication_that_is_not_taken_is_never_called_done(world, monkeypatch):
    """The control: the same publication is taken once the broker is told of it."""

    async def run():
        await connected(world, "pump-1")
        monkeypatch.setattr("holdfast.adapters.broker.confirm.OBEYED_SECONDS", 0.5)
        silent = msgspec.structs.replace(world.broker, reload=("/bin/true",))
        deaf = type(world.adapter)(silent)
        world.revoke("pump-1")
        publication = world.next_publication()
        with pytest.raises(WorldError) as raised:
            await deaf.cut_off(("pump-1",), publication)
        assert raised.value.code == "broker.canary_admitted"
        await world.adapter.cut_off(("pump-1",), publication)

    asyncio.run(run())
