"""Waivers: findings that somebody answers for until a day, shown and never hidden.

1. A waiver says which control, why, who answers for it, and the last day on which it counts; after that the finding
   counts again.
2. Where it names what it excuses (`proof`), it excuses a finding only while everything that the finding shows is named:
   one more open file is one finding more.
3. A critical failure is an open door: it is excused for 90 days at the most.
4. A waiver excuses a failure only. What could not be decided stays undecided.
5. Every waiver is told with what became of it, also one that excuses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.baseline.fingerprints import subject
from holdfast_core.baseline.inspections import Day, Name
from holdfast_core.baseline.model import ControlId, Judged, Outcome, Text
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.severity import Severity

MAX_CRITICAL_DAYS = 90
"""How long a critical failure can be excused."""


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One finding that somebody answers for."""

    control: ControlId
    reason: Annotated[str, msgspec.Meta(min_length=12, max_length=400)]
    owner: Name
    expires: Day
    """The last day on which it counts."""
    proof: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64)] = ()
    """What it excuses: a path or setting, a whole line of proof, or with ``*`` at its end the beginning of one."""

    def covers(self, items: Iterable[str]) -> bool:
        """Whether every item of proof is named."""
        return not self.proof or all(any(_named(item, by) for by in self.proof) for item in items)


Waivers = Annotated[tuple[Waiver, ...], msgspec.Meta(max_length=LIMITS.findings)]
"""What a waivers file holds."""


class Standing(StrEnum):
    """What became of a waiver."""

    IN_FORCE = "in_force"
    EXPIRED = "expired"
    TOO_LONG = "too_long"
    UNCOVERED = "uncovered"
    IDLE = "idle"


class Weighed(msgspec.Struct, frozen=True):
    """One waiver, and what became of it in one audit."""

    waiver: Waiver
    standing: Standing
    sentence: str


def checked_waivers(waivers: Iterable[Waiver]) -> tuple[Waiver, ...]:
    """`waivers` with their words on one line each.

    Raises:
        HostileData: ``waivers.date`` for a last day that does not exist.
    """
    checked = []
    for waiver in waivers:
        try:
            last_day_ends(waiver.expires)
        except HostileData:
            raise HostileData(
                "waivers.date",
                f"The waiver of {waiver.control} names the day {waiver.expires}, which does not exist.",
                remedy="Write the last day on which it counts as YYYY-MM-DD.",
            ) from None
        checked.append(
            msgspec.structs.replace(
                waiver, reason=" ".join(waiver.reason.split()), owner=" ".join(waiver.owner.split())
            )
        )
    return tuple(checked)


def weigh(waivers: Sequence[Waiver], judged: Iterable[Judged], now: Instant) -> tuple[Weighed, ...]:
    """What becomes of each of `waivers` at `now`, in their order."""
    failed = {entry.control: entry for entry in judged if entry.outcome is Outcome.FAIL}
    return tuple(Weighed(waiver, *_standing(waiver, failed.get(waiver.control), now)) for waiver in waivers)


def _standing(waiver: Waiver, entry: Judged | None, now: Instant) -> tuple[Standing, str]:
    ends = last_day_ends(waiver.expires)
    if entry is None:
        return Standing.IDLE, f"{waiver.control} does not fail, so this excuses nothing and can be removed."
    if now >= ends:
        return Standing.EXPIRED, f"It lapsed after {waiver.expires}, so {waiver.control} counts again."
    if entry.severity is Severity.CRITICAL and ends - DAY > now + MAX_CRITICAL_DAYS * DAY:
        return (
            Standing.TOO_LONG,
            f"A critical finding is excused for {MAX_CRITICAL_DAYS} days at the most, so {waiver.control} counts.",
        )
    if not waiver.covers(entry.proof):
        new = next(item for item in entry.proof if not waiver.covers((item,)))
        return Standing.UNCOVERED, f"It does not name all that was found, so {waiver.control} counts. Not named: {new}"
    return Standing.IN_FORCE, f"{waiver.owner} answers for {waiver.control} until {waiver.expires}."


def _named(item: str, by: str) -> bool:
    return item.startswith(by[:-1]) if by.endswith("*") else by in {item, subject(item)}
