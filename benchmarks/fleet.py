"""What a large fleet costs while it waits: memory, start, and the pages people look at.

Method: 10,000 enrolled devices, 1,000 of them connected over mutual TLS after one check-in each, then idle. Resident
memory is read from /proc; pages are asked for on the port for people, over TLS with a token, each on a connection of
its own, one after another: median and worst of 20, handshake included.
"""

from __future__ import annotations

import http.client
import os
import ssl
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks.check_ins import CONNECTED, FLEET, IN_FLIGHT, Fleet
from benchmarks.ground import CLIENT_CORE, Ground, Server, holdfast, prepare
from benchmarks.load import Connection, press

PAGES = ("/api/v1/devices?limit=100", "/api/v1/devices/camera-00042", "/api/v1/devices/camera-00042/report")
TURNS = 20


async def _connected(fleet: Fleet, server: Server, ground: Ground) -> None:
    connections = [await Connection.open(server.port, context) for context in fleet.contexts]

    async def first(number: int) -> None:
        await connections[number].ask(fleet.next(number))

    await press(len(connections), IN_FLIGHT, first)
    print(f"{FLEET:,} enrolled, {len(connections):,} connected: {server.resident_mib():.0f} MiB  (target 250 MB)")
    for page in PAGES:
        times = [_timed(ground, page) for _ in range(TURNS)]
        print(f"GET {page}: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms  (target 100 ms)")
    for connection in connections:
        connection.close()


def _timed(ground: Ground, page: str) -> float:
    context = ssl.create_default_context(cafile=str(ground.folder / "keys" / "root.pem"))
    connection = http.client.HTTPSConnection("localhost", ground.config.operator_port, context=context)
    started = time.perf_counter()
    connection.request("GET", page, headers={"authorization": f"Bearer {ground.token}"})
    answer = connection.getresponse()
    answer.read()
    spent = 1000 * (time.perf_counter() - started)
    connection.close()
    if answer.status != http.client.OK:
        raise SystemExit(f"{page} answered {answer.status}")
    return spent


def _run(ground: Ground) -> None:
    server = holdfast(ground)
    try:
        print(f"ready {server.seconds_to_ready:.1f} s after start, {server.resident_mib():.0f} MiB  (target 5 s)")
        uvloop.run(_connected(Fleet(ground), server, ground))
    finally:
        server.stop()


def main() -> None:
    """Print the figures."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        _run(prepare(Path(name) / "data", fleet=FLEET, connecting=CONNECTED))
