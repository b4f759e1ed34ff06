"""From the revocation of a device to the end of its open connection at the device port.

Method: the real ``holdfast serve`` on one core; 140 devices hold an idle mutual-TLS connection. 100 of them are revoked
one after another through the operator API; the time is from sending that request to the end of the device's stream.
Every revoked device then calls again and has to be refused; the 40 others have to be answered. Brokers: `brokers`.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import uvloop

from benchmarks.ground import CLIENT_CORE, Ground, client_context, holdfast, prepare
from benchmarks.load import percentile
from holdfast.bootstrap import SOCKET

CONNECTED, REVOKED = 140, 100
_ASKED = b"GET /.well-known/est/csrattrs HTTP/1.1\r\nhost: localhost\r\n\r\n"
_RENEWING = b"POST /.well-known/est/simplereenroll HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connected(ground: Ground, number: int, port: int) -> Stream:
    context = client_context(ground, ground.members[number])
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")


async def _status(stream: Stream, request: bytes) -> int:
    reader, writer = stream
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line for line in head.lower().splitlines() if line.startswith(b"content-length:")), b"x: 0")
    await reader.readexactly(int(length.split(b":")[1]))
    return int(head.split()[1])


async def _revoke(folder: Path, device: str) -> None:
    reader, writer = await asyncio.open_unix_connection(str(folder / SOCKET))
    body = json.dumps({"why": "stolen"}).encode()
    path = f"POST /api/v1/devices/{device}/revoke HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n"
    writer.write(path.encode() + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
    head = await reader.readuntil(b"\r\n")
    if b" 200 " not in head:
        raise SystemExit(f"the revocation was refused: {head!r}")
    writer.close()


async def _measured(ground: Ground, port: int) -> None:
    streams = [await _connected(ground, number, port) for number in range(CONNECTED)]
    for stream in streams:
        if await _status(stream, _ASKED) != 204:
            raise SystemExit("a device was not served")
    took: list[float] = []
    for number in range(REVOKED):
        started = time.perf_counter()
        await _revoke(ground.folder, ground.members[number].name)
        await streams[number][0].read()
        took.append(time.perf_counter() - started)
    back = [await _status(await _connected(ground, number, port), _RENEWING) for number in range(REVOKED)]
    stayed = [await _status(stream, _ASKED) for stream in streams[REVOKED:]]
    p50, p99 = (1000 * percentile(took, share) for share in (0.5, 0.99))
    print(
        f"revoked to ended, n={REVOKED}: median {p50:.1f} ms, p99 {p99:.1f} ms, worst {1000 * max(took):.1f} ms "
        "(target 5 s)"
    )
    print(f"came back: {sum(status != 403 for status in back)} of {REVOKED}; ", end="")
    print(f"others that stayed: {sum(status == 204 for status in stayed)} of {len(stayed)}")


def main() -> None:
    """Print the figures."""
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        ground = prepare(Path(name) / "data", fleet=1_000, connecting=CONNECTED)
        server = holdfast(ground)
        try:
            uvloop.run(_measured(ground, server.port))
        finally:
            server.stop()
