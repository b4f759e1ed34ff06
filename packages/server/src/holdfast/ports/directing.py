"""How a device is told under TUF what it should run; the director is the one implementation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast.ports.store import Change
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.supply.model import Release


class Directing(Protocol):
    """Names the targets of single devices."""

    def direct(self, key: DeviceKey, release: Release | None, now: Instant) -> Sequence[Change]:
        """The changes by which the director's metadata for a device names the payload of `release`, or nothing."""
        ...
