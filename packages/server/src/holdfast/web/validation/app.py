"""The routes of the validation port.

Plain HTTP: what is served is public and signed, and a TLS connection would have to ask here for its own certificate's
status first (RFC 5280, section 8). Nothing here needs a caller, changes anything, or tells more than a certificate.

======================================  ==============================================================
``GET /crl/ISSUER/SHARD.crl``           RFC 5280: one shard of an issuer's list, DER
``GET /crl/ISSUER/all.crl``, ``.pem``   the whole list of an issuer, DER or PEM
``POST /ocsp/ISSUER``                   RFC 6960, appendix A.1: a request as body
``GET /ocsp/ISSUER/REQUEST``            the same, base64 in the path; may be kept (RFC 5019, section 6)
``GET /issuers/ISSUER.cer``             the issuer's certificate, DER (RFC 5280, section 4.2.2.1)
======================================  ==============================================================
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from email.utils import format_datetime

from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from holdfast.identity.answers import StatusAnswers
from holdfast.identity.lists import WHOLE, MadeList, RevocationLists, pem
from holdfast.ports.clock import Clock
from holdfast.web.device.guarded import Guarded, Handler, body_of
from holdfast.web.validation.rate import Rate
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant, to_datetime
from holdfast_core.kernel.limits import Limits

CRL_TYPE, PEM_TYPE = "application/pkix-crl", "application/x-pem-file"
OCSP_TYPE = "application/ocsp-response"
CERTIFICATE_TYPE = "application/pkix-cert"
KEPT_SECONDS = 30
"""How long caches between us and who asks may keep lists and answers; a revocation waits no longer in them."""
ISSUER_KEPT_SECONDS = 24 * 3600
PIECE_BYTES = 64 * 1024
_SHARD_DIGITS = 6


def validation_app(lists: RevocationLists, answers: StatusAnswers, clock: Clock, limits: Limits) -> Router:
    """The ASGI application of the validation port."""

    async def crl(request: Request) -> Response:
        issuer = lists.named(request.path_params["issuer"])
        stem, _, form = request.path_params["file"].rpartition(".")
        if form not in ("crl", "pem") or (form == "pem" and stem != "all"):
            raise _nowhere()
        made = await lists.current(issuer, WHOLE if stem == "all" else _shard(stem))
        body, tag = written.of(made, form)
        media = CRL_TYPE if form == "crl" else PEM_TYPE
        return _kept(request, body, media, seconds=KEPT_SECONDS, since=made.stamp.this_update, tag=tag)

    async def post_ocsp(request: Request) -> Response:
        answer, _ = answers.answer(request.path_params["issuer"], await body_of(request, limits.ocsp_bytes))
        return Response(answer, media_type=OCSP_TYPE, headers={"cache-control": "no-store"})

    async def get_ocsp(request: Request) -> Response:
        answer, may_keep = answers.answer(request.path_params["issuer"], _decoded(request.path_params["request"]))
        if not may_keep:
            return Response(answer, media_type=OCSP_TYPE, headers={"cache-control": "no-store"})
        return _kept(request, answer, OCSP_TYPE, seconds=KEPT_SECONDS, since=clock.now())

    async def issuer_certificate(request: Request) -> Response:
        issuer = lists.named(request.path_params["issuer"])
        der = issuer.certificate.public_bytes(Encoding.DER)
        return _kept(request, der, CERTIFICATE_TYPE, seconds=ISSUER_KEPT_SECONDS, since=None)

    async def nowhere(_request: Request) -> Response:
        raise _nowhere()

    rate, written = Rate(limits.validation_requests), _Written()

    def guarded(handler: Handler) -> Guarded:
        async def paced(request: Request) -> Response:
            rate.admit(request.client.host if request.client else "", clock.now())
            return await handler(request)

        return Guarded(paced)

    return Router(
        routes=[
            Route("/crl/{issuer}/{file}", guarded(crl), methods=["GET"]),
            Route("/ocsp/{issuer}", guarded(post_ocsp), methods=["POST"]),
            Route("/ocsp/{issuer}/{request:path}", guarded(get_ocsp), methods=["GET"]),
            Route("/issuers/{issuer}.cer", guarded(issuer_certificate), methods=["GET"]),
            Route("/{path:path}", guarded(nowhere)),
        ],
        redirect_slashes=False,
    )


class _Written:
    """Lists as they are sent, with their tags: written once each, not for everybody who asks.

    Of a list of 100,000 entries that takes 35 ms, and who sends the tag along gets it for nothing.
    """

    def __init__(self) -> None:
        self._forms: dict[tuple[Digest, int, str], tuple[MadeList, bytes, str]] = {}

    def of(self, made: MadeList, form: str) -> tuple[bytes, str]:
        """The bytes of a list in a form, and their tag."""
        name = (made.issuer, made.shard, form)
        kept = self._forms.get(name)
        if kept is None or kept[0] is not made:
            body = made.der if form == "crl" else pem(made.der)
            kept = self._forms[name] = (made, body, _tag(body))
        return kept[1:]


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _kept(request: Request, body: bytes, media: str, *, seconds: int, since: Instant | None, tag: str = "") -> Response:
    """A response that caches may keep for so many seconds; without its body for who has these bytes already."""
    tag = tag or _tag(body)
    headers = {"etag": tag, "cache-control": f"max-age={seconds}, public, no-transform, must-revalidate"}
    if since is not None:
        headers["last-modified"] = format_datetime(to_datetime(since).replace(microsecond=0), usegmt=True)
    known = request.headers.get("if-none-match", "")
    if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    return _InPieces(body, media_type=media, headers=headers)


class _InPieces(Response):
    """A body sent in pieces, the next one when the last was taken: who reads nothing holds one piece in memory."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = bytes(self.body)
        for start in range(0, len(body) or 1, PIECE_BYTES):
            end = start + PIECE_BYTES
            await send({"type": "http.response.body", "body": body[start:end], "more_body": end < len(body)})


def _shard(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _SHARD_DIGITS):
        raise _nowhere()
    return int(text)


def _decoded(text: str) -> bytes:
    """A request in the path (RFC 6960, appendix A.1); what is no base64 is no request either, and answered as such."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _nowhere() -> HostileData:
    return HostileData(
        "http.not_found",
        "Nothing is served at this path.",
        remedy="Lists are under /crl, OCSP under /ocsp, issuers under /issuers (docs/reference/validation.md).",
        http_status=404,
    )
