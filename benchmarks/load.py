"""Devices that press the server: real TLS, prepared requests, one in flight a connection."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

HEAD = (
    b"POST /v1/check-in HTTP/1.1\r\nhost: localhost\r\n"
    b"content-type: application/vnd.holdfast.check-in+json\r\ncontent-length: %d\r\n\r\n"
)


class Connection:
    """A kept-alive connection of one device."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext) -> Connection:
        """Connect and shake hands."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost"))

    async def ask(self, body: bytes) -> bytes:
        """One request; its reply's body. Anything but 200 ends the benchmark: a refused figure is no figure."""
        self._writer.write(HEAD % len(body) + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        reply = await self._reader.readexactly(length)
        if not head.startswith(b"http/1.1 200"):
            raise SystemExit(f"the server refused: {head.splitlines()[0]!r} {reply[:300]!r}")
        return reply

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def press(
    turns: int, in_flight: int, turn: Callable[[int], asyncio.Future[None] | object], *, per_second: float | None = None
) -> tuple[float, list[float]]:
    """Run `turns` of ``await turn(n)``, at most `in_flight` at once; return wall seconds and each turn's latency.

    With `per_second` the turns start at that pace whatever the answers do (open loop), and latency counts from the
    moment a turn was due, so that a server that falls behind cannot hide it.
    """
    latencies: list[float] = []
    gate = asyncio.Semaphore(in_flight)
    started = time.perf_counter()

    async def one(number: int, due: float) -> None:
        try:
            await turn(number)  # type: ignore[misc]  # any awaitable
            latencies.append(time.perf_counter() - due)
        finally:
            gate.release()

    async with asyncio.TaskGroup() as group:
        for number in range(turns):
            due = started + number / per_second if per_second else None
            if due is not None and (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            await gate.acquire()
            group.create_task(one(number, due or time.perf_counter()))
    return time.perf_counter() - started, latencies


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
