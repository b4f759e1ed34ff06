"""Errors as RFC 9457 problems, one form for devices and people."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from holdfast_core.kernel.errors import Bug, HoldfastError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 15
BASIC_CHALLENGE = 'Basic realm="holdfast"'
_RETRY = frozenset({429, 503, 507})


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457 members, and two of our own: the stable `code` and what to do (`remedy`)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str


def problem(error: HoldfastError) -> Problem:
    """The problem that `error` is."""
    title = error.code.replace(".", " ").replace("_", " ").capitalize()
    return Problem(
        f"urn:holdfast:problem:{error.code}", title, error.http_status, error.sentence, error.code, error.remedy
    )


def rendered(error: HoldfastError, challenge: str = BASIC_CHALLENGE) -> Response:
    """The response that `error` is; `challenge` is how the caller should prove who it is, told with a 401."""
    headers = {"retry-after": str(error.retry_after_s or RETRY_AFTER_SECONDS)} if error.http_status in _RETRY else {}
    if error.http_status == 401:  # noqa: PLR2004  (RFC 9110, section 15.5.2: a 401 names a challenge)
        headers["www-authenticate"] = challenge
    return Response(msgspec.json.encode(problem(error)), error.http_status, headers, MEDIA_TYPE)


def unexpected() -> Bug:
    """What is told when something broke that nobody foresaw; the server's own log has the rest."""
    return Bug(
        "server.unexpected",
        "The server failed in a way nobody foresaw.",
        remedy="Try again later; if it stays, report it with the server's log of this moment.",
    )
