"""Small sections of a check-in: read whole, and kept in the posture."""

from __future__ import annotations

from typing import Any

import msgspec

from holdfast.ports.appraisal import Appraised, Context, Keep, SectionEvidence
from holdfast_core.kernel.errors import LimitExceeded
from holdfast_core.wire.codec import decode_body

SMALL_BODY_BYTES = 2_048


class SmallSection:
    """Keeps a small section's body in the posture; a digest alone suffices once the body has come.

    Args:
        section: its name.
        kind: the type of its body.
        limit: bytes that a body may have.
    """

    def __init__(self, section: str, kind: Any, *, limit: int = SMALL_BODY_BYTES) -> None:
        self.section = section
        self._limit = limit
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def read(self, evidence: SectionEvidence, context: Context) -> Any:
        """The body as a value, from the evidence or, under the same digest, from the posture; `None` if neither has it.

        Raises:
            HostileData: ``checkin.section_malformed``.
            LimitExceeded: ``checkin.section_too_large``.
        """
        if evidence.body is not None:
            if len(bytes(evidence.body)) > self._limit:
                raise LimitExceeded(
                    "checkin.section_too_large",
                    f"Section {self.section!r} is over {self._limit} bytes.",
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
