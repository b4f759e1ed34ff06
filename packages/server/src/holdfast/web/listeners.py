"""Listening: uvicorn servers that share one event loop, each on its own port or socket."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import uvicorn

from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.limits import Limits

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 900
GRACE_SECONDS = 5


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
        """Listen, with a bound on the handshake that uvicorn does not offer."""

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(
                config=self.config, server_state=self.server_state, app_state={}, _loop=asyncio.get_running_loop()
            )  # type: ignore[call-arg]  # uvicorn types it as any of its classes
            return made

        handshake = self._limits.handshake_seconds if self._tls else None
        self.servers = [
            await asyncio.get_running_loop().create_server(
                protocol, sock=self._listening, ssl=self._tls, backlog=BACKLOG, ssl_handshake_timeout=handshake
            )
        ]
        self.started = True

    async def listen(self) -> None:
        """Serve until `should_exit`."""
        await self._serve()

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._listening.getsockname()[1])


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
