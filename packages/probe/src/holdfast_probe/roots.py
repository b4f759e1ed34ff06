"""Roots: the file tree an audit looks at, the running system's or a folder's, through one protocol.

1. Every path is seen from the root. Symbolic links, absolute ones too, are resolved inside it, one directory file
   descriptor at a time; nothing a tree contains leads out of it, and a loop ends after `MAX_LINKS` links.
2. Only regular files are read: `lstat` first, then ``O_NOFOLLOW|O_NONBLOCK``, then `fstat`. Opening a FIFO would hang
   and opening a device node can act (a watchdog starts), so neither is ever opened.
3. Every read has a byte cap and every listing an entry cap; beyond it the answer is `Unreadable`, never a part.
4. Where a link leads out of an image, to what the device makes or mounts when it runs, nobody can say what is there;
   on a running system it is missing (`ways`).
5. A folder is not a running system: it has no listening sockets, no mounts and no kernel of its own. Facts of this host
   never stand in; only `FolderRoot(proc=...)` says otherwise, for a device that runs in a namespace of this host.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import msgspec

from holdfast_probe.descent import Descent
from holdfast_probe.gaze import Gaze
from holdfast_probe.ways import MAX_LINKS, Elsewhere, Missing, Unreadable, Way, parts_of, shown

__all__ = [
    "FILE_BYTES", "MAX_ENTRIES", "MAX_LINKS", "FolderRoot", "LiveRoot", "Missing", "Paths", "Root", "Told",
    "Unreadable", "open_regular", "shown",
]  # fmt: skip

MAX_ENTRIES = 65_536
"""Names kept from one directory listing."""
FILE_BYTES = 1024 * 1024
"""Cap on one settings file."""

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the container of a root tells beside its files: an image's kernel, its boot environment, its own kind."""

    filesystem: str = ""
    """The file system that the root itself is (``squashfs``); empty for a folder and for the running system."""
    kernel_release: str = ""
    """From the banner inside the image's kernel, ``6.6.52``."""
    kernel_config: str | None = None
    """The configuration that the image's kernel carries (IKCONFIG)."""
    command_lines: tuple[str, ...] = ()
    """Kernel command lines that the image holds outside its file system: device trees, boot environments."""
    boot_environment: dict[str, str] = {}
    """The boot loader's variables (U-Boot), where the image has a block of them whose checksum is right."""
    signed_boot: bool | None = None
    """Whether what the boot loader starts is signed (a FIT image with signatures); `None`: the image is silent."""
    gaps: tuple[str, ...] = ()
    """Parts that were not understood or are damaged, each in a sentence; on these nothing passes by silence."""


class Root(Protocol):
    """What a probe may ask of a root. All paths are absolute, seen from the root."""

    @property
    def told(self) -> Told:
        """What its container tells."""

    @property
    def live(self) -> bool:
        """Whether this is the running system, so that ``/proc`` and ``/sys`` speak about it."""

    @property
    def owners_kept(self) -> bool:
        """Whether owners and setuid bits are the device's own, not lost by an extraction without root."""

    def walk(self, gaze: Gaze, *, skip: frozenset[str], devices: frozenset[int]) -> None:
        """Let `gaze` see every entry once; how is the root's affair. Raises `Unreadable` when not even its top opens.

        Args:
            gaze: what to show to whom; it also says when to stop, and counts what could not be read.
            skip: top-level directory names left out.
            devices: device numbers of further file systems that may be entered beside the root's own.
        """

    def status(self, path: str) -> os.stat_result:
        """What `path` is, links followed inside the root. Raises `Missing` or `Unreadable`."""

    def read(self, path: str, *, limit: int = FILE_BYTES) -> bytes:
        """The content of a regular file of at most `limit` bytes. Raises `Missing` or `Unreadable`."""

    def real(self, path: str) -> str:
        """`path` with every link on it followed inside the root; it need not exist. Raises `Unreadable`."""

    def link(self, path: str) -> str:
        """Where the last component of `path` points if it is a link, else an empty string. Raises `Unreadable`."""

    def listing(self, path: str) -> tuple[str, ...]:
        """The names in a directory, sorted. Raises `Missing` or `Unreadable`."""

    def glob(self, pattern: str) -> tuple[str, ...]:
        """The existing paths that match, sorted. Raises `Unreadable`, also for a link that leads out of an image."""

    def present(self, pattern: str) -> tuple[str, ...]:
        """As `glob`, but a link that leads to nothing here is left out: it is not there, whatever is elsewhere."""

    def proc_lines(self, name: str) -> Iterator[bytes]:
        """The lines of ``/proc/<name>`` of the network namespace the device runs in. Raises `Missing`, `Unreadable`."""


