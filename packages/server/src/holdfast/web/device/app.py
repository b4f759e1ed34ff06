"""The routes of the device port.

A bare router, without Starlette's middleware: those layers cost a quarter of a check-in, and `_Guarded` answers for
every error itself.

======================================  =============================================================
``GET /.well-known/est/cacerts``        RFC 7030 §4.1: the chain, PKCS#7 certs-only, base64
``POST /.well-known/est/simpleenroll``  RFC 7030 §4.2: Basic with the device's name and its claim
``POST /v1/check-in``                   mutual TLS: one check-in, one reply
======================================  =============================================================
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import Certificate
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from holdfast.checkin.service import CheckInService
from holdfast.identity.service import IdentityService
from holdfast.web.device.protocol import peer_fingerprint
from holdfast.web.problems import rendered, unexpected
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.errors import Bug, HoldfastError, HostileData, LimitExceeded
from holdfast_core.kernel.limits import Limits
from holdfast_core.wire.frame import MEDIA_TYPE

PKCS7 = "application/pkcs7-mime; smime-type=certs-only"
_LINE = 64
_log = logging.getLogger("holdfast.device")

Handler = Callable[[Request], Awaitable[Response]]


def device_app(check_ins: CheckInService, identity: IdentityService, limits: Limits) -> Router:
    """The ASGI application of the device port."""

    async def check_in(request: Request) -> Response:
        fingerprint = peer_fingerprint(request.scope)
        if fingerprint is None:
            raise _certificate_required()
        reply = await check_ins.check_in(fingerprint, await _body(request, limits.check_in_bytes))
        return Response(reply, media_type=MEDIA_TYPE)

    async def cacerts(_request: Request) -> Response:
        return _pkcs7(identity.chain())

    async def simpleenroll(request: Request) -> Response:
        name, claim = _basic(request)
        # Base64 with its line ends is at most half as long again as the DER.
        der = _unwrapped(await _body(request, limits.csr_bytes * 3 // 2))
        return _pkcs7(await identity.enroll(name, claim, der))

    async def nowhere(_request: Request) -> Response:
        raise HostileData(
            "http.not_found",
            "Nothing is served at this path.",
            remedy="A device speaks POST /v1/check-in and EST under /.well-known/est (docs/reference/protocol.md).",
            http_status=404,
        )

    return Router(
        routes=[
            Route("/v1/check-in", _Guarded(check_in), methods=["POST"]),
            Route("/.well-known/est/cacerts", _Guarded(cacerts), methods=["GET"]),
            Route("/.well-known/est/simpleenroll", _Guarded(simpleenroll), methods=["POST"]),
            Route("/{path:path}", _Guarded(nowhere)),
        ]
    )


class _Guarded:
    """Answers with the handler's response, and turns errors into problems.

    What nobody foresaw is logged and told as our own fault, never as an empty answer.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = await self._response(Request(scope, receive))
        await response(scope, receive, send)

    async def _response(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except Bug as error:
            _log.exception("our fault: %s", error.code)
            return rendered(error)
        except HoldfastError as error:
            return rendered(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception:  # noqa: BLE001  (the outermost edge: a device must get a problem, not a bare EOF)
            _log.exception("unforeseen")
            return rendered(unexpected())


async def _body(request: Request, limit: int) -> bytes:
    """The request's body, at most `limit` bytes of it."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise LimitExceeded(
                "http.body_too_large",
                f"The request's body is over {limit} bytes.",
                remedy="Send unchanged sections as digests, and shorten what is left.",
            )
        parts.append(part)
    return b"".join(parts)


def _basic(request: Request) -> tuple[str, str]:
    """Name and claim from HTTP Basic (RFC 7617); also without a header, so that the answer is one and the same."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    name, colon, claim = text.partition(":")
    if not colon:
        raise IdentityRefused(
            "claim.required",
            "Enrollment needs the device's name and its claim.",
            remedy="Send HTTP Basic: the device id as user, the claim as password (RFC 7030, section 3.2.3).",
            http_status=401,
        )
    return name, claim


def _unwrapped(body: bytes) -> bytes:
    """DER from base64 in any wrapping: line ends and PEM armour are taken as they come (RFC 8951, section 3)."""
    lines = [line.strip() for line in body.splitlines() if not line.startswith(b"-----")]
    try:
        return base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error as error:
        raise HostileData(
            "csr.malformed",
            "The certificate request is not base64.",
            remedy="Send a DER PKCS#10 request, base64 encoded (RFC 7030, section 4.2.1).",
        ) from error


def _pkcs7(certificates: list[Certificate]) -> Response:
    der = pkcs7.serialize_certificates(certificates, Encoding.DER)
    text = base64.b64encode(der)
    wrapped = b"\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE)) + b"\n"
    return Response(wrapped, media_type=PKCS7, headers={"content-transfer-encoding": "base64"})


def _certificate_required() -> IdentityRefused:
    return IdentityRefused(
        "identity.certificate_required",
        "A check-in needs the device's certificate.",
        remedy="Enroll the device first, then call with its certificate and key.",
        http_status=401,
    )
