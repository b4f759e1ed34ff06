"""The device's connection to its server for updates: larger answers than a check-in's, and payloads as streams.

1. Trust and identity are those of every other exchange (`dialing`): the pinned root alone, TLS 1.3, both sides.
2. An exchange of metadata is bounded as any other, in time and size. A payload has a deadline of its own, which its
   reader moves (`download`).
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import Any, Protocol

from holdfast_agent import transport
from holdfast_agent.relay import RelayClient
from holdfast_agent.state import IDENTITY, ROOT, Config, Folder, KeyPlace
from holdfast_agent.token import Token, parse_token
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.update_metadata import LARGEST_BROUGHT

OPENING_S = 30.0
"""For connecting, asking, and the head of the answer."""


class Line(transport.Channel, Protocol):
    """What an update needs of its connection."""

    def stream(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """The answer to a GET, whatever its status, its body unread. Raises OSError, HTTPException, ValueError."""
        ...

    def wait(self, seconds: float) -> None:
        """From here on, give up a read after so many seconds."""
        ...


class _Streaming:
    """What makes a `Client` a `Line`."""

    _connection: transport.Deadlined
    _reading: Any = None

    def stream(self, path: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        """See `Line`."""
        connection = self._connection
        connection.close()  # what an earlier stream left unread would be taken for the answer
        connection.connect()
        # An answer that ends with its connection takes the socket away from it.
        self._reading = connection.sock
        self.wait(OPENING_S)
        connection.request("GET", path, None, headers)
        return connection.getresponse()

    def wait(self, seconds: float) -> None:
        """See `Line`."""
        self._reading.at = time.monotonic() + seconds


class DirectLine(_Streaming, transport.Client):
    """A `Line` of Python's own TLS, or of any connection that obeys a deadline."""


class RelayLine(_Streaming, RelayClient):
    """A `Line` for a device whose key lies in a PKCS#11 token."""

    def __init__(self, server: transport.Server, token: Token, *, root: Path, identity: Path) -> None:
        super().__init__(server, token, root=root, identity=identity)
        self._limit = LARGEST_BROUGHT


def dial(folder: Folder, config: Config) -> Line:
    """The connection. Raises WorldError ``agent.identity_unusable``, ``agent.tpm_provider``, ``agent.token*``."""
    server = transport.parse_server(config.server)
    if config.key is KeyPlace.TOKEN:
        return RelayLine(server, parse_token(config.token), root=folder.path / ROOT, identity=folder.path / IDENTITY)
    if config.key is KeyPlace.TPM:
        from holdfast_agent.provider import use_tpm  # noqa: PLC0415  (only where there is a chip)

        use_tpm(config.tcti)
    try:
        context = transport.pinned_context((folder.path / ROOT).read_text("ascii"), folder.path / IDENTITY)
    except (OSError, UnicodeDecodeError) as error:
        raise WorldError(
            "agent.identity_unusable",
            f"The device's key, certificate or authority cannot be used: {error}.",
            remedy="Ask an operator for a new claim and enroll the device again.",
        ) from error
    return DirectLine(server, context, limit=LARGEST_BROUGHT)
