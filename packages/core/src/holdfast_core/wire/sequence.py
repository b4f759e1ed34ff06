"""Telling a retry from a replay from a clone (field notes, frame: "Clone or retry?").

The rules, for one device:

1. A sequence number above every seen one is *new*.
2. The last number again with the same bytes is a *retry*: the stored reply is sent again, nothing else happens.
3. An older number whose bytes are remembered and equal is a *replay*: refused, because its reply is no longer true.
4. A seen number with other bytes, or one too old to be remembered, is a *clone*: two parties count with one identity.
5. A number that was skipped and comes late is *out of order*: refused, but no clone, for a message that its sender gave
   up may still be on its way.
6. A boot id that was left and comes back is a *clone*: two machines take turns. A new boot id alone is a reboot.
7. The peer's address is never looked at: devices roam.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.limits import Limits


class Standing(StrEnum):
    """How a check-in stands to those before it."""

    NEW = "new"
    REBOOTED = "rebooted"
    RETRY = "retry"
    REPLAY = "replay"
    OUT_OF_ORDER = "out-of-order"
    CLONE_SEQUENCE = "clone-sequence"
    CLONE_BOOT = "clone-boot"

    @property
    def is_clone(self) -> bool:
        """Whether two parties use one identity."""
        return self in (Standing.CLONE_SEQUENCE, Standing.CLONE_BOOT)


class Sequence(msgspec.Struct, frozen=True):
    """What is remembered of a device's check-ins: last number, boots newest last, recent numbers with their digests."""

    last: int = 0
    boots: tuple[str, ...] = ()
    recent: tuple[tuple[int, Digest], ...] = ()

    def standing(self, boot: str, seq: int, digest: Digest) -> Standing:
        """How the check-in ``(boot, seq)`` whose bytes have `digest` stands."""
        if seq <= self.last:
            return self._seen(seq, digest)
        if not self.boots or boot == self.boots[-1]:
            return Standing.NEW
        return Standing.CLONE_BOOT if boot in self.boots else Standing.REBOOTED

    def _seen(self, seq: int, digest: Digest) -> Standing:
        for number, known in self.recent:
            if number == seq and known == digest:
                return Standing.RETRY if seq == self.last else Standing.REPLAY
            if number == seq:
                return Standing.CLONE_SEQUENCE
        remembered = bool(self.recent) and seq > self.recent[0][0]
        return Standing.OUT_OF_ORDER if remembered else Standing.CLONE_SEQUENCE

    def after(self, boot: str, seq: int, digest: Digest, limits: Limits) -> Sequence:
        """The memory once a new check-in was taken."""
        boots = self.boots if self.boots and self.boots[-1] == boot else (*self.boots, boot)
        recent = (*self.recent, (seq, digest))
        return Sequence(seq, boots[-limits.remembered_boots :], recent[-limits.remembered_sequences :])
