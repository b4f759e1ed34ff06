"""The sections that `inventory` reads: health of the essential function, the release a device says it runs, metrics.

A device's word about its own health counts only for as long as the model's policy says (default: `HEALTH_MAX_AGE`).
"""

from __future__ import annotations

from holdfast.ports.appraisal import Appraised, Context, Keep, SectionEvidence
from holdfast.ports.sections import SmallSection
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.frame import Health, InstalledRelease, Metrics

HEALTH_MAX_AGE = DAY


class HealthAppraiser(SmallSection):
    """Reads section ``health``."""

    def __init__(self) -> None:
        super().__init__("health", Health)

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """Affirming while the essential function works, a warning when it does not."""
        health: Health | None = self.read(evidence, context)
        if health is None:
            return Appraised(wants_body=True)
        name = context.model.model.essential_function.name
        if health.ok:
            tier, reason = Tier.AFFIRMING, Reason("health.ok", f"The essential function ({name}) works.")
        else:
            tier = Tier.WARNING
            reason = Reason(
                "health.essential_function_down",
                f"The essential function ({name}) does not work: {health.detail or 'no detail given'}.",
                "See to the device before anything else; hold back updates and hardening until it works again.",
            )
        until = Instant(evidence.gathered_at + context.policy.max_age("health", HEALTH_MAX_AGE))
        return Appraised(Appraisal("health", tier, (reason,), context.now, until), keep=Keep.INLINE)


def small_sections() -> tuple[SmallSection, ...]:
    """The appraisers of `inventory`."""
    return HealthAppraiser(), SmallSection("release", InstalledRelease), SmallSection("metrics", Metrics)
