"""The outer edge of the operator API: who calls, how much they may send, and an answer whatever happens.

1. Nothing of a body is read before the caller is known; a body is read whole, and bounded, before a route sees it.
2. Whatever goes wrong is answered as a problem. What nobody foresaw is logged and told as our own fault.
3. Every answer carries the headers that keep a browser from making anything but data of it. There is no CORS.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.web.api.callers import CALLER, Caller
from holdfast.web.problems import rendered, unexpected
from holdfast_core.kernel.errors import Bug, HoldfastError, LimitExceeded

CHALLENGE = 'Bearer realm="holdfast"'
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
_log = logging.getLogger("holdfast.api")


class Edge:
    """Wraps the application of the operator API.

    Args:
        app: the application.
        identify: the caller of a request, or `IdentityRefused`.
        public: paths that need no caller.
        body_limit: bytes that a body may have.
        body_limits: the same for paths that take more; one that ends with ``/`` is for every path right below it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identify: Callable[[Scope], Caller],
        public: frozenset[str],
        body_limit: int,
        body_limits: Mapping[str, int],
    ) -> None:
        self._app = app
        self._identify = identify
        self._public = public
        self._body_limit = body_limit
        self._body_limits = body_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            if scope["path"] not in self._public:
                scope.setdefault("state", {})[CALLER] = self._identify(scope)
            body = await _whole_body(scope, receive, self._limit(scope["path"]))
            await self._app(scope, _replay(body, receive), answer.send)
        except ClientDisconnect:
            return
        except HoldfastError as error:
            if answer.started:
                raise  # half an answer is cut off, so that nobody takes it for a whole one
            if isinstance(error, Bug):
                _log.exception("our fault: %s", error.code)
            await rendered(error, CHALLENGE)(scope, receive, answer.send)
        except Exception:
            # The outermost place that can still answer: a caller must get a problem, not a bare EOF.
            _log.exception("unforeseen")
            if answer.started:
                raise
            await rendered(unexpected())(scope, receive, answer.send)

    def _limit(self, path: str) -> int:
        """How many bytes the body of a request to `path` may have."""
        above = path.rpartition("/")[0] + "/"
        return self._body_limits.get(path, self._body_limits.get(above, self._body_limit))


class _Answer:
    """Passes the answer on with our headers, and knows whether it has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.started = True
            message = {**message, "headers": [*message.get("headers", ()), *SECURITY_HEADERS]}
        await self._send(message)


async def _whole_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body, at most `limit` bytes of it; one that announces more is not waited for."""
    announced = Headers(scope=scope).get("content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then what the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _too_large(limit: int) -> LimitExceeded:
    return LimitExceeded(
        "http.body_too_large",
        f"The request's body is over {limit} bytes.",
        remedy="Send less at once: split an import into several lists.",
    )
