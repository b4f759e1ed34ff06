"""Files that are their owner's alone, and there whole or not at all.

1. Written beside, synced, then given their name; the folder is synced too, for the name is in it.
2. What an interrupted run left beside is replaced by the next.
"""

from __future__ import annotations

import os
from pathlib import Path

from holdfast_core.kernel.errors import WorldError


def put_new(path: Path, data: bytes) -> bool:
    """Make the file; whether its name was free. The folders above it are made too.

    Raises:
        WorldError: ``files.disk``.
    """
    try:
        _make_folder(path.parent)
        fresh = _written_beside(path, data)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return False
        finally:
            fresh.unlink()
        sync_folder(path.parent)
    except OSError as error:
        raise _disk(path, error) from error
    return True


def put(path: Path, data: bytes) -> None:
    """Replace the file.

    Raises:
        WorldError: ``files.disk``.
    """
    try:
        _written_beside(path, data).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _disk(path, error) from error


def remove(path: Path) -> None:
    """Remove the file; one that is not there is no error.

    Raises:
        WorldError: ``files.disk``.
    """
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)
    except OSError as error:
        raise _disk(path, error) from error


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each its owner's alone; `mkdir` itself sees to the mode of the last only."""
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        each.mkdir(mode=0o700, exist_ok=True)


def _written_beside(path: Path, data: bytes) -> Path:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return fresh


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk(path: Path, error: OSError) -> WorldError:
    return WorldError(
        "files.disk",
        f"{path} could not be written: {error.strerror}.",
        remedy="Check the folder's owner and the free space; nothing was changed.",
    )
