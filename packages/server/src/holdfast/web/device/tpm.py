"""The routes by which a device enrolls with its TPM.

======================================  =============================================================
``POST /v1/enroll/tpm/begin``           the chip's keys; answered with a secret only that chip can open
``POST /v1/enroll/tpm/finish``          the secret and the device's key; answered with certificates (PKCS#7, base64)
======================================  =============================================================
"""

from __future__ import annotations

import base64

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.identity.tpm_enrollment import TpmEnrollment
from holdfast.web.device.est import PKCS7
from holdfast.web.device.guarded import Guarded, body_of
from holdfast_core.kernel.limits import Limits
from holdfast_core.wire.tpm import BEGIN_PATH, FINISH_PATH, MEDIA_TYPE, Begin, Finish, decode_step


def tpm_routes(enrollment: TpmEnrollment, limits: Limits) -> list[Route]:
    """The routes of both steps."""

    async def begin(request: Request) -> Response:
        step = decode_step(await body_of(request, limits.tpm_bytes), Begin, limits)
        return Response(msgspec.json.encode(enrollment.begin(step)), media_type=MEDIA_TYPE)

    async def finish(request: Request) -> Response:
        step = decode_step(await body_of(request, limits.tpm_bytes), Finish, limits)
        der = pkcs7.serialize_certificates(await enrollment.finish(step), Encoding.DER)
        return Response(base64.b64encode(der), media_type=PKCS7, headers={"content-transfer-encoding": "base64"})

    return [
        Route(BEGIN_PATH, Guarded(begin), methods=["POST"]),
        Route(FINISH_PATH, Guarded(finish), methods=["POST"]),
    ]
