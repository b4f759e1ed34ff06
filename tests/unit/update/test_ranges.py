"""Which part of a payload a request asks for (RFC 9110, section 14)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.update.ranges import Part, Unsatisfiable, part_of

TAG = '"abc"'
WHOLE = Part(0, 100)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("", WHOLE),
        ("bytes=0-", Part(0, 100, partial=True)),
        ("bytes=10-19", Part(10, 10, partial=True)),
        ("bytes=99-", Part(99, 1, partial=True)),
        ("bytes=50-1000", Part(50, 50, partial=True)),
        ("bytes=-10", Part(90, 10, partial=True)),
        ("bytes=-1000", Part(0, 100, partial=True)),
        ("Bytes = 10-19", Part(10, 10, partial=True)),
        # What is malformed, of another unit or of several ranges is ignored.
        ("bytes=19-10", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=0-1,2-3", WHOLE),
        ("pages=1-2", WHOLE),
        ("bytes=+1-2", WHOLE),
        ("bytes=\u0661-\u0662", WHOLE),
        pytest.param("bytes=" + "9" * 5_000 + "-", WHOLE, id="endless"),
        pytest.param("bytes=0-0," * 5_000, WHOLE, id="many"),
    ],
)
def test_one_range_is_served_and_anything_else_is_the_whole(wanted, part):
    assert part_of(100, wanted, "", TAG) == part


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=100-200", "bytes=9999999999999999999-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(wanted):
    with pytest.raises(Unsatisfiable) as refused:
        part_of(100, wanted, "", TAG)
    assert (refused.value.code, refused.value.http_status) == ("http.range", 416)


def test_a_part_is_only_of_the_payload_that_was_begun_with():
    assert part_of(100, "bytes=10-", TAG, TAG) == Part(10, 90, partial=True)
    for condition in ('"other"', 'W/"abc"', "Fri, 01 Jan 2027 00:00:00 GMT", "abc"):
        assert part_of(100, "bytes=10-", condition, TAG) == WHOLE
        assert part_of(100, "bytes=100-", condition, TAG) == WHOLE


@given(st.integers(1, 2**40), st.text(max_size=120), st.text(max_size=20))
def test_whatever_is_asked_for_lies_in_the_payload(size, wanted, condition):
    for text in (wanted, "bytes=" + wanted):
        try:
            part = part_of(size, text, condition, TAG)
        except Unsatisfiable:
            continue
        assert part.length >= 1
        assert 0 <= part.start <= part.start + part.length <= size


@given(st.integers(1, 1000), st.integers(0, 2000), st.integers(0, 2000))
def test_a_range_has_exactly_its_bytes(size, first, last):
    data = bytes(number % 251 for number in range(size))
    try:
        part = part_of(size, f"bytes={first}-{last}", "", TAG)
    except Unsatisfiable:
        assert first >= size
        return
    expected = data[first : last + 1] if first <= last else data
    assert data[part.start : part.start + part.length] == expected
