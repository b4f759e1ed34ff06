"""Making changes to a root, and taking them back byte for byte.

1. No link is followed, not even on the way: each step is opened from the one before, so nothing leads out of the root
   and nothing can be swapped in between.
2. A change is made only where the path is as the change says it was; anything else is refused, and left alone.
3. Content is written to a new file beside the old one, made durable, and renamed over it: at every moment the old or
   the new is there, whole. Hard links to a file are refused: its other name may lie outside what was looked at.
4. Making a change that is made, and taking back one that is not, does nothing: both may be repeated after a crash.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.changes import (
    MAX_CONTENT,
    Change,
    ContentChange,
    FolderChange,
    LinkChange,
    ModeChange,
    OwnerChange,
)
from holdfast_probe.roots import shown

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_SUFFIX = ".holdfast-new"
_NAME_BYTES = 255


class ChangeRefused(WorldError):
    """A path was left as it is."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            "harden.path",
            f"{shown(path)} was left as it is: {why}.",
            remedy="Change it by hand, or declare it in the model.",
        )


def apply(root: Path, changes: Sequence[Change]) -> None:
    """Make `changes` in their order.

    Raises:
        ChangeRefused: one could not be made; those before it are made, and `undo` of all takes them back.
    """
    for change in changes:
        _shift(root, change, forward=True)


def undo(root: Path, changes: Sequence[Change]) -> tuple[str, ...]:
    """Take `changes` back, last first; returns the paths that somebody else changed meanwhile, left alone."""
    left: list[str] = []
    for change in reversed(changes):
        try:
            _shift(root, change, forward=False)
        except ChangeRefused:
            left.append(change.path)
    return tuple(reversed(left))


def _shift(root: Path, change: Change, *, forward: bool) -> None:
    folder, _, name = change.path.rpartition("/")
    if not name or name in (".", "..") or len(os.fsencode(name)) + len(_SUFFIX) > _NAME_BYTES:
        raise ChangeRefused(change.path, "it does not name a place below the root")
    try:
        with _opened(root, folder, change.path) as parent:
            _SHIFTS[type(change)](change, parent, name, forward)
    except OSError as error:
        raise ChangeRefused(change.path, error.strerror or "the system refused") from error


@contextmanager
def _opened(root: Path, folder: str, path: str) -> Iterator[int]:
    """A descriptor of `folder` below `root`, opened step by step."""
    parts = [part for part in folder.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise ChangeRefused(path, "it does not name a place below the root")
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            deeper = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _node(parent: int, name: str, path: str) -> Iterator[tuple[int, os.stat_result]]:
    """The very inode of a file or directory, and what it is."""
    descriptor = os.open(name, _PATH, dir_fd=parent)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ChangeRefused(path, "it is neither a file nor a directory")
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            raise ChangeRefused(path, "it has another name, which may be anywhere")
        yield descriptor, status
    finally:
        os.close(descriptor)


def _shift_mode(change: ModeChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    with _node(parent, name, change.path) as (descriptor, status):
        now = stat.S_IMODE(status.st_mode)
        if now == old:
            # An O_PATH descriptor has no fchmod before Linux 6.6; its entry in /proc names the very same inode.
            Path(f"/proc/self/fd/{descriptor}").chmod(new)
        elif now != new:
            raise ChangeRefused(change.path, "somebody changed it meanwhile")


def _shift_owner(change: OwnerChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    with _node(parent, name, change.path) as (descriptor, status):
        now = (status.st_uid, status.st_gid)
        if now == old:
            bits = stat.S_IMODE(status.st_mode)
            os.chown(f"/proc/self/fd/{descriptor}", *new)
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != bits:  # chown drops setuid bits
                Path(f"/proc/self/fd/{descriptor}").chmod(bits)
        elif now != new:
            raise ChangeRefused(change.path, "somebody changed it meanwhile")


def _shift_content(change: ContentChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    now = _content(parent, name, change.path)
    if now == new:
        return
    if now != old:
        raise ChangeRefused(change.path, "somebody changed it meanwhile")
    if new is None:
        os.unlink(name, dir_fd=parent)
    else:
        _write(change, new, parent, name)
    os.fsync(parent)


def _content(parent: int, name: str, path: str) -> bytes | None:
    try:
        with _node(parent, name, path) as (_, status):
            if not stat.S_ISREG(status.st_mode):
                raise ChangeRefused(path, "it is a directory")
            if status.st_size > MAX_CONTENT:
                raise ChangeRefused(path, f"it is larger than {MAX_CONTENT} bytes")
    except FileNotFoundError:
        return None
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent), "rb") as f:
        return f.read(MAX_CONTENT + 1)


def _write(change: ContentChange, content: bytes, parent: int, name: str) -> None:
    new = name + _SUFFIX
    with suppress(FileNotFoundError):  # left by a crash in the middle of this very change
        os.unlink(new, dir_fd=parent)
    descriptor = os.open(new, _NEW, 0o600, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            status = os.fstat(file.fileno())
            if (status.st_uid, status.st_gid) != (change.uid, change.gid):
                os.fchown(file.fileno(), change.uid, change.gid)
            os.fchmod(file.fileno(), change.mode)
            os.fsync(file.fileno())
        os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.unlink(new, dir_fd=parent)
        raise


def _shift_link(change: LinkChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    now = _target(parent, name, change.path)
    if now == new:
        return
    if now != old:
        raise ChangeRefused(change.path, "somebody changed it meanwhile")
    if now is not None:
        os.unlink(name, dir_fd=parent)
    if new is not None:
        os.symlink(new, name, dir_fd=parent)
    os.fsync(parent)


def _target(parent: int, name: str, path: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError:
        raise ChangeRefused(path, "it is no link any more") from None


def _shift_folder(change: FolderChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    try:
        there = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        if forward:
            os.mkdir(name, change.mode, dir_fd=parent)
            os.chmod(name, change.mode, dir_fd=parent)  # whatever the umask is
        return
    if not there:
        raise ChangeRefused(change.path, "it is no directory")
    if not forward:
        os.rmdir(name, dir_fd=parent)


_SHIFTS: dict[type[Change], Callable[..., None]] = {
    ModeChange: _shift_mode,
    OwnerChange: _shift_owner,
    ContentChange: _shift_content,
    LinkChange: _shift_link,
    FolderChange: _shift_folder,
}
