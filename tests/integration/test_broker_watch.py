"""The watch of a real broker: what changes in the store is so at the broker, also after what goes wrong between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from broker_builders import eventually, now
from builders import ACTOR
from fleet_builders import SCOPE, fleet_at, watched
from holdfast.ports.broker import Broker, BrokerKind
from holdfast_core.identity.issuers import Rollover
from holdfast_core.identity.usage import PUBLISH, TopicUse
from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.response.rules import BROKER

pytestmark = pytest.mark.anyio
EVERY = pytest.mark.parametrize("kind", list(BrokerKind), ids=lambda kind: kind.value)


async def until(happened, seconds: float = 10.0) -> bool:
    """Whether it came to be in time; the watch works meanwhile."""
    for _ in range(int(seconds * 50)):
        if happened():
            return True
        await asyncio.sleep(0.02)
    return False


@EVERY
async def test_a_device_that_enrolls_is_let_in_and_one_that_is_revoked_is_cut_off(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet, watched(fleet):
        for name in ("pump-1", "fan-1"):
            await fleet.enroll(name)
        pump, fan = await fleet.arrives("pump-1"), await fleet.arrives("fan-1")
        await fleet.revoke("pump-1")
        assert await eventually(lambda: pump.ended)
        assert not (await fleet.client("pump-1")).alive
        assert fan.alive
        entries = [parse_entry(leaf.data) for leaf in await fleet.plane.record.leaves(0, 10_000)]
        await until(lambda: not fleet.watch._ended)
        assert [e.device for e in entries if e.kind is Kind.CREDENTIAL_REVOKED] == ["pump-1"]


@EVERY
async def test_a_server_that_ended_between_the_commit_and_the_kick_makes_up_for_it(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet:
        await fleet.enroll("pump-1")
        async with watched(fleet):
            pump = await fleet.arrives("pump-1")
        await fleet.revoke("pump-1")
        assert pump.alive  # nobody watched
        fleet.watches._watches.clear()  # a new process knows nothing of before
        async with watched(fleet):
            assert await eventually(lambda: pump.ended)
            assert not (await fleet.client("pump-1")).alive


@EVERY
async def test_a_device_that_enrolled_again_loses_its_old_connection_and_gets_a_new_one(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet, watched(fleet):
        await fleet.enroll("pump-1")
        before = await fleet.arrives("pump-1")
        await fleet.enroll("pump-1")
        assert await eventually(lambda: before.ended, 10)
        assert (await fleet.arrives("pump-1")).alive


@EVERY
async def test_a_broker_that_was_away_is_brought_up_to_date(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet, watched(fleet):
        await fleet.enroll("pump-1")
        await fleet.arrives("pump-1")
        await asyncio.to_thread(fleet.world.stop)
        await fleet.revoke("pump-1")
        await fleet.enroll("fan-1")
        assert await until(lambda: fleet.watch.faults)
        await asyncio.to_thread(fleet.world.start, {"state/any": b""})  # on what was published meanwhile
        assert (await fleet.arrives("fan-1")).alive
        assert not (await fleet.client("pump-1")).alive
        assert fleet.plane.store.open_incident(DeviceKey(SCOPE, DeviceId("broker:hall")), BROKER) is None


@EVERY
async def test_what_devices_use_is_known_by_granted_filter(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet:
        await fleet.enroll("pump-1")
        async with watched(fleet):
            pump = await fleet.arrives("pump-1")
            await asyncio.to_thread(pump.subscribe, "fleet/pump-1/cmd")
            pump.publish("fleet/pump-1/up/flow", b"1")
            pump.publish("fleet/fan-1/up/flow", b"not mine")
            await asyncio.sleep(0.5)
            await fleet.watch.step()
        await fleet.watch._sight.write()
        use = fleet.plane.store.kept(TopicUse, SCOPE, "hall/pump-1")
        used = {(entry.action, entry.pattern) for entry in use.used}
        assert ("subscribe", "fleet/pump-1/#") in used
        # nats-server does not tell what was published; mosquitto does.
        assert ((PUBLISH, "fleet/pump-1/up/#") in used) is (kind is BrokerKind.MOSQUITTO)
        assert [(r.action, r.topic) for r in use.refused] == [(PUBLISH, "fleet/fan-1/up/flow")]


@EVERY
async def test_files_that_somebody_changed_are_mended_and_told(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet, watched(fleet) as watch:
        anchors = Path(fleet.world.broker.folder) / "anchors.pem"
        anchors.write_bytes(anchors.read_bytes() + b"\n")
        await watch.step(check=True)
        key = DeviceKey(SCOPE, DeviceId("broker:hall"))
        incident = fleet.plane.store.open_incident(key, BROKER)
        assert [reason.code for reason in incident.reasons] == ["broker.files_changed"]
        await watch.step(check=True)
        assert not anchors.read_bytes().endswith(b"\n\n")
        assert fleet.plane.store.open_incident(key, BROKER) is None


@EVERY
async def test_a_broker_gets_a_new_certificate_before_its_old_one_lapses(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet:
        await fleet.enroll("pump-1")
        watch = fleet.watch
        await watch.step()
        chain = Path(fleet.world.broker.folder) / "server.pem"
        before = chain.read_bytes()
        await watch.step(publish=True)
        assert chain.read_bytes() == before
        watch._adapter.certificate_ends = lambda: now() + 29 * DAY
        await watch.step(publish=True)
        assert chain.read_bytes() != before
        assert (await fleet.arrives("pump-1")).alive
        assert watch.faults == ()


INVALID = {
    "relative folder": {"folder": "brokers"},
    "folder that ends a line": {"folder": "/srv/a\nuser root"},
    "folder with a quotation mark": {"folder": '/srv/a"b'},
    "two ports alike": {"control_port": 8883},
    "port too large": {"port": 70_000},
    "leaf nodes of mosquitto": {"leaf_port": 7422},
    "leaf of mosquitto": {"leaf_of": "hub:7422"},
    "hub that ends the quotation": {"kind": BrokerKind.NATS, "leaf_of": 'hub"}]} authorization {user: x}:1'},
    "host that is a name": {"host": "broker.example"},
    "account that ends a line": {"run_as": "a\nlistener 1"},
    "reload by a bare word": {"reload": ("systemctl", "reload")},
    "name that is none": {"id": "Hall One"},
}


@pytest.mark.parametrize("edit", INVALID.values(), ids=INVALID)
async def test_what_cannot_be_a_broker_is_refused(edit, tmp_path):
    async with fleet_at(BrokerKind.MOSQUITTO, tmp_path) as fleet:
        fields = {"id": "roof", "kind": BrokerKind.MOSQUITTO, "folder": "/srv/roof", "port": 8883, "control_port": 8884}
        with pytest.raises(HostileData) as raised:
            await fleet.service.add(Broker(SCOPE, **{**fields, **edit}), actor="token:test")
        assert raised.value.code in {"broker.invalid", "name.invalid"}
        assert now() > 0


async def test_a_certificate_that_ends_while_connections_are_looked_at_is_published_before_the_kick(tmp_path):
    """Kicked first, it would be back before the revocation list says otherwise."""
    async with fleet_at(BrokerKind.MOSQUITTO, tmp_path) as fleet:
        await fleet.enroll("pump-1")
        watch = fleet.watch
        await watch.step()
        pump = await fleet.arrives("pump-1")
        looked = watch._sight.unwanted

        async def revoked_meanwhile(connections, devices):
            await fleet.revoke("pump-1")
            return await looked(connections, devices)

        watch._sight.unwanted = revoked_meanwhile
        await watch.step()
        assert pump.alive
        watch._sight.unwanted = looked
        await watch.step()
        assert await eventually(lambda: pump.ended)
        assert not (await fleet.client("pump-1")).alive


@EVERY
async def test_a_rollover_of_the_issuer_goes_through_without_a_refusal(kind, tmp_path):
    """A, then A and B, then B: devices of both are let in while both count, and A's are refused after its end."""
    async with fleet_at(kind, tmp_path) as fleet, watched(fleet) as watch:
        await fleet.enroll("of-a")
        before = await fleet.arrives("of-a")
        await fleet.plane.rollover.move(SCOPE, Rollover.BEGIN, actor=ACTOR)
        await watch.step()
        await fleet.plane.rollover.move(SCOPE, Rollover.SWITCH, actor=ACTOR)
        await watch.step()
        await fleet.enroll("of-b")
        assert (await fleet.arrives("of-b")).alive
        assert before.alive
        assert (await fleet.client("of-a")).alive
        await fleet.plane.rollover.move(SCOPE, Rollover.END, actor=ACTOR, force=True)
        await watch.step()
        assert await eventually(lambda: before.ended)
        assert not (await fleet.client("of-a")).alive
        assert (await fleet.arrives("of-b")).alive


@EVERY
async def test_a_device_that_is_retired_is_cut_off_before_it_has_erased_itself(kind, tmp_path):
    async with fleet_at(kind, tmp_path) as fleet, watched(fleet):
        for name in ("pump-1", "fan-1"):
            await fleet.enroll(name)
        pump, fan = await fleet.arrives("pump-1"), await fleet.arrives("fan-1")
        device = fleet.plane.store.device(DeviceKey(SCOPE, DeviceId("pump-1")))
        # Erasure was ordered: its credential still speaks, to say that it is done.
        await fleet.plane.store.commit([msgspec.structs.replace(device, lifecycle=Lifecycle.RETIRING)])
        assert await eventually(lambda: pump.ended)
        assert not (await fleet.client("pump-1")).alive
        assert fan.alive
