"""The values a verdict is made from, and the verdict.

1. `Facts` holds everything that `rules.decide` looks at, so that the facts, the policy and the instant recompute it.
2. Only a device has a verdict.
"""

from __future__ import annotations

import msgspec

from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.kernel.appraisals import Appraisal
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.frame import Level


class Hold(msgspec.Struct, frozen=True):
    """A quarantine that only a person ends: put on by a person, or by Holdfast when one identity has two users."""

    by: str
    at: Instant
    reason: Reason


class Demand(msgspec.Struct, frozen=True):
    """An appraisal the policy requires, and how old its evidence may be (milliseconds)."""

    feature: str
    max_age: int


class Policy(msgspec.Struct, frozen=True):
    """What a model's verdict requires; `silence_after` milliseconds without a check-in make a device silent."""

    demands: tuple[Demand, ...]
    silence_after: int

    def max_age(self, feature: str, otherwise: int) -> int:
        """How old `feature`'s evidence may be, or `otherwise` where the policy does not require it."""
        return next((demand.max_age for demand in self.demands if demand.feature == feature), otherwise)


class Facts(msgspec.Struct, frozen=True):
    """What is known of a device at one moment."""

    lifecycle: Lifecycle
    last_seen: Instant | None
    appraisals: tuple[Appraisal, ...]
    hold: Hold | None = None
    identified: bool = True
    """Whether it has a credential in force."""


class Verdict(msgspec.Struct, frozen=True):
    """What the device is allowed to be, why, since when, and when it must be looked at again (`until`).

    `until` is `None` only when nothing in the facts can lapse.
    """

    level: Level
    reasons: tuple[Reason, ...]
    since: Instant
    until: Instant | None
