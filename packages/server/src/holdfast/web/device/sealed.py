"""The device port's route for sealed secrets, over mutual TLS.

======================================  =============================================================
``POST /v1/sealed/{name}``              the secret's bytes, while the device's appraisal is affirming
======================================  =============================================================
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.attestation.sealed import SealedSecrets
from holdfast.web.device.guarded import Guarded, body_of
from holdfast.web.device.protocol import peer_fingerprint
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.limits import Limits
from holdfast_core.wire.sealed import PATH

_NOT_KEPT = {"cache-control": "no-store"}


def sealed_routes(secrets: SealedSecrets, limits: Limits) -> list[Route]:
    """The route of sealed secrets."""

    async def fetch(request: Request) -> Response:
        fingerprint = peer_fingerprint(request.scope)
        if fingerprint is None:
            raise IdentityRefused(
                "identity.certificate_required",
                "A secret is told only to a device that shows its certificate.",
                remedy="Enroll the device first, then call with its certificate and key.",
                http_status=401,
            )
        await body_of(request, limits.secret_request_bytes)  # nothing is asked in it
        secret = await secrets.fetch(fingerprint, request.path_params["name"])
        return Response(secret, media_type="application/octet-stream", headers=_NOT_KEPT)

    return [Route(PATH + "{name}", Guarded(fetch), methods=["POST"])]
