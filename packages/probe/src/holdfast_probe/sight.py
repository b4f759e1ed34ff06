"""What a probe saw: an outcome with its proof or its reason, and a bounded tally for probes that may see a lot.

1. Proof is bounded in items and length, sorted, and fit to be shown; it never holds a secret's value.
2. A tally keeps the smallest paths, not the first ones met, so that the order of a directory does not matter.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

import msgspec

from holdfast_core.baseline.model import ControlId, Finding, Outcome
from holdfast_core.kernel.limits import LIMITS
from holdfast_probe.bookmark import Carried
from holdfast_probe.roots import shown


class Sight(msgspec.Struct, frozen=True):
    """One probe's raw result: `reason` says why it is unknown or not applicable, `proof` what was seen."""

    outcome: Outcome
    proof: tuple[str, ...] = ()
    reason: str = ""

    def finding(self, control: ControlId) -> Finding:
        """This result as the finding of `control`, cut to the limits of a finding."""
        proof = tuple(shown(item, limit=LIMITS.text) for item in self.proof[: LIMITS.proof_items])
        return Finding(control, self.outcome, proof, shown(self.reason, limit=LIMITS.text))


def judged(offenders: Iterable[str], praise: str) -> Sight:
    """Failed by the offenders, or passed with `praise` when there are none."""
    found = sorted(set(offenders))
    return failed(found) if found else passed(praise)


def passed(*proof: str) -> Sight:
    """The control is met."""
    return Sight(Outcome.PASS, proof)


def failed(proof: Iterable[str]) -> Sight:
    """The control is not met, as these items show; beyond the limit the rest is counted."""
    tally = Tally()
    for item in proof:
        tally.add(item)
    return failed_by(tally)


def failed_by(tally: Tally) -> Sight:
    """The control is not met, as a tally shows."""
    return Sight(Outcome.FAIL, tally.items())


def unknown(reason: str, *proof: str) -> Sight:
    """Nobody can say; an input was missing, unreadable or cut short."""
    return Sight(Outcome.UNKNOWN, proof, reason)


def not_applicable(reason: str) -> Sight:
    """What the control is about does not exist here."""
    return Sight(Outcome.NOT_APPLICABLE, (), reason)


_WORST_FIRST = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS, Outcome.NOT_APPLICABLE)
_BEST_FIRST = (Outcome.PASS, Outcome.UNKNOWN, Outcome.FAIL, Outcome.NOT_APPLICABLE)


def every(sights: Sequence[Sight]) -> Sight:
    """Several results as one, as `Every` has it: the worst outcome, with the proof and the reason that go with it."""
    return _first(sights, _WORST_FIRST)


def either(sights: Sequence[Sight]) -> Sight:
    """Several results as one, as `Either` has it: the best outcome, with the proof and the reason that go with it."""
    return _first(sights, _BEST_FIRST)


def _first(sights: Sequence[Sight], order: Sequence[Outcome]) -> Sight:
    outcome = next(each for each in order if any(s.outcome is each for s in sights))
    telling = [s for s in sights if s.outcome is outcome]
    reasons = dict.fromkeys(s.reason for s in telling if s.reason)
    return Sight(outcome, tuple(item for s in telling for item in s.proof), " ".join(reasons))


def conditional(when: Sight, then: Sight, otherwise: str) -> Sight:
    """The result of an `If`."""
    if when.outcome is Outcome.PASS:
        return then
    return when if when.outcome is Outcome.UNKNOWN else not_applicable(otherwise)


class Tally:
    """Counts items and keeps the smallest few."""

    def __init__(self, kept: int = LIMITS.proof_items) -> None:
        self.count = 0
        self._kept = kept
        self._smallest: list[str] = []

    def add(self, item: str) -> None:
        """Count `item`, keep it while it is among the smallest."""
        self.count += 1
        if len(self._smallest) < self._kept or item < self._smallest[-1]:
            bisect.insort(self._smallest, item)
            del self._smallest[self._kept :]

    def put_down(self) -> Carried:
        """What it holds, for a walk that is put down."""
        return Carried(self.count, tuple(shown(item, limit=LIMITS.text) for item in self._smallest))

    @classmethod
    def taken_up(cls, carried: Carried) -> Tally:
        """A tally that goes on from what another one held."""
        tally = cls()
        tally.count = carried.count
        tally._smallest = list(carried.smallest)
        return tally

    def items(self) -> tuple[str, ...]:
        """The kept items; the last place tells how many more there are."""
        if self.count <= self._kept:
            return tuple(self._smallest)
        return (*self._smallest[: self._kept - 1], f"and {self.count - self._kept + 1} more")
