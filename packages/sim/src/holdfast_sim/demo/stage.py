"""How the story is told: lines for a person, or one JSON event per line for a program.

1. Every line has the seconds since the start, a mark, who it is about, and words; colour repeats what the words say
   and is left out where ``NO_COLOR`` is set or nobody watches.
2. Text that came from a device or a server is printed without its control characters.
3. With JSON, stdout holds events only.
"""

from __future__ import annotations

import shutil
import textwrap
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TextIO

import msgspec

_WIDEST = 110
_NARROWEST = 72
_INDENT = 25
"""Columns before the words: time, mark, device."""


class Mark(StrEnum):
    """What kind of line it is."""

    SEEN = "✓"
    FOUND = "!"
    ATTACK = "✗"
    DO = "→"
    NOTE = "·"


_COLOURS = {
    Mark.SEEN: "32",
    Mark.FOUND: "33",
    Mark.ATTACK: "31",
    Mark.DO: "36",
    Mark.NOTE: "2",
    "trusted": "1;32",
    "restricted": "1;33",
    "quarantined": "1;31",
    "retired": "2",
    "critical": "1;31",
    "high": "31",
    "medium": "33",
}
_MARK_NAMES = {mark: mark.name.lower() for mark in Mark}


class Stage:
    """Where the story is told.

    Args:
        out: the stream to write to.
        as_json: events instead of lines.
        colour: whether colours may be used.
        width: columns; `None` asks the terminal.
    """

    def __init__(self, out: TextIO, *, as_json: bool, colour: bool, width: int | None = None) -> None:
        self._out = out
        self._json = as_json
        self._colour = colour and not as_json
        columns = width or shutil.get_terminal_size((100, 24)).columns
        self._width = max(_NARROWEST, min(_WIDEST, columns))
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begun

    def title(self, text: str, below: str) -> None:
        """The first lines."""
        if self._json:
            self._event("title", text=text, below=below)
            return
        self._line("")
        self._line("  " + self._paint(text, "1"))
        for line in textwrap.wrap(below, self._width - 2):
            self._line("  " + self._paint(line, "2"))

    def act(self, number: int, title: str, text: str = "") -> None:
        """A new part of the story."""
        if self._json:
            self._event("act", number=number, title=title, text=text)
            return
        self._line("")
        rule = "─" * max(0, self._width - len(title) - 7)
        self._line(f"{self._paint(f'── {number} ', '1;36')}{self._paint(title, '1')} {self._paint(rule, '2')}")
        for line in textwrap.wrap(clean(text), self._width - 5):
            self._line(f"     {self._paint(line, '2')}")

    def tell(self, mark: Mark, device: str, text: str, *, level: str = "", **data: Any) -> None:
        """One thing that happened; `level` goes before the words, in its colour.

        Args:
            mark: what kind of thing.
            device: who it is about; may be empty.
            text: the words.
            level: a verdict or a severity.
            data: what a program may want to know, for JSON only.
        """
        if self._json:
            named = {"level": level} if level else {}
            self._event(_MARK_NAMES[mark], device=device, text=clean(text), **named, **data)
            return
        head = f"{self.seconds:6.1f}s {self._paint(mark, _COLOURS[mark])} {self._paint(f'{device:<14.14}', '1')} "
        lines = self._wrapped(_joined(level, clean(text)))
        if level and lines:
            lines[0] = self._paint(level, _COLOURS.get(level, "1")) + lines[0][len(level) :]
        self._line(head + lines[0])
        for line in lines[1:]:
            self._line(" " * _INDENT + line)

    def more(self, text: str, *, label: str = "", **data: Any) -> None:
        """A detail of the line before."""
        if self._json:
            self._event("detail", label=label, text=clean(text), **data)
            return
        lead = f"{label}: " if label else ""
        lines = self._wrapped(lead + clean(text))
        lines[0] = self._paint(lead, "2") + lines[0][len(lead) :]
        for index, line in enumerate(lines):
            self._line(" " * _INDENT + ("  " if index and label else "") + line)

    def exact(self, text: str, *, label: str = "") -> None:
        """A detail that is there to be copied: never wrapped."""
        if self._json:
            self._event("detail", label=label, text=clean(text))
            return
        lead = f"{label}: " if label else ""
        self._line("     " + self._paint(lead, "2") + clean(text))

    def table(
        self, name: str, head: Sequence[str], rows: Sequence[Sequence[str]], data: Sequence[Mapping[str, Any]]
    ) -> None:
        """A table; the last column takes the room that is left, and is folded."""
        if self._json:
            self._event(name, rows=list(data))
            return
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head) - 1)]
        room = max(24, self._width - sum(widths) - 2 * len(head))
        self._line("")
        self._line(
            "  " + self._paint("  ".join([*(f"{h:<{w}}" for h, w in zip(head, widths, strict=False)), head[-1]]), "2")
        )
        for row in rows:
            cells = [self._paint(f"{c:<{w}}", _COLOURS.get(c, "0")) for c, w in zip(row, widths, strict=False)]
            folded = textwrap.wrap(clean(row[-1]), room) or [""]
            self._line("  " + "  ".join([*cells, folded[0]]))
            for line in folded[1:]:
                self._line("  " + " " * (sum(widths) + 2 * len(widths)) + line)

    def end(self, text: str, *, good: bool, **data: Any) -> None:
        """The last line."""
        if self._json:
            self._event("end", text=clean(text), good=good, **data)
            return
        self._line("")
        for index, line in enumerate(textwrap.wrap(clean(text), self._width - 4)):
            lead = (Mark.SEEN if good else Mark.ATTACK) if not index else " "
            self._line(f"  {self._paint(f'{lead} {line}', '1;32' if good else '1;31')}")

    def _wrapped(self, text: str) -> list[str]:
        return textwrap.wrap(text, self._width - _INDENT, break_on_hyphens=False) or [""]

    def _event(self, kind: str, **data: Any) -> None:
        event = {"at_s": round(self.seconds, 2), "event": kind, **data}
        self._line(msgspec.json.encode(event).decode())

    def _line(self, text: str) -> None:
        self._out.write(text.rstrip(" ") + "\n")
        self._out.flush()

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour != "0" else text


def _joined(level: str, text: str) -> str:
    return f"{level}{'' if not level or text.startswith(':') else ' '}{text}"


def clean(text: str) -> str:
    """Another's text as one printable line."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
