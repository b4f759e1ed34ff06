"""The section that `record` reads: a device's word that two checkpoints of the log cannot both be true.

1. A smaller checkpoint than the pinned one is told by the pin itself at the same check-in, so only a checkpoint of the
   same size with another root is told from here: the log was rewritten, or the server shows each device its own.
2. A device repeats the section for as long as it has the conflict; it is told when it is new.
"""

from __future__ import annotations

from holdfast.ports.appraisal import Appraised, Context, Keep, SectionEvidence
from holdfast.ports.events import LogDoubted
from holdfast.ports.sections import SmallSection
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.wire.frame import LogNews


class LogAppraiser(SmallSection):
    """Reads section ``log``; it is no ground for a verdict, for it accuses the server and not the device."""

    def __init__(self) -> None:
        super().__init__("log", LogNews)

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """Tell of a fork."""
        news: LogNews | None = self.read(evidence, context)
        if news is None:
            return Appraised(wants_body=True)
        known = context.posture.sections.get(self.section)
        kept, offered = news.conflict.kept, news.conflict.offered
        if kept.size != offered.size or (known is not None and known.digest == evidence.digest):
            return Appraised(keep=Keep.INLINE)
        device = context.device
        reason = Reason(
            "log.forked",
            f"{device.key.device} was shown two logs of {kept.size} leaves that differ.",
            "Find out who changed the data. Export the log and verify it against the pins of several devices.",
        )
        data = {"size": kept.size, "kept": kept.root, "offered": offered.root}
        return Appraised(keep=Keep.INLINE, events=(LogDoubted(device, Kind.LOG_FORK_SEEN, reason, data, context.now),))
