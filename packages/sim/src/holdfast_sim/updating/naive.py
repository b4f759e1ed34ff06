"""A rollout under an engine that goes by what devices report once they have installed: the control of `rollouts`.

1. A device that has installed has succeeded; what becomes of it after its reboot is not seen.
2. A share of failures stops it, with no least sample. Whoever says nothing is waited for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from holdfast_core.update.rollout import Verb
from holdfast_sim.updating.luck import Ill, Outcome, Setting


class Naive(msgspec.Struct, frozen=True):
    """An engine that goes by what devices report when they have installed.

    `percent` of failures stop it, of the group where `of_group`, else of those that have reported; as soon as
    `succeeded` percent of a group have reported success, the next begins. Whoever says nothing is waited for.
    """

    percent: float
    of_group: bool
    succeeded: float = 90.0


def naive(setting: Setting, shares: Sequence[float], engine: Naive, seed: int) -> Outcome:
    """How a rollout ends under a naive engine. `shares`: the percent of the fleet up to which each group goes."""
    dice = random.Random(seed)  # noqa: S311  (a simulation)
    exposed = bad = start = seconds = 0
    groups = [round(setting.devices * share / 100) for share in shares]
    for number, end in enumerate(groups):
        reports, mute = _reports(setting, end - start, seconds, dice)
        verb, seconds, seen, failed = _group(reports, end - start, engine)
        begun = sum(1 for directed, _, _ in reports if directed <= seconds) + mute
        exposed, bad, start = exposed + begun, bad + failed, end
        if verb is not Verb.OPEN:
            return Outcome(verb, seconds, number, exposed, bad, f"{seen} reported")
    return Outcome(Verb.FINISH, seconds, len(groups) - 1, exposed, bad)


def _reports(setting: Setting, size: int, start: int, dice: random.Random) -> tuple[list[tuple[int, int, bool]], int]:
    """When each device of a group is directed and reports (seconds), and whether it failed; how many never report."""
    found, mute = [], 0
    for _ in range(size):
        if dice.random() * 100 < setting.away:
            continue
        ill = setting.ills.draw(dice) if dice.random() * 100 < setting.bad else Ill.NONE
        directed = start + int(dice.random() * setting.contact_s)
        if ill is Ill.MUTE:
            mute += 1
            continue
        took = dice.uniform(30, 240) if ill is Ill.EARLY else dice.uniform(*setting.install_s)
        found.append((directed, directed + int(took), ill is Ill.EARLY))
    return sorted(found, key=lambda each: each[1]), mute


def _group(reports: Sequence[tuple[int, int, bool]], size: int, engine: Naive) -> tuple[Verb, int, int, int]:
    """What follows, when, after how many reports, and how many of them were failures."""
    failed = 0
    for seen, (_, second, is_failure) in enumerate(reports, 1):
        failed += is_failure
        if failed and failed * 100 >= engine.percent * (size if engine.of_group else seen):
            return Verb.HALT, second, seen, failed
        if (seen - failed) * 100 >= engine.succeeded * size:
            return Verb.OPEN, second, seen, failed
    return Verb.STAY, reports[-1][1] if reports else 0, len(reports), failed
