"""The CSV import: a list of devices that somebody keeps in a spreadsheet.

1. A fault of the whole file (too large, no header) refuses the file; a fault of a row is a `RowProblem` that names its
   line, and the other rows stand. The caller decides whether to import a list that has problems.
2. The first row names the columns, in any order; only ``device`` must be there. An unknown column is refused: a
   misspelt one must never silently be a missing one.
3. Cells are data. One that begins like a spreadsheet formula (``=``, ``+``, ``-``, ``@``) is kept as it is; whoever
   writes a spreadsheet escapes it there.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

import msgspec

from holdfast_core.inventory.lifecycle import Labels, parse_labels, parse_model_reference, parse_text
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId, parse_device_id
from holdfast_core.kernel.limits import LIMITS

COLUMNS = ("device", "model", "owner", "site", "zone", "labels", "serial")

_CELL = LIMITS.labels * 2 * LIMITS.text
"""The longest cell anybody can mean: a full set of labels."""


class Row(msgspec.Struct, frozen=True):
    """One device of the list, and the line it ends on."""

    line: int
    device: DeviceId
    model: str = ""
    owner: str = ""
    site: str = ""
    zone: str = ""
    labels: Labels = ()
    serial: str = ""


class RowProblem(msgspec.Struct, frozen=True):
    """A row that was left out, and why; `line` counts from 1, the header being a line too."""

    line: int
    code: str
    sentence: str
    remedy: str


def parse_rows(text: str) -> tuple[tuple[Row, ...], tuple[RowProblem, ...]]:
    """Read a list of devices: RFC 4180, with or without a byte order mark, any line ending.

    Returns:
        The rows that stand, in order, and the problems of those that do not. Empty lines are neither.

    Raises:
        HostileData: ``rows.header`` when the first line does not name the columns, ``rows.quoting`` when a quote is
            never closed.
        LimitExceeded: ``rows.too_large`` or ``rows.too_many``.
    """
    if len(text) > LIMITS.rows_text:
        raise LimitExceeded(
            "rows.too_large",
            f"The list has more than {LIMITS.rows_text} characters.",
            remedy="Split it into several imports.",
        )
    cells = _cells(text)
    columns = _header(next(cells, (1, []))[1])
    rows: list[Row] = []
    problems: list[RowProblem] = []
    seen: dict[str, int] = {}
    for line, row in cells:
        if not any(cell.strip() for cell in row):
            continue
        if len(rows) + len(problems) == LIMITS.rows:
            raise LimitExceeded(
                "rows.too_many",
                f"The list has more than {LIMITS.rows} rows.",
                remedy="Split it into several imports.",
            )
        try:
            rows.append(_row(line, columns, row, seen))
        except HostileData as error:
            problems.append(RowProblem(line, error.code, f"Line {line}: {error.sentence}", error.remedy))
    return tuple(rows), tuple(problems)


def _cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows as cells, each with the number of its last line."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    reader = csv.reader((line + "\n" for line in plain.split("\n")), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        # The reader cannot find the next row after this: going on would turn one bad quote into silent nonsense.
        raise HostileData(
            "rows.quoting",
            f"Line {reader.line_num} cannot be read: {error}.",
            remedy="Close every quote, double the quotes inside a quoted cell, and keep cells short.",
        ) from error


def _header(cells: list[str]) -> tuple[str, ...]:
    columns = tuple(cell.strip().lower() for cell in cells)
    unknown = [column for column in columns if column not in COLUMNS]
    if "device" not in columns or unknown or len(set(columns)) != len(columns):
        hint = " Separate the cells with commas." if len(cells) == 1 and ";" in cells[0] else ""
        raise HostileData(
            "rows.header",
            f"Line 1 does not name the columns: {', '.join(columns)[:80]!r}.",
            remedy=f"Begin with a line of {','.join(COLUMNS)}; only device must be there, each at most once.{hint}",
        )
    return columns


def _row(line: int, columns: tuple[str, ...], cells: list[str], seen: dict[str, int]) -> Row:
    """One row, or the `HostileData` that says why not; the device is remembered in `seen` either way."""
    if len(cells) > len(columns):
        raise HostileData(
            "rows.cells",
            f"There are {len(cells)} cells for {len(columns)} columns.",
            remedy="Put a cell that contains a comma into double quotes.",
        )
    if any(len(cell) > _CELL for cell in cells):
        raise LimitExceeded("rows.cell", "A cell is too long.", remedy=f"Keep texts within {LIMITS.text} characters.")
    found = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
    device = parse_device_id(found.get("device", ""))
    first = seen.setdefault(device, line)
    if first != line:
        raise HostileData(
            "rows.duplicate",
            f"{device!r} is already on line {first}.",
            remedy="Keep one of the two lines.",
        )
    return Row(
        line=line,
        device=device,
        model=parse_model_reference(found.get("model", "")),
        owner=parse_text(found.get("owner", ""), what="owner"),
        site=parse_text(found.get("site", ""), what="site"),
        zone=parse_text(found.get("zone", ""), what="zone"),
        serial=parse_text(found.get("serial", ""), what="serial"),
        labels=_labels(found.get("labels", "")),
    )


def _labels(cell: str) -> Labels:
    """``k=v;k=v`` as labels; a value may contain ``=``, never ``;``."""
    pairs: list[tuple[str, str]] = []
    for part in cell.split(";"):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals:
            raise HostileData(
                "device.labels",
                f"{part[:80]!r} is not a label.",
                remedy="Write labels as key=value, separated by semicolons.",
            )
        pairs.append((key.strip(), value.strip()))
    return parse_labels(tuple(pairs))
