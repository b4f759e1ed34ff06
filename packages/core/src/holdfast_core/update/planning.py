"""What a rollout will be like, told before it begins: `plan`.

1. The rollout is run ahead of time by its own rules (`pacing`): once as expected; once `late`, where every device
   misses a call each time it is waited for and takes twice as long; and twice for each wave, where that wave is the
   first in which every device fails: loudly (it is tried, falls back and says so), or without a word.
2. Exposed is whoever was given the release before the rollout halts, the good devices of the waves before included.
3. What a plan takes for granted stands in it, in words (`Plan.assumed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.update.calls import RINGS, Roster, next_call, roster
from holdfast_core.update.courses import Ground, loud, mute, well
from holdfast_core.update.model import Rollout
from holdfast_core.update.pacing import Course, Run
from holdfast_core.update.plan_model import Assumptions, Exposure, Plan, PlanFact, WavePlan
from holdfast_core.update.rollout import Verb
from holdfast_core.update.wave_run import Passed
from holdfast_core.update.windows import second_of_day

PLANNED = 1_000_000
"""Devices of one plan."""
LONGEST_INTERVAL_S = 366 * 86_400


def plan(rollout: Rollout, facts: Sequence[PlanFact], assumptions: Assumptions, now: Instant) -> Plan:
    """What `rollout` will be like, begun at `now` with its first wave.

    Args:
        rollout: the rollout; its state does not matter.
        facts: of each device one.
        assumptions: what cannot be known.
        now: when it begins.

    Raises:
        HostileData: ``plan.facts``, ``plan.assumptions``.
        LimitExceeded: ``plan.too_many``.
    """
    _check(rollout, facts, assumptions)
    rosters = _rosters(rollout, facts, now)
    ground = Ground(rollout, facts, assumptions, second_of_day(now))
    expected = Run(rollout, rosters, partial(well, ground, 0)).go()
    late = Run(rollout, rosters, partial(well, ground, 1)).go()
    present = sum(one.present for one in rosters)
    waves = tuple(
        _wave(ground, number, devices, runs, _worst(ground, rosters, number, runs[0].opened))
        for number, (devices, runs) in enumerate(
            zip(rosters, zip(expected.passed, late.passed, strict=True), strict=True)
        )
    )
    return Plan(
        rollout=rollout.id,
        release=rollout.release,
        devices=present,
        away=len(facts) - present,
        bytes=sum(wave.bytes for wave in waves),
        peak=expected.peak,
        verb=expected.verdict.verb if expected.verdict else Verb.STAY,
        reason=expected.verdict.reason if expected.verdict else None,
        ends_s=expected.ended,
        late_ends_s=late.ended,
        waves=waves,
        assumed=_assumed(rollout, facts, assumptions),
    )


def _check(rollout: Rollout, facts: Sequence[PlanFact], assumed: Assumptions) -> None:
    if len(facts) > PLANNED:
        raise LimitExceeded(
            "plan.too_many",
            f"A plan for {len(facts):,} devices is too large.",
            remedy=f"Plan for at most {PLANNED:,}: narrow the selection.",
        )
    numbers = (assumed.size, assumed.install_s, assumed.reboot_s, assumed.proof_s)
    if min(numbers) < 0 or min(assumed.kbit_s, assumed.missed_calls) < 1:
        raise HostileData(
            "plan.assumptions",
            "A plan cannot be made of negative numbers.",
            remedy="Give sizes and times of 0 or more.",
        )
    for fact in facts:
        if not (0 <= fact.wave < len(rollout.waves) and 1 <= fact.contact_s <= LONGEST_INTERVAL_S):
            raise HostileData(
                "plan.facts",
                f"A device in wave {fact.wave} that calls every {fact.contact_s} s is in no plan.",
                remedy="Give a wave of the rollout, and an interval between a second and a year.",
            )


def _rosters(rollout: Rollout, facts: Sequence[PlanFact], now: Instant) -> list[Roster]:
    members: list[list[tuple[int, int, int]]] = [[] for _ in rollout.waves]
    away = [0] * len(members)
    for number, fact in enumerate(facts):
        if fact.away:
            away[fact.wave] += 1
        else:
            members[fact.wave].append((_first_call(fact, number, now), number, fact.contact_s))
    return [roster(those, gone) for those, gone in zip(members, away, strict=True)]


def _first_call(fact: PlanFact, number: int, now: Instant) -> int:
    """Seconds until the device calls first. Those never heard of are spread over their interval, in a fixed order."""
    if fact.seen_at is None:
        return number * _SPREAD % 2**32 * fact.contact_s >> 32
    return next_call((fact.seen_at - now) // SECOND, fact.contact_s, 0)


_SPREAD = 2_654_435_769
"""2**32 over the golden ratio: its multiples fill an interval evenly, however many there are (Knuth, volume 3, 6.4)."""


def _worst(
    ground: Ground, rosters: Sequence[Roster], number: int, opens: int | None
) -> tuple[Exposure | None, Exposure | None]:
    """What is exposed where wave `number`, which opens at `opens`, is the first in which every device fails."""
    if opens is None:
        return None, None
    courses: tuple[Course, Course] = (partial(loud, ground), partial(mute, ground))
    loudly, silently = (
        Run(ground.rollout, rosters, course, begins_with=number, at=opens, halts=True).go() for course in courses
    )
    present = sum(one.present for one in rosters)
    return _exposure(loudly, present), _exposure(silently, present)


def _exposure(run: Run, present: int) -> Exposure:
    halts = run.verdict is not None and run.verdict.verb is Verb.HALT
    share = round(100 * run.exposed / present, 3) if present else 0.0
    return Exposure(run.exposed, share, run.ended if halts else None)


def _wave(
    ground: Ground, number: int, devices: Roster, runs: tuple[Passed, Passed], worst: tuple[Exposure | None, ...]
) -> WavePlan:
    passed, late = runs
    return WavePlan(
        name=ground.rollout.waves[number].name,
        devices=devices.present,
        away=devices.away,
        bytes=devices.present * ground.assumed.size,
        opens_s=passed.opened,
        half_s=passed.half,
        most_s=passed.most,
        good_s=passed.good,
        ends_s=passed.ended,
        late_good_s=late.good,
        late_ends_s=late.ended,
        loud=worst[0],
        mute=worst[1],
    )


def _assumed(rollout: Rollout, facts: Sequence[PlanFact], assumed: Assumptions) -> tuple[str, ...]:
    """What the plan takes for granted, in words."""
    away = sum(fact.away for fact in facts)
    no_line = sum(not fact.kbit_s for fact in facts)
    unseen = sum(fact.seen_at is None for fact in facts)
    windows = sum(fact.window is not None for fact in facts)
    sentences = [
        "Nobody fails, except where the plan says so; each device calls at its interval, as it did.",
        f"Writing takes {assumed.install_s} s, a reboot {assumed.reboot_s} s, proof after it {assumed.proof_s} s.",
        "The line and the cores of the server hold nobody up.",
        "Late means: every device misses a call each time it is waited for, and takes twice as long.",
    ]
    said = (
        (away, f"{away:,} devices are away and left out: they get the release when they come back."),
        (no_line, f"{no_line:,} devices do not say what their line carries: {assumed.kbit_s:,} kbit/s is assumed."),
        (unseen, f"{unseen:,} devices were never heard of: their first calls are spread evenly over their interval."),
        (windows, f"{windows:,} devices have a maintenance window; it is read at the offset from UTC that is given."),
        (rollout.guards.battery, "Every battery is charged enough."),
        (
            len({f.contact_s for f in facts}) > RINGS,
            "Intervals differ so much that they are rounded up to powers of 2.",
        ),
    )
    return (*sentences, *(sentence for applies, sentence in said if applies))
