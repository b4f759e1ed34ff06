"""What follows from a model file: the one door to the rules of `inventory`.

1. `validate` refuses what cannot be, `contradictions` reports what cannot all be wanted, the answers say what the
   device can prove and survive. All are pure; time is an argument.
"""

from __future__ import annotations

from holdfast_core.inventory.answers import (
    Answer,
    Question,
    Says,
    StandIn,
    integrity_answer,
    recovery_answer,
    update_answer,
)
from holdfast_core.inventory.contradictions import contradictions
from holdfast_core.inventory.validation import ModelInvalid, Problem, problems, validate

__all__ = [
    "Answer",
    "ModelInvalid",
    "Problem",
    "Question",
    "Says",
    "StandIn",
    "contradictions",
    "integrity_answer",
    "problems",
    "recovery_answer",
    "update_answer",
    "validate",
]
