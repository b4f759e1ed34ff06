"""Values of settings and where they stand, and the lines of the files that hold them.

A line is what stands between two newlines and nothing else: other signs that end a line for Python do not for the
programs that read these files.
"""

from __future__ import annotations

import msgspec

from holdfast_probe.edited import Source


class Value(msgspec.Struct, frozen=True):
    """A value and where it stands; `scope` names the Match block or the section that it is limited to."""

    text: str
    path: str
    line: int = 0
    """From 1; 0 says that it is the default, since no line sets it."""
    scope: str = ""
    section_line: int = 0
    """The line that opens the section of a default in UCI; 0: there is none."""

    @property
    def where(self) -> str:
        """The place, to be shown."""
        return f"{self.path}:{self.line}" if self.line else f"the default, {self.path} does not set it"


def lines_of(source: Source, path: str) -> list[str]:
    """The lines of a file without their newlines; bytes that are no UTF-8 survive the way back."""
    lines = source.read(path).decode("utf-8", "surrogateescape").split("\n")
    return lines if lines[-1] else lines[:-1]
