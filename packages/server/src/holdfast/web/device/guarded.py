"""What every route for devices shares: bounded bodies, and errors that become problems.

Starlette's middleware would do as much and cost a quarter of a check-in.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from holdfast.web.problems import rendered, unexpected
from holdfast_core.kernel.errors import Bug, HoldfastError, HostileData, LimitExceeded

_log = logging.getLogger("holdfast.device")

Handler = Callable[[Request], Awaitable[Response]]


class Guarded:
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


async def body_of(request: Request, limit: int) -> bytes:
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


async def nowhere(_request: Request) -> Response:
    """The answer to a path that nothing is served at."""
    raise HostileData(
        "http.not_found",
        "Nothing is served at this path.",
        remedy="A device speaks POST /v1/check-in and EST under /.well-known/est (docs/reference/protocol.md).",
        http_status=404,
    )
