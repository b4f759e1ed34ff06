"""EST (RFC 7030, as RFC 8951 clarifies it): enrollment over HTTPS, for our agent and for any other client.

==============================================  =============================================================
``GET /.well-known/est/cacerts``                §4.1: the authorities, PKCS#7 certs-only
``POST /.well-known/est/simpleenroll``          §4.2: Basic with name and claim, or a certificate that admits
``POST /.well-known/est/simplereenroll``        §4.2.2: with the certificate to be renewed
``GET /.well-known/est/csrattrs``               §4.5: what a request should have
==============================================  =============================================================

1. Base64 is taken in any wrapping, with PEM armour or without, and sent in lines of 64: some clients read no other.
2. An answer to an enrollment holds the one certificate that was issued; what leads to the root is told by cacerts.
3. An operation may stand under a label (§3.2.2); there is one authority, so every label means it.
"""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from holdfast.identity.enrollment import EnrollmentService, Pending, Shown
from holdfast.web.device.guarded import Guarded, body_of
from holdfast.web.device.protocol import channel_value, peer_chain
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.limits import Limits

PKCS7 = "application/pkcs7-mime; smime-type=certs-only"
CACERTS_TYPE = "application/pkcs7-mime"
"""§4.1.3 has no parameter here, and §4.2.3 has one; clients of the field compare the whole value."""
CSR_ATTRIBUTES = "application/csrattrs"
EST = "/.well-known/est"
_LINE = 64
_CHALLENGE_PASSWORD = bytes.fromhex("300b06092a864886f70d010907")
"""CsrAttrs (RFC 7030, section 4.5.2): SEQUENCE of the one OID challengePassword, 1.2.840.113549.1.9.7."""


def est_routes(enrollment: EnrollmentService, limits: Limits) -> list[Route]:
    """The routes of EST."""

    async def cacerts(request: Request) -> Response:
        return _pkcs7(enrollment.authorities(_shown(request)), CACERTS_TYPE)

    async def simpleenroll(request: Request) -> Response:
        shown, name = _shown(request), _basic(request)
        return _answer(await enrollment.enroll(shown, name, await _request_in(request, limits)))

    async def simplereenroll(request: Request) -> Response:
        return _answer(await enrollment.renew(_shown(request), await _request_in(request, limits)))

    async def csrattrs(request: Request) -> Response:
        # Only a channel with a unique value can be tied to a request; elsewhere nothing beside the key is asked for.
        if channel_value(request.scope) is None:
            return Response(status_code=204)
        return Response(_wrapped(_CHALLENGE_PASSWORD), media_type=CSR_ATTRIBUTES, headers=_ENCODING)

    operations = (
        ("cacerts", cacerts, "GET"),
        ("simpleenroll", simpleenroll, "POST"),
        ("simplereenroll", simplereenroll, "POST"),
        ("csrattrs", csrattrs, "GET"),
    )
    return [
        Route(f"{EST}{label}/{name}", Guarded(handler), methods=[method])
        for name, handler, method in operations
        for label in ("", "/{label}")
    ]


_ENCODING = {"content-transfer-encoding": "base64"}


def _shown(request: Request) -> Shown:
    address = request.client.host if request.client else ""
    return Shown(peer_chain(request.scope), channel_value(request.scope), address)


async def _request_in(request: Request, limits: Limits) -> bytes:
    """The request's DER. Base64 with its line ends is at most half as long again, and armour adds some lines."""
    return _unwrapped(await body_of(request, limits.csr_bytes * 3 // 2))


def _answer(made: x509.Certificate | Pending) -> Response:
    if isinstance(made, Pending):
        return Response(status_code=202, headers={"retry-after": str(made.retry_after_s)})
    return _pkcs7([made])


def _basic(request: Request) -> tuple[str, str] | None:
    """Name and claim from HTTP Basic (RFC 7617), if they can be read."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, claim = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, claim) if colon else None


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


def _pkcs7(certificates: list[x509.Certificate], media_type: str = PKCS7) -> Response:
    der = pkcs7.serialize_certificates(certificates, Encoding.DER)
    return Response(_wrapped(der), media_type=media_type, headers=_ENCODING)


def _wrapped(der: bytes) -> bytes:
    text = base64.b64encode(der)
    return b"\n".join(text[start : start + _LINE] for start in range(0, len(text), _LINE)) + b"\n"
