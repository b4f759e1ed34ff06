"""How far a bad release comes before its rollout halts, how often a good one is halted, and how long a plan takes.

Method: `holdfast_sim.updating.rollouts` simulates 10,000 devices with the code that runs (core/update: `place`,
`heard`, `unheard`, `may_begin`, `judge`) and the default thresholds; only time and luck are simulated. Devices call
every 15 min or every hour, a tenth more or less; an install takes 8 to 25 min; 1 % of the devices are away. Waves: 1 %,
then 10 % with 100 at once, then all. Of the devices that come to harm 30 % fail within 4 min and say so, 20 % stop
working while they soak, the rest fall back 16 min after their boot; or half of all fall silent for good. Each seed is
one rollout. A first wave of 99 devices cannot tell every release on which 10 % fail: in 0.8 % of all cases fewer
than 4 of them do.

The peer is a naive engine in the same waves, there being none that can be run here: it goes by what devices report once
they have installed. In one form failures of 5 % of the group stop it, as hawkBit's error threshold does; in the other
5 % of those that have reported, with no least sample.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import msgspec

from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.update.model import Wave
from holdfast_core.update.plan_model import Assumptions, PlanFact
from holdfast_core.update.planning import plan
from holdfast_core.update.rollout import Verb
from holdfast_core.update.waves import Candidate, place
from holdfast_core.update.windows import parse_window
from holdfast_sim.updating.luck import Ills, Outcome, Setting
from holdfast_sim.updating.naive import Naive, naive
from holdfast_sim.updating.rollouts import a_rollout, simulate

FLEET, SEEDS, PLANNED = 10_000, 100, 100_000
WAVES = (Wave("canary", 1.0), Wave("early", 10.0, at_once=100), Wave("rest"))
SHARES = tuple(wave.percent for wave in WAVES)
BAD, GOOD = 10.0, 0.5
NAIVE = (("5 % of the group", Naive(5.0, of_group=True)), ("5 % of the reports", Naive(5.0, of_group=False)))
Engine = Callable[[int], Outcome]
NOW = Instant(1_795_000_000_000)


def _ours(setting: Setting, seed: int) -> Outcome:
    return simulate(setting, a_rollout(WAVES), seed)


def _theirs(setting: Setting, engine: Naive, seed: int) -> Outcome:
    return naive(setting, SHARES, engine, seed)


def _runs(engine: Engine) -> list[Outcome]:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(engine, range(SEEDS), chunksize=5))


def _bad(name: str, outcomes: Sequence[Outcome]) -> None:
    shares = sorted(100 * each.exposed / FLEET for each in outcomes)
    halted = [each for each in outcomes if each.verb is Verb.HALT]
    within = sum(each.exposed <= FLEET // 100 for each in halted)
    hours = sorted(each.seconds / 3_600 for each in halted)
    when = f"after {hours[len(hours) // 2]:.1f} h (median)" if hours else "never"
    print(
        f"{name}: {len(halted)} of {SEEDS} halted, {within} within 1 % of the fleet  (target all); "
        f"exposed: median {shares[SEEDS // 2]:.2f} %, most {shares[-1]:.2f} %; {when}"
    )


def _good(name: str, outcomes: Sequence[Outcome]) -> None:
    ends = {verb: sum(each.verb is verb for each in outcomes) for verb in Verb}
    hours = sorted(each.seconds / 3_600 for each in outcomes)
    stuck = f", {ends[Verb.STAY]} never end" if ends[Verb.STAY] else ""
    print(
        f"{name}: {ends[Verb.HALT]} of {SEEDS} halted  (target 0), {ends[Verb.FINISH]} finished{stuck}; "
        f"{hours[SEEDS // 2]:.1f} h (median)"
    )


def _bad_releases() -> None:
    for contact in (900, 3_600):
        for mute in (0.0, 50.0):
            setting = Setting(FLEET, contact, BAD, Ills(mute=mute))
            how = "fall back or fail" if not mute else "fall silent, half of them"
            print(f"{BAD:g} % {how}, contact every {contact // 60} min")
            _bad("  ours", _runs(partial(_ours, setting)))
            for name, engine in NAIVE:
                _bad(f"  peer, {name}", _runs(partial(_theirs, setting, engine)))


def _good_releases() -> None:
    for contact in (900, 3_600):
        setting = Setting(FLEET, contact, GOOD)
        print(f"{GOOD:g} % fail for other reasons, contact every {contact // 60} min")
        _good("  ours", _runs(partial(_ours, setting)))
        for name, engine in NAIVE:
            _good(f"  peer, {name}", _runs(partial(_theirs, setting, engine)))


def _plans() -> None:
    for name, waves, window in (
        ("no bounds", WAVES, None),
        ("a window at night", WAVES, parse_window("02:00-04:00")),
        ("2,000 an hour", (*WAVES[:-1], msgspec.structs.replace(WAVES[-1], per_hour=2_000)), None),
    ):
        rollout = a_rollout(waves)
        candidates = [Candidate(f"camera-{number}", "camera") for number in range(PLANNED)]
        started = time.perf_counter()
        placed = place(rollout.id, waves, candidates)
        middle = time.perf_counter()
        facts = [
            PlanFact(
                placed[each.device],
                3_600,
                Instant(NOW - number * 7_919 % 3_600 * SECOND),
                window,
                away=number % 100 == 0,
            )
            for number, each in enumerate(candidates)
        ]
        before = time.perf_counter()
        found = plan(rollout, facts, Assumptions(100_000_000), NOW)
        ended = time.perf_counter()
        hours = (found.ends_s or 0) / 3_600
        print(
            f"plan for {PLANNED:,} devices, {name}: {ended - before:.1f} s  (target 5 s), waves placed in "
            f"{middle - started:.1f} s; it foretells {hours:.1f} h"
        )


def main() -> None:
    _bad_releases()
    _good_releases()
    _plans()
