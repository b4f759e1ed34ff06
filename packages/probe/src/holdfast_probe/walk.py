"""The one walk: every control that needs to see the whole tree is served by the same pass.

1. Bounded in entries, depth, seconds and bytes; a walk that was cut short says so, and then nothing passes on it.
2. How a tree is walked is its root's affair; what is shown to whom, and what it may cost, is the same for all.
3. What an image's container says it could not make sense of is a gap of the walk too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from holdfast_probe.bookmark import Mark
from holdfast_probe.budget import Budget
from holdfast_probe.gaze import OVERLAP, WINDOW, Collector, Gaze, Opened, Wants
from holdfast_probe.roots import Root

__all__ = ["OVERLAP", "WINDOW", "Collector", "Opened", "Walk", "Walked", "Wants"]


class Walked(msgspec.Struct, frozen=True):
    """How a walk ended: `cut` says why it is not the whole tree (empty: it is), `unread` counts what did not open."""

    entries: int
    cut: str
    unread: int

    @property
    def gap(self) -> str:
        """Why nothing may pass on this walk; empty when it saw everything."""
        if self.cut:
            return self.cut
        return f"{self.unread} files or directories could not be read." if self.unread else ""


class Walk:
    """One pass over a root.

    Args:
        collectors: whom to show what.
        known: uids and gids that have a name; `None` when nobody asks.
        skip: top-level directory names left out (``proc`` and its like on a running system).
        devices: device numbers of further file systems that may be entered beside the root's own.
        clock: rising seconds, for the budget.
        progress: told the number of entries now and then.
        breath: asked often; it may sleep, and says whether it is time to put the walk down.
        mark: where an earlier walk was put down.
    """

    def __init__(
        self,
        root: Root,
        collectors: Sequence[Collector],
        *,
        budget: Budget,
        clock: Callable[[], float],
        known: tuple[frozenset[int], frozenset[int]] | None = None,
        skip: frozenset[str] = frozenset(),
        devices: frozenset[int] = frozenset(),
        progress: Callable[[int], None] | None = None,
        breath: Callable[[], bool] | None = None,
        mark: Mark | None = None,
    ) -> None:
        self._root = root
        self._skip = skip
        self._devices = devices
        self._gaze = Gaze(
            collectors, budget=budget, clock=clock, known=known, progress=progress, breath=breath, mark=mark
        )

    @property
    def mark(self) -> Mark | None:
        """Where the walk was put down, without what its hunts saw; `None` where it ended by itself."""
        gaze, book = self._gaze, self._gaze.book
        if not gaze.paused or book is None:
            return None
        done, shown = book.written()
        return Mark(done, shown, gaze.entries, gaze.unread, gaze.bytes, {})

    def run(self) -> Walked:
        """Walk the tree once. Raises `Unreadable` when not even its top opens."""
        gaze = self._gaze
        self._root.walk(gaze, skip=self._skip, devices=self._devices)
        if gaze.paused:
            return Walked(gaze.entries, "The walk goes on at the next sitting.", gaze.unread)
        return Walked(gaze.entries, gaze.cut or " ".join(self._root.told.gaps), gaze.unread)
