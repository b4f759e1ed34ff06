"""A gateway's own NATS as a leaf of a hub: the hub sees the gateway alone, and lets pass what its grants say."""

from __future__ import annotations

import asyncio
from pathlib import Path

from broker_builders import QUIET, BrokerWorld, broker_world, eventually, free_port
from holdfast.ports.broker import BrokerKind


def test_a_leaf_passes_on_what_the_gateways_grants_say_and_goes_on_without_the_hub(tmp_path):
    async def run(hub: BrokerWorld) -> None:
        # The gateway may speak for its own sensor: in its model file an exception says so.
        hub.admit("gate", publish=("fleet/sensor/up/#",), subscribe=("fleet/sensor/cmd",))
        hub.admit("office", subscribe=("fleet/sensor/up/#", "fleet/rogue/up/#"))
        await hub.apply()
        leaf = BrokerWorld(BrokerKind.NATS, make(tmp_path / "leaf"), leaf_of=f"127.0.0.1:{hub.broker.leaf_port}")
        leaf.trust = hub.trust
        leaf.adapter.prepare(hub.trust.certify(leaf.broker, 0), hub.trust.root())
        for name in ("sensor", "rogue"):
            leaf.admit(name)
        leaf.next_publication()
        folder = Path(leaf.broker.folder)
        gate = hub.identity("gate")
        await asyncio.to_thread((folder / "gateway.pem").write_bytes, gate.chain)
        await asyncio.to_thread((folder / "gateway.key").write_bytes, gate.key)
        try:
            await asyncio.to_thread(leaf.start)
            await talk(hub, leaf)
        finally:
            await asyncio.to_thread(leaf.close)

    with broker_world(BrokerKind.NATS, make(tmp_path / "hub"), leaf_port=free_port()) as hub:
        asyncio.run(run(hub))


async def talk(hub: BrokerWorld, leaf: BrokerWorld) -> None:
    office = await asyncio.to_thread(hub.client, "office")
    for pattern in ("fleet/sensor/up/#", "fleet/rogue/up/#"):
        await asyncio.to_thread(office.subscribe, pattern)
    sensor = await asyncio.to_thread(leaf.client, "sensor")
    rogue = await asyncio.to_thread(leaf.client, "rogue")
    await asyncio.to_thread(sensor.subscribe, "fleet/sensor/#")

    def arrived() -> bool:
        sensor.publish("fleet/sensor/up/t", b"21")
        return bool(office.messages)

    assert await eventually(arrived, 10)
    rogue.publish("fleet/rogue/up/t", b"99")
    await asyncio.sleep(QUIET)
    assert {topic for topic, _ in office.messages} == {"fleet/sensor/up/t"}
    assert not (await asyncio.to_thread(hub.client, "sensor")).alive
    await asyncio.to_thread(hub.stop)
    sensor.messages.clear()
    sensor.publish("fleet/sensor/up/t", b"22")
    assert await eventually(lambda: sensor.messages == [("fleet/sensor/up/t", b"22")])


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder
