"""The one walk: every control that needs to see the whole tree is served by the same pass.

1. Bounded in entries, depth, seconds and bytes; a walk that was cut short says so, and then nothing passes on it.
2. Nothing is kept per file. Open directories are a stack of descriptors, one level each; what a collector keeps is its
   own, bounded, affair.
3. Never leaves the tree: links are not followed, directories are opened relative to their parent with O_NOFOLLOW.
4. A live walk stays on local disks: a directory on another file system is entered only if it is one of `devices`.
5. Contents are read only if a collector asks, once per file for all of them, without touching access times where the
   kernel lets us, and never from anything but a regular file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Sequence

import msgspec

from holdfast_probe.budget import Budget
from holdfast_probe.roots import Root

WINDOW = 64 * 1024
"""Bytes read from a file at once."""
OVERLAP = 8 * 1024
"""Bytes that two windows share, so that a key across the seam is seen whole."""

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_S_IFMT, _S_IFREG, _S_IFDIR = 0o170000, stat.S_IFREG, stat.S_IFDIR
_TICK = 1024
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

    __slots__ = ("fd", "head", "size")

    def __init__(self, fd: int, head: memoryview, size: int) -> None:
        self.fd = fd
        self.head = head
        self.size = size

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`."""
        return os.pread(self.fd, size, offset)


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
    ) -> None:
        self._root = root
        self._collectors = tuple(collectors)
        self._budget = budget
        self._clock = clock
        self._uids, self._gids = known or (frozenset(), frozenset())
        self._skip = skip
        self._devices = devices
        self._progress = progress
        wants = [c.wants for c in collectors]
        self._bits = 0
        for want in wants:
            self._bits |= want.mode_bits
        self._strangers = known is not None and any(w.strangers for w in wants)
        self._names: frozenset[str] = frozenset().union(*(w.names for w in wants)) if wants else frozenset()
        self._prefixes = tuple({p for w in wants for p in w.prefixes})
        self._readers = tuple(c for c in collectors if c.wants.content)
        self._buffer = bytearray(WINDOW)
        self._window = memoryview(self._buffer)
        self._noatime = os.O_NOATIME if os.geteuid() == 0 else 0
        self._entries = 0
        self._unread = 0
        self._bytes = 0
        self._cut = ""
        self._deadline = 0.0

    def run(self) -> Walked:
        """Walk the tree once. Raises `Unreadable` when not even its top opens."""
        self._deadline = self._clock() + self._budget.seconds
        top = self._root.top()
        try:
            self._devices |= {os.fstat(top).st_dev}
            self._descend(top)
        finally:
            os.close(top)
        return Walked(self._entries, self._cut, self._unread)

    def _descend(self, top: int) -> None:
        """Depth first, one open directory a level; recursion would put its depth in the hands of the tree."""
        levels: list[tuple[int, str, Generator[str, None, None]]] = []
        try:
            self._push(levels, os.dup(top), "/")
            while levels and not self._cut:
                fd, prefix, directories = levels[-1]
                name = next(directories, None)
                if name is None:
                    os.close(fd)
                    levels.pop()
                elif len(levels) >= self._budget.depth:
                    self._cut = f"The tree is nested deeper than {self._budget.depth} levels."
                elif (child := self._enter(name, fd)) is not None:
                    self._push(levels, child, f"{prefix}{name}/")
        finally:
            for fd, _, directories in levels:
                directories.close()
                os.close(fd)

    def _push(self, levels: list[tuple[int, str, Generator[str, None, None]]], fd: int, prefix: str) -> None:
        levels.append((fd, prefix, self._directory(fd, prefix)))

    def _enter(self, name: str, parent: int) -> int | None:
        try:
            return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        except FileNotFoundError:  # gone since it was listed
            return None
        except OSError:
            self._unread += 1
            return None

    def _directory(self, fd: int, prefix: str) -> Generator[str, None, None]:
        """Look at every entry of one directory; yield the names of the directories to enter, as they come."""
        bits, names, prefixes, reads = self._bits, self._names, self._prefixes, bool(self._readers)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    self._entries += 1
                    if not self._entries % _TICK and self._tick():
                        return
                    if entry.is_symlink():
                        continue
                    status = self._status(entry)
                    if status is None:
                        continue
                    mode, name = status.st_mode, entry.name
                    kind = mode & _S_IFMT
                    if mode & bits or name in names or name.startswith(prefixes) or self._is_strange(status):
                        self._show(prefix + name, status, name)
                    if kind == _S_IFREG:
                        if reads and status.st_size:
                            self._read(name, fd, prefix, status)
                    elif kind == _S_IFDIR and self._belongs(status.st_dev, name, prefix):
                        yield name
        except OSError:
            self._unread += 1

    def _status(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        try:
            return entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # gone since it was listed
            return None
        except OSError:
            self._unread += 1
            return None

    def _belongs(self, device: int, name: str, prefix: str) -> bool:
        return device in self._devices and not (prefix == "/" and name in self._skip)

    def _is_strange(self, status: os.stat_result) -> bool:
        return self._strangers and (status.st_uid not in self._uids or status.st_gid not in self._gids)

    def _show(self, path: str, status: os.stat_result, name: str) -> None:
        strange = self._is_strange(status)
        for collector in self._collectors:
            want = collector.wants
            if (
                status.st_mode & want.mode_bits
                or (strange and want.strangers)
                or name in want.names
                or (want.prefixes and name.startswith(want.prefixes))
            ):
                collector.seen(path, status)

    def _read(self, name: str, parent: int, prefix: str, status: os.stat_result) -> None:
        mode, size = status.st_mode, status.st_size
        readers = [c for c in self._readers if c.opens(name, mode, size)]
        if not readers:
            return
        try:
            fd = self._open(name, parent)
        except FileNotFoundError:
            return
        except OSError:
            self._unread += 1
            return
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):  # swapped since it was listed
                self._unread += 1
                return
            count = os.readv(fd, [self._buffer])
            self._bytes += count
            opened = Opened(fd, self._window[:count], size)
            for reader in readers:
                self._bytes += reader.content(prefix + name, opened)
        except OSError:
            self._unread += 1
        finally:
            os.close(fd)
        # After every file, since one can take long; entries alone are cheap, and looked at in `_tick`.
        if self._clock() > self._deadline:
            self._cut = _too_long(self._budget)
        if self._bytes > self._budget.content_bytes:
            self._cut = f"More than {self._budget.content_bytes} bytes of content."

    def _open(self, name: str, parent: int) -> int:
        if self._noatime:
            try:
                return os.open(name, _OPEN_FILE | self._noatime, dir_fd=parent)
            except PermissionError:  # another owner's file, seen from a user namespace
                self._noatime = 0
        return os.open(name, _OPEN_FILE, dir_fd=parent)

    def _tick(self) -> bool:
        """Whether the walk has to stop here; also reports progress."""
        if self._progress is not None:
            self._progress(self._entries)
        if self._entries > self._budget.files:
            self._cut = f"The tree has more than {self._budget.files} entries."
        elif self._clock() > self._deadline:
            self._cut = _too_long(self._budget)
        return bool(self._cut)


def _too_long(budget: Budget) -> str:
    return f"The walk took longer than {budget.seconds:g} s."
