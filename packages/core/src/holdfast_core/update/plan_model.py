"""A plan's values: what is known of the devices, what is taken for granted, and what a rollout will be like.

Times of a plan are seconds from when it begins; a share is percent of the devices that are not away.
"""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.update.rollout import Verb
from holdfast_core.wire.update import Window


class PlanFact(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one device: its wave (`waves.place`), how often it calls, and what holds it up."""

    wave: int
    contact_s: int
    """Seconds between two of its calls."""
    seen_at: Instant | None = None
    """When it was last heard of; `None` where it never was: its first call may then come at any time."""
    window: Window | None = None
    offset_min: int = 0
    """Its local time, minutes east of UTC."""
    kbit_s: int = 0
    """What its line carries, 1,000 bit/s; 0: not known."""
    away: bool = False
    """Whether it has not been heard of for too long; the plan leaves it out."""


class Assumptions(msgspec.Struct, frozen=True):
    """What a plan takes for granted, for it cannot know."""

    size: int
    """Bytes that a device fetches."""
    kbit_s: int = 2_000
    """What a line carries where the device does not say, 1,000 bit/s."""
    install_s: int = 120
    """Writing the slot and reading it back."""
    reboot_s: int = 60
    """Booting, up to the first call."""
    proof_s: int = 30
    """From the first call to evidence that was affirmed, and the word to confirm."""
    missed_calls: int = 3
    """Intervals without a call after which a device is silent, where the rollout does not say."""


class Exposure(msgspec.Struct, frozen=True):
    """How many devices were given the release when it halted, and when that is; `None`: it never does."""

    devices: int
    share: float
    halts_s: int | None


class WavePlan(msgspec.Struct, frozen=True):
    """One wave; a time is `None` where it does not come to that."""

    name: str
    devices: int
    """That are not away."""
    away: int
    bytes: int
    opens_s: int | None
    half_s: int | None
    """Half of its devices are done."""
    most_s: int | None
    """Nine tenths are."""
    good_s: int | None
    """Enough are: the next wave opens, or the rollout is finished."""
    ends_s: int | None
    """All are."""
    late_good_s: int | None
    late_ends_s: int | None
    loud: Exposure | None
    """Where this is the first wave in which every device fails and says so."""
    mute: Exposure | None
    """Where it is the first in which every device falls silent."""


class Plan(msgspec.Struct, frozen=True):
    """What a rollout will be like."""

    rollout: str
    release: str
    devices: int
    """That are not away."""
    away: int
    bytes: int
    peak: int
    """Devices that are under way together, at most."""
    verb: Verb
    """How it ends where nobody fails."""
    reason: Reason | None
    """Why it halts, where it does."""
    ends_s: int | None
    """When it is finished, or halts."""
    late_ends_s: int | None
    waves: tuple[WavePlan, ...]
    assumed: tuple[str, ...]
