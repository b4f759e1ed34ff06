"""How any service that changed a device's facts gets the verdict that follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast.ports.store import Change
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.posture import Posture


class Verdicts(Protocol):
    """Settles a posture's verdict."""

    def settle(self, device: Device, posture: Posture, now: Instant) -> tuple[Posture, Sequence[Change]]:
        """The posture with the verdict that its facts give at `now`, and what follows from a change of verdict.

        The posture itself is not among the changes: the caller commits it with whatever else it changed.
        """
        ...

    def begin(self, device: Device, before: Posture | None, now: Instant) -> tuple[Posture, Sequence[Change]]:
        """The posture of a device that just enrolled, and what follows; what outlives a key is kept of `before`."""
        ...
