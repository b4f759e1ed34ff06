"""The real clock and the real randomness."""

from __future__ import annotations

import secrets
import time

from holdfast_core.kernel.instants import Instant


class SystemClock:
    """Implements `holdfast.ports.clock.Clock`."""

    def now(self) -> Instant:
        """The wall clock, in milliseconds."""
        return Instant(time.time_ns() // 1_000_000)


class SystemRandomness:
    """Implements `holdfast.ports.clock.Randomness`."""

    def token(self, size: int) -> str:
        """`size` random bytes as URL-safe base64."""
        return secrets.token_urlsafe(size)
