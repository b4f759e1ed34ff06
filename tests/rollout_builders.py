"""Rollouts, assignments and devices' words for tests."""

from __future__ import annotations

from typing import Any

from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Selection, Stage, Thresholds, Wave
from holdfast_core.wire.update import Attempt, Running, Step, UpdateReport

START = Instant(1_795_000_000_000)
SCOPE = Scope("acme", "production")
MODEL, OLD, NEW, NEXT = "door-camera", "door-camera:1.0", "door-camera:2.0", "door-camera:3.0"
COUNTERS = {OLD: 1, NEW: 2, NEXT: 3, "": 0}
DIRECTIVE = 7
WAVES = (Wave("canary", 1.0), Wave("early", 10.0), Wave("rest"))


def a_rollout(*waves: Wave, thresholds: Thresholds | None = None, **more: Any) -> Rollout:
    """A rollout that runs; its first wave is open."""
    more = {"state": RolloutState.RUNNING, **more}
    chosen = thresholds or Thresholds()
    return Rollout(
        SCOPE, "cameras-2", release=NEW, selection=Selection(MODEL), waves=waves or WAVES, thresholds=chosen, **more
    )


def an_assignment(stage: Stage = Stage.DIRECTED, *, at: int = START, **more: Any) -> Assignment:
    """The part of ``camera-1`` in it."""
    begun = {} if stage in (Stage.WAITING, Stage.WITHDRAWN) else {"directed_at": START}
    more = {**begun, **more}
    return Assignment(
        SCOPE, "camera-1", rollout="cameras-2", wave=0, release=NEW, counter=2, stage=stage, at=Instant(at), **more
    )


def says(
    step: Step | None, runs: str = NEW, *, directive: int = DIRECTIVE, release: str = NEW, **more: Any
) -> UpdateReport:
    """What a device says: how far its attempt has come (`None`: of none), and what it runs."""
    attempt = None if step is None else Attempt(directive, release, step, counter=2, **more)
    return UpdateReport(Running("A", runs, COUNTERS[runs]), ("board",), "file", attempt=attempt)


def after(seconds: float) -> Instant:
    """So many seconds after the beginning."""
    return Instant(int(START + seconds * SECOND))
