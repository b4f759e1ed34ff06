"""The routes of the device port: the check-in, and EST beside it (`est`).

A bare router, without Starlette's middleware: those layers cost a quarter of a check-in, and `Guarded` answers for
every error itself.

======================================  =============================================================
``POST /v1/check-in``                   mutual TLS: one check-in, one reply
``/.well-known/est/...``                enrollment and renewal
``POST /v1/secrets/{account}``          mutual TLS: a local secret that waits (`secrets`)
``POST /v1/sealed/{name}``              mutual TLS: a sealed secret, on an affirming appraisal (`sealed`)
``POST /v1/enroll/tpm/...``             enrollment with a TPM (`tpm`)
======================================  =============================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from holdfast.checkin.service import CheckInService
from holdfast.identity.enrollment import EnrollmentService
from holdfast.identity.secret_delivery import SecretDelivery
from holdfast.web.device.est import est_routes
from holdfast.web.device.guarded import Guarded, body_of, nowhere
from holdfast.web.device.protocol import peer_fingerprint
from holdfast.web.device.secrets import secret_routes
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.limits import Limits
from holdfast_core.wire.frame import MEDIA_TYPE


def device_app(
    check_ins: CheckInService,
    enrollment: EnrollmentService,
    limits: Limits,
    secrets: SecretDelivery,
    more: Sequence[Route] = (),
) -> Router:
    """The ASGI application of the device port; `more` are the routes of other features."""

    async def check_in(request: Request) -> Response:
        fingerprint = peer_fingerprint(request.scope)
        if fingerprint is None:
            raise _certificate_required()
        reply = await check_ins.check_in(fingerprint, await body_of(request, limits.check_in_bytes))
        return Response(reply, media_type=MEDIA_TYPE)

    return Router(
        routes=[
            Route("/v1/check-in", Guarded(check_in), methods=["POST"]),
            *est_routes(enrollment, limits),
            *secret_routes(secrets, limits),
            *more,
            Route("/{path:path}", Guarded(nowhere)),
        ]
    )


def est_app(enrollment: EnrollmentService, limits: Limits) -> Router:
    """The ASGI application of the port for EST clients that speak no TLS 1.3."""
    return Router(routes=[*est_routes(enrollment, limits), Route("/{path:path}", Guarded(nowhere))])


def _certificate_required() -> IdentityRefused:
    return IdentityRefused(
        "identity.certificate_required",
        "A check-in needs the device's certificate.",
        remedy="Enroll the device first, then call with its certificate and key.",
        http_status=401,
    )
