"""The cache's port: artefacts for the devices of a site, over plain HTTP/1.1, one request for each connection.

1. The cache is no authority. It proves nothing to a device and a device proves nothing to it: what is served is signed
   and public within the site, and a device verifies it under TUF wherever it came from. Hence no TLS on this port.
2. Bytes of a file are sent only after the whole of it was verified against the digest in its name.
3. Header bytes and time, connections in all and of one address, and the pace at which a device takes its bytes are
   bounded (`bounds.Bounds`). Whoever exceeds one is answered where that is cheap, and cut off.
4. Nothing but artefacts is served: a device fetches its update metadata itself, from the control plane.

Source: RFC 9110, 13.1.5, 14 and 15; RFC 9112, 9.6 (closing); RFC 9457 (problems).
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from typing import BinaryIO

import msgspec

from holdfast_core.kernel.errors import HoldfastError, HostileData, WorldError
from holdfast_core.update.ranges import Part
from holdfast_gateway import troubles
from holdfast_gateway.bounds import Bounds
from holdfast_gateway.flights import Flights
from holdfast_gateway.meters import Meters
from holdfast_gateway.request import Request, parse_request
from holdfast_gateway.shelf import Shelf

TO_THE_WISER = 4 * 1024
"""Bytes that are still taken of whoever goes on sending after an answer."""
LATER_S = 30
_OURS = "gateway."


class Port:
    """Serves `shelf` to devices, and has `flights` bring what it lacks."""

    def __init__(self, shelf: Shelf, flights: Flights, *, bounds: Bounds, meters: Meters) -> None:
        self._shelf, self._flights, self._bounds, self._meters = shelf, flights, bounds, meters
        self._open: Counter[str] = Counter()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return self._open.total()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its end."""
        peer = writer.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        # All that come through a Unix socket are one address, and may have as many as there are.
        if self.connections >= self._bounds.connections or (
            address and self._open[address] >= self._bounds.connections_per_address
        ):
            self._meters.add("turned_away")
            writer.transport.abort()
            return
        self._open[address] += 1
        try:
            await self._answer(reader, writer, address)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            self._meters.add("turned_away")
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        size = None
        try:
            request = parse_request(await self._head(reader))
            here = self._shelf.ready(request.target.digest)
            if not here:
                await self._flights.bring(request.target, address)
            with self._shelf.lend(request.target.digest) as lent:
                if lent is None:
                    raise troubles.busy("the artefact had to make room for another", LATER_S)
                file, size = lent
                part = request.part(size)
                self._meters.add("hits", int(here))
                await self._send(writer, request, file, part, size)
        except HoldfastError as error:
            self._meters.add("refused")
            await self._tell(writer, _problem(error, size))
        await self._end(reader, writer)

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        async with asyncio.timeout(self._bounds.header_s):
            try:
                return await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError as error:
                raise HostileData(
                    "gateway.header_too_large",
                    f"The request has more than {self._bounds.header_bytes} bytes.",
                    remedy="Send no cookies or other headers that nobody reads.",
                    http_status=431,
                ) from error

    async def _send(
        self, writer: asyncio.StreamWriter, request: Request, file: BinaryIO, part: Part, size: int
    ) -> None:
        headers = [
            f"HTTP/1.1 {'206 Partial Content' if part.partial else '200 OK'}",
            "Content-Type: application/octet-stream",
            f"Content-Length: {part.length}",
            f"ETag: {request.target.etag}",
            "Accept-Ranges: bytes",
            "Cache-Control: public, max-age=31536000, immutable",
        ]
        if part.partial:
            headers.append(f"Content-Range: bytes {part.start}-{part.start + part.length - 1}/{size}")
        await self._tell(writer, _head_of(headers))
        if request.method == "HEAD":
            return
        loop, at, end = asyncio.get_running_loop(), part.start, part.start + part.length
        while at < end:
            async with asyncio.timeout(self._bounds.chunk_s):
                sent = await loop.sendfile(writer.transport, file, at, min(self._bounds.chunk, end - at))
            if not sent:
                raise OSError(errno.EIO, "the file became shorter")
            at += sent
            self._meters.add("served_bytes", sent)

    async def _tell(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        async with asyncio.timeout(self._bounds.chunk_s):
            await writer.drain()

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close our side, and wait a little for the other: closing at once could take the answer back (RST)."""
        with suppress(TimeoutError, OSError):
            writer.write_eof()
            async with asyncio.timeout(self._bounds.ending_s):
                left = TO_THE_WISER
                while left > 0 and (data := await reader.read(left)):
                    left -= len(data)


def _head_of(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "X-Content-Type-Options: nosniff", "Connection: close", "", ""]).encode("ascii")


def _problem(error: HoldfastError, size: int | None) -> bytes:
    """An answer that says why not (RFC 9457)."""
    # What the gateway's own agent has to say of its identity is the device's to wait for, whatever it is.
    foreign = isinstance(error, WorldError) and not error.code.startswith(_OURS)
    status = HTTPStatus.SERVICE_UNAVAILABLE if foreign else HTTPStatus(error.http_status)
    body = msgspec.json.encode(
        {
            "type": "about:blank",
            "title": status.phrase,
            "status": status.value,
            "detail": error.sentence,
            "code": error.code,
            "remedy": error.remedy,
        }
    )
    headers = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
    ]
    if status is HTTPStatus.SERVICE_UNAVAILABLE or error.retry_after_s:
        headers.append(f"Retry-After: {error.retry_after_s or LATER_S}")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append("Allow: GET, HEAD")
    if status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        headers.append(f"Content-Range: bytes */{size}")
    return _head_of(headers) + body


async def listen(place: str, port: Port, bounds: Bounds) -> asyncio.Server:
    """Listen at `place`, ``ADDRESS:PORT`` or ``unix:PATH``.

    Raises:
        HostileData: ``gateway.listen``.
        OSError: the place is taken, or not ours.
    """
    kind, _, path = place.partition(":")
    if kind == "unix" and path:
        server = await asyncio.start_unix_server(port.serve, path, limit=bounds.header_bytes)
        os.chmod(path, 0o660)  # noqa: PTH101  (one call before anybody is served; pathlib's is no different)
        return server
    host, _, number = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not number.isascii() or not number.isdigit() or int(number) > 65_535:  # noqa: PLR2004  (ports)
        raise HostileData(
            "gateway.listen",
            f"{place[:80]!r} is no place to listen at.",
            remedy="Write ADDRESS:PORT, such as 192.0.2.1:8480 or [2001:db8::1]:8480, or unix:PATH.",
        )
    return await asyncio.start_server(port.serve, host, int(number), limit=bounds.header_bytes)
