"""The way that a path takes through a tree, link after link, and what it means that it ends before anything is there.

1. ``..`` stops at the root, and a loop ends after `MAX_LINKS` links.
2. A running system is all there: what a link does not lead to is missing. An image is a part: what a link leads to may
   be made, or lie on another partition, when the device runs, so that nobody can say what is there (`Unreadable`).
3. Missing it is all the same where that is how things are meant to be: the kernel's own trees and ``/dev/null``, a
   program, what is asked for in a place that starts empty, and a link left over below ``/etc`` to what would have
   been installed beside other things.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from holdfast_core.kernel.errors import WorldError

MAX_LINKS = 40
"""Links followed for one path, as Linux has it (ELOOP)."""
MAX_COMPONENTS = 256
_KERNEL = re.compile(r"/(?:proc|sys)(?:/|$)|/dev/null$")
_PROGRAM = re.compile(r"/(?:usr/)?(?:local/)?s?bin/")
_STARTS_EMPTY = re.compile(r"/(?:tmp|run|dev|var/(?:tmp|run|volatile|log|lock|cache))(?:/|$)")
_ASKED_EMPTY = re.compile(r"/(?:tmp|run|dev|var)(?:/|$)")
_INSTALLED = re.compile(r"/(?:usr|lib(?:32|64)?)/")
_LEFT_OVER = re.compile(r"/etc/[^/]+/")


class Missing(WorldError):
    """Nothing is there."""

    def __init__(self, path: str) -> None:
        super().__init__("probe.missing", f"There is no {shown(path)}.", remedy="Nothing is owed if it is not needed.")


class Unreadable(WorldError):
    """Something is there and could not be read, or is not what it should be."""

    def __init__(self, path: str, why: str, *, remedy: str = "Run the audit as root.") -> None:
        super().__init__("probe.unreadable", f"{shown(path)} could not be read: {why}.", remedy=remedy)


class Elsewhere(Unreadable):
    """It leads to what is not in this tree, and may be where the device runs."""

    def __init__(self, path: str, place: str) -> None:
        why = f"it leads to {shown(place)}, which is not in this tree"
        super().__init__(path, why, remedy="Audit the whole image, with the partition or the script that this is on.")
        self.made_at_start = _STARTS_EMPTY.match(place) is not None
        """Whether nothing that lasts can be there."""


def shown(text: str, *, limit: int = 400) -> str:
    """`text` fit to be shown and sent: undecodable bytes and control characters escaped, cut at `limit` characters."""
    clean = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if not clean.isprintable():
        clean = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in clean)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def parts_of(path: str) -> list[str]:
    """The components of a path, last first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


class Way:
    """Where a path has got to. Whoever walks it asks `step`, and tells what was found: `follow`, `enter` or nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._todo = parts_of(path)
        self._asked = len(self._todo)
        """How many of the parts still to go are the path's own rather than a link's."""
        self._links = 0
        self._names: list[str] = []
        self._led: list[bool] = []
        """Of every directory entered, whether a link named it."""
        self.led = False
        """Whether a link named the part that was taken last."""
        self.part = "."

    @property
    def last(self) -> bool:
        """Whether nothing is to go after the part that was taken last."""
        return not self._todo

    def step(self) -> str:
        """The next part of the path, empty at its end; after ``..`` a directory has been left."""
        if not self._todo:
            return ""
        self.part = self._todo.pop()
        self.led = len(self._todo) >= self._asked
        self._asked = min(self._asked, len(self._todo))
        if self.part == "..":
            del self._names[-1:], self._led[-1:]
        return self.part

    def follow(self, target: str) -> None:
        """Go where a link points. Raises `Unreadable` when these have been too many."""
        self._links += 1
        if self._links > MAX_LINKS:
            raise Unreadable(self._path, "it is a loop of links")
        if target.startswith("/"):
            self._names.clear()
            self._led.clear()
        self._todo += parts_of(target)

    def enter(self) -> None:
        """Go into the directory that was taken last. Raises `Unreadable` when it is nested too deeply."""
        if len(self._names) >= MAX_COMPONENTS:
            raise Unreadable(self._path, "it is nested too deeply")
        self._names.append(self.part)
        self._led.append(self.led)

    def ended(self, *, whole: bool, empty: Callable[[], bool]) -> Missing | Unreadable:
        """What it means that the part taken last is not there.

        Args:
            whole: whether the tree is all that there is, as on a running system.
            empty: whether nothing at all is in the directory that the part should be in.
        """
        place = "/" + "/".join([*self._names, self.part, *reversed(self._todo)])
        if whole or not self._links or self._meant(place):
            return Missing(self._path)
        behind = bool(self._led) and self._led[-1]
        if not self.led and not (behind and not _STARTS_EMPTY.match(place) and empty()):
            return Missing(self._path)
        if self.last and _LEFT_OVER.match(self._path) and _INSTALLED.match(place) and not empty():
            return Missing(self._path)
        return Elsewhere(self._path, place)

    def void(self, *, whole: bool) -> Elsewhere | None:
        """What it means that the directory at its end is empty; `None`: that it is."""
        entered = self._names[-1:] == [self.part] or self.part in (".", "..")
        place = "/" + "/".join(self._names if entered else [*self._names, self.part])
        if whole or not self.led or self._meant(place) or _STARTS_EMPTY.match(place):
            return None
        return Elsewhere(self._path, place)

    def _meant(self, place: str) -> bool:
        if _KERNEL.match(place) or _PROGRAM.match(self._path):
            return True
        return bool(_STARTS_EMPTY.match(place) and _ASKED_EMPTY.match(self._path))
