"""One mutual-TLS connection to the device port, for those who speak the protocol without the agent.

1. A connection is opened once and never by itself again: whoever holds it can prove that an answer came over the very
   connection that an earlier answer came over.
2. An answer is handed on as it came, refusals too; judging it is the caller's.
"""

from __future__ import annotations

import http.client
from pathlib import Path

import msgspec

from holdfast_agent.transport import EXCHANGE_S, parse_server, pinned_context
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.frame import MEDIA_TYPE

ENDED_SECONDS = 5.0
"""How long the end of a connection may take to arrive."""
CHECK_IN_PATH = "/v1/check-in"
OK = 200


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes


class Link:
    """A connection that shows the identity in a file.

    Args:
        url: the server's address, as devices know it.
        root: the authority to trust (PEM file).
        identity: private key and certificate chain (PEM file).

    Raises:
        WorldError: ``link.failed``.
    """

    def __init__(self, url: str, root: Path, identity: Path) -> None:
        server = parse_server(url)
        try:
            context = pinned_context(root.read_text("ascii"), identity)
            self._connection = http.client.HTTPSConnection(
                server.host, server.port, timeout=EXCHANGE_S, context=context
            )
            self._connection.connect()
        except OSError as error:
            raise _failed(url, error) from error
        # Rule 1: http.client would quietly open another connection.
        self._connection.auto_open = 0
        self._url = url

    def check_in(self, data: bytes) -> Answer:
        """Send the bytes of a check-in. Raises WorldError ``link.failed``."""
        try:
            self._connection.request("POST", CHECK_IN_PATH, data, {"Content-Type": MEDIA_TYPE})
            response = self._connection.getresponse()
            body = response.read(LIMITS.check_in_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise _failed(self._url, error) from error
        return Answer(response.status, body)

    def was_ended(self) -> bool:
        """Whether the server has ended the connection; asked between two exchanges, when it has nothing to say."""
        sock = self._connection.sock
        if sock is None:
            return True
        sock.settimeout(ENDED_SECONDS)
        try:
            return sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            sock.settimeout(EXCHANGE_S)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def _failed(url: str, error: Exception) -> WorldError:
    return WorldError(
        "link.failed",
        f"The connection to {url} failed: {str(error) or type(error).__name__}.",
        remedy="Check that the control plane runs and can be reached from here.",
    )
