"""Brokers over the operator API and the command line, with a real broker where one is needed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from api_builders import holder
from broker_builders import BrokerWorld, free_port
from builders import ACTOR, new_plane
from fleet_builders import Fleet, fleet_at
from holdfast.ports.broker import BrokerKind
from holdfast_core.identity.model import Permission

pytestmark = pytest.mark.anyio
EVERY = pytest.mark.parametrize("kind", list(BrokerKind), ids=lambda kind: kind.value)


@EVERY
async def test_a_broker_is_shown_with_its_files_grants_and_connections(kind, tmp_path):
    async with AsyncExitStack() as stack, fleet_at(kind, tmp_path) as fleet:
        await fleet.enroll("pump-1")
        client = await stack.enter_async_context(holder(fleet.plane))
        applied = (await client.post("/brokers/hall/apply")).json()
        assert (applied["admitted"], applied["faults"]) == (1, [])
        pump = await fleet.client("pump-1")
        assert pump.alive
        await asyncio.to_thread(pump.subscribe, "fleet/pump-1/cmd")
        assert (await client.post("/brokers/hall/check")).json()["faults"] == []
        connections = (await client.get("/brokers/hall/connections")).json()["items"]
        assert [(c["device"], c["client_id"]) for c in connections] == [("pump-1", "pump-1")]
        grants = (await client.get("/brokers/hall/grants")).json()
        assert [g["filter"] for g in grants["items"][0]["granted"]] == ["fleet/pump-1/up/#", "fleet/pump-1/#"]
        assert grants["next"] is None
        files = {item["name"]: item["text"] for item in (await client.get("/brokers/hall/files")).json()["items"]}
        assert any("pump-1" in text for text in files.values())
        assert not any("PRIVATE KEY" in text for text in files.values())
        assert [b["name"] for b in (await client.get("/brokers")).json()["items"]] == ["hall"]
        assert (await client.delete("/brokers/hall")).status_code == 200
        assert (await client.get("/brokers/hall/files")).json()["code"] == "broker.unknown"


async def test_a_token_of_any_permission_cannot_choose_a_folder_or_a_command_of_the_server(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as client:
        body = {"name": "x", "kind": "mosquitto", "folder": "/etc/cron.d", "control_port": 8884, "reload": ["/bin/sh"]}
        refused = await client.post("/brokers", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "broker.local_only")


async def test_who_may_only_read_does_not_publish(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.READ) as client:
        assert (await client.post("/brokers/hall/apply")).json()["code"] == "token.permission"


async def test_a_broker_is_added_once_and_its_folder_is_ready_to_start_on(tmp_path):
    world = BrokerWorld.needed(BrokerKind.MOSQUITTO, tmp_path)
    async with new_plane(tmp_path / "data") as plane:
        fleet = Fleet(plane, world)
        await fleet.start()
        try:
            again = world.broker
            with pytest.raises(Exception, match="already"):
                await plane.brokers.add(again, actor=ACTOR)
            folder = tmp_path / "broker"
            assert oct((folder / "control.secret").stat().st_mode & 0o777) == "0o600"
            assert oct((folder / "server.key").stat().st_mode & 0o777) == "0o640"
            assert oct(folder.stat().st_mode & 0o777) == "0o750"
            assert free_port()
        finally:
            world.close()
