"""What the walks share: what collectors want to be shown, which entries that selects, and what it may cost.

1. Nothing is kept per file; what a collector keeps is its own, bounded, affair.
2. Contents are read only if a collector asks, once per file for all of them.
3. A walk over descriptors and one over an image's nodes show the same things of the same tree: both select here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec

from holdfast_probe.bookmark import Bookmark, Mark
from holdfast_probe.budget import Budget

WINDOW = 64 * 1024
"""Bytes read from a file at once."""
OVERLAP = 8 * 1024
"""Bytes that two windows share, so that a key across the seam is seen whole."""
TICK = 1024
"""Entries between two looks at the clock."""


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """Which files a collector must be shown; everything else passes by in the tight loop."""

    mode_bits: int = 0
    """Files and directories with any of these bits."""
    strangers: bool = False
    """Files and directories whose uid or gid has no name."""
    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    content: bool = False
    """Regular files with content, opened."""


class Opened:
    """A regular file that is open, with its first bytes; valid only during the call it is passed to."""

    __slots__ = ("head", "size")

    def __init__(self, head: memoryview, size: int) -> None:
        self.head = head
        """At most `WINDOW` bytes, a view of a bytearray."""
        self.size = size

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`. Raises OSError."""
        raise NotImplementedError


class Collector:
    """One control's part in the walk. Subclasses override what they need."""

    wants = Wants()

    def seen(self, path: str, status: os.stat_result) -> None:
        """A file or directory that `wants` selects by mode, owner or name."""

    def opens(self, name: str, mode: int, size: int) -> bool:  # noqa: ARG002  (the shape for subclasses)
        """Whether the content of such a regular file matters to this collector."""
        return False

    def content(self, path: str, file: Opened) -> int:  # noqa: ARG002  (the shape for subclasses)
        """A regular file for which `opens` said yes; returns the bytes it read beyond the head. May raise OSError."""
        return 0


class Gaze:
    """What one walk looks for, what it has spent, and whether it has to stop.

    Args:
        collectors: whom to show what.
        budget: what the walk may spend.
        clock: rising seconds.
        known: uids and gids that have a name; `None` when nobody asks.
        progress: told the number of entries now and then.
        breath: asked often; it may sleep, and says whether it is time to put the walk down.
        mark: where an earlier walk was put down; `None` starts anew.
    """

    def __init__(
        self,
        collectors: Sequence[Collector],
        *,
        budget: Budget,
        clock: Callable[[], float],
        known: tuple[frozenset[int], frozenset[int]] | None = None,
        progress: Callable[[int], None] | None = None,
        breath: Callable[[], bool] | None = None,
        mark: Mark | None = None,
    ) -> None:
        self._breath = breath
        self.paused = False
        """Whether the walk was put down."""
        self.book: Bookmark | None = None
        """Kept only where the walk may be put down."""
        if breath is not None:
            self.book = Bookmark.of(mark) if mark is not None else Bookmark()
        self._collectors = tuple(collectors)
        self._budget = budget
        self._clock = clock
        self._progress = progress
        self._uids, self._gids = known or (frozenset(), frozenset())
        wants = [c.wants for c in collectors]
        self.bits = 0
        """Modes that somebody wants to see."""
        for want in wants:
            self.bits |= want.mode_bits
        self.strangers = known is not None and any(w.strangers for w in wants)
        self.names: frozenset[str] = frozenset().union(*(w.names for w in wants)) if wants else frozenset()
        self.prefixes = tuple({p for w in wants for p in w.prefixes})
        self._readers = tuple(c for c in collectors if c.wants.content)
        self.reads = bool(self._readers)
        self.buffer = bytearray(WINDOW)
        self.window = memoryview(self.buffer)
        self.entries = mark.entries if mark is not None else 0
        self.unread = mark.unread if mark is not None else 0
        self.cut = ""
        """Why the walk has to stop; empty while it may go on."""
        self.bytes = mark.bytes if mark is not None else 0
        self._deadline = self._clock() + budget.seconds

    @property
    def stops(self) -> bool:
        """Whether the walk ends here, cut short or put down."""
        return self.paused or bool(self.cut)

    def rest(self) -> None:
        """Between two units: put the walk down if it is time."""
        if self._breath is not None and self._breath():
            self.paused = True

    def is_strange(self, status: os.stat_result) -> bool:
        """Whether somebody wants to see it for its owner."""
        return self.strangers and (status.st_uid not in self._uids or status.st_gid not in self._gids)

    def show(self, path: str, status: os.stat_result, name: str) -> None:
        """Show an entry to the collectors that want it."""
        strange = self.is_strange(status)
        for collector in self._collectors:
            want = collector.wants
            if (
                status.st_mode & want.mode_bits
                or (strange and want.strangers)
                or name in want.names
                or (want.prefixes and name.startswith(want.prefixes))
            ):
                collector.seen(path, status)

    def readers(self, name: str, mode: int, size: int) -> list[Collector]:
        """The collectors that ask for the content of such a regular file."""
        return [c for c in self._readers if c.opens(name, mode, size)]

    def give(self, path: str, file: Opened, readers: Sequence[Collector]) -> None:
        """Give an opened file to its readers. Raises OSError."""
        self.bytes += len(file.head)
        for reader in readers:
            self.bytes += reader.content(path, file)

    def spent(self) -> None:
        """Look at time and bytes: after every file, since one can take long, while entries alone are cheap."""
        if self._clock() > self._deadline:
            self.cut = self._too_long()
        if self._breath is not None:
            self._breath()
        if self.bytes > self._budget.content_bytes:
            self.cut = f"More than {self._budget.content_bytes} bytes of content."

    def tick(self) -> bool:
        """Whether the walk has to stop here; also reports progress. Asked every `TICK` entries."""
        if self._progress is not None:
            self._progress(self.entries)
        if self._breath is not None:
            self._breath()
        if self.entries > self._budget.files:
            self.cut = f"The tree has more than {self._budget.files} entries."
        elif self._clock() > self._deadline:
            self.cut = self._too_long()
        return bool(self.cut)

    def too_deep(self, levels: int) -> bool:
        """Whether `levels` of directories are as many as may be; then the walk has to stop."""
        if levels >= self._budget.depth:
            self.cut = f"The tree is nested deeper than {self._budget.depth} levels."
        return bool(self.cut)

    def _too_long(self) -> str:
        return f"The walk took longer than {self._budget.seconds:g} s."
