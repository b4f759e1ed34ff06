"""Making changes to a root, and taking them back byte for byte.

1. No link is followed, not even on the way: each step is opened from the one before, so nothing leads out of the root
   and nothing can be swapped in between. A file is read and changed through the very inode that was looked at.
2. A change is made only where the path is as the change says it was; anything else is refused, and left alone.
3. Content is written to a new file beside the old one, made durable, and renamed over it: at every moment the old or
   the new is there, whole, with the old one's owner, bits and extended attributes. Hard links to a file are refused:
   its other name may lie outside what was looked at.
4. Making a change that is made, and taking back one that is not, does nothing: both may be repeated after a crash, also
   where several changes of one path lead on from each other (`chains`).
"""

from __future__ import annotations

import errno
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
    place_fault,
)
from holdfast_probe.chains import Chained, Nowhere, Standing, chains, stands
from holdfast_probe.roots import shown

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_SUFFIX = ".holdfast-new"
_MEANWHILE = "somebody changed it meanwhile"
_LABEL = "security.selinux"
"""A label that the policy gives by the path: what is made anew at the same place gets it again."""


class ChangeRefused(WorldError):
    """A path was left as it is."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            "harden.path",
            f"{shown(path)} was left as it is: {why}.",
            remedy="Change it by hand, or declare it in the model.",
        )
        self.path = path


def apply(root: Path, changes: Sequence[Change]) -> None:
    """Make `changes` in their order.

    Raises:
        ChangeRefused: one could not be made; those before it are made, and `undo` of all takes them back.
    """
    chained = Chained(changes)
    for at, change in enumerate(changes):
        try:
            _shift(root, change, forward=True)
        except ChangeRefused:
            if not chained.led_on(at, _now(root, change)):
                raise


def undo(root: Path, changes: Sequence[Change]) -> tuple[str, ...]:
    """Take `changes` back, last first; returns the paths that somebody else changed meanwhile, left alone."""
    chained = Chained(changes)
    left: dict[str, None] = {}
    for at, change in reversed(tuple(enumerate(changes))):
        try:
            _shift(root, change, forward=False)
        except ChangeRefused:
            if not chained.not_made(at, _now(root, change)):
                left[change.path] = None
    return tuple(reversed(left))


def standings(root: Path, changes: Sequence[Change]) -> tuple[tuple[str, Standing], ...]:
    """Every path with where it stands between the first and the last of its changes. Touches nothing."""
    return tuple((chain[0].path, stands(chain, _now(root, chain[0]))) for chain in chains(changes))


def _now(root: Path, change: Change) -> object:
    """What the path of `change` is, in the words of its kind."""
    try:
        with _place(root, change) as (parent, name):
            return _STATES[type(change)](change, parent, name)
    except ChangeRefused as error:
        return Nowhere.GONE if isinstance(error.__cause__, FileNotFoundError) else Nowhere.UNREADABLE


def _shift(root: Path, change: Change, *, forward: bool) -> None:
    with _place(root, change) as (parent, name):
        _SHIFTS[type(change)](change, parent, name, forward)


@contextmanager
def _place(root: Path, change: Change) -> Iterator[tuple[int, str]]:
    """The directory and the name of a change's path; what the system refuses inside becomes `ChangeRefused`."""
    if fault := place_fault(change.path):
        raise ChangeRefused(change.path, fault)
    folder, _, name = change.path.rpartition("/")
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in folder.split("/")[1:]:
                deeper = os.open(part, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = deeper
            yield descriptor, name
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ChangeRefused(change.path, error.strerror or "the system refused") from error


@contextmanager
def _node(parent: int, name: str, path: str) -> Iterator[tuple[str, os.stat_result]]:
    """The very inode of a file or directory, by its entry in /proc, and what it is.

    An O_PATH descriptor has no fchmod before Linux 6.6; its entry names the same inode whatever happens to the name.
    """
    descriptor = os.open(name, _PATH, dir_fd=parent)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ChangeRefused(path, "it is neither a file nor a directory")
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            raise ChangeRefused(path, "it has another name, which may be anywhere")
        yield f"/proc/self/fd/{descriptor}", status
    finally:
        os.close(descriptor)


def _mode(change: ModeChange, parent: int, name: str) -> int:
    with _node(parent, name, change.path) as (_, status):
        return stat.S_IMODE(status.st_mode)


def _owner(change: OwnerChange, parent: int, name: str) -> tuple[int, int]:
    with _node(parent, name, change.path) as (_, status):
        return status.st_uid, status.st_gid


def _content(change: ContentChange, parent: int, name: str) -> bytes | None:
    try:
        with _node(parent, name, change.path) as (inode, status):
            if not stat.S_ISREG(status.st_mode):
                raise ChangeRefused(change.path, "it is a directory")
            if status.st_size > MAX_CONTENT:
                raise ChangeRefused(change.path, f"it is larger than {MAX_CONTENT} bytes")
            with os.fdopen(os.open(inode, _READ), "rb") as file:
                return file.read(MAX_CONTENT + 1)
    except FileNotFoundError:
        return None


def _target(change: LinkChange, parent: int, name: str) -> str | None:
    try:
        return os.readlink(name, dir_fd=parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        why = "it is no link any more" if error.errno == errno.EINVAL else error.strerror
        raise ChangeRefused(change.path, why or "it is no link any more") from None


def _folder(change: FolderChange, parent: int, name: str) -> bool:
    try:
        there = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
    if not there:
        raise ChangeRefused(change.path, "it is no directory")
    return True


def _shift_mode(change: ModeChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    with _node(parent, name, change.path) as (inode, status):
        now = stat.S_IMODE(status.st_mode)
        if now == old:
            Path(inode).chmod(new)
        elif now != new:
            raise ChangeRefused(change.path, _MEANWHILE)


def _shift_owner(change: OwnerChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    with _node(parent, name, change.path) as (inode, status):
        now = (status.st_uid, status.st_gid)
        if now == old:
            os.chown(inode, *new)
            Path(inode).chmod(stat.S_IMODE(status.st_mode))  # chown drops setuid bits
        elif now != new:
            raise ChangeRefused(change.path, _MEANWHILE)


def _shift_content(change: ContentChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    _sweep(parent, name)
    now = _content(change, parent, name)
    if now == new:
        return
    if now != old:
        raise ChangeRefused(change.path, _MEANWHILE)
    attributes = {} if now is None else _attributes(change, parent, name)
    if new is not None:
        _write(change, new, attributes, parent, name)
    elif attributes.keys() - {_LABEL}:
        raise ChangeRefused(change.path, "it has extended attributes, which would be lost")
    else:
        os.unlink(name, dir_fd=parent)
    os.fsync(parent)


def _sweep(parent: int, name: str) -> None:
    """Remove what a crash in the middle of this very change left beside the file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(os.stat(name + _SUFFIX, dir_fd=parent, follow_symlinks=False).st_mode):
            os.unlink(name + _SUFFIX, dir_fd=parent)


def _attributes(change: ContentChange, parent: int, name: str) -> dict[str, bytes]:
    """The extended attributes of a file whose bits and owner are those that the change speaks of."""
    with _node(parent, name, change.path) as (inode, status):
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (change.mode, change.uid, change.gid):
            raise ChangeRefused(change.path, _MEANWHILE)
        try:
            return {key: os.getxattr(inode, key) for key in os.listxattr(inode)}
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return {}
            raise


def _write(change: ContentChange, content: bytes, attributes: dict[str, bytes], parent: int, name: str) -> None:
    new = name + _SUFFIX
    descriptor = os.open(new, _NEW, 0o600, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            status = os.fstat(file.fileno())
            if (status.st_uid, status.st_gid) != (change.uid, change.gid):
                os.fchown(file.fileno(), change.uid, change.gid)
            os.fchmod(file.fileno(), change.mode)
            _label(file.fileno(), attributes)
            os.fsync(file.fileno())
        os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=parent)
        raise


def _label(descriptor: int, attributes: dict[str, bytes]) -> None:
    """Give the new file the old one's extended attributes, where it does not have them by itself."""
    for key, value in attributes.items():
        with suppress(OSError):
            if os.getxattr(descriptor, key) == value:
                continue
        os.setxattr(descriptor, key, value)


def _shift_link(change: LinkChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    old, new = (change.before, change.after) if forward else (change.after, change.before)
    _sweep(parent, name)
    now = _target(change, parent, name)
    if now == new:
        return
    if now != old:
        raise ChangeRefused(change.path, _MEANWHILE)
    if new is None:
        os.unlink(name, dir_fd=parent)
    elif now is None:
        os.symlink(new, name, dir_fd=parent)
    else:
        _relink(new, parent, name)
    os.fsync(parent)


def _relink(target: str, parent: int, name: str) -> None:
    """Let a link point elsewhere in one step."""
    os.symlink(target, name + _SUFFIX, dir_fd=parent)
    os.rename(name + _SUFFIX, name, src_dir_fd=parent, dst_dir_fd=parent)


def _shift_folder(change: FolderChange, parent: int, name: str, forward: bool) -> None:  # noqa: FBT001  (a table's shape)
    there = _folder(change, parent, name)
    if forward and not there:
        os.mkdir(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, _FOLDER, dir_fd=parent)
        try:
            os.fchmod(descriptor, change.mode)  # whatever the umask is
        finally:
            os.close(descriptor)
    elif there and not forward:
        os.rmdir(name, dir_fd=parent)
    os.fsync(parent)


_STATES: dict[type[Change], Callable[..., object]] = {
    ModeChange: _mode,
    OwnerChange: _owner,
    ContentChange: _content,
    LinkChange: _target,
    FolderChange: _folder,
}
"""What a change's path is now, in the words of its kind; each may raise `ChangeRefused` and OSError."""
_SHIFTS: dict[type[Change], Callable[..., None]] = {
    ModeChange: _shift_mode,
    OwnerChange: _shift_owner,
    ContentChange: _shift_content,
    LinkChange: _shift_link,
    FolderChange: _shift_folder,
}
