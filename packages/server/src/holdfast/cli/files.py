"""Reading what a user names, bounded; writing what a user asked for, whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from holdfast_core.kernel.errors import LimitExceeded, WorldError
from holdfast_core.kernel.limits import LIMITS

if TYPE_CHECKING:
    from holdfast_core.inventory.model import DeviceModel

STANDARD = Path("-")
"""Stdin or stdout, as the command goes."""


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of `path` (``-``: stdin), at most `limit` of them.

    Raises:
        WorldError: ``files.unreadable``.
        LimitExceeded: ``files.too_large``.
    """
    try:
        if path == STANDARD:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > limit:
        raise LimitExceeded(
            "files.too_large", f"{path} has over {limit} bytes.", remedy="Check that it is the right file."
        )
    return data


def unreadable(path: Path, error: OSError) -> WorldError:
    """The error of a file that cannot be read."""
    return WorldError(
        "files.unreadable", f"{path} could not be read: {error.strerror}.", remedy="Check the name and its permissions."
    )


def read_model(path: Path) -> DeviceModel:
    """The model file at `path` (``-``: stdin), validated; see `model_file.load` for what it raises."""
    from holdfast.inventory import model_file  # noqa: PLC0415  (PyYAML only where a model file is read)

    return model_file.load(read_bounded(path, LIMITS.model_bytes))


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, replacing what was there only once everything is written."""
    with whole_file(path) as file:
        file.write(data)


@contextmanager
def whole_file(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A file that takes the name `path` when the block ends well, and leaves nothing behind when it does not.

    Raises:
        WorldError: ``files.unwritable``.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        if not private:
            os.fchmod(handle, 0o666 & ~_umask())
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
    except OSError as error:
        raise WorldError(
            "files.unwritable",
            f"{path} could not be written: {error.strerror}.",
            remedy="Check the folder, its permissions and the free space, then repeat the command.",
        ) from error


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
