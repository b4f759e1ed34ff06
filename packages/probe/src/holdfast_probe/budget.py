"""What one audit may spend. Whatever is cut short by it is `unknown`, never `pass`."""

from __future__ import annotations

import msgspec


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one audit, sized for a host of some million files; a small device is asked with less."""

    files: int = 3_000_000
    """Directory entries looked at."""
    depth: int = 100
    """Levels of directories; two file descriptors are open for each."""
    seconds: float = 300.0
    """For the walk, by the clock that `audit` was given."""
    live_file_bytes: int = 64 * 1024
    """How much of one file is searched for keys on a running system: keys lie in small files."""
    folder_file_bytes: int = 16 * 1024 * 1024
    """The same in a folder: an image is small, and vendors bake keys into programs."""
    content_bytes: int = 16 * 1024 * 1024 * 1024
    """Read from all files together."""
    guess_cost: int = 6_000
    """Password guesses, in units of about a millisecond of a server's core."""

    def file_bytes(self, *, live: bool) -> int:
        """How much of one file is searched."""
        return self.live_file_bytes if live else self.folder_file_bytes


class Purse:
    """What guessing may still cost, shared by all accounts of one audit."""

    def __init__(self, cost: int) -> None:
        self.left = cost
