"""Time and randomness, so that neither is ever reached for."""

from __future__ import annotations

from typing import Protocol

from holdfast_core.kernel.instants import Instant


class Clock(Protocol):
    """The server's time."""

    def now(self) -> Instant:
        """The current instant."""
        ...


class Randomness(Protocol):
    """The server's unguessable bytes."""

    def token(self, size: int) -> str:
        """`size` random bytes as URL-safe base64 without padding."""
        ...
