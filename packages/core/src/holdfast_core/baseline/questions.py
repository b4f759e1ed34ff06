"""The two questions at the head of an audit: what the model file answers, as far as the audit bears it out.

1. Whether a device can prove its integrity and be updated safely is the maker's word, and is told as that.
2. A compensation that the model declares stands in only where its own line came out compensated in this report: one
   whose stand-ins failed, or could not be looked at, is no answer, and that is said.
"""

from __future__ import annotations

import msgspec

from holdfast_core.baseline.model import ControlId, Outcome, Report
from holdfast_core.inventory.answers import Answer, integrity_answer, update_answer
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.instants import Instant


def answers_in(report: Report, model: DeviceModel, now: Instant) -> tuple[Answer, ...]:
    """What `model` answers at `now`, with no compensation that `report` does not bear out."""
    outcomes = {entry.control: entry.outcome for entry in report.judged}
    borne_out, broken = _only(model, outcomes, _HELD), _only(model, outcomes, _BROKEN)
    return tuple(
        _by_the_model(answer(borne_out, now), answer(broken, now)) for answer in (integrity_answer, update_answer)
    )


_HELD = frozenset({Outcome.COMPENSATED})
_BROKEN = frozenset({Outcome.FAIL, Outcome.UNKNOWN})


def _only(model: DeviceModel, outcomes: dict[ControlId, Outcome], which: frozenset[Outcome]) -> DeviceModel:
    """`model` with those compensations whose line came out as one of `which`."""
    kept = tuple(entry for entry in model.compensations if outcomes.get(entry.control) in which)
    return msgspec.structs.replace(model, compensations=kept)


def _by_the_model(answer: Answer, without: Answer) -> Answer:
    """`answer` as the model's word; `without` has the stand-ins that are declared and do not hold."""
    sentence = f"By its model file: {answer.sentence[:1].lower()}{answer.sentence[1:]}"
    if without.stands_in:
        declared = "; ".join(entry.what for entry in without.stands_in)
        sentence += f" What it declares in its stead does not hold in this audit: {declared}."
    return msgspec.structs.replace(answer, sentence=sentence)
