from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.kernel.errors import Bug, HostileData, LimitExceeded
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS, Limits
from holdfast_core.record.export import export_lines
from holdfast_core.record.model import Kind, entry, leaf_bytes, parse_entry
from holdfast_core.record.report import Outcome
from holdfast_core.record.verify import verify_export
from record_builders import KEY, export, leaves, sealed

HISTORY = leaves(5)
LINES = export(HISTORY)
SCOPE = Scope("acme", "plant")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 8, 64])
def test_an_export_verifies_at_any_size(size: int) -> None:
    report = verify_export(export(leaves(size)), trusted_key=KEY.text)
    assert (report.outcome, report.leaves, report.proven_prefix) == (Outcome.VERIFIED, size, size)
    assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report


def test_newlines_at_the_ends_of_lines_do_not_matter() -> None:
    report = verify_export([line.rstrip(b"\n") for line in LINES], trusted_key=KEY.text)
    assert report.outcome is Outcome.VERIFIED


def test_leaves_that_no_version_of_ours_knows_verify() -> None:
    odd = [b'{"kind":"moon.landed"}', b"", 'no JSON, "quoted" \\ \u2014 \x00'.encode()]
    assert verify_export(export(odd), trusted_key=KEY.text).outcome is Outcome.VERIFIED


@settings(max_examples=300)
@given(st.data())
def test_any_single_changed_byte_is_found(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(LINES) - 1), label="line")
    line = bytearray(LINES[at].rstrip(b"\n"))
    where = data.draw(st.integers(0, len(line) - 1), label="byte")
    line[where] ^= data.draw(st.integers(1, 255), label="flip")
    changed = [*LINES[:at], bytes(line), *LINES[at + 1 :]]
    report = verify_export(changed, trusted_key=KEY.text)
    assert report.outcome is Outcome.BROKEN


@given(st.data())
def test_any_single_moved_dropped_or_repeated_line_is_found(data: st.DataObject) -> None:
    order = list(range(len(LINES)))
    take = data.draw(st.sampled_from(order), label="take")
    kind = data.draw(st.sampled_from(["drop", "repeat", "move"]), label="kind")
    to = data.draw(st.sampled_from([each for each in order if each != take]), label="to")
    if kind != "repeat":
        order.remove(take)
    if kind != "drop":
        order.insert(to, take)
    report = verify_export([LINES[each] for each in order], trusted_key=KEY.text)
    assert report.outcome is Outcome.BROKEN


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_whatever_the_bytes_are_the_answer_is_a_report(lines: list[bytes], headed: bool) -> None:  # noqa: FBT001 - hypothesis passes it
    report = verify_export([LINES[0], *lines] if headed else lines, trusted_key=KEY.text)
    assert report.outcome is Outcome.BROKEN
    assert all(finding.code and finding.sentence and finding.remedy for finding in report.findings)


def test_a_line_over_the_limit_and_one_nested_too_deeply_are_findings() -> None:
    for line in (b'"' + b"x" * LIMITS.export_line_bytes + b'"', b"[" * 60_000):
        report = verify_export([*LINES[:3], line, *LINES[4:]], trusted_key=KEY.text)
        assert [finding.code for finding in report.findings] == ["export.line_invalid"]
        assert report.first_bad == 2


def test_an_export_of_a_later_version_is_not_guessed_at() -> None:
    header = LINES[0].replace(b'"version":1', b'"version":2')
    report = verify_export([header, *LINES[1:]], trusted_key=KEY.text)
    assert [finding.code for finding in report.findings] == ["export.version"]


def test_the_callers_own_mistakes_are_raised() -> None:
    with pytest.raises(HostileData):
        verify_export(LINES, trusted_key="no key")
    with pytest.raises(LimitExceeded):
        verify_export(LINES, pins=[sealed(HISTORY)] * 3, trusted_key=KEY.text, limits=Limits(export_pins=2))


def test_a_leaf_that_is_not_text_is_our_mistake() -> None:
    with pytest.raises(Bug):
        list(export_lines("origin", KEY.text, sealed([]), [b"\xff"]))


@given(st.sampled_from(Kind), st.dictionaries(st.text(), JSON, max_size=4), st.text(min_size=1, max_size=40))
def test_an_entry_has_one_byte_form(kind: Kind, data: dict[str, object], actor: str) -> None:
    made = entry(kind, at=Instant(1), scope=SCOPE, actor=actor, device="cam", data=data)
    written = leaf_bytes(made)
    assert parse_entry(written) == made
    assert leaf_bytes(parse_entry(written)) == written


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'{"actor"', b'{ "actor"'),
        lambda data: data + b"\n",
        lambda data: data.replace(b'"v":1', b'"v":2'),
        lambda data: data.replace(b"verdict.changed", b"verdict.mislaid"),
        lambda data: data.replace(b'"data":{', b'"data":{"to":"x",'),
        lambda data: data.replace(b'"v":1', b'"v":1,"w":1'),
        lambda data: data.replace(b'"actor":"server"', b'"actor":""'),
        lambda data: data[:-1],
        lambda data: data.replace(b'"note":"as it was"', b'"note":' + b"[" * 3000 + b"]" * 3000),
    ],
    ids=["space", "newline", "version", "kind", "twice", "unknown", "nobody", "cut", "deep"],
)
def test_a_leaf_of_another_form_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    good = HISTORY[0]
    assert parse_entry(good).kind is Kind.VERDICT_CHANGED
    changed = change(good)
    assert changed != good
    with pytest.raises(HostileData) as caught:
        parse_entry(changed)
    assert caught.value.code == "record.leaf_malformed"


def test_an_entry_that_is_too_large_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        entry(Kind.SERVER_INITIALISED, at=Instant(1), scope=SCOPE, actor="server", data={"x": "y" * LIMITS.leaf_bytes})
    nearly = entry(
        Kind.SERVER_INITIALISED, at=Instant(1), scope=SCOPE, actor="server", data={"x": "y" * (LIMITS.leaf_bytes - 20)}
    )
    with pytest.raises(LimitExceeded):
        leaf_bytes(nearly)
    with pytest.raises(LimitExceeded):
        parse_entry(b" " * (LIMITS.leaf_bytes + 1))
