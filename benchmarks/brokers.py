"""From the revocation of a device to its connection's death at the broker, for mosquitto and nats-server.

Method: 1,000 enrolled devices in the store and in the broker's files, 140 of them connected to a real broker over
mutual TLS (MQTT 3.1.1). The control plane's own watch runs in this process. 100 devices are revoked one after another
through the service that every revocation goes through; the clock runs from the call to the end of the device's TCP
connection.
After each, the device tries to come again, and must not be let in; in the end the other 20 must still be connected.

Peer, in the same run: the broker's own shortest way by hand, without record, revocation list for others or proof that
it obeyed: for mosquitto the plugin's command through ``mosquitto_ctrl`` (after which the device may come again), for
nats-server the user taken out of the file and SIGHUP.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.ground import Ground, Member, client_context, free_port, prepare
from holdfast.adapters.broker.mosquitto_files import CONTROL_USER
from holdfast.adapters.broker.process import broker_pid
from holdfast.bootstrap import Plane
from holdfast.ports.broker import Broker, BrokerKind
from holdfast_core.kernel.ids import DeviceId, DeviceKey

FLEET = 1_000
REVOKED, STAYING, BY_HAND = 100, 20, 20
TARGET_SECONDS = 5.0
ACTOR = "os-user:benchmark"
PROGRAMS = {BrokerKind.MOSQUITTO: "mosquitto", BrokerKind.NATS: "nats-server"}


class Client:
    """One connection, and when it died."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.died_at = 0.0
        self.dead = asyncio.create_task(self._wait(reader))

    async def _wait(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(4096):
                pass
        self.died_at = time.perf_counter()

    async def close(self) -> None:
        """Leave."""
        self._writer.close()
        self.dead.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._writer.wait_closed()


async def connected(ground: Ground, member: Member, port: int) -> Client:
    """A connection of a device that has to be let in."""
    client = await connect(ground, member, port)
    if client is None:
        raise SystemExit(f"{member.name} was not let in")
    return client


async def connect(ground: Ground, member: Member, port: int) -> Client | None:
    """A connection of a device; `None` where it is not let in."""
    try:
        context = client_context(ground, member)
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context, family=socket.AF_INET)
        name = member.name.encode()
        body = b"\x00\x04MQTT\x04\x02" + (3600).to_bytes(2, "big") + len(name).to_bytes(2, "big") + name
        writer.write(bytes([0x10, len(body)]) + body)
        answer = await reader.readexactly(4)
    except (OSError, asyncio.IncompleteReadError):
        return None
    return Client(reader, writer) if answer[3] == 0 else None


async def _measure(ground: Ground, kind: BrokerKind, folder: Path) -> None:
    async with Plane.open(ground.config, ground.folder) as plane:
        broker = Broker(
            ground.config.scope,
            kind.value,
            kind,
            str(folder),
            free_port(),
            free_port(),
            host="127.0.0.1",
            run_as="root",
        )
        broker = await plane.brokers.add(broker, actor=ACTOR)
        for name, data in (await plane.brokers.rendered(broker)).items():
            (folder / name).write_bytes(data)
        config = folder / ("mosquitto.conf" if kind is BrokerKind.MOSQUITTO else "nats.conf")
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen([PROGRAMS[kind], "-c", str(config)], stdout=said, stderr=said)  # noqa: ASYNC220
        try:
            await _with_broker(ground, plane, broker)
        finally:
            process.terminate()
            process.wait(10)


async def _with_broker(ground: Ground, plane: Plane, broker: Broker) -> None:
    watch = plane.broker_watches.watch(broker.scope, broker.id)
    while True:
        with contextlib.suppress(Exception):
            await watch.step(publish=True)
            break
        await asyncio.sleep(0.2)
    running = asyncio.create_task(plane.broker_watches.run())
    members = [m for m in ground.members if _admitted(plane, broker, m)]
    clients = {m.name: await connected(ground, m, broker.port) for m in members[: REVOKED + STAYING + BY_HAND]}
    revoked, rest = members[:REVOKED], members[REVOKED : REVOKED + STAYING]
    times: list[float] = []
    returned = 0
    for member in revoked:
        started = time.perf_counter()
        await plane.identity.revoke(DeviceKey(broker.scope, DeviceId(member.name)), why="stolen", actor=ACTOR)
        client = clients[member.name]
        await asyncio.wait_for(client.dead, 30)
        times.append(client.died_at - started)
        returned += await connect(ground, member, broker.port) is not None
    staying = sum(not clients[m.name].dead.done() for m in rest)
    print(
        f"{broker.kind.value}: revoke -> dead connection, n={len(times)}, fleet {FLEET:,}: median "
        f"{1000 * statistics.median(times):.0f} ms, p99 {1000 * _p99(times):.0f} ms, worst {1000 * max(times):.0f} ms  "
        f"(target p99 {TARGET_SECONDS:.0f} s); came back {returned}; others still connected {staying} of {len(rest)}"
    )
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    by_hand = members[REVOKED + STAYING : REVOKED + STAYING + BY_HAND]
    peer = [await _by_hand(broker, m, clients[m.name]) for m in by_hand]
    print(
        f"{broker.kind.value}, by hand: n={len(peer)}: median {1000 * statistics.median(peer):.0f} ms, worst "
        f"{1000 * max(peer):.0f} ms"
    )
    for client in clients.values():
        await client.close()


def _admitted(plane: Plane, broker: Broker, member: Member) -> bool:
    return plane.brokers.grants(DeviceKey(broker.scope, DeviceId(member.name))) is not None


async def _by_hand(broker: Broker, member: Member, client: Client) -> float:
    started = time.perf_counter()
    await asyncio.to_thread(_kick_by_hand, broker, member.name)
    await asyncio.wait_for(client.dead, 30)
    return client.died_at - started


def _kick_by_hand(broker: Broker, name: str) -> None:
    folder = Path(broker.folder)
    if broker.kind is BrokerKind.NATS:
        config = folder / "nats.conf"
        lines = config.read_text().splitlines(keepends=True)
        config.write_text("".join(line for line in lines if f'"{name}.' not in line))
        os.kill(broker_pid(folder / "state" / "nats.pid", "nats-server") or 0, signal.SIGHUP)
        return
    secret = (folder / "control.secret").read_text()
    ctl = [
        "mosquitto_ctrl",
        "-i",
        CONTROL_USER,
        "-h",
        "127.0.0.1",
        "-p",
        str(broker.control_port),
        "-u",
        CONTROL_USER,
        "-P",
        secret,
    ]
    ctl += ["--cafile", str(folder / "root.pem"), "dynsec"]
    for words in (["createClient", name, "-p", "x"], ["deleteClient", name]):
        done = subprocess.run([*ctl, *words], check=False, capture_output=True, text=True)
        if done.returncode or "rror" in done.stdout + done.stderr:
            raise SystemExit(f"mosquitto_ctrl: {done.stdout} {done.stderr}")


def _p99(times: list[float]) -> float:
    return sorted(times)[math.ceil(0.99 * len(times)) - 1]


def main() -> None:
    """Print the figures."""
    for kind, program in PROGRAMS.items():
        if shutil.which(program) is None:
            print(f"{program} is not installed, so it is not measured.")
            continue
        with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as scratch:
            folder = Path(scratch) / "broker"
            folder.mkdir()
            ground = prepare(Path(scratch) / "data", fleet=FLEET, connecting=REVOKED + STAYING + BY_HAND)
            asyncio.run(_measure(ground, kind, folder))
