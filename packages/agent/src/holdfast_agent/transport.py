"""HTTPS to the one server a device has, bounded in time and size.

1. TLS 1.3; the server is verified against the pinned root alone, its name included. Time is not checked: the device's
   clock may stand at 1970, and the root was pinned by a person.
2. One deadline covers a whole exchange, so that a peer that sends a byte a second gains nothing.
3. Whatever goes wrong is a `Refusal` with a code and a remedy, never a traceback.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.device import Refusal

DEFAULT_PORT = 8444
EXCHANGE_S = 30.0
"""For connecting, and again for each request with its answer."""
NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not name."""
_AGAIN = "Check address, port and network. A check-in is tried again by itself; an enrollment has to be repeated."
_PROBLEM = "application/problem+json"
_OK = 200


class Failed(WorldError):
    """The exchange did not succeed; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code, refusal.sentence, remedy=refusal.remedy)
        self.refusal = refusal


class Server(msgspec.Struct, frozen=True):
    """Where the server is."""

    host: str
    port: int


def parse_server(url: str) -> Server:
    """The server in ``https://host[:port]``, or raise HostileData ``agent.url``."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise HostileData(
            "agent.url", f"{url[:200]!r} is not a server's address.", remedy="Write https://HOST or https://HOST:PORT."
        )
    return Server(parts.hostname, port or DEFAULT_PORT)


def pinned_context(root: str, identity: Path | None = None) -> ssl.SSLContext:
    """TLS that trusts `root` (PEM) alone and shows `identity` (PEM: key and chain), if any. Raises OSError."""
    context = _context()
    context.verify_flags |= NO_CHECK_TIME
    context.load_verify_locations(cadata=root)
    if identity is not None:
        context.load_cert_chain(identity)
    return context


def unverified_context() -> ssl.SSLContext:
    """TLS that verifies nothing: only for fetching the root, whose digest is then compared with the pin."""
    context = _context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


class Channel(Protocol):
    """What a contact needs of a connection; `Client` is one."""

    def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """The body of a 200 answer, or `Failed`."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Deadlined(Protocol):
    """A connection of http.client whose socket obeys a deadline."""

    sock: Any

    def connect(self) -> None:
        """Open it."""
        ...

    def close(self) -> None:
        """Close it."""
        ...

    def deadline(self, at: float) -> None:
        """From here on, give up at `at` (monotonic seconds)."""
        ...

    def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Send a request."""
        ...

    def getresponse(self) -> http.client.HTTPResponse:
        """Its answer."""
        ...


class Client:
    """One kept-alive connection, opened when first needed.

    Args:
        server: whom to call.
        context: how to trust it; needed unless `connection` is given.
        connection: another way to reach it than Python's own TLS.
        exchange_s: seconds for one exchange.
        limit: bytes of a body that are accepted.
    """

    def __init__(
        self,
        server: Server,
        context: ssl.SSLContext | None = None,
        *,
        connection: Deadlined | None = None,
        exchange_s: float = EXCHANGE_S,
        limit: int = LIMITS.check_in_bytes,
    ) -> None:
        self._exchange_s = exchange_s
        self._limit = limit
        self._connection: Deadlined = connection or _Connection(
            server.host, server.port, timeout=exchange_s, context=context
        )

    def call(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200 answer.

        Raises:
            Failed: with the server's problem, or with ``agent.*`` where there was no answer of its.
        """
        try:
            return self._exchange(method, path, body, headers or {})
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise Failed(_failure(error)) from error
        except Failed:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._connection.close()

    def _exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        if self._connection.sock is None:
            self._connection.connect()
        self._connection.deadline(time.monotonic() + self._exchange_s)
        self._connection.request(method, path, body or None, dict(headers))
        response = self._connection.getresponse()
        data = response.read(self._limit + 1)
        if len(data) > self._limit:
            raise Failed(
                Refusal(
                    0,
                    "agent.reply_too_large",
                    f"The server's answer has more than {self._limit} bytes.",
                    "Check the server's address; Holdfast never answers so much.",
                )
            )
        if response.status != _OK:
            raise Failed(_problem(response, data))
        return data


class _Connection(http.client.HTTPSConnection):
    """An HTTPS connection whose socket obeys one deadline for everything that is read and written."""

    def connect(self) -> None:
        super().connect()
        self.sock: Any = Timed(self.sock)

    def deadline(self, at: float) -> None:
        """From here on, give up at `at` (monotonic seconds)."""
        self.sock.at = at


class Timed:
    """A socket as http.client uses it, with a deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.at = 0.0

    def arm(self) -> None:
        """Let the socket wait no longer than the deadline."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def sendall(self, data: bytes) -> None:
        """Send all of it in time."""
        self.arm()
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What is read from it, in time."""
        return io.BufferedReader(_Reader(self, self._sock.makefile("rb", 0)))

    def close(self) -> None:
        """Close it."""
        self._sock.close()


class _Reader(io.RawIOBase):
    """The socket's own raw file, armed before every read."""

    def __init__(self, timed: Timed, raw: socket.SocketIO) -> None:
        self._timed = timed
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._timed.arm()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _ProblemBody(msgspec.Struct):
    """The members of RFC 9457 that matter here, and ours."""

    title: str = ""
    detail: str = ""
    code: str = ""
    remedy: str = ""


def _problem(response: http.client.HTTPResponse, data: bytes) -> Refusal:
    body = _ProblemBody()
    if response.headers.get_content_type() == _PROBLEM:
        try:
            body = msgspec.json.decode(data, type=_ProblemBody)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            body = _ProblemBody()
    after = response.headers.get("Retry-After", "")
    return Refusal(
        response.status,
        _clean(body.code) or f"http.{response.status}",
        _clean(body.detail or body.title) or f"The server answered {response.status} and gave no reason.",
        _clean(body.remedy) or "Check that the address is Holdfast's device port.",
        int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0,  # noqa: PLR2004  (fits any pause)
    )


def _clean(text: str) -> str:
    """Another's text as one printable line: it will be shown on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[: LIMITS.text])


def _failure(error: Exception) -> Refusal:
    """Our words for what kept us from an answer. The order matters: most of these are OSErrors."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal(
            0,
            "agent.server_not_trusted",
            f"The server could not prove that it is ours: {error.verify_message}.",
            "Check the address; if the server got a new authority, enroll again with its new digest.",
        )
    if isinstance(error, ssl.SSLError):
        reason = error.reason or "the connection broke"
        return Refusal(
            0,
            "agent.tls_failed",
            f"No secure connection came about: {reason}.",
            "Check that the address is Holdfast's device port and that nothing on the way breaks TLS.",
        )
    if isinstance(error, TimeoutError):
        return Refusal(0, "agent.timeout", "The server did not answer in time.", _AGAIN)
    if isinstance(error, socket.gaierror):
        return Refusal(
            0, "agent.name_unresolved", f"The server's name could not be resolved: {error.strerror}.", "Check DNS."
        )
    if isinstance(error, OSError):
        why = error.strerror or "the connection was closed"
        return Refusal(0, "agent.unreachable", f"The server could not be reached: {why}.", _AGAIN)
    return Refusal(
        0,
        "agent.not_http",
        f"The server's answer was no proper HTTP: {type(error).__name__}.",
        "Check that the address is Holdfast's device port.",
    )
