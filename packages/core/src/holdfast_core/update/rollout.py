"""When a rollout goes on, and when it stops: `judge(rollout, tallies)`.

In this order, the first that applies:

1. A wave that is open and bad halts the rollout: failures and fall backs are counted together, silence apart, and all
   of them against the larger of the two thresholds.
2. A wave is bad once the bad devices reach the threshold's share of the whole wave, or of those that have begun, where
   enough have begun for that to mean something (`Thresholds`). Failures are reported sooner than successes, so those
   that have reported are no measure: the first of them may all be bad in a wave that is good.
3. A wave that would be good and of which more than half is away halts: too few tried the release, and going on would
   skip it. Of the last wave that holds only while no other device is done.
4. The last open wave is good: the next opens, or the rollout is finished.
5. A wave in which nothing moves any more and that is not good enough to go on halts; silent devices do not move.
6. Otherwise it stays.

Devices that are away since before they could be directed are in no share: they catch up when they come back. A device
that was directed and fell silent is never away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.reasons import Reason
from holdfast_core.update.model import Rollout, RolloutState, Stage, Thresholds

AWAY = "rollout.away"
"""The code of a wave whose devices are all away."""


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many devices of a wave are where.

    `away` of the waiting have not been heard of for too long; `held` of the directed say that a guard holds them back.
    """

    waiting: int = 0
    away: int = 0
    directed: int = 0
    held: int = 0
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
        return self.waiting + self.withdrawn + self.exposed

    @property
    def bad(self) -> int:
        """Devices that count against the wave."""
        return self.failed + self.fell_back

    @property
    def under_way(self) -> int:
        """Devices that something was begun with and that can be expected to go on; silent ones are counted apart."""
        return self.directed + self.installing + self.tried

    @property
    def exposed(self) -> int:
        """Devices that were given the release."""
        return self.under_way + self.silent + self.soaking + self.done + self.bad

    @property
    def begun(self) -> int:
        """Devices that have set out to install the release."""
        return self.exposed - self.held

    @property
    def is_settled(self) -> bool:
        """Whether nothing of the wave moves by itself any more, but for those that are away."""
        return self.waiting <= self.away and not self.under_way and not self.soaking


_FIELDS = {stage: stage.value.replace("-", "_") for stage in Stage}


def tally(stages: Iterable[Stage], away: int = 0, held: int = 0) -> Tally:
    """The tally of a wave from its devices' stages; of those that wait `away` are away, of the directed `held` held."""
    counts = dict.fromkeys(_FIELDS.values(), 0)
    for stage in stages:
        counts[_FIELDS[stage]] += 1
    return Tally(**counts, away=away, held=held)


class RolloutResult(Kept, frozen=True, kw_only=True):
    """What a rollout had come to when it ended, or when its devices went on to the next; `id` is the rollout's."""

    tallies: tuple[Tally, ...]
    weak: int
    at: Instant


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
        reason = _bad(rollout, number, tallies[number])
        if reason is not None:
            return Judgement(Verb.HALT, number, reason)
    if rollout.state is RolloutState.FINISHED:
        return Judgement(Verb.STAY, rollout.wave)
    last, is_last = tallies[rollout.wave], rollout.wave == len(rollout.waves) - 1
    proved = is_last and any(wave.done for wave in tallies)
    if last.done * 100 >= limits.succeeded * last.members:
        if 2 * last.members < last.all and not proved:
            return Judgement(Verb.HALT, rollout.wave, _nobody(rollout, last))
        return Judgement(Verb.FINISH if is_last else Verb.OPEN, rollout.wave)
    if last.is_settled:
        return Judgement(Verb.HALT, rollout.wave, _short(rollout, last))
    return Judgement(Verb.STAY, rollout.wave)


def _nobody(rollout: Rollout, wave: Tally) -> Reason:
    name = rollout.waves[rollout.wave].name
    return Reason(
        AWAY,
        f"{wave.away} of {wave.all} devices of wave {name!r} are away or cannot take the release: too few tried it.",
        f"Resume it once one of them is back, or go on without them: holdfast rollout resume {rollout.id} --anyway.",
    )


def _short(rollout: Rollout, wave: Tally) -> Reason:
    name, limits = rollout.waves[rollout.wave].name, rollout.thresholds
    return Reason(
        "rollout.short",
        f"Wave {name!r} has settled with {wave.done} of {wave.members} devices done; "
        f"{limits.succeeded:g} % are needed.",
        f"Retry those that failed, or go on: holdfast rollout resume {rollout.id} --anyway.",
    )


def _bad(rollout: Rollout, number: int, wave: Tally) -> Reason | None:
    name, limits = rollout.waves[number].name, rollout.thresholds
    look = f"holdfast rollout devices {rollout.id} --bad"
    begun = f"of {wave.begun} begun"
    whole = f"({wave.members} in all)"
    if _crosses(wave.bad, wave, limits.failed, limits):
        return Reason(
            "rollout.failures",
            f"Wave {name!r}: {wave.bad} {begun} failed or fell back {whole}; it halts at {limits.failed:g} %.",
            f"Look at what they say: {look}. Then abort it, or retry once the cause is gone.",
        )
    if _crosses(wave.silent, wave, limits.silent, limits):
        return Reason(
            "rollout.silence",
            f"Wave {name!r}: {wave.silent} {begun} fell silent {whole}; it halts at {limits.silent:g} %.",
            f"Find out whether one of them still boots before anything else is begun: {look}.",
        )
    most = max(limits.failed, limits.silent)
    if _crosses(wave.bad + wave.silent, wave, most, limits):
        return Reason(
            "rollout.trouble",
            f"Wave {name!r}: {begun}, {wave.bad} failed or fell back and {wave.silent} fell silent {whole}; together "
            f"it halts at {most:g} %.",
            f"Look at what they say, and whether the silent ones still boot: {look}.",
        )
    return None


def _crosses(bad: int, wave: Tally, percent: float, limits: Thresholds) -> bool:
    if not bad:
        return False
    if bad * 100 >= percent * wave.members:
        return True
    enough = wave.begun >= limits.sample and bad >= limits.least
    return enough and bad * 100 >= percent * wave.begun


def may_begin(rollout: Rollout, wave: int, counted: Tally, begun_in_hour: int) -> bool:
    """Whether one more device of a wave may be begun with now."""
    if not rollout.begins or wave > rollout.wave:
        return False
    bounds = rollout.waves[wave]
    if bounds.at_once and counted.under_way >= bounds.at_once:
        return False
    return not bounds.per_hour or begun_in_hour < bounds.per_hour
