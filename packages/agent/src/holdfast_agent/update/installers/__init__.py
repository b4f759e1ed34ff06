"""What writes a release into a slot: one protocol, and an implementation for each kind of payload.

1. An installer never touches the slot that runs. Every call may be repeated after a power cut, from its beginning.
2. Until `arm` returned, the next boot is the slot that runs; after it, the next boot tries the other one, as often as
   the boot loader allows. Only `confirm` makes that lasting.
3. Beyond that, one may be told of boots (`Counting`), or tell of its own (`OwnBoots`).
4. What it cannot do it says with a `WorldError` or `HostileData` whose code begins with ``installer.``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from holdfast_core.supply.model import Offer, Payload
from holdfast_core.wire.update import Running, Slot

Progress = Callable[[int], None]
"""Told of the percent that is done."""


class Installer(Protocol):
    """Writes and boots slots of one device."""

    kind: str
    """A `supply.model.PayloadKind`'s value."""

    def running(self) -> Running:
        """The slot that runs, and the release in it."""
        ...

    def slots(self) -> tuple[Slot, ...]:
        """Every slot, the running one included."""
        ...

    def on_trial(self) -> bool:
        """Whether the running slot is booted on trial and not confirmed."""
        ...

    def verify(self, payload: Path, offer: Offer) -> None:
        """Check the payload in its own form: signature, compatible, what it holds. Writes nothing.

        Raises:
            HostileData: ``installer.*``: it is not what may be installed here.
        """
        ...

    def write(self, payload: Path, offer: Offer, stated: Payload, progress: Progress) -> str:
        """Write it to the inactive slot, which is marked bad meanwhile; the slot's name.

        Raises:
            WorldError: ``installer.disk_full``, ``installer.failed``, ``installer.*``.
            HostileData: ``installer.*``.
        """
        ...

    def read_back(self, payload: Path, offer: Offer, stated: Payload) -> None:
        """Read the inactive slot from the medium and compare it with what was to be written.

        Raises:
            WorldError: ``installer.slot_corrupt``.
        """
        ...

    def arm(self, offer: Offer) -> None:
        """Let the next boot try the inactive slot, and fall back by itself if it is not confirmed."""
        ...

    def confirm(self, offer: Offer) -> None:
        """Make the running slot the lasting one."""
        ...

    def revert(self) -> None:
        """Let the next boot be the slot before; before the boot, take `arm` back.

        Raises:
            WorldError: ``installer.no_way_back``: the slot before holds nothing that could be booted; ``installer.*``.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """An installer whose boot loader counts attempts down until somebody marks the slot good (rauc/rauc#683)."""

    def booted(self) -> None:
        """Once in each boot: give the slot that runs its attempts back, unless it is on trial."""
        ...


@runtime_checkable
class OwnBoots(Protocol):
    """An installer for another board than the one that the agent runs on: it boots by itself."""

    def boot_id(self) -> str:
        """What changes when the board has booted anew with another outcome: what it runs, or what became of a trial."""
        ...
