"""The sections that `inventory` reads: health of the essential function, the release a device says it runs, metrics.

A device's word about its own health counts only for as long as the model's policy says (default: `HEALTH_MAX_AGE`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.ports.appraisal import Appraised, Context, Keep, SectionEvidence
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.errors import LimitExceeded
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.codec import decode_body
from holdfast_core.wire.frame import Health, InstalledRelease, Metrics

HEALTH_MAX_AGE = DAY
SMALL_BODY_BYTES = 2_048


class SmallSection:
    """Keeps a small section's body in the posture; a digest alone suffices once the body has come.

    Args:
        section: its name.
        kind: the type of its body.
    """

    def __init__(self, section: str, kind: Any) -> None:
        self.section = section
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def read(self, evidence: SectionEvidence, context: Context) -> Any:
        """The body as a value, from the evidence or, under the same digest, from the posture; `None` if neither has it.

        Raises:
            HostileData: ``checkin.section_malformed``.
            LimitExceeded: ``checkin.section_too_large``.
        """
        if evidence.body is not None:
            if len(bytes(evidence.body)) > SMALL_BODY_BYTES:
                raise LimitExceeded(
                    "checkin.section_too_large",
                    f"Section {self.section!r} is over {SMALL_BODY_BYTES} bytes.",
                    remedy="Send less in it.",
                )
            return decode_body(evidence.body, self._decoder, section=self.section)
        known = context.posture.sections.get(self.section)
        if known is None or known.digest != evidence.digest or not known.body:
            return None
        return decode_body(msgspec.Raw(known.body), self._decoder, section=self.section)

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """Keep the body; it is no ground for a verdict."""
        value = self.read(evidence, context)
        return Appraised(wants_body=value is None, keep=Keep.INLINE)


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
