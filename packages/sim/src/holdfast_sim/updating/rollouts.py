"""Rollouts to thousands of simulated devices, by the rules of core: `simulate`.

1. What moves an assignment is `heard` and `unheard`, who begins is asked of `may_begin`, and what follows of `judge`,
   with the tallies as they stand. Devices say what real ones say; only time and luck are simulated.
2. A device that fails says so where it can, and failures are reported sooner than successes: some within minutes, while
   a success takes the install, the boot, its proof and the soak (`Ills`).
3. A seed decides everything.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

import msgspec

from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.update.assignment import Proof, heard, unheard
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Selection, Stage, Thresholds, Wave
from holdfast_core.update.rollout import Judgement, Tally, Verb, judge, may_begin
from holdfast_core.update.waves import Candidate, place
from holdfast_core.wire.update import Attempt, Running, Step, UpdateReport
from holdfast_sim.updating.luck import Ill, Outcome, Setting

_SCOPE = Scope("simulated", "fleet")
_OLD, _NEW = "camera:1.0", "camera:2.0"
_DIRECTIVE = 7
_MISSED = 3
"""Contacts after which a device is silent."""


class _Device:
    """One device: what is wrong with it, and its part in the rollout."""

    __slots__ = ("assignment", "attempt", "booted", "first", "ill", "well")

    def __init__(self, assignment: Assignment, ill: Ill, first: int) -> None:
        self.assignment, self.ill, self.first = assignment, ill, first
        self.attempt: Step | None = None
        self.booted, self.well = False, True


class _Fleet:
    """One rollout on its way."""

    def __init__(self, setting: Setting, rollout: Rollout, seed: int) -> None:
        self._setting, self._dice = setting, random.Random(seed)  # noqa: S311  (a simulation)
        self.rollout = rollout
        ids = [f"camera-{number}" for number in range(setting.devices)]
        placed = place(f"{rollout.id}-{seed}", rollout.waves, [Candidate(each, "camera") for each in ids])
        self._devices = [self._device(each, placed[each]) for each in ids]
        self._away = [0] * len(rollout.waves)
        self._counts = [dict.fromkeys(Stage, 0) for _ in rollout.waves]
        self._heap: list[tuple[int, int]] = []
        self.now = 0
        self.verdict: Judgement | None = None
        self._waiting: list[list[int]] = [[] for _ in rollout.waves]
        for number, device in enumerate(self._devices):
            wave = device.assignment.wave
            self._counts[wave][Stage.WAITING] += 1
            if self._dice.random() * 100 < setting.away:
                self._away[wave] += 1
            else:
                self._waiting[wave].append(number)

    def _device(self, name: str, wave: int) -> _Device:
        dice, setting = self._dice, self._setting
        ill = setting.ills.draw(dice) if dice.random() * 100 < setting.bad else Ill.NONE
        assignment = Assignment(
            _SCOPE, name, rollout=self.rollout.id, wave=wave, release=_NEW, counter=2, at=Instant(0)
        )
        return _Device(assignment, ill, int(dice.random() * setting.contact_s * SECOND))

    def tallies(self) -> list[Tally]:
        """As the rules take them."""
        return [
            Tally(**{stage.name.lower(): count for stage, count in counts.items()}, away=away)
            for counts, away in zip(self._counts, self._away, strict=True)
        ]

    def go(self) -> Outcome:
        """To its end."""
        self._open(0)
        self._judge()
        while self._heap and self.verdict is None:
            self.now, number = heapq.heappop(self._heap)
            self._call(self._devices[number], number)
        tallies = self.tallies()
        return Outcome(
            verb=self.verdict.verb if self.verdict else Verb.STAY,
            seconds=self.now // SECOND,
            wave=self.rollout.wave,
            exposed=sum(each.exposed for each in tallies),
            bad=sum(each.bad + each.silent for each in tallies),
            code=self.verdict.reason.code if self.verdict and self.verdict.reason else "",
        )

    def _open(self, wave: int) -> None:
        self.rollout = msgspec.structs.replace(self.rollout, wave=wave)
        contact = self._setting.contact_s * SECOND
        for number in self._waiting[wave]:
            call = self.now + (self._devices[number].first - self.now) % contact
            heapq.heappush(self._heap, (call, number))

    def _judge(self) -> None:
        while self.verdict is None:
            judged = judge(self.rollout, self.tallies())
            if judged.verb is Verb.STAY:
                return
            if judged.verb is Verb.OPEN:
                self._open(judged.wave + 1)
            else:
                self.verdict = judged

    def _after(self, seconds: float, number: int) -> None:
        heapq.heappush(self._heap, (self.now + int(seconds * SECOND), number))

    def _contact(self) -> float:
        return self._setting.contact_s * self._dice.uniform(0.9, 1.1)

    def _call(self, device: _Device, number: int) -> None:
        """A device calls, or is found to be silent."""
        before = device.assignment
        if before.stage is Stage.WAITING:
            self._begin(device, number)
            return
        if device.ill is Ill.MUTE:
            self._become(device, unheard(before, before.directed_at, patience_s=self._patience, now=Instant(self.now)))
            return
        again = self._lived(device)
        soak_s = self.rollout.waves[before.wave].soak_s
        proof = Proof(attests=True, healthy=device.well)
        if device.booted:
            proof = Proof(attests=True, release=_NEW, proved_at=Instant(self.now), healthy=device.well)
        report = _report(device)
        after = heard(before, report, proof, directive=_DIRECTIVE, soak_s=soak_s, now=Instant(self.now))
        self._become(device, after)
        if not (after.stage.is_bad or after.stage is Stage.DONE):
            self._after(again, number)

    @property
    def _patience(self) -> int:
        return _MISSED * self._setting.contact_s + self._setting.confirm_s

    def _begin(self, device: _Device, number: int) -> None:
        wave, dice = device.assignment.wave, self._dice
        bound = self.rollout.waves[wave].at_once
        if bound and not may_begin(self.rollout, wave, self.tallies()[wave], 0):
            self._after(self._contact(), number)
            return
        now = Instant(self.now)
        self._become(device, msgspec.structs.replace(device.assignment, stage=Stage.DIRECTED, at=now, directed_at=now))
        if device.ill is Ill.MUTE:
            self._after(self._patience, number)
        elif device.ill is Ill.EARLY:
            self._after(dice.uniform(30, 240), number)
        else:
            device.attempt = Step.ARMED
            install = dice.uniform(*self._setting.install_s)
            late = self._setting.confirm_s + 60 if device.ill is Ill.FELL_BACK else 0
            self._after(install + late, number)

    def _lived(self, device: _Device) -> float:
        """What became of it since it was heard of; seconds until it calls again."""
        if device.ill in (Ill.EARLY, Ill.FELL_BACK):
            device.attempt = Step.FAILED if device.ill is Ill.EARLY else Step.FELL_BACK
            return 0.0
        if device.attempt is Step.ARMED:
            device.attempt, device.booted = Step.BOOTED, True
            return 30.0
        device.attempt = Step.CONFIRMED
        if device.ill is Ill.UNWELL and device.assignment.stage is Stage.SOAKING:
            device.well = False
        return self._contact()

    def _become(self, device: _Device, after: Assignment) -> None:
        before, device.assignment = device.assignment, after
        if after.stage is before.stage:
            return
        counts = self._counts[after.wave]
        counts[before.stage] -= 1
        counts[after.stage] += 1
        if after.stage.is_bad or after.stage in (Stage.SILENT, Stage.DONE):
            self._judge()


def _report(device: _Device) -> UpdateReport:
    running = Running("B", _NEW, 2) if device.booted else Running("A", _OLD, 1)
    step = device.attempt
    attempt = Attempt(_DIRECTIVE, _NEW, step) if step is not None else None
    return UpdateReport(running, ("board",), "file", attempt=attempt)


def a_rollout(waves: Sequence[Wave], thresholds: Thresholds | None = None) -> Rollout:
    """A rollout that runs, to the whole fleet."""
    return Rollout(
        _SCOPE,
        "simulated",
        release=_NEW,
        selection=Selection("camera"),
        waves=tuple(waves),
        thresholds=thresholds or Thresholds(),
        state=RolloutState.RUNNING,
    )


def simulate(setting: Setting, rollout: Rollout, seed: int) -> Outcome:
    """How a rollout ends, by the rules of core."""
    return _Fleet(setting, rollout, seed).go()
