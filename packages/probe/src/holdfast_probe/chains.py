"""Chains of changes: several changes of one path, each leading on from the one before it.

1. Every state along a chain is ours: a path in one of them was changed by nobody else, however often a run was killed.
2. Nothing here looks at a tree; what a path is now is told by `changing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from holdfast_core.wire.changes import Change, FolderChange


class Nowhere(Enum):
    """What a path is that has no state."""

    GONE = "gone"
    """It is not there, nor perhaps the directory it would lie in."""
    UNREADABLE = "unreadable"


class Standing(Enum):
    """Which state of a chain its path is in."""

    BEFORE = "before"
    BETWEEN = "between"
    """Some of its changes are made."""
    AFTER = "after"
    OTHER = "other"


def makes(change: Change) -> bool:
    """Whether there was nothing at the path of `change` before."""
    return _absent(_ends(change)[0])


def chains(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """The chains of `changes`; on a path that comes or goes, only the one by which it does."""
    found: dict[tuple[type[Change], str], list[Change]] = {}
    by: dict[str, type[Change]] = {}
    for change in changes:
        found.setdefault((type(change), change.path), []).append(change)
        if any(map(_absent, _ends(change))):
            by[change.path] = type(change)
    yield from (chain for (kind, path), chain in found.items() if by.get(path, kind) is kind)


def stands(chain: Sequence[Change], now: object) -> Standing:
    """Where a path that is `now` stands in its chain."""
    if _same(now, _ends(chain[0])[0]):
        return Standing.BEFORE
    if _same(now, _ends(chain[-1])[1]):
        return Standing.AFTER
    return Standing.BETWEEN if any(_same(now, _ends(change)[1]) for change in chain) else Standing.OTHER


class Chained:
    """The changes of one run, by their paths."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes
        self._places: dict[str, list[int]] = {}
        for at, change in enumerate(changes):
            self._places.setdefault(change.path, []).append(at)

    def not_made(self, at: int, now: object) -> bool:
        """Whether a path that is `now` is where it was before change number `at`, or one before that, was made."""
        change = self._changes[at]
        if _absent(now) and any(self._made_before(at, place) for place in _places(change.path)):
            return True
        earlier = (self._changes[place] for place in self._places[change.path] if place <= at)
        return any(_same(now, _ends(other)[0]) for other in earlier if type(other) is type(change))

    def led_on(self, at: int, now: object) -> bool:
        """Whether a path that is `now` is where a change after number `at` left it."""
        change = self._changes[at]
        later = [self._changes[place] for place in self._places[change.path] if place > at]
        if _absent(now) and any(_absent(_ends(other)[1]) for other in later):
            return True
        return any(_same(now, _ends(other)[1]) for other in later if type(other) is type(change))

    def _made_before(self, at: int, path: str) -> bool:
        return any(makes(self._changes[place]) for place in self._places.get(path, ()) if place <= at)


def _places(path: str) -> Iterator[str]:
    """A path and the directories above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _ends(change: Change) -> tuple[object, object]:
    """The two states as `changing` tells them."""
    if isinstance(change, FolderChange):
        return (False, True)
    return (change.before, change.after)


def _absent(state: object) -> bool:
    return state is None or state is False or state is Nowhere.GONE


def _same(now: object, state: object) -> bool:
    return (_absent(now) and _absent(state)) or (now == state and not _absent(now) and not _absent(state))
