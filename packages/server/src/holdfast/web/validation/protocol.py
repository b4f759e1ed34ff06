"""HTTP/1.1 as the validation port speaks it: the device port's bounds, with connections counted by address."""

from __future__ import annotations

import asyncio

from holdfast.web.device.protocol import BoundedProtocol
from holdfast.web.validation.rate import network_of
from holdfast_core.kernel.digests import Digest, digest_of


class ValidationProtocol(BoundedProtocol):
    """One connection of whoever asks; it may idle no longer than any of somebody unknown."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it too
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        self.timeout_keep_alive = self.limits.anonymous_seconds

    def _who(self, transport: asyncio.Transport) -> Digest | None:
        """The address, or its network."""
        peer = transport.get_extra_info("peername")
        return digest_of(network_of(peer[0]).encode()) if peer else None

    def _share(self, _tls: object) -> int:
        """One address leaves most connections to the others."""
        return max(1, self.limits.connections // 4)