class Paths(ABC):
    """What can be asked of any tree that can list a directory, tell a link and say what a path is."""

    @abstractmethod
    def status(self, path: str) -> os.stat_result:
        """See `Root`."""

    @abstractmethod
    def link(self, path: str) -> str:
        """See `Root`."""

    @abstractmethod
    def listing(self, path: str) -> tuple[str, ...]:
        """See `Root`."""

    def real(self, path: str) -> str:
        """See `Root`."""
        real: list[str] = []
        todo = parts_of(path)
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del real[-1:]
                continue
            target = self.link("/" + "/".join((*real, part)))
            if not target:
                real.append(part)
                continue
            links += 1
            if links > MAX_LINKS:
                raise Unreadable(path, "it is a loop of links")
            if target.startswith("/"):
                real.clear()
            todo += parts_of(target)
        return "/" + "/".join(real)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `Root`."""
        return tuple(sorted(path for path in self._fitting(pattern) if self._exists(path, pattern)))

    def present(self, pattern: str) -> tuple[str, ...]:
        """See `Root`."""
        found = (path for path in self._fitting(pattern) if not self._dangles(path) and self._exists(path, pattern))
        return tuple(sorted(found))

    def _fitting(self, pattern: str) -> list[str]:
        """The paths that match as far as listings tell; nobody has looked for the parts that have no sign in them."""
        found = [""]
        for part in (p for p in pattern.split("/") if p):
            if _has_sign(part):
                found = [f"{base}/{name}" for base in found for name in self._matches(base or "/", part, pattern)]
                if len(found) > MAX_ENTRIES:
                    raise Unreadable(pattern, f"it fits more than {MAX_ENTRIES} paths")
            else:
                found = [f"{base}/{part}" for base in found]
        return found

    def _matches(self, folder: str, part: str, pattern: str) -> list[str]:
        try:
            names = self.listing(folder)
        except Missing:
            return []
        except Elsewhere:
            if _folder_is_chance(pattern):
                return []
            raise
        # A leading dot needs to be asked for, as in a shell.
        return [n for n in names if fnmatch.fnmatchcase(n, part) and (n[0] != "." or part[0] == ".")]

    def _dangles(self, path: str) -> bool:
        """Whether it is a link to what is not here."""
        return bool(self.link(path)) and not self._exists(self.real(path), path)

    def _exists(self, path: str, pattern: str) -> bool:
        try:
            self.status(path)
        except Missing:
            return False
        except Elsewhere as error:
            asked = not _folder_is_chance(pattern) or self._is_there(path.rpartition("/")[0])
            if asked and not _is_made_at_start(pattern, error):
                raise
            return False
        return True

    def _is_there(self, folder: str) -> bool:
        try:
            self.status(folder)
        except (Missing, Elsewhere):
            return False
        return True


def _has_sign(part: str) -> bool:
    return any(c in part for c in "*?[")


def _folder_is_chance(pattern: str) -> bool:
    """Whether a pattern fits any folder, so that nobody asked for the one that a link leads out of the tree."""
    return any(map(_has_sign, pattern.split("/")[:-1]))


def _is_made_at_start(pattern: str, error: Elsewhere) -> bool:
    """Whether a link fits ``/etc/*`` and its like, and leads where everything is made anew at every start.

    ``resolv.conf`` is such a link, and no settings file of anybody; who asks for it by its name is told.
    """
    folder, _, last = pattern.rpartition("/")
    return error.made_at_start and folder.count("/") == 1 and _has_sign(last)


class _Tree(Paths):
    """What both roots on this host share: resolving and reading below one directory."""

    told = Told()
    live = False

    def __init__(self, folder: Path) -> None:
        self._folder = os.fspath(folder)

    def walk(self, gaze: Gaze, *, skip: frozenset[str], devices: frozenset[int]) -> None:
        top = self._top()
        try:
            Descent(gaze, top, skip=skip, devices=devices).run()
        finally:
            os.close(top)

    def _top(self) -> int:
        try:
            return os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Unreadable("/", error.strerror or "it does not open") from None

    def status(self, path: str) -> os.stat_result:
        with self._at(path) as (parent, name, _):
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def read(self, path: str, *, limit: int = FILE_BYTES) -> bytes:
        with self._at(path) as (parent, name, _):
            fd = open_regular(name, parent)
        try:
            with os.fdopen(fd, "rb", buffering=0) as file:
                return _read_up_to(file.fileno(), path, limit)
        except OSError as error:
            raise Unreadable(path, error.strerror or "it does not read") from None

    def link(self, path: str) -> str:
        folder, _, name = path.rstrip("/").rpartition("/")
        try:
            with self._at(folder or "/") as (parent, last, _):
                fd = os.open(last, _DIRECTORY, dir_fd=parent)
                try:
                    return _link(name, fd) or ""
                finally:
                    os.close(fd)
        except Missing:
            return ""

    def listing(self, path: str) -> tuple[str, ...]:
        with self._at(path) as (parent, name, way):
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                names: list[str] = []
                with os.scandir(fd) as entries:
                    for entry in entries:
                        if len(names) == MAX_ENTRIES:
                            raise Unreadable(path, f"it holds more than {MAX_ENTRIES} entries")
                        names.append(entry.name)
            finally:
                os.close(fd)
            if not names and (trouble := way.void(whole=self.live)):
                raise trouble
        return tuple(sorted(names))

    @contextmanager
    def _at(self, path: str) -> Iterator[tuple[int, str, Way]]:
        """The resolved parent directory and last name of `path`; OS errors inside become `Missing` or `Unreadable`."""
        stack = [self._top()]
        way = Way(path)
        try:
            yield *_resolve(stack, way), way
        except NotADirectoryError:
            raise Missing(path) from None
        except FileNotFoundError:
            raise way.ended(whole=self.live, empty=lambda: _is_empty(stack[-1])) from None
        except OSError as error:
            raise Unreadable(path, error.strerror or "it does not open") from None
        finally:
            for fd in stack:
                os.close(fd)


class LiveRoot(_Tree):
    """The running system. `folder` is ``/`` but for tests."""

    live = True
    owners_kept = True

    def __init__(self, folder: Path = Path("/")) -> None:
        super().__init__(folder)

    def proc_lines(self, name: str) -> Iterator[bytes]:
        """See `Root`."""
        return _lines(Path(self._folder) / "proc" / name)


class FolderRoot(_Tree):
    """A tree in a folder: an unpacked image, a staging directory, or a device that runs in a namespace of this host.

    Args:
        folder: the directory that stands for ``/``.
        proc: where the kernel lists the sockets of the device's own network namespace; `None` when nothing runs.
        owners_kept: whether owners and setuid bits survived; by default they did when root owns `folder`.
    """

    live = False

    def __init__(self, folder: Path, *, proc: Path | None = None, owners_kept: bool | None = None) -> None:
        super().__init__(folder)
        self._proc = proc
        self._owners_kept = owners_kept

    @property
    def owners_kept(self) -> bool:
        """See `Root`."""
        if self._owners_kept is None:
            self._owners_kept = self.status("/").st_uid == 0
        return self._owners_kept

    def proc_lines(self, name: str) -> Iterator[bytes]:
        """See `Root`."""
        if self._proc is None:
            raise Missing(f"/proc/{name}")
        return _lines(self._proc / name)


def open_regular(name: str, parent: int) -> int:
    """Open `name` in directory `parent` for reading, or raise `Unreadable` if it is no regular file. Raises OSError."""
    if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        raise Unreadable(name, "it is not a regular file")
    fd = os.open(name, _FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):  # swapped between the two calls
        os.close(fd)
        raise Unreadable(name, "it is not a regular file")
    return fd


def _read_up_to(fd: int, path: str, limit: int) -> bytes:
    chunks: list[bytes] = []
    left = limit + 1
    while left and (chunk := os.read(fd, min(left, 65_536))):
        chunks.append(chunk)
        left -= len(chunk)
    if not left:
        raise Unreadable(path, f"it is larger than {limit} bytes")
    return b"".join(chunks)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        raise Missing(str(path)) from None
    except OSError as error:
        raise Unreadable(str(path), error.strerror or "it does not read") from None


def _resolve(stack: list[int], way: Way) -> tuple[int, str]:
    """Walk `way` down from ``stack[0]``, the root; return the directory and the name of what it leads to, no link.

    `stack` holds the directories on the way, so that ``..`` goes back up and stops at the root.
    """
    while part := way.step():
        if part == "..":
            _climb(stack, max(1, len(stack) - 1))
            continue
        target = _link(part, stack[-1])
        if target is not None:
            way.follow(target)
            if target.startswith("/"):
                _climb(stack, 1)
        elif way.last:
            return stack[-1], part
        else:
            stack.append(os.open(part, _DIRECTORY, dir_fd=stack[-1]))
            way.enter()
    return stack[-1], "."


def _is_empty(folder: int) -> bool:
    """Whether nothing is in a directory; one that does not open is taken for empty."""
    with suppress(OSError):
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.scandir(fd) as entries:
                return next(entries, None) is None
        finally:
            os.close(fd)
    return True


def _climb(stack: list[int], levels: int) -> None:
    while len(stack) > levels:
        os.close(stack.pop())


def _link(name: str, parent: int) -> str | None:
    """Where the link `name` points, or `None` if it is no link. One call tells: readlink fails on everything else."""
    with suppress(OSError):
        return os.readlink(name, dir_fd=parent)
    return None
