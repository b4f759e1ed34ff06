"""A client of the operator API, as any program would write one; it trusts the authority that `init` made.

1. Everything the demo claims to see, it saw through here.
2. A refusal is the server's own code, sentence and remedy; an unreachable server names its log.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from holdfast_core.kernel.errors import WorldError

TIMEOUT_S = 60.0
_PREFIX = "/api/v1"
_REFUSED = 400


class ApiRefused(WorldError):
    """The server refused a request."""


class Api:
    """The operator API on this machine.

    Args:
        port: the port for people.
        root: the authority of its certificate (PEM file).
        token: the API token.
        log: the server's log, for messages.
    """

    def __init__(self, port: int, root: Path, token: str, log: Path) -> None:
        context = ssl.create_default_context(cafile=str(root))
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=context)
        self._root = root
        self._token = token
        self._log = log
        self._lock = threading.Lock()

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON at `path`. Raises `ApiRefused`, WorldError ``demo.api_unreachable``."""
        return msgspec.json.decode(self.raw(path, **query))

    def raw(self, path: str, **query: str | int) -> bytes:
        """The bytes at `path`. Raises as `get`."""
        return self._call("GET", path + (f"?{urlencode(query)}" if query else ""), None, "")

    def post(self, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        """Post `body` as JSON (bytes as they are); returns the JSON that came back. Raises as `get`."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body if body is not None else {})
        return msgspec.json.decode(self._call("POST", path, data, kind))

    def device(self, device: str) -> Any:
        """Everything that is known of a device. Raises as `get`."""
        return self.get(f"/devices/{quote(device)}")

    def incidents(self, device: str) -> list[dict[str, Any]]:
        """The incidents of a device, newest first. Raises as `get`."""
        items: list[dict[str, Any]] = self.get("/incidents", state="all", device=device)["items"]
        return items

    def of(self, token: str) -> Api:
        """The same, for somebody with another token."""
        return Api(self._connection.port, self._root, token, self._log)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def _call(self, method: str, path: str, data: bytes | None, kind: str) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}", **({"Content-Type": kind} if kind else {})}
        with self._lock:
            for attempt in (1, 2):
                try:
                    self._connection.request(method, _PREFIX + path, data, headers)
                    response = self._connection.getresponse()
                    body = response.read()
                    break
                except (OSError, http.client.HTTPException) as error:
                    self._connection.close()
                    # A kept connection may have been closed while nothing was asked: once more, if nothing was done.
                    if attempt == 1 and method == "GET":
                        continue
                    raise WorldError(
                        "demo.api_unreachable",
                        f"The operator API did not answer {method} {path}: {str(error) or type(error).__name__}.",
                        remedy=f"Look into {self._log}.",
                    ) from error
        if response.status >= _REFUSED:
            raise _refusal(method, path, response.status, body)
        return body


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    remedy: str = ""


def _refusal(method: str, path: str, status: int, body: bytes) -> ApiRefused:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem(detail=body[:200].decode(errors="replace"))
    return ApiRefused(
        problem.code or f"http.{status}",
        f"{method} {path} was refused ({status}): {problem.detail}",
        remedy=problem.remedy or "Look into the server's log.",
    )
