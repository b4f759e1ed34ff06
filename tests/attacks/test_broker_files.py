"""A broker's revocation list cut short, deleted, emptied, lapsed or replaced: nobody gains from it, and it is told."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from broker_builders import QUIET, BrokerWorld, EnvironmentTrust, broker_world, eventually, now
from holdfast.adapters.broker.process import broker_pid
from holdfast.ports.broker import BrokerKind
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import HOUR, Instant


@pytest.fixture
def world(tmp_path):
    with broker_world(BrokerKind.MOSQUITTO, tmp_path) as running:
        yield running


def reload(world: BrokerWorld) -> None:
    os.kill(broker_pid(Path(world.broker.folder) / "state" / "mosquitto.pid", "mosquitto"), signal.SIGHUP)


async def with_one_revoked(world: BrokerWorld):
    """Two devices, of which one was revoked."""
    for name in ("thief", "fan-1"):
        world.admit(name)
    await world.apply()
    fan = await asyncio.to_thread(world.client, "fan-1")
    world.revoke("thief")
    await world.adapter.cut_off(("thief",), world.next_publication())
    return fan


def cut_short(path: Path, _world: BrokerWorld) -> None:
    path.write_bytes(path.read_bytes()[:200])


def deleted(path: Path, _world: BrokerWorld) -> None:
    path.unlink()


def emptied(path: Path, _world: BrokerWorld) -> None:
    path.write_bytes(b"")


def of_before(path: Path, world: BrokerWorld) -> None:
    """A list that was good before the theft: rightly signed, not lapsed."""
    lists, _ = EnvironmentTrust.revocations(_forgetful(world.trust), world.trust.scope, (), now())
    path.write_bytes(lists)


def _forgetful(trust: EnvironmentTrust) -> EnvironmentTrust:
    twin = EnvironmentTrust.__new__(EnvironmentTrust)
    twin.__dict__.update(trust.__dict__, revoked=set())
    return twin


DAMAGE = (cut_short, deleted, emptied, of_before)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda f: f.__name__)
def test_a_damaged_list_gives_a_revoked_device_nothing_is_told_and_is_mended(world, damage):
    async def run():
        fan = await with_one_revoked(world)
        await asyncio.to_thread(fan.subscribe, "fleet/#")
        damage(Path(world.broker.folder) / "crl.pem", world)
        reload(world)
        await asyncio.sleep(QUIET)
        # mosquitto lets it in now: that is what the canary finds, and why it has no rights even then.
        thief = await asyncio.to_thread(world.client, "thief")
        await asyncio.to_thread(thief.subscribe, "fleet/thief/#")
        thief.publish("fleet/thief/up/x", b"loot", 1)
        fan.publish("fleet/fan-1/up/x", b"honest", 1)
        await asyncio.sleep(QUIET)
        assert thief.messages == []
        codes = [reason.code for reason in await world.adapter.check(world.publication, now())]
        assert codes == ["broker.files_changed", "broker.canary_admitted"]
        await world.adapter.cut_off(("thief",), world.publication)
        assert await eventually(lambda: thief.ended)
        assert not (await asyncio.to_thread(world.client, "thief")).alive
        assert await world.adapter.check(world.publication, now()) == ()

    asyncio.run(run())


def test_control_an_undamaged_list_refuses_the_revoked_and_admits_the_others(world):
    async def run():
        fan = await with_one_revoked(world)
        reload(world)
        await asyncio.sleep(QUIET)
        assert not (await asyncio.to_thread(world.client, "thief")).alive
        assert fan.alive
        assert (await asyncio.to_thread(world.client, "fan-1")).alive

    asyncio.run(run())


def test_a_lapsed_list_refuses_everybody_and_is_told_as_that(world):
    async def run():
        await with_one_revoked(world)
        world.trust.lifetime = -HOUR
        lapsed = world.next_publication()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("holdfast.adapters.broker.confirm.OBEYED_SECONDS", 0.5)
            with pytest.raises(WorldError) as raised:
                await world.adapter.apply(lapsed)
        assert raised.value.code == "broker.probe_refused"
        assert not (await asyncio.to_thread(world.client, "thief")).alive
        codes = [reason.code for reason in await world.adapter.check(lapsed, now())]
        assert codes == ["broker.revocations_lapse", "broker.probe_refused"]

    asyncio.run(run())


def test_an_alarm_is_given_a_day_before_the_list_lapses(world):
    async def run():
        await with_one_revoked(world)
        soon = Instant(world.publication.lapses_at - 25 * HOUR)
        assert await world.adapter.check(world.publication, soon) == ()
        codes = [reason.code for reason in await world.adapter.check(world.publication, Instant(soon + 2 * HOUR))]
        assert codes == ["broker.revocations_lapse"]

    asyncio.run(run())


def test_a_broker_that_starts_without_its_list_does_not_start(world):
    async def run():
        await with_one_revoked(world)
        await asyncio.to_thread(world.stop)
        (Path(world.broker.folder) / "crl.pem").unlink()
        with pytest.raises(AssertionError):
            await asyncio.to_thread(world.start, {"acl": b""}, 3.0)

    asyncio.run(run())


def test_the_publisher_is_killed_between_two_files(tmp_path):
    """The revocation list goes first: at any point the revoked device has at most what it had, never more."""

    async def run(world):
        await with_one_revoked(world)
        world.admit("thief")  # as if the old access list were still there
        files = world.adapter.render(world.next_publication())
        assert next(iter(files)) == "crl.pem"
        (Path(world.broker.folder) / "acl").write_bytes(files["acl"])
        reload(world)
        await asyncio.sleep(QUIET)
        assert not (await asyncio.to_thread(world.client, "thief")).alive

    with broker_world(BrokerKind.MOSQUITTO, tmp_path) as world:
        asyncio.run(run(world))


def test_a_nats_configuration_that_cannot_be_read_is_not_taken_for_obeyed(tmp_path):
    async def run(world):
        await with_one_revoked(world)
        fan = await asyncio.to_thread(world.client, "fan-1")
        world.revoke("fan-1")
        publication = world.next_publication()
        broken = dict(world.adapter.render(publication))
        broken["nats.conf"] = broken["nats.conf"].replace(b"accounts {", b"accounts { {")
        world.adapter.render = lambda _publication: broken
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("holdfast.adapters.broker.confirm.OBEYED_SECONDS", 0.5)
            with pytest.raises(WorldError) as raised:
                await world.adapter.cut_off(("fan-1",), publication)
        assert raised.value.code == "broker.canary_admitted"
        assert fan.alive
        del world.adapter.render
        await world.adapter.cut_off(("fan-1",), publication)
        assert await eventually(lambda: fan.ended)
        assert msgspec.structs.asdict(publication)["admitted"] == ()

    with broker_world(BrokerKind.NATS, tmp_path) as world:
        asyncio.run(run(world))
