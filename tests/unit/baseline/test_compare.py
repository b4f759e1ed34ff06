"""Two audits side by side."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baseline_builders import catalogue, control, findings, model
from document_builders import LAMP, OF, as_earlier, audit_of
from holdfast.baseline.html import page
from holdfast_core.baseline.compare import MAX_EARLIER_BYTES, Change, read_earlier
from holdfast_core.baseline.document import Document, Target
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.severity import Severity

OUTCOMES = (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE)


def seen(outcome: Outcome, *proof: str, earlier: Document | None = None) -> Document:
    """An audit in which FS-02 came out so."""
    body = findings((), (), Finding("FS-02", outcome, proof, "So it is."))
    return audit_of(body, earlier=None if earlier is None else as_earlier(earlier))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ((Outcome.PASS,), (Outcome.FAIL, "/a"), Change.NEW),
        ((Outcome.UNKNOWN,), (Outcome.FAIL, "/a"), Change.NEW),
        ((Outcome.FAIL, "/a has mode 1"), (Outcome.FAIL, "/a has mode 2"), Change.UNCHANGED),
        ((Outcome.FAIL, "x = 1"), (Outcome.FAIL, "x = 2"), Change.UNCHANGED),
        ((Outcome.FAIL, "/a"), (Outcome.FAIL, "/a", "/b"), Change.CHANGED),
        ((Outcome.FAIL, "/a"), (Outcome.UNKNOWN,), Change.LOST),
        ((Outcome.FAIL, "/a"), (Outcome.NOT_APPLICABLE,), Change.EXCUSED),
        ((Outcome.FAIL, "/a"), (Outcome.PASS,), Change.FIXED),
        ((Outcome.PASS,), (Outcome.PASS,), None),
    ],
)
def test_what_became_of_a_control(before: tuple[Any, ...], now: tuple[Any, ...], expected: Change | None) -> None:
    entry = next(e for e in seen(*now, earlier=seen(*before)).judged if e.control == "FS-02")
    assert (entry.shift.change if entry.shift is not None else None) is expected


def test_the_proof_that_came_and_went_is_told() -> None:
    before = seen(Outcome.FAIL, "/a", "/b: open")
    made = audit_of(findings((), (), Finding("FS-02", Outcome.FAIL, ("/b: shut", "/c"))), earlier=as_earlier(before))
    shift = made.judged[1].shift
    assert shift is not None
    assert (shift.came, shift.went) == (("/c",), ("/a",))


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(OUTCOMES)), min_size=1, max_size=20))
def test_every_failure_of_both_sides_is_counted_once(pairs: list[tuple[Outcome, Outcome]]) -> None:
    of = catalogue(*(control(f"FS-{number:02}", Severity.LOW) for number in range(len(pairs))))
    sides = [
        findings((), (), *(Finding(f"FS-{n:02}", pair[side], (), "Because.") for n, pair in enumerate(pairs)))
        for side in (0, 1)
    ]
    before = audit_of(sides[0], of, model())
    made = audit_of(sides[1], of, model(), earlier=as_earlier(before))
    assert made.comparison is not None
    counts = made.comparison.counts
    failed = {side: sum(pair[side] is Outcome.FAIL for pair in pairs) for side in (0, 1)}
    assert counts["new"] + counts["changed"] + counts["unchanged"] == failed[1]
    assert counts["changed"] + counts["unchanged"] + counts["lost"] + counts["excused"] + counts["fixed"] == failed[0]


def test_what_is_hardly_comparable_says_why() -> None:
    before = audit_of(target=Target("/other", "folder"), model="lamp@0")
    later = catalogue(*OF.controls[1:])
    made = audit_of(findings(["FS-02"]), later, LAMP, earlier=as_earlier(before))
    assert made.comparison is not None
    assert list(made.comparison.notes) == [
        "The earlier audit looked at /other.",
        "The earlier audit judged it as lamp@0, this one as lamp@1.",
        "The earlier audit asked another version of the catalogue.",
    ]
    assert made.comparison.dropped == ("FS-01",)
    assert made.comparison.counts["lost"] == 2, "NET-01 was not looked at, and nobody asks for FS-01"
    assert made.comparison.titles == {"FS-01": before.judged[0].title}
    assert before.judged[0].title in page(made)
    same = audit_of(earlier=as_earlier(audit_of()))
    assert same.comparison is not None
    assert same.comparison.notes == ()


def _changed(**given: Any) -> bytes:
    whole = json.loads(msgspec.json.encode(audit_of()))
    return json.dumps(whole | given).encode()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "compare.not_a_document"),
        (b"{}", "compare.not_a_document"),
        (b"\xff\xfe", "compare.not_a_document"),
        (b"[" * 100_000, "compare.not_a_document"),
        (_changed(format=2), "compare.format"),
        (_changed(format="1"), "compare.not_a_document"),
        (_changed(judged=[{"control": "FS-01", "outcome": "fail"}] * 2), "compare.duplicate"),
        (_changed(judged=[{"control": "FS-01", "outcome": "fail"}] * 2000), "compare.not_a_document"),
        (_changed(judged=[{"control": "../x", "outcome": "fail"}]), "compare.not_a_document"),
        (b" " * (MAX_EARLIER_BYTES + 1), "compare.too_large"),
    ],
)
def test_what_is_no_earlier_audit_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(HostileData) as refused:
        read_earlier(data)
    assert refused.value.code == code


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(HostileData):
        read_earlier(data)


def test_fields_that_are_added_later_are_no_fault() -> None:
    assert read_earlier(_changed(mood="fine")).format == 1
