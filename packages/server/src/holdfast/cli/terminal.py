"""Printing: tables, words, colours and progress.

1. Everything is readable at 80 columns and without colour: a colour only ever repeats what a word says.
2. Text from devices and files is printed as it is, never read as markup; control characters are shown, not obeyed.
3. NO_COLOR is respected, and nothing is coloured that does not go to a terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND, Instant, in_words, parse_rfc3339

Piece = str | tuple[str, str]
"""Text, or text and its style."""

PIPE_WIDTH = 100
"""Columns where there is no terminal to ask."""

STYLES: Mapping[str, str] = {
    "trusted": "green",
    "restricted": "yellow",
    "quarantined": "bold red",
    "retired": "dim",
    "none": "cyan",
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "pass": "green",
    "fail": "red",
    "unknown": "yellow",
    "compensated": "cyan",
    "not_applicable": "dim",
    "required": "bold",
    "forbidden": "magenta",
    "shown": "green",
    "not_shown": "yellow",
    "contradicted": "red",
    "unclaimed": "cyan",
    "yes": "green",
    "partly": "yellow",
    "no": "red",
}
"""The colour that goes with a word; the word is always there too."""


def _console(file: TextIO) -> Console:
    width = None if file.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=file, markup=False, highlight=False, emoji=False, width=width, soft_wrap=False)


def out() -> Console:
    """Where data goes."""
    return _console(sys.stdout)


def err() -> Console:
    """Where words go."""
    return _console(sys.stderr)


def clean(text: str) -> str:
    """`text` with everything that a terminal would act on written as an escape; line ends stay."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)


def text(*pieces: Piece) -> Text:
    """Pieces as one styled text."""
    made = Text()
    for piece in pieces:
        plain, style = (piece, "") if isinstance(piece, str) else piece
        made.append(clean(plain), style)
    return made


def words(*pieces: Piece) -> None:
    """Say something on stderr."""
    err().print(text(*pieces))


def show(*pieces: Piece, indent: int = 0) -> None:
    """Print a paragraph of data on stdout, wrapped, every line of it indented."""
    console = out()
    for line in text(*pieces).wrap(console, max(console.width - indent, 20)):
        line.rstrip()
        console.print(Text(" " * indent) + line, soft_wrap=True)


def raw(line: str) -> None:
    """Print a line on stdout that is to be copied or piped: never wrapped, never coloured."""
    sys.stdout.write(line + "\n")


def exact(*pieces: Piece) -> None:
    """Say on stderr what is to be copied: never wrapped."""
    err().print(text(*pieces), soft_wrap=True)


def word(value: str) -> tuple[str, str]:
    """A word in the colour that goes with it."""
    return value.replace("_", " "), STYLES.get(value, "")


def emit(value: object) -> None:
    """Print `value` as one JSON document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[Piece]], *, fold: Sequence[str] = ()) -> None:
    """Print rows; columns named in `fold` give way where there is little room, the others are kept whole."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        folds = column in fold
        made.add_column(column.upper(), no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    for row in rows:
        made.add_row(*(text(cell) for cell in row))
    out().print(made)


def fields(pairs: Sequence[tuple[str, Piece]]) -> None:
    """Print names and values, one a line, values aligned and wrapped beside their names; empty values are left out."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value and value != ("", ""):
            made.add_row(name, text(value))
    out().print(made)


def heading(title: str) -> None:
    """Print a title on stdout with a line of space before it."""
    out().print()
    show((title, "bold"))


def ago(moment: str | None, now: Instant) -> str:
    """An RFC 3339 time as ``3 h ago`` or ``in 3 h``; ``never`` when there is none."""
    if not moment:
        return "never"
    distance = now - parse_rfc3339(moment)
    return f"{in_words(_roughly(distance))} ago" if distance >= 0 else f"in {in_words(_roughly(-distance))}"


def _roughly(distance: int) -> int:
    """A distance in whole seconds, minutes, hours or days, as it will be told."""
    unit = next((unit for unit in (DAY, HOUR, MINUTE) if distance >= 2 * unit), SECOND)
    return distance // unit * unit


class Advance(Protocol):
    """Says how much is done; `of` how much, where that was not known at the start."""

    def __call__(self, done: int, of: int | None = None) -> None:
        """Move the bar."""
        ...


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Advance]:
    """A bar on stderr while the block runs, told how much is done of how much; nothing where stderr is no terminal.

    Until the total is known (`None`), the bar only shows that something moves.
    """
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        console=err(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with bar:
        task = bar.add_task(label, total=total)

        def advance(done: int, of: int | None = None) -> None:
            bar.update(task, completed=done, total=total if of is None else of)

        yield advance
