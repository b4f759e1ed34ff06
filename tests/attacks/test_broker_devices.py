"""What a device, or whoever holds its key, tries at a broker. Only delivery counts, no acknowledgement does."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from broker_builders import QUIET, BrokerWorld, EnvironmentTrust, broker_world, eventually
from fleet_builders import SCOPE, fleet_at, watched
from holdfast.adapters.broker.mosquitto_log import Sessions
from holdfast.adapters.broker.nats_log import violations
from holdfast.ports.broker import Action, BrokerKind
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.response.rules import BROKER

EVERY = list(BrokerKind)


@pytest.fixture(params=EVERY, ids=lambda kind: kind.value)
def world(request, tmp_path):
    with broker_world(request.param, tmp_path) as running:
        yield running


async def pair(world: BrokerWorld) -> tuple:
    """A victim that listens and a thief, both let in."""
    for name in ("victim", "thief"):
        world.admit(name)
    await world.apply()
    victim, thief = [await asyncio.to_thread(world.client, name) for name in ("victim", "thief")]
    assert victim.alive
    assert thief.alive
    await asyncio.to_thread(victim.subscribe, "fleet/victim/#", 1)
    return victim, thief


def test_control_a_device_reaches_itself(world):
    async def run():
        victim, _ = await pair(world)
        victim.publish("fleet/victim/up/x", b"mine", 1)
        assert await eventually(lambda: victim.messages)

    asyncio.run(run())


@pytest.mark.parametrize(
    "pattern", ["#", "fleet/#", "fleet/+/up/#", "fleet/victim/#", "+/victim/up/x", "$share/g/fleet/#"]
)
def test_reading_another_devices_messages(world, pattern):
    async def run():
        victim, thief = await pair(world)
        await asyncio.to_thread(thief.subscribe, pattern, 1)
        victim.publish("fleet/victim/up/x", b"secret", 1)
        assert await eventually(lambda: victim.messages)
        await asyncio.sleep(QUIET)
        assert thief.messages == []

    asyncio.run(run())


@pytest.mark.parametrize("topic", ["fleet/victim/cmd", "fleet/victim/up/x", "fleet/victim"])
def test_writing_to_another_device(world, topic):
    async def run():
        victim, thief = await pair(world)
        thief.publish(topic, b"open the door", 1)
        await asyncio.sleep(QUIET)
        assert victim.messages == []

    asyncio.run(run())


def test_commanding_itself_as_the_control_plane_would(world):
    async def run():
        victim, _ = await pair(world)
        victim.publish("fleet/victim/cmd", b"be updated", 1)
        await asyncio.sleep(QUIET)
        assert victim.messages == []

    asyncio.run(run())


def test_taking_another_devices_client_id_gains_none_of_its_messages(world):
    async def run():
        victim, thief = await pair(world)
        stolen = await asyncio.to_thread(world.client, "thief", client_id="victim")
        await asyncio.sleep(QUIET)
        back = victim
        while not back.alive:  # nats-server makes one of two that fight for an id wait a second
            back = await asyncio.to_thread(world.client, "victim")
        await asyncio.to_thread(back.subscribe, "fleet/victim/#", 1)
        back.publish("fleet/victim/up/x", b"secret", 1)
        assert await eventually(lambda: back.messages)
        await asyncio.sleep(QUIET)
        assert [*stolen.messages, *thief.messages] == []

    asyncio.run(run())


def test_taking_another_devices_client_id_does_not_put_it_out_at_mosquitto(tmp_path):
    async def run(world):
        victim, _ = await pair(world)
        await asyncio.to_thread(world.client, "thief", client_id="victim")
        await asyncio.sleep(QUIET)
        assert victim.alive

    with broker_world(BrokerKind.MOSQUITTO, tmp_path) as world:
        asyncio.run(run(world))


def test_taking_another_devices_client_id_at_nats_is_an_incident_and_costs_the_thief_its_admission(tmp_path):
    async def run():
        async with fleet_at(BrokerKind.NATS, tmp_path) as fleet, watched(fleet) as watch:
            for name in ("victim", "thief"):
                await fleet.enroll(name)
            await watch.step()
            assert (await fleet.arrives("victim")).alive
            thief = await fleet.arrives("thief", client_id="victim")
            await watch.step()  # as every two seconds
            await watch.step()
            incident = fleet.plane.store.open_incident(DeviceKey(SCOPE, DeviceId("thief")), BROKER)
            assert [reason.code for reason in incident.reasons] == ["broker.client_id_taken"]
            assert await eventually(lambda: thief.ended)
            assert not (await fleet.client("thief")).alive
            assert (await fleet.arrives("victim")).alive

    asyncio.run(run())


def test_a_certificate_of_another_environment(world):
    """Of another authority by name and key; the same device id, and the name of this environment in it."""

    async def run():
        await pair(world)
        foreign = EnvironmentTrust(Scope("acme", "staging")).identity("victim")
        assert not (await asyncio.to_thread(world.client, "victim", identity=foreign)).alive
        posing = EnvironmentTrust(world.trust.scope).identity("victim")
        assert not (await asyncio.to_thread(world.client, "victim", identity=posing)).alive

    asyncio.run(run())


def test_the_brokers_own_certificate_as_a_clients(world):
    async def run():
        victim, _ = await pair(world)
        server = world.trust.certify(world.broker, 0)
        assert not (await asyncio.to_thread(world.client, "victim", identity=server)).alive
        assert victim.alive

    asyncio.run(run())


def test_a_device_that_is_not_in_the_inventory_reads_and_writes_nothing(world):
    """Its certificate is good: it was never admitted, or the inventory forgot it."""

    async def run():
        victim, _ = await pair(world)
        ghost = await asyncio.to_thread(world.client, "ghost")
        if ghost.alive:
            await asyncio.to_thread(ghost.subscribe, "fleet/ghost/#")
            ghost.publish("fleet/ghost/up/x", b"hello")
            ghost.publish("fleet/victim/x", b"hello")
        await asyncio.sleep(QUIET)
        assert ghost.messages == []
        assert victim.messages == []

    asyncio.run(run())


def test_a_revoked_device_that_reconnects_is_delivered_nothing(world):
    """The kick comes after the revocation is live: whatever it tries then, and however often, nothing reaches it."""

    async def run():
        victim, thief = await pair(world)
        await asyncio.to_thread(thief.subscribe, "fleet/thief/#", 1)
        world.revoke("thief")
        await world.adapter.cut_off(("thief",), world.next_publication())
        assert await eventually(lambda: thief.ended)
        for _ in range(5):
            again = await asyncio.to_thread(world.client, "thief")
            if again.alive:
                await asyncio.to_thread(again.subscribe, "fleet/thief/#", 1)
            again.publish("fleet/thief/up/x", b"still here", 1)
            await asyncio.sleep(0.05)
            assert not again.alive
            assert again.messages == []
        assert thief.messages == []
        assert victim.alive

    asyncio.run(run())


def test_an_ended_certificate_that_nats_cannot_tell_from_the_new_one(tmp_path):
    """A stolen key of a device that enrolled again: it is let in by name, found at the next look, and stays out."""

    async def run():
        async with fleet_at(BrokerKind.NATS, tmp_path) as fleet, watched(fleet) as watch:
            stolen = await fleet.enroll("pump-1")
            await fleet.enroll("pump-1")
            await fleet.enroll("fan-1")
            await watch.step()
            key = DeviceKey(SCOPE, DeviceId("pump-1"))
            assert (await fleet.arrives("fan-1")).alive
            ended = next(c for c in fleet.plane.store.credentials_of(key) if c.revoked_at is not None)
            await fleet.plane.store.commit([aged(ended)])
            await watch.step()
            thief = await fleet.arrives("pump-1", identity=stolen)
            await watch.step()
            await watch.step()
            assert await eventually(lambda: thief.ended)
            assert not (await fleet.client("pump-1", identity=stolen)).alive
            incident = fleet.plane.store.open_incident(key, BROKER)
            assert [reason.code for reason in incident.reasons] == ["broker.ended_certificate"]

    asyncio.run(run())


def aged(credential):
    """The credential as if it had been revoked a minute ago."""
    return msgspec.structs.replace(credential, revoked_at=credential.revoked_at - 60_000)


FRAMING = {
    "client id that ends the quotation": (
        '[7] 2026/11/21 19:54:39.253045 [ERR] 127.0.0.1:41069 - mid:21 - "x\\" - Publish Violation - User '
        '\\"fan-1.production.acme.holdfast.internal\\", Subject \\"y" - Publish Violation - User '
        '"pump-1.production.acme.holdfast.internal", Subject "real"'
    ),
    "subject that goes on": (
        '[7] 2026/11/21 19:54:39.253045 [ERR] 127.0.0.1:41069 - mid:21 - "pump-1" - Subscription Violation - User '
        '"pump-1.production.acme.holdfast.internal", Subject "a", SID b - Publish Violation - User '
        '"fan-1.production.acme.holdfast.internal", Subject "c", SID c'
    ),
}


@pytest.mark.parametrize("line", FRAMING.values(), ids=FRAMING)
def test_framing_another_device_in_the_log_of_nats(line):
    assert {seen.device for seen in violations([line])} <= {"pump-1"}


def test_framing_another_device_in_the_log_of_mosquitto():
    honest = "1795290834: Denied PUBLISH from pump-1 (d0, q1, r0, m5, '{}', ... (6 bytes))"
    framing = "x', ... (1 bytes)) Denied PUBLISH from fan-1 (d0, q1, r0, m5, 'y"
    seen = Sessions().read([honest.format(framing), "Denied PUBLISH from fan-1 (d0, q1, r0, m5, 'y', ... (6 bytes))"])
    assert [(s.device, s.action) for s in seen] == [("pump-1", Action.PUBLISH)]
