"""Check-ins a second and core: durable, each with a full appraisal.

Method: 10,000 enrolled devices, of which 1,000 are connected. The server is the real ``holdfast serve`` pinned to one
core, the devices share the other. 95 % of the check-ins carry the audit's digest, 5 % a full body of another audit
than the one before; each is committed with ``synchronous=FULL`` before its reply. Rates are given against the server's
own CPU time (a core's worth) and against the wall. The peer is a bare mutual-TLS uvicorn, same client, same run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from itertools import count
from pathlib import Path

import msgspec
import uvloop

from benchmarks.ground import CLIENT_CORE, Ground, Server, client_context, free_port, holdfast, prepare
from benchmarks.load import Connection, percentile, press
from holdfast_core.kernel.digests import digest_of
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import CheckIn, Section

FLEET, CONNECTED, IN_FLIGHT = 10_000, 1_000, 64
KEPT_ALIVE, NEW_CONNECTIONS, PACED, SOAK = 30_000, 4_000, 15_000, 100_000
FULL_EVERY = 20
_HEALTH = Section(body=msgspec.Raw(b'{"ok":true}'))
_METRICS = Section(body=msgspec.Raw(b'{"uptime-s":86400,"load1":0.12,"memory-available-kib":40960}'))


class Fleet:
    """The connected devices: what each sends next."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.contexts = [client_context(ground, member) for member in ground.members]
        self._seq = [0] * len(ground.members)
        self._turn = count()
        # Two audits to alternate between, so that a full body is always another one than the server has.
        other = ground.body.replace(b'"outcome":"pass"', b'"outcome":"fail"', 1)
        self._bodies = (ground.body, other)
        self._digests = (digest_of(ground.body), digest_of(other))
        self._audit = [0] * len(ground.members)

    def next(self, device: int) -> bytes:
        """The bytes of the device's next check-in."""
        self._seq[device] += 1
        full = self._seq[device] == 1 or next(self._turn) % FULL_EVERY == 0
        if full:
            self._audit[device] ^= 1
        which = self._audit[device]
        body = msgspec.Raw(self._bodies[which]) if full else msgspec.UNSET
        sections = {"health": _HEALTH, "metrics": _METRICS, "baseline": Section(self._digests[which], body=body)}
        return encode(CheckIn(v=1, boot=f"boot-{device:08d}", seq=self._seq[device], sections=sections))


async def _kept_alive(fleet: Fleet, server: Server, turns: int, *, per_second: float | None = None) -> str:
    connections = [await Connection.open(server.port, context) for context in fleet.contexts]
    free = asyncio.Queue[int]()
    for device in range(len(connections)):
        free.put_nowait(device)

    async def turn(_number: int) -> None:
        device = await free.get()
        await connections[device].ask(fleet.next(device))
        free.put_nowait(device)

    await press(len(connections), IN_FLIGHT, turn)  # everybody's first, with a full body, is not measured
    line = await _measured(server, turns, turn, per_second)
    for connection in connections:
        connection.close()
    return line


async def _new_connections(fleet: Fleet, server: Server, turns: int, *, per_second: float | None = None) -> str:
    async def turn(number: int) -> None:
        device = number % len(fleet.contexts)
        connection = await Connection.open(server.port, fleet.contexts[device])
        await connection.ask(fleet.next(device))
        connection.close()

    return await _measured(server, turns, turn, per_second)


async def _measured(server: Server, turns: int, turn: object, per_second: float | None) -> str:
    cpu = server.cpu_seconds()
    wall, latencies = await press(turns, IN_FLIGHT, turn, per_second=per_second)  # type: ignore[arg-type]
    used = server.cpu_seconds() - cpu
    p50, p99 = (1000 * percentile(latencies, share) for share in (0.5, 0.99))
    return (
        f"{turns / used:7,.0f} per core-second  {turns / wall:7,.0f} per wall second  "
        f"p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  ({turns:,} in {wall:.1f} s, server CPU {used:.1f} s)"
    )


def _rate(line: str) -> float:
    """The wall rate of a line, to pace the next run by."""
    return float(line.split("per core-second")[1].split("per wall", maxsplit=1)[0].replace(",", ""))


def main() -> None:
    """Print the figures."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        ground = prepare(Path(name) / "data", fleet=FLEET, connecting=CONNECTED)
        fleet = Fleet(ground)
        server = holdfast(ground)
        try:
            _holdfast(fleet, server)
        finally:
            server.stop()
        _bare(ground)


def _holdfast(fleet: Fleet, server: Server) -> None:
    print(f"ready {server.seconds_to_ready:.1f} s after start with {FLEET:,} enrolled  (target 5 s)")
    kept = uvloop.run(_kept_alive(fleet, server, KEPT_ALIVE))
    print(f"kept alive      {kept}  (target 2,000 per core-second)")
    paced = uvloop.run(_kept_alive(fleet, server, PACED, per_second=0.7 * _rate(kept)))
    print(f"  at 70 %       {paced}  (target p99 250 ms)")
    new = uvloop.run(_new_connections(fleet, server, NEW_CONNECTIONS))
    print(f"new connections {new}  (target 350)")
    paced = uvloop.run(_new_connections(fleet, server, NEW_CONNECTIONS, per_second=0.7 * _rate(new)))
    print(f"  at 70 %       {paced}  (target p99 250 ms)")
    sizes = []
    for turns in (CONNECTED, *[SOAK // 4] * 4):
        uvloop.run(_kept_alive(fleet, server, turns))
        sizes.append(server.resident_mib())
    print(f"memory over {SOAK:,} check-ins: {' '.join(f'{size:.0f}' for size in sizes)} MiB")


def _bare(ground: Ground) -> None:
    port = free_port()
    peer = Server([sys.executable, "-m", "benchmarks.peer", str(ground.folder / "keys"), str(port)], port)
    try:
        fleet = Fleet(ground)
        print("peer, bare mutual-TLS uvicorn with a fixed answer and no store:")
        print(f"kept alive      {uvloop.run(_kept_alive(fleet, peer, KEPT_ALIVE))}")
        print(f"new connections {uvloop.run(_new_connections(fleet, peer, NEW_CONNECTIONS))}")
    finally:
        peer.stop()
