"""HTTP/1.1 as the device port speaks it: uvicorn's protocol with its missing bounds.

1. Header bytes, header time, body time and connections are bounded; whoever exceeds one gets an answer and is cut off.
2. The peer's certificate is read once per connection and put into the ASGI scope, where `peer_fingerprint` finds it.
3. This is the only module that knows uvicorn's insides; a change of uvicorn breaks here and nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, defaultdict
from typing import Any, ClassVar, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from holdfast.web.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, problem
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded, WorldError
from holdfast_core.kernel.limits import LIMITS, Limits

ENDING_SECONDS = 2.0
"""How long the answer under way may still take on a connection whose certificate has just ended."""
ALARM_SECONDS = 2.0
"""How much later than its limit a slow peer may be cut off."""
_ANSWER = "answer"
_EXTENSION = "holdfast.peer"
_USER_EXTENSION = "holdfast.user"
_DER = 2
"""``_ssl.ENCODING_DER``."""
_TLS_EXTENSION = "holdfast.tls"
_PEER_CREDENTIALS = struct.Struct("3i")
"""``struct ucred`` of unix(7): process, user, group."""


def peer_fingerprint(scope: Any) -> Digest | None:
    """The fingerprint of the certificate that the peer proved to hold the key of; `None` when it showed none."""
    fingerprint: Digest | None = scope.get("extensions", {}).get(_EXTENSION)
    return fingerprint


def peer_chain(scope: Any) -> tuple[bytes, ...]:
    """The chain (DER, leaf first) that TLS verified for the peer's certificate; empty when it showed none.

    A connection that takes up an earlier one's session (TLS 1.2 by its id, which the ssl module cannot switch off) has
    the leaf alone: it was verified then, and what it may do is judged now.
    """
    tls = scope.get("extensions", {}).get(_TLS_EXTENSION)
    leaf = None if tls is None else tls.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    if tls.session_reused:
        return (leaf,)
    # The ssl module verifies the chain but has no public way to read it before Python 3.13.
    chain = tls._sslobj.get_verified_chain() or ()  # noqa: SLF001
    return tuple(certificate.public_bytes(_DER) for certificate in chain)


def channel_value(scope: Any) -> bytes | None:
    """The connection's ``tls-unique`` (RFC 5929); `None` where there is none, as in TLS 1.3 (RFC 9266).

    Nor where an earlier session was taken up: there it need not be of one connection alone (RFC 7627, section 1).
    """
    tls = scope.get("extensions", {}).get(_TLS_EXTENSION)
    if tls is None or tls.version() != "TLSv1.2" or tls.session_reused:
        return None
    value: bytes | None = tls.get_channel_binding("tls-unique")
    return value


def peer_user(scope: Any) -> int | None:
    """The user id of the process at the other end of the local socket, as the kernel says; `None` elsewhere."""
    user: int | None = (scope.get("extensions") or {}).get(_USER_EXTENSION)
    return user


def as_local_user(scope: Any, user: int) -> Any:
    """`scope` as `LocalProtocol` would give it, for a command that serves itself while no server runs."""
    return {**scope, "extensions": {**(scope.get("extensions") or {}), _USER_EXTENSION: user}}


class BoundedProtocol(HttpToolsProtocol):
    """One connection of a device."""

    limits: ClassVar[Limits] = LIMITS
    open_by: ClassVar[Counter[Digest | None]] = Counter()
    """Connections by certificate; one class for each port (`bounded`), so that ports do not share it."""
    shown: ClassVar[defaultdict[Digest, set[BoundedProtocol]]] = defaultdict(set)
    """The connections that showed a certificate, by its fingerprint."""

    @classmethod
    def end(cls, fingerprint: Digest) -> int:
        """End every connection of a certificate, after the answer that is under way; return how many there were."""
        connections = tuple(cls.shown.get(fingerprint, ()))
        for connection in connections:
            connection._end()  # noqa: SLF001  (of this class)
        return len(connections)

    def _end(self) -> None:
        self._ending = True
        if self._answering:
            self.loop.call_later(ENDING_SECONDS, self.transport.abort)
        else:
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._peer = self._who(transport)
        self._tls = tls
        self._header_bytes = 0
        self._in_headers = True
        self._alarm: asyncio.TimerHandle | None = None
        self._due: tuple[float, float, str] | None = None
        self._ending = self._answering = False
        self.open_by[self._peer] += 1
        if self._peer is not None:
            self.shown[self._peer].add(self)
        if self._peer is None and tls is not None:
            self.timeout_keep_alive = self.limits.anonymous_seconds
        if len(self.connections) > self.limits.connections or self.open_by[self._peer] > self._share(tls):
            self._cut_off(_too_many())
        else:
            self._start_timer(self.limits.header_seconds, "headers")

    def _who(self, transport: asyncio.Transport) -> Digest | None:
        """By what connections are counted: the peer's certificate."""
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        return digest_of(der) if der else None

    def _share(self, tls: object) -> int:
        """How many connections there may be of this one's kind; the local socket has one user only."""
        if tls is None:
            return self.limits.connections
        return max(1, self.limits.connections // 4) if self._peer is None else self.limits.connections_per_device

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._due = None
        if self._alarm is not None:
            self._alarm.cancel()
        self.open_by[self._peer] -= 1
        if not self.open_by[self._peer]:
            del self.open_by[self._peer]
            if self._peer is not None:
                del self.shown[self._peer]
        elif self._peer is not None:
            self.shown[self._peer].discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count header bytes before they are parsed."""
        if self._in_headers:
            self._header_bytes += len(data)
            # What came after the headers in the same piece counts too: one piece is at most 256 KiB.
            if self._header_bytes > self.limits.header_bytes + self.limits.check_in_bytes:
                self._cut_off(_long_headers(self.limits.header_bytes))
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request starts: its headers may take so long. One may wait for the answer to another, not more."""
        if self.pipeline:
            self._cut_off(_pipelined())
        super().on_message_begin()
        self._answering = True
        self.scope["extensions"] = {_EXTENSION: self._peer, _TLS_EXTENSION: self._tls}  # type: ignore[dict-item]  # an extension of our own
        self._seen = 0
        self._start_timer(self.limits.header_seconds, "headers")

    def on_url(self, url: bytes) -> None:
        """Bound the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._seen += size
        if self._seen > self.limits.header_bytes:
            self._cut_off(_long_headers(self.limits.header_bytes))

    def on_headers_complete(self) -> None:
        """The headers are there: now the body may take so long."""
        self._in_headers = False
        self._start_timer(self.limits.body_seconds, "body")
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, unless the connection was cut off."""
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete; now its answer must be taken."""
        self._start_timer(self.limits.answer_seconds, _ANSWER)
        self._in_headers = True
        self._header_bytes = 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def resume_writing(self) -> None:
        """Some of a long answer was taken; the next piece has its own time."""
        super().resume_writing()
        if self._due is not None and self._due[2] == _ANSWER:
            self._start_timer(self.limits.answer_seconds, _ANSWER)

    def on_response_complete(self) -> None:
        """The answer was handed over; a request that waited comes next."""
        self._stop_timer()
        self._answering = bool(self.pipeline)
        if self.pipeline:
            self._start_timer(self.limits.answer_seconds, _ANSWER)
        super().on_response_complete()
        if self._ending:
            self.transport.close()

    def _start_timer(self, seconds: float, what: str) -> None:
        """Expect `what` within `seconds`."""
        self._due = (self.loop.time() + seconds, seconds, what)
        if self._alarm is None:
            self._alarm = self.loop.call_later(min(seconds, ALARM_SECONDS), self._ring)

    def _ring(self) -> None:
        """Look whether what was waited for is overdue. One alarm for many requests: a timer for each costs a tenth."""
        self._alarm = None
        if self._due is None or self.transport.is_closing():
            return
        moment, seconds, what = self._due
        left = moment - self.loop.time()
        if left > 0:
            self._alarm = self.loop.call_later(min(left, ALARM_SECONDS), self._ring)
        elif what == _ANSWER and self.cycle.response_started and not self.flow.write_paused:
            self._start_timer(seconds, what)  # all that was written was taken: it is we who are slow
        elif what == _ANSWER:
            self.transport.abort()  # without a word, for nobody reads
        else:
            self._cut_off(_slow(what, seconds))

    def _stop_timer(self) -> None:
        self._due = None

    def _cut_off(self, error: HostileData | WorldError) -> None:
        """Answer with the problem, then close."""
        if self.transport.is_closing():
            return
        body = msgspec.json.encode(problem(error))
        again = f"retry-after: {RETRY_AFTER_SECONDS}\r\n" if isinstance(error, WorldError) else ""
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n{again}connection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[error.http_status] + head.encode() + body)
        self.transport.close()


def bounded(limits: Limits, kind: type[BoundedProtocol] = BoundedProtocol) -> type[BoundedProtocol]:
    """The protocol of one port under `limits`, with a count of its own."""
    return type(kind.__name__, (kind,), {"limits": limits, "open_by": Counter(), "shown": defaultdict(set)})


class EstProtocol(BoundedProtocol):
    """One connection of an EST client; its answers spell header names as RFCs do.

    Names mean the same in any case (RFC 9110, section 5.1), but clients of the field compare them byte by byte.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Take the connection."""
        super().connection_made(cast("asyncio.Transport", _Spelling(transport)))


class _Spelling:
    """A transport that writes the names of headers with capitals; uvicorn makes them small without asking."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Pass `data` on; the head of an answer is one write, and begins with the protocol's name."""
        if data.startswith(b"HTTP/1.1 "):
            head, end, body = data.partition(b"\r\n\r\n")
            status, *fields = head.split(b"\r\n")
            data = b"\r\n".join([status, *map(_spelled, fields)]) + end + body
        self._transport.write(data)


def _spelled(field: bytes) -> bytes:
    name, colon, value = field.partition(b":")
    return (_ODD_NAMES.get(name) or name.title()) + colon + value


_ODD_NAMES = {b"www-authenticate": b"WWW-Authenticate", b"etag": b"ETag"}


class LocalProtocol(BoundedProtocol):
    """One connection to the local socket; `peer_user` finds who made it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Ask the kernel once who is there; who connected stays who it is for the whole connection."""
        peer: socket.socket = transport.get_extra_info("socket")
        data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        _, self._user, _ = _PEER_CREDENTIALS.unpack(data)
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """A request starts."""
        super().on_message_begin()
        self._answering = True
        self.scope["extensions"][_USER_EXTENSION] = self._user


def _long_headers(limit: int) -> LimitExceeded:
    return LimitExceeded(
        "http.headers_too_large",
        f"The request's headers are over {limit} bytes.",
        remedy="Send the headers that the protocol reference lists and no others.",
        http_status=431,
    )


def _slow(what: str, seconds: float) -> LimitExceeded:
    return LimitExceeded(
        "http.too_slow",
        f"The request's {what} did not arrive within {seconds:g} s.",
        remedy="Send the request in one go; on a very slow link send less.",
        http_status=408,
    )


def _pipelined() -> HostileData:
    return HostileData(
        "http.pipelined",
        "Requests came faster than their answers were read.",
        remedy="Wait for the answer before the next request.",
        http_status=429,
    )


def _too_many() -> WorldError:
    return WorldError(
        "http.too_many_connections",
        "The server has as many connections as it takes.",
        remedy="Come back after the time in Retry-After, or at the next contact.",
    )
