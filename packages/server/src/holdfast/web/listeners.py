"""Listening: uvicorn servers that share one event loop, each on its own port or socket."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.limits import Limits

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 900
GRACE_SECONDS = 5
PAUSE_SECONDS = 0.1
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO})
"""accept(2): trouble of the moment or of one connection; the door stays open."""
_log = logging.getLogger("holdfast.listeners")


class Listener(uvicorn.Server):
    """One listening socket. Signals are the composition root's, not this class's.

    Args:
        app: the ASGI application.
        listening: a bound socket.
        tls: its context, or `None` for a local socket.
        limits: for the handshake.
        protocol: the HTTP protocol class.
    """

    def __init__(
        self,
        app: Any,
        listening: socket.socket,
        *,
        tls: ssl.SSLContext | None,
        limits: Limits,
        protocol: type[asyncio.Protocol] | None = None,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=protocol or "httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody stands between us and a device; a header must not say who it is
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)
        self._listening = listening
        self._tls = tls
        self._limits = limits

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  (uvicorn's signature)
        """Listen, with the bounds on handshakes that uvicorn does not offer."""

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(
                config=self.config, server_state=self.server_state, app_state={}, _loop=asyncio.get_running_loop()
            )  # type: ignore[call-arg]  # uvicorn types it as any of its classes
            return made

        door = Door(self._listening, protocol, self._tls, self._limits)
        self.servers = [door]  # type: ignore[list-item]  # all that uvicorn does with it is close and wait_closed
        self.started = True

    async def listen(self) -> None:
        """Serve until `should_exit`."""
        await self._serve()

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._listening.getsockname()[1])


class Door:
    """Accepts connections, and hands over those whose TLS handshake succeeds.

    The event loop's own server counts a connection only once it is open. Whoever opens sockets and stays mute would
    then take every file descriptor; here the oldest handshake gives way to a new one.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        limits: Limits,
    ) -> None:
        listening.listen(BACKLOG)
        listening.setblocking(False)  # noqa: FBT003  (the socket's own signature)
        self._listening, self._protocol, self._tls, self._limits = listening, protocol, tls, limits
        self._greeted: dict[asyncio.Task[None], None] = {}
        self._accepting = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
                _log.warning("a connection could not be accepted: %s", error.strerror)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if len(self._greeted) >= self._limits.handshakes:
                oldest = next(iter(self._greeted))
                self._forget(oldest)  # now, not when it ends: the next connection must cancel another one
                oldest.cancel()
            task = asyncio.create_task(self._greet(accepted))
            self._greeted[task] = None
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._greeted.pop(task, None)

    async def _greet(self, accepted: socket.socket) -> None:
        handshake = self._limits.handshake_seconds if self._tls else None
        loop = asyncio.get_running_loop()
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.connect_accepted_socket(self._protocol, accepted, ssl=self._tls, ssl_handshake_timeout=handshake)
        except OSError:
            accepted.close()  # no handshake came about; who calls knows why, and nobody here has to
        except asyncio.CancelledError:
            accepted.close()
            raise

    def close(self) -> None:
        """Accept no more."""
        self._accepting.cancel()
        for task in list(self._greeted):
            task.cancel()
        self._listening.close()

    async def wait_closed(self) -> None:
        """Return once nothing is accepted any more."""
        await asyncio.wait([self._accepting, *self._greeted])


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket.

    Raises:
        WorldError: ``serve.port``.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise WorldError(
            "serve.port",
            f"{host}:{port} cannot be listened on: {error.strerror}.",
            remedy="Another server may run already; stop it, or set another port in holdfast.toml.",
        ) from error
    return sock


def bind_local(path: Path) -> socket.socket:
    """A bound Unix socket that only its owner may connect to; a dead one of an earlier run is replaced."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    return sock
