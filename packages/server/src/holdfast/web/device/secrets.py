"""The device port's routes for local secrets, over mutual TLS.

======================================  =============================================================
``POST /v1/secrets/{account}``            the version that waits, once the directive named it
``POST /v1/secrets/{account}/confirmed``  the device's word that it is in force
======================================  =============================================================
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.identity.secret_delivery import SecretDelivery, parse_ordered
from holdfast.web.device.guarded import Guarded, body_of
from holdfast.web.device.protocol import peer_fingerprint
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.limits import Limits
from holdfast_core.wire.secrets import PATH

_NOT_KEPT = {"cache-control": "no-store"}


def secret_routes(delivery: SecretDelivery, limits: Limits) -> list[Route]:
    """The routes of local secrets."""

    async def fetch(request: Request) -> Response:
        fingerprint = _fingerprint(request)
        version = parse_ordered(await body_of(request, limits.secret_request_bytes))
        told = await delivery.fetch(fingerprint, request.path_params["account"], version)
        return Response(msgspec.json.encode(told), media_type="application/json", headers=_NOT_KEPT)

    async def confirmed(request: Request) -> Response:
        fingerprint = _fingerprint(request)
        version = parse_ordered(await body_of(request, limits.secret_request_bytes))
        await delivery.confirm(fingerprint, request.path_params["account"], version)
        return Response(b"{}", media_type="application/json", headers=_NOT_KEPT)

    return [
        Route(PATH + "{account}", Guarded(fetch), methods=["POST"]),
        Route(PATH + "{account}/confirmed", Guarded(confirmed), methods=["POST"]),
    ]


def _fingerprint(request: Request) -> Digest:
    fingerprint = peer_fingerprint(request.scope)
    if fingerprint is None:
        raise IdentityRefused(
            "identity.certificate_required",
            "A secret is told only to a device that shows its certificate.",
            remedy="Enroll the device first, then call with its certificate and key.",
            http_status=401,
        )
    return fingerprint
