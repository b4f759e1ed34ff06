"""The two questions at the head of an audit: what the model file answers, as far as the audit bears it out.

1. Whether a device can prove its integrity and be updated safely is the maker's word, and is told as that.
2. A compensation that the model declares stands in only where its own line came out compensated in this report: one
   whose stand-ins failed, or could not be looked at, is no answer.
"""

from __future__ import annotations

import msgspec

from holdfast_core.baseline.model import Outcome, Report
from holdfast_core.inventory.answers import Answer, integrity_answer, update_answer
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.instants import Instant


def answers_in(report: Report, model: DeviceModel, now: Instant) -> tuple[Answer, ...]:
    """What `model` answers at `now`, with no compensation that `report` does not bear out."""
    held = {entry.control for entry in report.judged if entry.outcome is Outcome.COMPENSATED}
    borne_out = tuple(entry for entry in model.compensations if entry.control in held)
    told = msgspec.structs.replace(model, compensations=borne_out)
    return tuple(_by_the_model(answer) for answer in (integrity_answer(told, now), update_answer(told, now)))


def _by_the_model(answer: Answer) -> Answer:
    sentence = answer.sentence
    return msgspec.structs.replace(answer, sentence=f"By its model file: {sentence[:1].lower()}{sentence[1:]}")
