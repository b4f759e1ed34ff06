"""Device trees: what dtc writes is read, and what could be read in two ways is refused."""

from __future__ import annotations

import struct
import subprocess
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_builders import Tree, texts
from holdfast_core.formats.devicetree import DEEPEST, LARGEST_READ, parse_device_tree
from holdfast_core.formats.devicetree_blocks import LARGEST, LONGEST_NAME, MOST_TOKENS
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from tpm_builders import need

PLAIN = Tree(
    [("model", texts("a board")), ("reg", struct.pack(">2I", 1, 2)), ("chosen", [("bootargs", texts("ro"))])]
).bytes()


def refusal(data: bytes) -> str:
    with pytest.raises(HostileData) as caught:
        parse_device_tree(data)
    assert caught.value.remedy
    return caught.value.code


def test_properties_and_children_are_read():
    root = parse_device_tree(PLAIN).root
    assert root.text("model") == "a board"
    assert root.cells("reg") == (1, 2)
    assert root.children["chosen"].texts("bootargs") == ("ro",)
    assert root.text("absent") == ""
    assert root.cells("absent") == ()
    assert PLAIN[root.places["model"] :].startswith(b"a board")


def test_what_dtc_wrote_is_read():
    need("dtc")
    source = b'/dts-v1/; /memreserve/ 0x1000 0x10; / { a = "x", "y"; b = <1 2>; n { c; m { d = [00 11]; }; }; };'
    blob = subprocess.run(["dtc", "-O", "dtb"], input=source, check=True, capture_output=True, timeout=60).stdout
    root = parse_device_tree(blob).root
    assert root.texts("a") == ("x", "y")
    assert root.children["n"].properties == {"c": b""}
    assert root.children["n"].children["m"].properties["d"] == b"\0\x11"


def test_tokens_lie_behind_each_other_and_fill_the_structure():
    tree = parse_device_tree(PLAIN)
    places = [(token.start, token.end) for token in tree.tokens]
    assert all(one[1] == other[0] for one, other in pairwise(places))
    assert places[0][0] == 56
    assert places[-1][1] == tree.strings[0]


@pytest.mark.parametrize(
    "header",
    [
        {"magic": 0xD00DFEEE},
        {"version": 16},
        {"compatible": 18},
        {"size": len(PLAIN) + 1},
        {"structure": 58},
        {"structure": 0},
        {"strings": 0},
        {"strings": 60},
        {"strings_size": 0},
        {"strings_size": 2**32 - 1},
        {"structure_size": 2**32 - 4},
        {"reserved": 0},
        {"reserved": 2**32 - 1},
        {"reserved": 56},
    ],
)
def test_header_that_makes_no_sense_is_refused(header):
    whole = [("model", texts("a board")), ("chosen", [("bootargs", texts("ro"))])]
    assert parse_device_tree(Tree(whole).bytes())
    assert refusal(Tree(whole).bytes(**header)) == "devicetree.malformed"


@pytest.mark.parametrize(
    "root",
    [
        [("a", b""), ("a", b"")],
        [("n", []), ("n", [])],
        [("n", []), ("a", b"")],
        [("", [])],
        [("n/m", [])],
        [("n\n", [])],
        [("\x7f", b"")],
        [("a" * (LONGEST_NAME + 1), [])],
        [("a" * (LONGEST_NAME + 1), b"")],
        [("", b"x")],
    ],
)
def test_tree_that_can_be_read_in_two_ways_is_refused(root):
    assert refusal(Tree(root).bytes()) == "devicetree.malformed"


BEGIN, END, NOP, STOP = (struct.pack(">I", kind) for kind in (1, 2, 4, 9))
ROOT = BEGIN + bytes(4)


@pytest.mark.parametrize(
    "structure",
    [
        b"",
        STOP,
        ROOT + STOP,
        ROOT + END,
        ROOT + END + END + STOP,
        ROOT + END + ROOT + END + STOP,
        ROOT + END + STOP + NOP,
        ROOT + END + STOP + STOP,
        BEGIN + b"x\0\0\0" + END + STOP,
        struct.pack(">I", 3) + struct.pack(">II", 0, 0) + ROOT + END + STOP,
        ROOT + struct.pack(">III", 3, 2**32 - 1, 0) + END + STOP,
        ROOT + struct.pack(">III", 3, 0, 99) + END + STOP,
        ROOT + struct.pack(">I", 5) + END + STOP,
    ],
)
def test_structure_that_is_no_tree_is_refused(structure):
    tree = Tree([("name", b"")])
    tree.structure = structure
    assert refusal(tree.bytes()) == "devicetree.malformed"


def test_nothing_tokens_change_nothing():
    tree = Tree([])
    tree.structure = NOP + ROOT + NOP + END + NOP + STOP
    assert parse_device_tree(tree.bytes()).root.children == {}


def test_depth_and_number_of_tokens_are_bounded():
    def nested(levels: int) -> bytes:
        root: list = []
        for _ in range(levels - 1):
            root = [("n", root)]
        return Tree(root).bytes()

    assert parse_device_tree(nested(DEEPEST))
    assert refusal(nested(DEEPEST + 1)) == "devicetree.too_large"
    tree = Tree([])
    tree.structure = ROOT + NOP * MOST_TOKENS + END + STOP
    assert refusal(tree.bytes()) == "devicetree.too_large"


def test_stated_size_is_bounded():
    assert refusal(Tree([]).bytes(size=LARGEST + 1)) == "devicetree.too_large"


def test_reservations_without_an_end_are_refused():
    tree = Tree([]).bytes()
    assert refusal(tree[:40] + b"\1" * 16 + tree[56:]) == "devicetree.malformed"
    endless = tree + b"\1" * 16 * 300
    header = struct.pack(">I", len(endless)), struct.pack(">I", len(tree))
    assert refusal(endless[:4] + header[0] + endless[8:16] + header[1] + endless[20:]) == "devicetree.malformed"


@pytest.mark.parametrize("value", [b"no end", b"caf\xe9\0", b"a\nb\0"])
def test_property_that_is_no_text_is_refused_when_it_is_asked(value):
    root = parse_device_tree(Tree([("a", value)]).bytes()).root
    with pytest.raises(HostileData):
        root.text("a")


def test_two_strings_are_no_text_and_five_bytes_no_cells():
    root = parse_device_tree(Tree([("a", texts("x", "y")), ("b", bytes(5))]).bytes()).root
    with pytest.raises(HostileData):
        root.text("a")
    with pytest.raises(HostileData):
        root.cells("b")


@pytest.mark.parametrize("reading", ["texts", "cells"])
def test_long_property_is_not_taken_apart(reading):
    root = parse_device_tree(Tree([("a", bytes(LARGEST_READ + 4))]).bytes()).root
    with pytest.raises(LimitExceeded):
        getattr(root, reading)("a")


def test_cut_anywhere_it_is_refused():
    for size in range(len(PLAIN)):
        assert refusal(PLAIN[:size]) == "devicetree.malformed"


@given(st.integers(0, len(PLAIN) - 1), st.binary(min_size=1, max_size=8))
def test_changed_anywhere_it_is_read_or_refused(at, change):
    mutated = PLAIN[:at] + change + PLAIN[at + len(change) :]
    with suppress(HostileData):
        parse_device_tree(mutated)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    assert refusal(data) == "devicetree.malformed"
    assert refusal(b"\xd0\x0d\xfe\xed" + data)
