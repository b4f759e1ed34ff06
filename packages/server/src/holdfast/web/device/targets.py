"""The device port's route for payloads, over mutual TLS, and how a payload is served, whole or in part.

===============================================================  ==========================================
``GET /v1/update/targets/{model}/{version}/{sha256hex}.{file}``  a payload, to devices that may install it
===============================================================  ==========================================

1. A payload is streamed in bounded pieces, read in threads, a few at once; what a device does not take is not read.
2. One range is served (`holdfast_core.update.ranges`), so that a download goes on at any byte.
3. A payload never changes under its digest, so its entity tag is its digest.

Source: RFC 9110, 8.8.3 and 14.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from holdfast.ports.artefacts import ArtefactStore, Opened, corrupt
from holdfast.update.ddi_callers import DdiCallers
from holdfast.web.device.guarded import Guarded
from holdfast.web.device.protocol import peer_fingerprint
from holdfast.web.problems import rendered
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.supply.model import Payload
from holdfast_core.update.ranges import Part, Unsatisfiable, part_of

PATH = "/v1/update/targets/"
PIECE = 256 * 1024
READERS = 4
"""Pieces that are read at once, whoever asks: a fleet that downloads must not starve what else needs threads."""
Allowed = Callable[[DeviceKey, str, str, str], Payload]
"""The payload that a device may fetch: its key, and the model, version and file of the path."""


class PayloadServer:
    """Answers requests for payloads."""

    def __init__(self, artefacts: ArtefactStore) -> None:
        self._artefacts = artefacts
        self._readers = asyncio.Semaphore(READERS)

    async def answer(self, request: Request, payload: Payload) -> Response:
        """The payload, or the part that was asked for.

        Raises:
            WorldError: ``artefact.missing`` (404), ``artefact.corrupt``, ``artefact.store``.
        """
        etag = f'"{payload.digest.partition(":")[2]}"'
        asked = request.headers
        try:
            part = part_of(payload.size, asked.get("range", ""), asked.get("if-range", ""), etag)
        except Unsatisfiable as error:
            refusal = rendered(error)
            refusal.headers["content-range"] = f"bytes */{payload.size}"
            return refusal
        headers = {
            "accept-ranges": "bytes",
            "cache-control": "private, no-transform",
            "content-length": str(part.length),
            "etag": etag,
        }
        if part.partial:
            headers["content-range"] = f"bytes {part.start}-{part.start + part.length - 1}/{payload.size}"
        status = 206 if part.partial else 200
        media = "application/octet-stream"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type=media)
        opened = await asyncio.to_thread(self._artefacts.open, Digest(payload.digest))
        if opened.size != payload.size:
            opened.close()
            raise corrupt(Digest(payload.digest))
        return _Streamed(opened, part, self._readers, Response(status_code=status, headers=headers, media_type=media))


class _Streamed(Response):
    """A part of an opened payload on its way to a device. `head` has the status and the headers."""

    def __init__(self, opened: Opened, part: Part, readers: asyncio.Semaphore, head: Response) -> None:
        self.status_code, self.raw_headers, self.background = head.status_code, head.raw_headers, None
        self._opened, self._part, self._readers = opened, part, readers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI's own shape)
        """Send it, until it is whole or nobody is there any more."""
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            at, end = self._part.start, self._part.start + self._part.length
            while at < end and not gone.done():
                async with self._readers:
                    piece = await asyncio.to_thread(self._opened.read, at, min(PIECE, end - at))
                at += len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": at < end})
        finally:
            gone.cancel()
            self._opened.close()


async def _gone(receive: Receive) -> None:
    """Return once the device has gone; what it may still send of a body is not looked at."""
    while (await receive())["type"] != "http.disconnect":
        pass


def target_routes(callers: DdiCallers, allowed: Allowed, server: PayloadServer) -> list[Route]:
    """The route of payloads for agents."""

    async def fetch(request: Request) -> Response:
        key = await callers.by_certificate(peer_fingerprint(request.scope))
        named = request.path_params
        return await server.answer(request, allowed(key, named["model"], named["version"], named["file"]))

    return [Route(PATH + "{model}/{version}/{file}", Guarded(fetch), methods=["GET"])]
