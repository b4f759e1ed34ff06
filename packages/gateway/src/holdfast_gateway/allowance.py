"""An allowance that is used up and comes back with time: bytes of the line in a day, denied questions of an address."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Allowance:
    """At most `most` at once, and after that `per_s` each second. Safe to take from in several threads.

    It is asked before and charged after, so it may be overdrawn by one charge.
    """

    def __init__(self, most: float, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._per_s, self._clock = most, per_s, clock
        self._left, self._at = most, clock()
        self._guard = threading.Lock()

    @property
    def spent(self) -> bool:
        """Whether less than one is left at present."""
        with self._guard:
            self._refill()
            return self._left < 1

    def charge(self, amount: float) -> None:
        """Use some of it up."""
        with self._guard:
            self._refill()
            self._left -= amount

    def _refill(self) -> None:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
