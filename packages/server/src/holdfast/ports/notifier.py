"""Telling the outside."""

from __future__ import annotations

from typing import Protocol

from holdfast.ports.store import Delivery
from holdfast_core.kernel.instants import Instant


class Notifier(Protocol):
    """Sends one message."""

    async def send(self, delivery: Delivery, now: Instant) -> bool:
        """Whether the receiver took it; anything else is a failed attempt, never an exception."""
        ...
