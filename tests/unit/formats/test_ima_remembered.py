"""Marks of signatures that held: bounded, and never of two different verifications."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.formats.ima.remembered import Remembered, mark_of


def marks(count: int) -> list[bytes]:
    return [mark_of(bytes([number])) for number in range(count)]


def test_a_mark_is_known_once_it_was_added():
    held = Remembered()
    (mark,) = marks(1)
    assert mark not in held
    held.add(mark)
    assert mark in held


def test_the_oldest_marks_are_dropped_and_the_newest_kept():
    held = Remembered(half=2)
    made = marks(9)
    for mark in made:
        held.add(mark)
    known = [mark for mark in made if mark in held]
    assert made[-2:] == known[-2:]
    assert len(known) <= 4


def test_a_mark_that_is_used_stays_however_many_come_once():
    held = Remembered(half=4)
    used, *others = marks(100)
    held.add(used)
    for mark in others:
        held.add(mark)
        assert used in held


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_two_lists_of_parts_have_one_mark_only_if_they_are_one(left, right):
    assert (mark_of(*left) == mark_of(*right)) == (left == right)
