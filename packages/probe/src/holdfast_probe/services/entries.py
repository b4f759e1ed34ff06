"""What something that starts by itself is: its names, and the place that says so, to be read again and to be mended."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Way(StrEnum):
    """How an entry is made to start."""

    UNIT = "unit"
    """A link in a ``.wants`` or ``.requires`` folder of systemd."""
    LINK = "link"
    """A link, or a file that is as good as one, in a start-up folder."""
    SCRIPT = "script"
    """A script that starts because its own name says so (buildroot)."""
    LINE = "line"
    """A line of a table or of a start-up script; a comment sign takes it out."""
    BLOCK = "block"
    """A service of xinetd, which has a switch of its own."""
    BUILT_IN = "built_in"
    """The init system starts it unasked; a mask takes it out."""


class Started(msgspec.Struct, frozen=True, order=True):
    """Something that starts by itself: its plain `name`, every other name it answers to, and where that is said."""

    name: str
    aliases: tuple[str, ...]
    source: str
    """For a reader of findings."""
    way: Way
    places: tuple[str, ...]
    """The links, or the one file."""
    number: int = 0
    """The line, where `way` is one."""
    command: str = ""
    """What is run: a unit's name, a script's path, or the command itself."""

    runs: tuple[str, ...] = ()
    """The names of what is run in the end, where a script under another name stands between."""

    def answers_to(self, patterns: Iterable[str]) -> bool:
        """Whether any of its names, or of those of what it runs, is one of `patterns`."""
        return self.named(patterns) or bool(self.running(patterns))

    def named(self, patterns: Iterable[str]) -> bool:
        """Whether it goes by one of `patterns` itself."""
        return any(fnmatch.fnmatchcase(mine, name) for name in patterns for mine in (self.name, *self.aliases))

    def running(self, patterns: Iterable[str]) -> list[str]:
        """What it runs of `patterns`."""
        return [mine for mine in self.runs if any(fnmatch.fnmatchcase(mine, name) for name in patterns)]
