"""What the device itself remembers of its slots: which release it wrote into each, and which one it armed.

1. Boot environments know good and bad, and no trial: they count a slot's attempts down, and whoever marks it good ends
   the count. That a slot runs on trial is therefore remembered here: it was armed, it runs, and nobody confirmed it.
2. A slot that is about to be written is forgotten first; one is remembered only once it was written whole.
3. The file is replaced whole: written beside, synced, given its name, the folder synced. One that cannot be read counts
   as empty: then nothing is known of the slots, and none is on trial.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from holdfast_agent.durable import replace
from holdfast_core.kernel.errors import WorldError
from holdfast_core.supply.model import Offer
from holdfast_core.wire.update import SLOTS


class Written(msgspec.Struct, frozen=True):
    """A release that was written whole: its name, its counter, its security version number, and what tells it."""

    release: str
    counter: int
    svn: int = 0
    mark: str = ""
    """What the installer knows the content by; empty where it needs nothing."""


class _Kept(msgspec.Struct, frozen=True):
    slots: dict[str, Written] = {}
    armed: str = ""
    floor: int = 0
    """The highest security version number that was confirmed."""


class Memory:
    """The memory in the file at `path`; its folder is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _Kept()
        with contextlib.suppress(OSError, ValueError, RecursionError):
            self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)

    @property
    def armed(self) -> str:
        """The slot that the next boot tries, or that runs on trial; empty where there is none."""
        return self._kept.armed

    @property
    def svn(self) -> int:
        """The highest security version number that was confirmed."""
        return self._kept.floor

    def written(self, slot: str) -> Written | None:
        """What was last written whole to the slot."""
        return self._kept.slots.get(slot)

    def slot_of(self, mark: str) -> str:
        """The slot whose content has this mark; empty where there is none."""
        return next((slot for slot, written in self._kept.slots.items() if written.mark == mark), "")

    def forget(self, slot: str) -> None:
        """The slot is about to be written."""
        others = {name: written for name, written in self._kept.slots.items() if name != slot}
        armed = "" if self.armed == slot else self.armed
        self._keep(_Kept(others, armed, self._kept.floor))

    def keep(self, slot: str, offer: Offer, mark: str = "") -> None:
        """The slot was written whole."""
        known = {**self._kept.slots, slot: Written(offer.release, offer.counter, offer.svn, mark)}
        self._keep(_Kept(dict(list(known.items())[-SLOTS:]), self.armed, self._kept.floor))

    def arm(self, slot: str) -> None:
        """The next boot tries the slot; empty: none."""
        self._keep(_Kept(self._kept.slots, slot, self._kept.floor))

    def confirm(self, offer: Offer) -> None:
        """What runs is not on trial any more."""
        self._keep(_Kept(self._kept.slots, "", max(self._kept.floor, offer.svn)))

    def _keep(self, kept: _Kept) -> None:
        if kept == self._kept:
            return
        try:
            replace(self._path, msgspec.json.encode(kept))
        except OSError as error:
            raise WorldError(
                "installer.memory",
                f"{self._path} could not be written: {error.strerror}.",
                remedy="Check the free space of the agent's state folder.",
            ) from error
        self._kept = kept
