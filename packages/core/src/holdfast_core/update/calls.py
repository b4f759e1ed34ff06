"""When devices call, as far as it can be foretold: each at its interval, in step with when it was last heard of.

1. Times are whole seconds from the plan's beginning. Devices of one interval stand in a `Ring`, in order of phase.
2. Whoever calls next is found without following the calls in between: a device that has to wait for its turn a
   thousand times costs as much as one that does not.
3. More than `RINGS` different intervals are rounded up to powers of two: a plan for a fleet of all sorts is coarser.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

import msgspec

RINGS = 16
"""Different intervals of one wave that are told apart."""
NEVER = 2**62
"""The second of what never comes."""


class Callers(msgspec.Struct, frozen=True):
    """Devices of one interval: each one's phase, in order, and its number."""

    interval: int
    phases: Sequence[int]
    numbers: Sequence[int]


class Roster(msgspec.Struct, frozen=True):
    """The devices of one wave: how many are away, how many are not, and when these call."""

    away: int
    present: int
    callers: tuple[Callers, ...]


def roster(members: Sequence[tuple[int, int, int]], away: int) -> Roster:
    """The roster of a wave. `members`: of each device that is not away its first call, its number, its interval."""
    intervals = {interval for _, _, interval in members}
    if len(intervals) > RINGS:
        members = [(first, number, 1 << (interval - 1).bit_length()) for first, number, interval in members]
    groups: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for first, number, interval in members:
        groups[interval].append((first % interval, number))
    return Roster(away, len(members), tuple(_callers(interval, groups[interval]) for interval in sorted(groups)))


def _callers(interval: int, devices: list[tuple[int, int]]) -> Callers:
    devices.sort()
    return Callers(interval, [phase for phase, _ in devices], [number for _, number in devices])


class Ring:
    """The devices of one wave and one interval that wait; `second` of the next call of one of them."""

    __slots__ = ("_interval", "_next", "_numbers", "_phases", "_place", "second")

    def __init__(self, callers: Callers) -> None:
        self._interval, self._phases, self._numbers = callers.interval, callers.phases, callers.numbers
        # By place: itself while its device waits, else a later place.
        self._next = list(range(len(self._numbers) + 1))
        self._place = 0
        self.second = NEVER
        self.seek(0)

    def _waiting(self, place: int) -> int:
        """The first place from `place` on whose device waits."""
        following, found = self._next, place
        while following[found] != found:
            found = following[found]
        while following[place] != found:
            following[place], place = found, following[place]
        return found

    def seek(self, now: int) -> None:
        """Find who calls first, at `now` or later."""
        turn, phase = divmod(now, self._interval)
        place = self._waiting(bisect_left(self._phases, phase))
        if place == len(self._phases):
            turn, place = turn + 1, self._waiting(0)
        self._place = place
        is_empty = place == len(self._phases)
        self.second = NEVER if is_empty else turn * self._interval + self._phases[place]

    def take(self) -> int:
        """The number of the device that calls next; it waits no more."""
        place = self._place
        number = self._numbers[place]
        self._next[place] = place + 1
        following = self._waiting(place + 1)
        if following == len(self._phases):
            self.seek(self.second + 1)
        else:
            self.second += self._phases[following] - self._phases[place]
            self._place = following
        return number


def next_call(first: int, interval: int, now: int) -> int:
    """The first call at `now` or later of a device that calls first at `first`."""
    return now + (first - now) % interval
