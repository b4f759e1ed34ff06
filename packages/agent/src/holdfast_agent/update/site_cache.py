"""The cache of a site's gateway: payloads come from it where it has them, and over the control plane's line otherwise.

1. Plain HTTP is right here: a payload is what both repositories' signatures say, whoever brings it, and what a site's
   devices install is no secret from the site's network. Nothing of the device's identity is shown.
2. Nothing depends on it. What it refuses, breaks, sends wrongly or too slowly comes over the control plane's line; so
   does what it puts off (503 with ``Retry-After``) `MOST_LATER` times in a row.
3. What it once sent wrongly for a payload, it is not asked for again (`Sources`).

Source: RFC 9110, 10.2.3 (Retry-After), 15.6.4.
"""

from __future__ import annotations

import http.client
import time
from typing import Any
from urllib.parse import urlsplit

from holdfast_agent import transport
from holdfast_agent.update.download import Download, Interrupted, Rate, Slice, Wrong
from holdfast_agent.update.line import DirectLine
from holdfast_agent.update.ports import Ports
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.wire.update_metadata import LARGEST_BROUGHT

MOST_LATER = 5
LEAST_KBIT_S = 64
"""What a cache must bring on the average of a slice; a drip is not waited for."""
LATER = "update.later"


def parse_cache(url: str) -> transport.Server:
    """The gateway in ``http://HOST:PORT``. Raises HostileData ``agent.cache_url``."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    beyond = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme != "http" or not parts.hostname or not port or beyond:
        raise HostileData(
            "agent.cache_url",
            f"{url[:200]!r} is not the address of a gateway's cache.",
            remedy="Write http://HOST:PORT, as 'holdfast-gateway cache --listen' has it.",
        )
    return transport.Server(parts.hostname, port)


def cache_line(url: str) -> DirectLine:
    """A connection to the cache at `url`, not opened yet. Raises HostileData ``agent.cache_url``."""
    server = parse_cache(url)
    return DirectLine(server, connection=_Plain(server.host, server.port), limit=LARGEST_BROUGHT)


class _Plain(http.client.HTTPConnection):
    """HTTP that obeys a deadline."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, timeout=transport.EXCHANGE_S)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = transport.Timed(self.sock)
        self.deadline(time.monotonic() + transport.EXCHANGE_S)

    def deadline(self, at: float) -> None:
        """See `transport.Deadlined`."""
        if self.sock is not None:
            self.sock.at = at


class Sources:
    """Where the payload of one target comes from: the cache first, while it is worth it."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._later = 0
        self._direct = ports.cache is None
        self.mixed = False
        """Whether any of what is here came from the cache."""

    def slice(self, download: Download, rate: Rate) -> Slice:
        """Fetch some of it. Raises as `Download.slice`."""
        if self._ports.cache is None or self._direct:
            return download.slice(self._ports.dial(), rate)
        try:
            return self._from_cache(download, rate)
        except (Wrong, Interrupted, HostileData) as error:
            if isinstance(error, Interrupted) and error.code == LATER and self._later < MOST_LATER:
                self._later += 1
                raise
            self._leave(error)
        return download.slice(self._ports.dial(), rate)

    def distrust(self) -> None:
        """What came is wrong: whatever comes next comes over the control plane's line."""
        self._direct, self.mixed = True, False

    def _from_cache(self, download: Download, rate: Rate) -> Slice:
        assert self._ports.cache is not None  # noqa: S101  (looked at before)
        before = download.held
        try:
            brought = download.slice(self._ports.cache(), rate)
        finally:
            self.mixed = self.mixed or download.held != before
        self._later = 0
        least = min(LEAST_KBIT_S, rate.kbit_s // 2 or LEAST_KBIT_S) * 125 * rate.slice_s
        if not brought.whole and brought.came < least:
            self._direct = True
        return brought

    def _leave(self, error: HoldfastError) -> None:
        self._direct = True
        self._ports.say(f"The site's cache is left out for this payload. {error.sentence} [{error.code}]")
