"""Reading a slot from the medium itself, past what the kernel remembers of writing it.

1. What was written is synced first; then the kernel is told to forget its pages, so that they are read anew.
2. A slot is read in pieces of `PIECE` bytes; it may be larger than memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import WorldError

PIECE = 1024 * 1024


@contextlib.contextmanager
def opened(path: Path, *, writable: bool = False) -> Iterator[int]:
    """A descriptor of the file or device.

    Raises:
        WorldError: ``installer.medium``, also for what fails while it is open.
    """
    try:
        handle = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            yield handle
        finally:
            os.close(handle)
    except OSError as error:
        raise WorldError(
            "installer.medium",
            f"{path} could not be read or written: {error.strerror}.",
            remedy="Look whether the slot's device is there and healthy, and open to the agent (dmesg, smartctl).",
        ) from error


def pieces(handle: int, start: int, length: int) -> Iterator[bytes]:
    """`length` bytes from `start`; fewer where the medium ends."""
    at, end = start, start + length
    while at < end:
        piece = os.pread(handle, min(PIECE, end - at), at)
        if not piece:
            return
        yield piece
        at += len(piece)


def forget(handle: int) -> None:
    """Let what is read from now on come from the medium."""
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def digest_on(path: Path, length: int, start: int = 0) -> tuple[Digest, int]:
    """SHA-256 of `length` bytes as they lie on the medium, and how many there were.

    Raises:
        WorldError: ``installer.medium``.
    """
    hashed, size = hashlib.sha256(), 0
    with opened(path, writable=True) as handle:
        forget(handle)
        for piece in pieces(handle, start, length):
            hashed.update(piece)
            size += len(piece)
    return Digest("sha256:" + hashed.hexdigest()), size


def corrupt(slot: str, why: str) -> WorldError:
    """The error of a slot that does not hold what was written."""
    return WorldError(
        "installer.slot_corrupt",
        f"Slot {slot} does not hold what was to be written: {why}.",
        remedy="The slot that runs is untouched. If it happens again, the medium is worn out: replace it.",
    )


def no_way_back(running: str, back: str) -> WorldError:
    """The error of a slot that is to be gone back to, and that the boot loader would not boot."""
    return WorldError(
        "installer.no_way_back",
        f"The boot loader has slot {back} as one that does not boot, so the device stays in {running}.",
        remedy="Direct the device to a release that is good; it is written to the slot that does not boot.",
    )
