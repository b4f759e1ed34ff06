"""The device port's routes for update metadata, over mutual TLS.

==================================================  =================================================================
``POST /v1/update/metadata``                        all that is newer of both repositories, in one answer
``GET /v1/update/director/metadata/{name}``         a file of the device's own director repository
``GET /v1/update/image/metadata/{name}``            a file of the image repository
==================================================  =================================================================

The last two are the layout that any TUF client knows. Payloads are served by `targets`.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.ports.clock import Clock
from holdfast.ports.credentials import Credentials
from holdfast.update.metadata import MetadataAnswers
from holdfast.web.device.guarded import Guarded, body_of
from holdfast.web.device.protocol import peer_fingerprint
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.wire.update_metadata import LARGEST_HOLDING, PATH

JSON = "application/json"
_FRESH = {"cache-control": "no-cache"}


class UpdateRoutes(msgspec.Struct, frozen=True):
    """What the routes are made of."""

    answers: MetadataAnswers
    credentials: Credentials
    clock: Clock


def update_routes(parts: UpdateRoutes) -> list[Route]:
    """The routes of update metadata."""

    async def newer(request: Request) -> Response:
        key = await _who(request, parts)
        body = await body_of(request, LARGEST_HOLDING)
        return Response(await parts.answers.answer(key, body), media_type=JSON, headers=_FRESH)

    async def director(request: Request) -> Response:
        key = await _who(request, parts)
        return _file(await parts.answers.director_file(key, request.path_params["name"]))

    async def image(request: Request) -> Response:
        key = await _who(request, parts)
        return _file(parts.answers.image_file(key, request.path_params["name"]))

    return [
        Route(PATH, Guarded(newer), methods=["POST"]),
        Route("/v1/update/director/metadata/{name}", Guarded(director), methods=["GET"]),
        Route("/v1/update/image/metadata/{name}", Guarded(image), methods=["GET"]),
    ]


async def _who(request: Request, parts: UpdateRoutes) -> DeviceKey:
    fingerprint = peer_fingerprint(request.scope)
    if fingerprint is None:
        raise IdentityRefused(
            "identity.certificate_required",
            "Updates are for devices that show their certificate.",
            remedy="Enroll the device first, then call with its certificate and key.",
            http_status=401,
        )
    credential = await parts.credentials.admitted(fingerprint, parts.clock.now())
    return credential.key


def _file(data: bytes | None) -> Response:
    if data is None:
        raise HostileData(
            "update.no_such_file",
            "The repository has no such file.",
            remedy="A TUF client takes this for the end of a chain: nothing is wrong.",
            http_status=404,
        )
    return Response(data, media_type=JSON, headers=_FRESH)
