"""How far a walk has come, so that it can be put down and gone on with later, also by another process.

1. A unit is a directory of at most `DEPTH` components with everything below it; a walk is put down between units only,
   so that each entry is shown once. A directory above the units is shown whole before anything below it.
2. What is kept is small: a finished directory stands for all that was below it.
3. Names are bytes that need not be text: in a mark they are written as percent-encoding (RFC 3986 §2.1), so that any
   mark can be written and read back.
4. A tree that changed in between is judged as it was when each unit was seen; the next audit sees the rest.
"""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from holdfast_core.kernel.limits import LIMITS

DEPTH = 3
"""Components of a unit's path: ``/usr/lib/python3`` is one."""
UNITS = 4096
"""Units that are kept by name; beyond it the walk is not put down until their parent is finished."""

Place = Annotated[str, msgspec.Meta(max_length=4096)]
"""A path, written so; of at most `DEPTH` components, each of at most 255 bytes."""


class Carried(msgspec.Struct, frozen=True):
    """What a tally holds."""

    count: int
    smallest: tuple[Annotated[str, msgspec.Meta(max_length=4 * LIMITS.text)], ...]


class Mark(msgspec.Struct, frozen=True):
    """Where a walk was put down, and what its hunts had seen until then, by the probe they serve (its digest)."""

    done: tuple[Place, ...]
    shown: tuple[Place, ...]
    entries: int
    unread: int
    bytes: int
    hunts: dict[str, dict[str, Carried | bool | int | str]]


class Bookmark:
    """The progress of one walk over directories.

    Args:
        done: finished units, and finished directories above units.
        shown: directories above units whose own entries were shown.
    """

    def __init__(self, done: tuple[str, ...] = (), shown: tuple[str, ...] = ()) -> None:
        self.done = set(done)
        self.shown = set(shown)

    @classmethod
    def of(cls, mark: Mark) -> Bookmark:
        """The progress that `mark` tells."""
        return cls(tuple(map(_read, mark.done)), tuple(map(_read, mark.shown)))

    def written(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """`done` and `shown` as a mark has them."""
        return tuple(sorted(map(_written, self.done))), tuple(sorted(map(_written, self.shown)))

    def above_units(self, prefix: str) -> bool:
        """Whether the directory (``/usr/``) lies above the units, so that it is shown whole at once."""
        return prefix.count("/") <= DEPTH

    def finished(self, prefix: str) -> bool:
        """Note that a directory is finished; whether the walk may be put down here."""
        if prefix.count("/") > DEPTH + 1:
            return False
        self.done = {path for path in self.done if not path.startswith(prefix)}
        self.shown = {path for path in self.shown if not path.startswith(prefix)}
        self.done.add(prefix)
        return len(self.done) <= UNITS


def _written(path: str) -> str:
    return quote_from_bytes(os.fsencode(path))


def _read(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text))
