"""When a rollout goes on, and when it stops: `judge(rollout, tallies)`.

In this order, the first that applies:

1. A wave that is open and bad halts the rollout: failures and fall backs are counted together, silence apart.
2. A wave is bad once the bad devices reach the threshold's share of the whole wave, or of those that have settled,
   where enough have settled for that to mean something (`Thresholds`).
3. A wave that has settled and is not good enough to go on halts, too: nothing would ever move it.
4. The last open wave is good: the next opens, or the rollout is finished.
5. Otherwise it stays.

Devices that are away since before they could be directed are in no share: they catch up when they come back. A device
that was directed and fell silent is never away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from holdfast_core.kernel.reasons import Reason
from holdfast_core.update.model import Rollout, RolloutState, Stage, Thresholds


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many devices of a wave are where; `away` of the waiting have not been heard of for too long."""

    waiting: int = 0
    away: int = 0
    directed: int = 0
    installing: int = 0
    tried: int = 0
    soaking: int = 0
    done: int = 0
    failed: int = 0
    fell_back: int = 0
    silent: int = 0
    withdrawn: int = 0

    @property
    def members(self) -> int:
        """Everybody who counts: who is not away."""
        return self.all - self.away

    @property
    def all(self) -> int:
        """Everybody in the wave."""
        return self.waiting + self.under_way + self.soaking + self.done + self.bad + self.withdrawn

    @property
    def bad(self) -> int:
        """Devices that count against the wave."""
        return self.failed + self.fell_back

    @property
    def under_way(self) -> int:
        """Devices that something was begun with."""
        return self.directed + self.installing + self.tried + self.silent

    @property
    def settled(self) -> int:
        """Devices that the release got so far with that one can tell: a soaking one has booted and proved it."""
        return self.soaking + self.done + self.bad + self.silent

    @property
    def exposed(self) -> int:
        """Devices that were given the release."""
        return self.under_way + self.soaking + self.done + self.bad


_FIELDS = {stage: stage.value.replace("-", "_") for stage in Stage}


def tally(stages: Iterable[Stage], away: int = 0) -> Tally:
    """The tally of a wave from its devices' stages; `away` of those that wait are away."""
    counts = dict.fromkeys(_FIELDS.values(), 0)
    for stage in stages:
        counts[_FIELDS[stage]] += 1
    return Tally(**counts, away=away)


class Verb(StrEnum):
    """What follows."""

    STAY = "stay"
    OPEN = "open"
    FINISH = "finish"
    HALT = "halt"


class Judgement(msgspec.Struct, frozen=True):
    """What follows, for which wave, and why where it halts."""

    verb: Verb
    wave: int
    reason: Reason | None = None


def judge(rollout: Rollout, tallies: Sequence[Tally]) -> Judgement:
    """What follows for a rollout that runs. `tallies` are of its waves, in order.

    A finished one is judged too, and only halts: devices still come to it.
    """
    limits = rollout.thresholds
    for number in range(rollout.wave + 1):
        reason = _bad(rollout.waves[number].name, tallies[number], limits)
        if reason is not None:
            return Judgement(Verb.HALT, number, reason)
    last = tallies[rollout.wave]
    if rollout.state is RolloutState.FINISHED:
        return Judgement(Verb.STAY, rollout.wave)
    if last.done * 100 >= limits.succeeded * last.members:
        verb = Verb.FINISH if rollout.wave == len(rollout.waves) - 1 else Verb.OPEN
        return Judgement(verb, rollout.wave)
    if last.settled + last.withdrawn - last.soaking == last.members and not last.silent:
        reason = Reason(
            "rollout.short",
            f"Wave {rollout.waves[rollout.wave].name!r} has settled with {last.done} of {last.members} devices done; "
            f"{limits.succeeded:g} % are needed.",
            "Retry those that failed, or go on: holdfast rollout resume --anyway.",
        )
        return Judgement(Verb.HALT, rollout.wave, reason)
    return Judgement(Verb.STAY, rollout.wave)


def _bad(name: str, wave: Tally, limits: Thresholds) -> Reason | None:
    if _crosses(wave.bad, wave, limits.failed, limits):
        return Reason(
            "rollout.failures",
            f"In wave {name!r} {wave.bad} of {wave.settled} devices failed or fell back "
            f"(threshold {limits.failed:g} %, wave of {wave.members}).",
            "Look at what they say: holdfast rollout devices --bad. Then abort it, or retry once the cause is gone.",
        )
    if _crosses(wave.silent, wave, limits.silent, limits):
        return Reason(
            "rollout.silence",
            f"In wave {name!r} {wave.silent} of {wave.settled} devices fell silent after they were directed "
            f"(threshold {limits.silent:g} %, wave of {wave.members}).",
            "Find out whether one of them still boots before anything else is begun: holdfast rollout devices --bad.",
        )
    return None


def _crosses(bad: int, wave: Tally, percent: float, limits: Thresholds) -> bool:
    if not bad:
        return False
    if bad * 100 >= percent * wave.members:
        return True
    enough = wave.settled >= limits.sample and bad >= limits.least
    return enough and bad * 100 >= percent * wave.settled


def may_begin(rollout: Rollout, wave: int, counted: Tally, begun_in_hour: int) -> bool:
    """Whether one more device of a wave may be begun with now."""
    if not rollout.begins or wave > rollout.wave:
        return False
    bounds = rollout.waves[wave]
    if bounds.at_once and counted.under_way >= bounds.at_once:
        return False
    return not bounds.per_hour or begun_in_hour < bounds.per_hour
