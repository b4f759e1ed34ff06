"""What a simulated rollout meets: a fleet, a release that goes wrong on some of it, and how it ended."""

from __future__ import annotations

import random
from enum import StrEnum

import msgspec

from holdfast_core.update.rollout import Verb


class Ill(StrEnum):
    """What goes wrong on a device."""

    NONE = "none"
    EARLY = "early"
    """The install fails within minutes and says so; the device never boots the release."""
    FELL_BACK = "fell-back"
    """It boots, never gets through, and falls back when its time to confirm is over."""
    UNWELL = "unwell"
    """It is confirmed, and its essential function stops while it soaks."""
    MUTE = "mute"
    """Nothing is heard of it again."""


class Ills(msgspec.Struct, frozen=True):
    """Of those on which something goes wrong, in percent: how. The rest fall back."""

    early: float = 30.0
    unwell: float = 20.0
    mute: float = 0.0

    def draw(self, dice: random.Random) -> Ill:
        """One of them."""
        lot = 100 * dice.random()
        for ill, share in ((Ill.EARLY, self.early), (Ill.UNWELL, self.unwell), (Ill.MUTE, self.mute)):
            if lot < share:
                return ill
            lot -= share
        return Ill.FELL_BACK


class Setting(msgspec.Struct, frozen=True):
    """A fleet and a release: how many devices, how often they call, and the percent that is away or comes to harm."""

    devices: int
    contact_s: int
    bad: float
    ills: Ills = Ills()
    away: float = 1.0
    install_s: tuple[int, int] = (480, 1_500)
    """From being directed to running the release: from the shortest to the longest."""
    confirm_s: int = 900


class Outcome(msgspec.Struct, frozen=True):
    """How a rollout ended: what followed, when (seconds), in which wave, and how many devices had the release then."""

    verb: Verb
    seconds: int
    wave: int
    exposed: int
    bad: int
    """Failed, fell back or silent then."""
    code: str = ""
