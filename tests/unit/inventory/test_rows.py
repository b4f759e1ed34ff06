"""The CSV import: what is read, what is told, and that nothing else ever happens."""

from __future__ import annotations

import csv
import io
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.inventory import rows as rows_module
from holdfast_core.inventory.lifecycle import parse_labels
from holdfast_core.inventory.rows import COLUMNS, Row, parse_rows
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.limits import LIMITS

HEAD = "device,model,owner,site,zone,labels\n"
CAM = Row(2, DeviceId("cam-1"), "door-camera@1.0.0", "Ms Ähre", "Kiel", "doors", (("floor", "1"), ("rack", "a=b")))
CAM_LINE = "cam-1,door-camera@1.0.0,Ms Ähre,Kiel,doors,rack=a=b;floor=1\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + CAM_LINE,
        "\ufeff" + HEAD + CAM_LINE,
        (HEAD + CAM_LINE).replace("\n", "\r\n"),
        (HEAD + CAM_LINE).replace("\n", "\r"),
        HEAD + CAM_LINE.rstrip("\n"),
        HEAD + CAM_LINE + ",,,,,\n\n  \n",
        HEAD.upper().replace(",", " , ") + CAM_LINE.replace(",", " , ").replace(";", " ; ;"),
    ],
    ids=["plain", "byte order mark", "CRLF", "CR", "no last newline", "empty rows", "spaces and capitals"],
)
def test_a_list_is_read_however_it_was_saved(text: str) -> None:
    assert parse_rows(text) == ((CAM,), ())


def test_columns_come_in_any_order_and_only_the_device_must() -> None:
    (row,), problems = parse_rows('zone,device\n"doors, front",cam-1\n')
    assert (row.zone, row.device, row.owner, problems) == ("doors, front", "cam-1", "", ())
    assert parse_rows("device\ncam-1\n")[0][0].device == "cam-1"


PROBLEMS = {
    "capital letters": ("CAM-1,,,,,", "name.invalid"),
    "no device": (",,Ms A,,,", "name.invalid"),
    "a path for a device": ("../../etc/passwd,,,,,", "name.invalid"),
    "model without a version": ("cam-1,camera,,,,", "device.model"),
    "too many cells": ("cam-1,,a,b,c,d=1,e", "rows.cells"),
    "label without a value": ("cam-1,,,,,rack", "device.labels"),
    "label twice": ("cam-1,,,,,a=1;a=2", "device.labels"),
    "label key with a space": ("cam-1,,,,,a b=1", "device.labels"),
    "owner without end": (f"cam-1,,{'x' * (LIMITS.text + 1)},,,", "device.text"),
    "terminal escape in the site": ("cam-1,,,\x1b[2J,,", "device.text"),
    "NUL in the zone": ("cam-1,,,,\0,", "device.text"),
    "cell without end": (f"cam-1,,{'x' * 40_000},,,", "rows.cell"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_row_that_cannot_be_is_told_with_its_line_and_the_others_stand(name: str) -> None:
    line, code = PROBLEMS[name]
    rows, problems = parse_rows(f"{HEAD}first,,,,,\n{line}\nlast,,,,,\n")
    assert [row.device for row in rows] == ["first", "last"]
    (problem,) = problems
    assert (problem.line, problem.code) == (3, code)
    assert problem.sentence.startswith("Line 3: ")
    assert problem.remedy


def test_a_device_twice_keeps_the_first_and_names_both_lines() -> None:
    rows, (problem,) = parse_rows(f"{HEAD}cam-1,,a,,,\ncam-2,,,,,\ncam-1,,b,,,\n")
    assert [(row.device, row.owner) for row in rows] == [("cam-1", "a"), ("cam-2", "")]
    assert (problem.line, problem.code) == (4, "rows.duplicate")
    assert "line 2" in problem.sentence


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)"])
def test_what_a_spreadsheet_would_run_is_data_here(cell: str) -> None:
    (row,), problems = parse_rows(f"{HEAD}cam-1,,{cell},,,note={cell}\n")
    assert (row.owner, row.labels, problems) == (cell, (("note", cell),), ())


REFUSED = {
    "nothing": ("", "rows.header"),
    "no header": ("cam-1,camera@1\n", "rows.header"),
    "misspelt column": ("device,ower\n", "rows.header"),
    "column twice": ("device,device\n", "rows.header"),
    "semicolons": ("device;model;owner\n", "rows.header"),
    "quote never closed": (HEAD + 'cam-1,"camera\n', "rows.quoting"),
    "text after a quote": (HEAD + 'cam-1,"a"b,,,,\n', "rows.quoting"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_a_list_is_refused(name: str) -> None:
    text, code = REFUSED[name]
    with pytest.raises(HostileData) as refusal:
        parse_rows(text)
    assert refusal.value.code == code


def test_semicolons_get_a_hint() -> None:
    with pytest.raises(HostileData) as refusal:
        parse_rows("device;model\n")
    assert "commas" in refusal.value.remedy


@pytest.mark.parametrize(("limit", "code"), [("rows_text", "rows.too_large"), ("rows", "rows.too_many")])
def test_a_list_past_its_limits_is_refused(limit: str, code: str) -> None:
    text = "device\n" + "".join(f"cam-{n}\n" for n in range(20))
    small = {"rows_text": 100, "rows": 19}[limit]
    with (
        mock.patch.object(rows_module, "LIMITS", msgspec.structs.replace(LIMITS, **{limit: small})),
        pytest.raises(LimitExceeded) as refusal,
    ):
        parse_rows(text)
    assert refusal.value.code == code
    assert len(parse_rows(text)[0]) == 20


@given(st.text() | st.text(alphabet='device,model;="\r\n a1@.\0\ufeff').map(lambda text: HEAD + text))
def test_whatever_the_text_only_hostile_data_is_raised(text: str) -> None:
    try:
        rows, problems = parse_rows(text)
    except HostileData:
        return
    assert len({row.device for row in rows}) == len(rows)
    assert all(problem.line > 1 and problem.remedy for problem in problems)


_WORDS = st.text(alphabet="aZ9 ä漢=,;\"'@-+", max_size=8).map(str.strip)
_NAMES = st.text(alphabet="abz09", min_size=1, max_size=12)
_LABELS = st.dictionaries(_NAMES, _WORDS.filter(lambda word: ";" not in word), max_size=4)


@settings(max_examples=30)  # each draws a whole list
@given(st.lists(st.tuples(_NAMES, _WORDS, _WORDS, _WORDS, _LABELS), unique_by=lambda row: row[0], max_size=4))
def test_what_a_csv_writer_wrote_is_read_back(entries: list[tuple[str, str, str, str, dict[str, str]]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for device, owner, site, zone, labels in entries:
        packed = ";".join(f"{key}={value}" for key, value in labels.items())
        writer.writerow((device, "m@1", owner, site, zone, packed))
    rows, problems = parse_rows(buffer.getvalue())
    assert problems == ()
    assert [(row.device, row.owner, row.site, row.zone, row.labels) for row in rows] == [
        (device, owner, site, zone, parse_labels(tuple(labels.items())))
        for device, owner, site, zone, labels in entries
    ]
