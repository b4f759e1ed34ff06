"""Appraisal: one feature's reading of a device's evidence (RFC 9334 §8.4; tiers after AR4SI).

1. Missing or stale evidence is `Tier.NONE`, never affirming.
2. An appraisal holds until `valid_until`; past it, it reads as `Tier.NONE`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason


class Tier(StrEnum):
    """What the evidence says."""

    NONE = "none"
    AFFIRMING = "affirming"
    WARNING = "warning"
    CONTRAINDICATED = "contraindicated"


class Appraisal(msgspec.Struct, frozen=True):
    """One feature's reading, with its reasons, and until when it holds (`valid_until`, milliseconds)."""

    feature: str
    tier: Tier
    reasons: tuple[Reason, ...]
    appraised_at: Instant
    valid_until: Instant

    def at(self, now: Instant) -> Appraisal:
        """The appraisal as it reads at `now`: itself while it holds, `Tier.NONE` with a reason once it has lapsed."""
        if now < self.valid_until or self.tier is Tier.NONE:
            return self
        stale = Reason(
            f"{self.feature}.stale",
            f"The last {self.feature} evidence is too old to count.",
            "Let the device check in, or find out why it cannot.",
        )
        return Appraisal(self.feature, Tier.NONE, (stale,), self.appraised_at, self.valid_until)
