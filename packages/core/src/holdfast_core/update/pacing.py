"""A rollout run ahead of time, by the rules it will be judged by: `Run`.

1. Everything that moves is a number on one heap: when, what, in which wave. Devices have no objects.
2. Who may be begun with is asked of `may_begin`, what follows of `judge`: a plan and a rollout cannot differ there.
   `judge` is asked whenever what it says could have changed.
3. Nothing is left to chance: the same facts give the same run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from enum import IntEnum

import msgspec

from holdfast_core.update.calls import NEVER, Roster
from holdfast_core.update.model import WAVES, Rollout, RolloutState
from holdfast_core.update.rollout import Judgement, Verb, judge, may_begin
from holdfast_core.update.wave_run import HOUR_S, Passed, WaveRun

_KINDS = 5


class Kind(IntEnum):
    """What comes to a device, in the order in which it comes where it comes in one second."""

    SET_OUT = 0
    """Its window opened."""
    PROVED = 1
    DONE = 2
    FAILED = 3
    SILENT = 4


Course = Callable[[int, int], tuple[int, tuple[tuple[int, Kind], ...]]]
"""Of a device's number and the second in which it is directed: when it sets out, and what comes to it when."""


class Run:
    """One run of a rollout.

    Args:
        rollout: as it is; its state and its open waves are the run's own.
        rosters: of each wave its devices.
        course: what comes to a device once it is directed.
        begins_with: the wave that opens first; all before it count as done.
        at: the second in which that is.
        halts: whether the run ends when the rollout halts or finishes, instead of when nothing moves any more.
    """

    def __init__(
        self,
        rollout: Rollout,
        rosters: Sequence[Roster],
        course: Course,
        *,
        begins_with: int = 0,
        at: int = 0,
        halts: bool = False,
    ) -> None:
        self._course, self._halts = course, halts
        self._rollout = msgspec.structs.replace(rollout, state=RolloutState.RUNNING, wave=begins_with)
        self._waves = [WaveRun(one, is_done=number < begins_with) for number, one in enumerate(rosters)]
        self.passed = [Passed() for _ in rollout.waves]
        self._heap: list[int] = []
        self._second, self._number = NEVER, begins_with
        """When a device calls next, and in which wave; it is the first of `_ring`."""
        self._now = at
        self._under_way = 0
        self.peak = 0
        """The most devices that were under way together."""
        self.verdict: Judgement | None = None
        """What ended it: finished or halted."""
        self.ended: int | None = None
        self._open(begins_with)

    def _open(self, number: int) -> None:
        wave = self._waves[number]
        self._rollout = msgspec.structs.replace(self._rollout, wave=number)
        self.passed[number].opened = self._now
        wave.open(self._now)

    @property
    def exposed(self) -> int:
        """Devices that were given the release, but for those that still wait for their window."""
        return sum(wave.tally().begun for wave in self._waves)

    def go(self) -> Run:
        """To its end."""
        heap, tick = self._heap, _KINDS * WAVES
        self._judge()
        self._look()
        while not (self._halts and self.verdict is not None):
            due = heap[0] // tick if heap else NEVER
            if due == NEVER == self._second:
                break
            if due <= self._second:
                self._happen(heapq.heappop(heap))
            else:
                self._call()
        return self

    def _look(self) -> None:
        """Find the next call in a wave that is open and not full."""
        self._second = NEVER
        if self.verdict is not None and self.verdict.verb is Verb.HALT:
            return
        for number in range(self._rollout.wave + 1):
            wave = self._waves[number]
            if wave.is_full:
                continue
            for ring in wave.rings:
                if ring.second < self._second:
                    self._second, self._number, self._ring = ring.second, number, ring

    def _call(self) -> None:
        """A device calls: it is begun with, or its wave waits until one may be."""
        self._now, number = self._second, self._number
        wave, bounds = self._waves[number], self._rollout.waves[number]
        is_bound = bounds.at_once or bounds.per_hour
        if is_bound and not may_begin(self._rollout, number, wave.tally(), wave.begun_in_hour(self._now)):
            if bounds.at_once and wave.directed >= bounds.at_once:
                wave.is_full = True
            else:
                wave.seek(wave.begun[0] + HOUR_S)
        else:
            if bounds.per_hour:
                wave.begun.append(self._now)
            self._direct(number, self._ring.take())
        self._look()

    def _direct(self, number: int, device: int) -> None:
        wave = self._waves[number]
        wave.waiting -= 1
        wave.directed += 1
        self._under_way += 1
        self.peak = max(self.peak, self._under_way)
        sets_out, events = self._course(device, self._now)
        if sets_out > self._now:
            wave.held += 1
            self._push(sets_out, Kind.SET_OUT, number)
        for second, kind in events:
            self._push(second, kind, number)

    def _push(self, second: int, kind: Kind, number: int) -> None:
        heapq.heappush(self._heap, (second * _KINDS + kind) * WAVES + number)

    def _happen(self, packed: int) -> None:
        rest, number = divmod(packed, WAVES)
        self._now, kind = divmod(rest, _KINDS)
        wave = self._waves[number]
        if kind == Kind.SET_OUT:
            wave.held -= 1
            return
        if kind == Kind.DONE:
            self._done(number)
            return
        wave.directed -= 1
        self._under_way -= 1
        wave.soaking += kind == Kind.PROVED
        wave.failed += kind == Kind.FAILED
        wave.silent += kind == Kind.SILENT
        if wave.is_full:
            wave.is_full = False
            wave.seek(self._now)
            self._look()
        if kind != Kind.PROVED:
            self._judge()

    def _done(self, number: int) -> None:
        wave, passed = self._waves[number], self.passed[number]
        wave.soaking -= 1
        wave.done += 1
        there = wave.roster.present
        if passed.half is None and wave.done * 2 >= there:
            passed.half = self._now
        if passed.most is None and wave.done * 10 >= there * 9:
            passed.most = self._now
        if wave.done == there:
            passed.ended = self._now
        needed = self._rollout.thresholds.succeeded
        if number == self._rollout.wave and wave.done * 100 >= needed * there:
            self._judge()

    def _judge(self) -> None:
        """Let follow what follows; waves without anybody are passed at once."""
        while self.verdict is None:
            judged = judge(self._rollout, [wave.tally() for wave in self._waves])
            if judged.verb is Verb.STAY:
                return
            if judged.verb is not Verb.HALT:
                self.passed[judged.wave].good = self._now
            if judged.verb is Verb.OPEN:
                self._open(judged.wave + 1)
            else:
                self.verdict, self.ended = judged, self._now
            self._look()
