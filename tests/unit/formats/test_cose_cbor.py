"""CBOR as tokens use it: the subset that is read says what a general decoder says, and nothing else is read."""

from __future__ import annotations

import math

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.cbor import (
    DEEPEST,
    LARGEST_ITEM,
    MOST_ENTRIES,
    MOST_ITEMS,
    Simple,
    read_cbor,
    split_tag,
    write_array,
    write_bytes,
    write_text,
)
from holdfast_core.kernel.errors import HostileData, LimitExceeded

KEYS = st.integers(-(1 << 64), (1 << 64) - 1) | st.text(max_size=8) | st.binary(max_size=8)
LEAVES = KEYS | st.booleans() | st.none() | st.floats(allow_nan=False)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def refusal_of(data: bytes) -> str:
    with pytest.raises(HostileData) as refused:
        read_cbor(data, "item")
    return refused.value.code


def plain(value):
    """Lists in place of tuples, as the general decoder has them."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


@given(VALUES)
def test_what_is_encoded_is_read(value):
    try:
        read = read_cbor(cbor2.dumps(value), "item")
    except LimitExceeded:
        return
    assert plain(read) == value


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_refused_or_read_as_a_general_decoder_reads_them(data):
    try:
        read = read_cbor(data, "item")
    except HostileData:
        return
    if b"nan" in repr(read).encode() or "Simple" in repr(read):
        return
    assert plain(read) == cbor2.loads(data)


@given(VALUES, st.data())
def test_an_item_cut_anywhere_is_refused(value, data):
    encoded = cbor2.dumps(value)
    size = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(HostileData):
        read_cbor(encoded[:size], "item")


# RFC 8949, appendix A.
@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1bffffffffffffffff", 18446744073709551615),
        ("3bffffffffffffffff", -18446744073709551616),
        ("3903e7", -1000),
        ("f93c00", 1.0),
        ("f97bff", 65504.0),
        ("fa47c35000", 100000.0),
        ("fbc010666666666666", -4.1),
        ("f97c00", math.inf),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("f7", Simple(23)),
        ("f0", Simple(16)),
        ("f8ff", Simple(255)),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("62c3bc", "ü"),
        ("64f0908591", "\U00010151"),
        ("8301820203820405", (1, (2, 3), (4, 5))),
        ("a26161016162820203", {"a": 1, "b": (2, 3)}),
        # The same in more bytes than needed, which devices may send.
        ("1b0000000000000001", 1),
        ("5900020102", b"\x01\x02"),
    ],
)
def test_examples_of_the_standard(encoded, value):
    read = read_cbor(bytes.fromhex(encoded), "item")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        ("", "cbor.malformed"),
        ("18", "cbor.malformed"),
        ("1c", "cbor.malformed"),
        ("f810", "cbor.malformed"),
        ("5bffffffffffffffff00", "cbor.malformed"),
        ("9bffffffffffffffff00", "cbor.malformed"),
        ("bb7fffffffffffffff00", "cbor.malformed"),
        ("0000", "cbor.trailing"),
        ("c000", "cbor.tag"),
        ("c249010000000000000000", "cbor.tag"),
        ("d81c80", "cbor.tag"),
        ("5f4101ff", "cbor.indefinite"),
        ("9f01ff", "cbor.indefinite"),
        ("bf0101ff", "cbor.indefinite"),
        ("ff", "cbor.indefinite"),
        ("a1f501", "cbor.key"),
        ("a1f93c0001", "cbor.key"),
        ("a1f601", "cbor.key"),
        ("a1800101", "cbor.key"),
        ("a201010102", "cbor.duplicate_key"),
        ("a20101180102", "cbor.duplicate_key"),
        ("61ff", "cbor.text"),
        ("63eda080", "cbor.text"),
    ],
)
def test_what_is_not_taken_is_refused_by_its_own_code(encoded, code):
    assert refusal_of(bytes.fromhex(encoded)) == code


def test_depth_is_bounded():
    assert read_cbor(b"\x81" * DEEPEST + b"\x00", "item") is not None
    assert refusal_of(b"\x81" * (DEEPEST + 1) + b"\x00") == "cbor.too_deep"
    assert refusal_of(b"\xa1\x00" * 1000 + b"\x00") == "cbor.too_deep"


def test_number_of_items_is_bounded():
    count = MOST_ITEMS - 1
    assert len(read_cbor(b"\x99" + count.to_bytes(2, "big") + bytes(count), "item")) == count
    assert refusal_of(b"\x99" + (count + 1).to_bytes(2, "big") + bytes(count + 1)) == "cbor.too_many"


def test_entries_of_a_map_are_bounded():
    assert len(read_cbor(cbor2.dumps(dict.fromkeys(range(MOST_ENTRIES), 0)), "item")) == MOST_ENTRIES
    assert refusal_of(cbor2.dumps(dict.fromkeys(range(MOST_ENTRIES + 1), 0))) == "cbor.too_many"


def test_size_is_bounded():
    largest = b"\x59" + (LARGEST_ITEM - 3).to_bytes(2, "big") + bytes(LARGEST_ITEM - 3)
    assert len(read_cbor(largest, "item")) == LARGEST_ITEM - 3
    assert refusal_of(largest + b"\x00") == "cbor.too_large"
    with pytest.raises(LimitExceeded):
        split_tag(bytes(LARGEST_ITEM + 1), "item")


def test_a_tag_in_front_is_split_off():
    assert split_tag(b"\xd2\x80", "item") == (18, b"\x80")
    assert split_tag(b"\xd9\xd9\xf7\x80", "item") == (55799, b"\x80")
    assert split_tag(b"\x80", "item") == (None, b"\x80")
    assert split_tag(b"", "item") == (None, b"")
    with pytest.raises(HostileData):
        split_tag(b"\xd9\xd9", "item")


@given(st.binary(max_size=70_000), st.text(max_size=300))
def test_what_is_written_is_what_a_general_encoder_writes(data, text):
    written = write_array(write_bytes(data), write_text(text))
    assert written == cbor2.dumps([data, text])
