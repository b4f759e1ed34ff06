"""Permission bits inside a root: computing a change, making it, taking it back.

1. No link is followed, not even on the way: each step is opened from the one before, so nothing leads out of the root
   and nothing can be swapped in between.
2. Only regular files and directories are touched, and a hard link to a file is left alone: its other name may lie
   outside what was looked at.
3. A change only ever takes bits away.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.changes import ModeChange

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class ModeRefused(WorldError):
    """A path's permission bits were not changed."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            "harden.path", f"{path} was left as it is: {why}.", remedy="Change it by hand, or declare it in the model."
        )


def planned(root: Path, path: str, *, take: int) -> ModeChange | None:
    """The change that takes the bits of `take` from `path`, or `None` if it has none of them. Raises `ModeRefused`."""
    descriptor = _open(root, path)
    try:
        before = _bits(descriptor, path)
    finally:
        os.close(descriptor)
    after = before & ~take
    return ModeChange(path, before, after) if after != before else None


def make(root: Path, change: ModeChange) -> None:
    """Set `path` from `before` to `after`; nothing is done where it is `after`. Raises `ModeRefused`."""
    if not _shift(root, change.path, change.before, change.after):
        raise ModeRefused(change.path, "somebody changed it meanwhile")


def take_back(root: Path, change: ModeChange) -> bool:
    """Set `path` back to `before`; False where somebody else changed or removed it meanwhile, and it is left alone."""
    try:
        return _shift(root, change.path, change.after, change.before)
    except ModeRefused:
        return False


def _shift(root: Path, path: str, old: int, new: int) -> bool:
    descriptor = _open(root, path)
    try:
        now = _bits(descriptor, path)
        if now == old:
            # An O_PATH descriptor has no fchmod before Linux 6.6; its entry in /proc names the very same inode.
            Path(f"/proc/self/fd/{descriptor}").chmod(new)
    except OSError as error:
        raise ModeRefused(path, error.strerror or "the system refused") from error
    finally:
        os.close(descriptor)
    return now in (old, new)


def _bits(descriptor: int, path: str) -> int:
    status = os.fstat(descriptor)
    regular = stat.S_ISREG(status.st_mode)
    if not regular and not stat.S_ISDIR(status.st_mode):
        raise ModeRefused(path, "it is neither a file nor a directory")
    if regular and status.st_nlink > 1:
        raise ModeRefused(path, "it has another name, which may be anywhere")
    return stat.S_IMODE(status.st_mode)


def _open(root: Path, path: str) -> int:
    """A descriptor of `path` below `root`, opened step by step."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ModeRefused(path, "it does not name a place below the root")
    descriptor = -1
    try:
        descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for part in parts:
            deeper = os.open(part, _STEP, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise ModeRefused(path, error.strerror or "it does not open") from error
    return descriptor
