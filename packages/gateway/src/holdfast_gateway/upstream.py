"""Artefacts from the control plane: one request, over the gateway's own mutually authenticated TLS.

1. The identity is the gateway's own agent's, read for each connection, so that one that was renewed is used at once.
   The server is verified as the agent verifies it: against the pinned root alone, without regard to time.
2. Connecting and the head of the answer have one deadline; each read of the body has one of its own.
3. An answer without a length is refused, so nothing is without end, and room is made before the first byte.

Source: RFC 9110, 13.1.5 (If-Range), 14.4 (Content-Range), 15.5.17 (416).
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
from contextlib import ExitStack
from typing import Any, Protocol

from holdfast_agent import transport
from holdfast_agent.state import IDENTITY, ROOT, Config, Folder, KeyPlace
from holdfast_core.kernel.errors import WorldError
from holdfast_core.supply.model import LARGEST_PAYLOAD
from holdfast_gateway import troubles

OK, PARTIAL, NOT_SATISFIABLE = 200, 206, 416
ABSENT = frozenset({404, 410})
LATER = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_AFTER_S = 3600
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_LENGTH = re.compile(r"[0-9]{1,18}")
_ETAG = re.compile(r'"[!#-~]{1,200}"')


class Body(Protocol):
    """An answer with bytes: where they start, how long the whole file is, its entity tag if it has a strong one."""

    start: int
    total: int
    etag: str

    def read(self, most: int) -> bytes:
        """Some bytes, as they come; none at the end, which may be early. Raises WorldError ``gateway.upstream``."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Source(Protocol):
    """Where artefacts come from."""

    def open(self, path: str, start: int, etag: str) -> Body | None:
        """See `Upstream.open`."""
        ...


class Upstream:
    """The control plane of the agent whose state folder is `folder`. Raises WorldError ``gateway.token_key``."""

    def __init__(self, folder: Folder, *, exchange_s: float, stall_s: float) -> None:
        self._folder = folder
        self._exchange_s, self._stall_s = exchange_s, stall_s
        _prepare(folder.config())

    def open(self, path: str, start: int, etag: str) -> Body | None:
        """The bytes of `path` from `start` on, or from 0 where the server will not resume; `None`: not from there.

        Args:
            path: the artefact's.
            start: bytes that are here already.
            etag: the entity tag that they were sent with; empty where it is unknown.

        Raises:
            WorldError: ``gateway.absent``, ``gateway.upstream``, ``gateway.upstream_refused``,
                ``gateway.upstream_answer``, and what the state folder has to say.
        """
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if etag:
                headers["If-Range"] = etag
        with ExitStack() as ending:
            try:
                connection = self._connection()
                ending.callback(connection.close)
                connection.connect()
                timed = connection.sock
                # http.client lets go of the socket where the server announces that it will close.
                ending.callback(timed.close)
                timed.at = time.monotonic() + self._exchange_s
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                ending.callback(response.close)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _failure(error) from error
            if start and response.status == NOT_SATISFIABLE:
                return None
            start, total = _place(response, path, start)
            return _Answer(timed, response, start=start, total=total, stall_s=self._stall_s, ending=ending.pop_all())

    def _connection(self) -> _Connection:
        config = self._folder.config()
        server = transport.parse_server(config.server)
        path = self._folder.path
        try:
            context = transport.pinned_context((path / ROOT).read_text("ascii"), path / IDENTITY)
        except (OSError, ValueError) as error:
            raise troubles.unreachable(f"the gateway's identity cannot be read ({error})") from error
        return _Connection(server.host, server.port, timeout=self._exchange_s, context=context)


def _prepare(config: Config) -> None:
    """Make the key usable by this process, wherever it lies."""
    if config.key is KeyPlace.TPM:
        from holdfast_agent.provider import use_tpm  # noqa: PLC0415  (only where there is a chip)

        use_tpm(config.tcti)
    if config.key is KeyPlace.TOKEN:
        raise WorldError(
            "gateway.token_key",
            "The cache cannot use a key in a PKCS#11 token.",
            remedy="Enroll an identity for the cache with --key file or --key tpm in a state folder of its own.",
        )


class _Connection(http.client.HTTPSConnection):
    """HTTPS whose socket obeys a deadline, which is set anew for each read of the body."""

    def connect(self) -> None:
        super().connect()
        self.sock: Any = transport.Timed(self.sock)


class _Answer:
    """A body that is being received. `start`, `total` and `etag` are as in `Body`."""

    def __init__(
        self,
        timed: transport.Timed,
        response: http.client.HTTPResponse,
        *,
        start: int,
        total: int,
        stall_s: float,
        ending: ExitStack,
    ) -> None:
        self._timed, self._response, self._stall_s, self._ending = timed, response, stall_s, ending
        self.start, self.total = start, total
        tag = response.headers.get("ETag", "")
        self.etag = tag if _ETAG.fullmatch(tag) else ""

    def read(self, most: int) -> bytes:
        """See `Body`."""
        self._timed.at = time.monotonic() + self._stall_s
        try:
            return self._response.read1(most)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(error) from error

    def close(self) -> None:
        """See `Body`."""
        self._ending.close()


def _place(response: http.client.HTTPResponse, path: str, start: int) -> tuple[int, int]:
    """Where an answer's bytes begin and how long the file is, once its head is believable. Raises WorldError."""
    status = response.status
    if status in ABSENT:
        raise troubles.absent(path)
    if status in LATER:
        raise troubles.unreachable(f"it answered {status}", _after(response))
    if status not in (OK, PARTIAL):
        raise troubles.refused(status)
    length = response.headers.get("Content-Length", "")
    if response.chunked or not _LENGTH.fullmatch(length):
        raise troubles.lying("it has no length")
    begin, total = 0, int(length)
    if status == PARTIAL:
        begin, total = _part(response.headers.get("Content-Range", ""), int(length), start)
    if not 0 < total <= LARGEST_PAYLOAD:
        raise troubles.lying(f"a file of {total} bytes")
    return begin, total


def _part(text: str, length: int, start: int) -> tuple[int, int]:
    """Where a part begins and how long its file is. Raises WorldError."""
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None or not start:
        raise troubles.lying("a part that is none")
    begin, end, total = int(found[1]), int(found[2]) + 1, int(found[3])
    if begin != start or end != total or end - begin != length:
        raise troubles.lying("another part than the one that was asked for")
    return begin, total


def _after(response: http.client.HTTPResponse) -> int:
    text = response.headers.get("Retry-After", "")
    return min(int(text), LONGEST_AFTER_S) if _LENGTH.fullmatch(text) else 0


def _failure(error: Exception) -> WorldError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return troubles.unreachable(f"it could not prove that it is ours ({error.verify_message})")
    if isinstance(error, TimeoutError):
        return troubles.unreachable("it did not answer in time")
    if isinstance(error, OSError):
        return troubles.unreachable(error.strerror or "the connection was closed")
    return troubles.unreachable(f"its answer was no proper HTTP ({type(error).__name__})")
