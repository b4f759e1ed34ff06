"""What reading one image may cost, and how a reader of images says that something is wrong.

1. Every count, length and sum that an image states is held against a limit before memory or time is spent on it.
2. `Damaged` is an `OSError`, so that a walk counts it as it counts a bad disk; it never leaves this package otherwise.
3. A limit that is reached loses the rest, never what was read: readers keep the part and say what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from holdfast_core.kernel.errors import LimitExceeded

TICK = 512
"""Entries between two looks at the clock."""


class ImageLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of reading one image."""

    entries: int = 500_000
    """Files and directories of all trees in it."""
    depth: int = 90
    """Levels of directories; fewer than a walk goes down, so that what lies deeper is lost alone, not the walk."""
    name_bytes: int = 255
    """Of one name, as Linux has it."""
    link_bytes: int = 4096
    """Where a link points."""
    image_bytes: int = 256 * 1024**3
    """Of the image itself; what is not looked at costs nothing."""
    scanned_bytes: int = 1024**3
    """Searched for the beginnings of parts; holes of a sparse file do not count."""
    unpacked_bytes: int = 4 * 1024**3
    """From all compressed streams together; blocks of file systems are bounded one by one."""
    ratio: int = 2_000
    """Bytes unpacked for one byte packed, beyond the first `ratio_free_bytes`."""
    ratio_free_bytes: int = 128 * 1024**2
    parts: int = 512
    """Named in a report."""
    nesting: int = 6
    """Containers in containers."""
    seconds: float = 120.0
    """For finding the trees and their names; contents are read during the audit, under its own budget."""


class Damaged(OSError):
    """Something in an image is not what its format says, or ends too early; `sentence` tells what."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Exceeded(LimitExceeded):
    """An image is larger or slower than its limits allow."""

    def __init__(self, sentence: str) -> None:
        super().__init__("image.limit", sentence, remedy="Look at its parts one by one, or raise the limits.")


class Meter:
    """What reading one image has cost so far, all its parts together.

    Args:
        limits: what it may cost.
        clock: rising seconds.
    """

    def __init__(self, limits: ImageLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._end = clock() + limits.seconds
        self._unpacked = 0
        self._entries = 0

    def entry(self) -> int:
        """Count an entry and give it its number in this image. Raises `Exceeded`."""
        self._entries += 1
        if self._entries > self.limits.entries:
            raise Exceeded(f"It holds more than {self.limits.entries} files and directories.")
        if not self._entries % TICK:
            self.look()
        return self._entries

    def unpacked(self, count: int) -> None:
        """Count bytes that a stream was unpacked to. Raises `Exceeded`."""
        self._unpacked += count
        if self._unpacked > self.limits.unpacked_bytes:
            raise Exceeded(f"It unpacks to more than {self.limits.unpacked_bytes} bytes.")

    def stretched(self, packed: int, unpacked: int) -> None:
        """Compare what a stream was with what it became. Raises `Exceeded`."""
        if unpacked > self.limits.ratio_free_bytes and unpacked > self.limits.ratio * packed:
            raise Exceeded(f"A stream unpacks to more than {self.limits.ratio} times its size.")

    def look(self) -> None:
        """Look at the clock. Raises `Exceeded`."""
        if self._clock() > self._end:
            raise Exceeded(f"Finding its files took longer than {self.limits.seconds:g} s.")
