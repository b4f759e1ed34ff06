"""Removing a folder of the agent's own with all that is in it.

1. No link is followed: every folder is opened below the one that holds it, and a link itself is removed.
2. It goes no deeper than `DEEPEST`: the agent makes no folders below that, and a depth without end would end the
   process.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

DEEPEST = 16


def remove_folder(name: str, parent: int, *, depth: int = 0) -> None:
    """Remove the folder `name` below the open folder `parent`.

    Raises:
        OSError: something cannot be removed, or lies too deep; what was removed before stays so.
    """
    if depth == DEEPEST:
        raise OSError(errno.ELOOP, f"folders lie more than {DEEPEST} deep in it")
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for inner in os.listdir(folder):  # noqa: PTH208  (a path is what could be swapped)
            remove_any(inner, folder, depth=depth + 1)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=parent)


def remove_any(name: str, parent: int, *, depth: int = 0) -> None:
    """Remove the file, link or folder `name` below the open folder `parent`. Raises OSError as `remove_folder`."""
    with suppress(FileNotFoundError):  # somebody was quicker
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            remove_folder(name, parent, depth=depth)
        else:
            os.unlink(name, dir_fd=parent)
