"""One wave of a rollout that is run ahead of time (`pacing`): how many of its devices are where, and who calls next."""

from __future__ import annotations

from collections import deque

import msgspec

from holdfast_core.update.calls import Ring, Roster
from holdfast_core.update.rollout import Tally

HOUR_S = 3_600


class Passed(msgspec.Struct):
    """What became of one wave, seconds; `None`: it never came to that."""

    opened: int | None = None
    good: int | None = None
    half: int | None = None
    most: int | None = None
    ended: int | None = None


class WaveRun:
    """One wave under way: how many of its devices are where, and who calls next."""

    def __init__(self, roster: Roster, *, is_done: bool) -> None:
        self.roster = roster
        self.away = roster.away
        self.waiting = roster.away if is_done else roster.away + roster.present
        self.done = roster.present if is_done else 0
        self.directed = self.held = self.soaking = self.failed = self.silent = 0
        self.rings: list[Ring] = []
        self.begun: deque[int] = deque()
        self.is_full = False
        """Whether it waits for one under way to come to an end."""

    def tally(self) -> Tally:
        """As the rules take it."""
        return Tally(
            waiting=self.waiting,
            away=self.away,
            directed=self.directed,
            held=self.held,
            soaking=self.soaking,
            done=self.done,
            failed=self.failed,
            silent=self.silent,
        )

    def seek(self, now: int) -> None:
        """Let whoever called before `now` wait for the next call."""
        for ring in self.rings:
            if ring.second < now:
                ring.seek(now)

    def open(self, now: int) -> None:
        """Its devices may be begun with from `now` on."""
        self.rings = [Ring(callers) for callers in self.roster.callers]
        self.seek(now)

    def begun_in_hour(self, now: int) -> int:
        """How many devices were begun with in the last hour."""
        while self.begun and now - self.begun[0] >= HOUR_S:
            self.begun.popleft()
        return len(self.begun)
