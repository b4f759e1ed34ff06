"""The shapes that several parts of the operator API share.

1. Times are RFC 3339 in UTC. Lists are ``{"items": […]}``, with ``next`` where there may be more.
2. What people send is refused when it holds a field nobody knows: a misspelt one must never silently be missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from holdfast_core.inventory.answers import Answer
from holdfast_core.inventory.answers import Question as AnswerTo
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.reasons import Reason

PAGE = 100
LONGEST_PAGE = 1_000

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Json = dict[str, Any]


class Shape(BaseModel):
    """Base of everything sent and received."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has a control character; write it on one line")
    return text


Text = Annotated[str, StringConstraints(max_length=LIMITS.text), AfterValidator(_printable)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LIMITS.text), AfterValidator(_printable)]
"""A missing one is refused by the rule (`require_why`), in words."""

DeviceName = Annotated[str, Path(description="The device's id.")]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="How many at most.")]


class Why(Shape):
    """The reason a person gives; it stands in the record."""

    why: Sentence


class ReasonShape(Shape):
    """Why: a stable code, a sentence, and what to do (empty when nothing is owed)."""

    code: str
    sentence: str
    remedy: str = ""


class StandInShape(Shape):
    """What stands in for something a device lacks, who answers for it, and the last day it counts."""

    what: str
    owner: str
    until: str


class AnswerShape(Shape):
    """One of the questions that every model answers first: ``integrity``, ``update``, ``recovery``."""

    question: str
    asks: str
    says: str
    sentence: str
    lacking: list[str]
    stands_in: list[StandInShape]


def maybe(instant: Instant | None) -> str | None:
    """An instant as RFC 3339, where there is one."""
    return None if instant is None else rfc3339(instant)


def reasons(of: Iterable[Reason]) -> list[ReasonShape]:
    """Reasons as they are sent."""
    return [ReasonShape(code=r.code, sentence=r.sentence, remedy=r.remedy) for r in of]


def answers(*of: Answer) -> list[AnswerShape]:
    """Answers as they are sent."""
    return [
        AnswerShape(
            question=AnswerTo(answer.question).name.lower(),
            asks=answer.question.value,
            says=answer.says.value,
            sentence=answer.sentence,
            lacking=list(answer.lacking),
            stands_in=[StandInShape(what=s.what, owner=s.owner, until=s.until) for s in answer.stands_in],
        )
        for answer in of
    ]


def plain(value: Any) -> Any:
    """One of our structs as plain JSON values."""
    return msgspec.json.decode(msgspec.json.encode(value))  # not to_builtins: it knows no Raw
