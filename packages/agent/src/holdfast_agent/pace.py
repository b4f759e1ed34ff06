"""How fast an audit may go: a share of one core, at the lowest priority, and a sitting that ends.

1. CPU time is what is rationed, not the clock on the wall: a busy device is no reason to give up.
2. A sitting also ends on the wall clock, long after its share should have been used, so that a starved audit never
   keeps the device from checking in.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from holdfast_core.baseline.model import AuditBudget

LOWEST = 19
NAP_S = 0.25
"""The longest sleep at a stretch."""
PATIENCE = 2
"""A sitting ends after this many times the time that it should take: a starved device checks in all the same."""


class Pace:
    """The pace of one sitting. Calling it may sleep; it says whether the sitting is over.

    Args:
        budget: what the plan allows.
        cpu: seconds of CPU that this process has used.
        wall: rising seconds.
        sleep: how to wait.
    """

    def __init__(
        self,
        budget: AuditBudget,
        *,
        cpu: Callable[[], float] = time.process_time,
        wall: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._budget = budget
        self._cpu, self._wall, self._sleep = cpu, wall, sleep
        self._cpu_begun, self._wall_begun = cpu(), wall()
        self._longest = PATIENCE * budget.cpu_s * 100 / budget.cpu_percent

    def __call__(self) -> bool:
        """Sleep off what was used beyond the share; whether the sitting is over."""
        used = self._cpu() - self._cpu_begun
        passed = self._wall() - self._wall_begun
        ahead = used * 100 / self._budget.cpu_percent - passed
        if ahead > 0:
            self._sleep(min(ahead, NAP_S))
        return used >= self._budget.cpu_s or passed >= self._longest


@contextmanager
def lowest_priority() -> Iterator[None]:
    """Let everything else on the device go first in the block; afterwards as before, where the kernel allows it."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, LOWEST)
    try:
        yield
    finally:
        with suppress(OSError):  # an agent that is not root stays polite until it ends
            os.setpriority(os.PRIO_PROCESS, 0, before)
