"""The walk over the directories of this host: a running system's or a folder's.

1. Open directories are a stack of descriptors, one level each; nothing is kept per file.
2. Never leaves the tree: links are not followed, directories are opened relative to their parent with O_NOFOLLOW.
3. A live walk stays on local disks: a directory on another file system is entered only if it is one of `devices`.
4. Contents are read without touching access times where the kernel lets us, and from nothing but a regular file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Sequence

from holdfast_probe.gaze import TICK, Collector, Gaze, Opened

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_S_IFMT, _S_IFREG, _S_IFDIR = 0o170000, stat.S_IFREG, stat.S_IFDIR


class _OpenedHere(Opened):
    """A file of this host, by its descriptor."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int, head: memoryview, size: int) -> None:
        super().__init__(head, size)
        self._fd = fd

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)


class Descent:
    """One pass over the directories below a descriptor.

    Args:
        gaze: what to show to whom.
        top: the root directory, open; stays the caller's to close.
        skip: top-level directory names left out (``proc`` and its like on a running system).
        devices: device numbers of further file systems that may be entered beside the root's own.
    """

    def __init__(self, gaze: Gaze, top: int, *, skip: frozenset[str], devices: frozenset[int]) -> None:
        self._gaze = gaze
        self._top = top
        self._skip = skip
        self._devices = devices | {os.fstat(top).st_dev}
        self._noatime = os.O_NOATIME if os.geteuid() == 0 else 0

    def run(self) -> None:
        """Depth first, one open directory a level; recursion would put its depth in the hands of the tree.

        Where the gaze keeps a bookmark, it may be put down after any unit.
        """
        book = self._gaze.book
        levels: list[tuple[int, str, Generator[str, None, None]]] = []
        try:
            self._push(levels, os.dup(self._top), "/")
            while levels and not self._gaze.stops:
                fd, prefix, directories = levels[-1]
                name = next(directories, None)
                if name is None:
                    os.close(fd)
                    levels.pop()
                    if levels and book is not None and not self._gaze.cut and book.finished(prefix):
                        self._gaze.rest()
                elif book is not None and f"{prefix}{name}/" in book.done:
                    continue
                elif not self._gaze.too_deep(len(levels)) and (child := self._enter(name, fd)) is not None:
                    self._push(levels, child, f"{prefix}{name}/")
        finally:
            for fd, _, directories in levels:
                directories.close()
                os.close(fd)

    def _push(self, levels: list[tuple[int, str, Generator[str, None, None]]], fd: int, prefix: str) -> None:
        book = self._gaze.book
        if book is None or not book.above_units(prefix):
            levels.append((fd, prefix, self._directory(fd, prefix)))
            return
        look = self._subdirectories if prefix in book.shown else self._directory
        names = tuple(look(fd, prefix))
        book.shown.add(prefix)
        levels.append((fd, prefix, (name for name in names)))

    def _enter(self, name: str, parent: int) -> int | None:
        try:
            return os.open(name, _OPEN_DIRECTORY, dir_fd=parent)
        except FileNotFoundError:  # gone since it was listed
            return None
        except OSError:
            self._gaze.unread += 1
            return None

    def _subdirectories(self, fd: int, prefix: str) -> Generator[str, None, None]:
        """The names of the directories to enter, of one whose entries were shown before."""
        with os.scandir(fd) as entries:
            for entry in entries:
                status = None if entry.is_symlink() else self._status(entry)
                if (
                    status is not None
                    and stat.S_ISDIR(status.st_mode)
                    and self._belongs(status.st_dev, entry.name, prefix)
                ):
                    yield entry.name

    def _directory(self, fd: int, prefix: str) -> Generator[str, None, None]:
        """Look at every entry of one directory; yield the names of the directories to enter, as they come."""
        gaze = self._gaze
        bits, names, prefixes, reads, strange = gaze.bits, gaze.names, gaze.prefixes, gaze.reads, gaze.strangers
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    gaze.entries += 1
                    if not gaze.entries % TICK and gaze.tick():
                        return
                    if entry.is_symlink():
                        continue
                    status = self._status(entry)
                    if status is None:
                        continue
                    mode, name = status.st_mode, entry.name
                    kind = mode & _S_IFMT
                    if (
                        mode & bits
                        or name in names
                        or name.startswith(prefixes)
                        or (strange and gaze.is_strange(status))
                    ):
                        gaze.show(prefix + name, status, name)
                    if kind == _S_IFREG:
                        if reads and status.st_size:
                            self._read(name, fd, prefix, status)
                    elif kind == _S_IFDIR and self._belongs(status.st_dev, name, prefix):
                        yield name
        except OSError:
            gaze.unread += 1

    def _status(self, entry: os.DirEntry[str]) -> os.stat_result | None:
        try:
            return entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # gone since it was listed
            return None
        except OSError:
            self._gaze.unread += 1
            return None

    def _belongs(self, device: int, name: str, prefix: str) -> bool:
        return device in self._devices and not (prefix == "/" and name in self._skip)

    def _read(self, name: str, parent: int, prefix: str, status: os.stat_result) -> None:
        readers = self._gaze.readers(name, status.st_mode, status.st_size)
        if not readers:
            return
        try:
            fd = self._open(name, parent)
        except FileNotFoundError:
            return
        except OSError:
            self._gaze.unread += 1
            return
        try:
            self._give(fd, prefix + name, status.st_size, readers)
        except OSError:
            self._gaze.unread += 1
        finally:
            os.close(fd)
        self._gaze.spent()

    def _give(self, fd: int, path: str, size: int, readers: Sequence[Collector]) -> None:
        gaze = self._gaze
        if not stat.S_ISREG(os.fstat(fd).st_mode):  # swapped since it was listed
            gaze.unread += 1
            return
        count = os.readv(fd, [gaze.buffer])
        gaze.give(path, _OpenedHere(fd, gaze.window[:count], size), readers)

    def _open(self, name: str, parent: int) -> int:
        if self._noatime:
            try:
                return os.open(name, _OPEN_FILE | self._noatime, dir_fd=parent)
            except PermissionError:  # another owner's file, seen from a user namespace
                self._noatime = 0
        return os.open(name, _OPEN_FILE, dir_fd=parent)
