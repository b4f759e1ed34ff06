"""The rules that tell a retry from a replay from a clone, over arbitrary histories."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.limits import LIMITS, Limits
from holdfast_core.wire.sequence import Sequence, Standing

SMALL = Limits(remembered_sequences=3, remembered_boots=2)
_GAPS = st.lists(st.integers(1, 1000), min_size=1, max_size=40)
_BOOTS = st.lists(st.integers(1, 3), min_size=1, max_size=40)


def digest(number: int) -> str:
    return digest_of(b"message %d" % number)


def history(gaps: list[int], limits: Limits = LIMITS) -> tuple[Sequence, list[int]]:
    """An honest device's check-ins in one boot, numbers rising by `gaps`."""
    sequence, numbers, number = Sequence(), [], 0
    for gap in gaps:
        number += gap
        assert sequence.standing("boot-a", number, digest(number)) is Standing.NEW
        sequence = sequence.after("boot-a", number, digest(number), limits)
        numbers.append(number)
    return sequence, numbers


@given(_GAPS)
def test_the_last_message_again_is_a_retry_and_other_bytes_are_a_clone(gaps: list[int]) -> None:
    sequence, numbers = history(gaps)
    assert sequence.standing("boot-a", numbers[-1], digest(numbers[-1])) is Standing.RETRY
    assert sequence.standing("boot-a", numbers[-1], digest_of(b"other")) is Standing.CLONE_SEQUENCE


@given(_GAPS)
def test_an_older_message_is_a_replay_while_remembered_and_a_clone_after(gaps: list[int]) -> None:
    sequence, numbers = history(gaps, SMALL)
    for age, number in enumerate(reversed(numbers[:-1]), 1):
        wanted = Standing.REPLAY if age < SMALL.remembered_sequences else Standing.CLONE_SEQUENCE
        assert sequence.standing("boot-a", number, digest(number)) is wanted


@given(_GAPS, st.data())
def test_a_number_that_was_skipped_is_out_of_order_while_remembered_and_a_clone_after(
    gaps: list[int], data: st.DataObject
) -> None:
    sequence, numbers = history(gaps, SMALL)
    unseen = sorted(set(range(1, numbers[-1])) - set(numbers))
    if unseen:
        number = data.draw(st.sampled_from(unseen))
        oldest = numbers[-SMALL.remembered_sequences :][0]
        wanted = Standing.OUT_OF_ORDER if number > oldest else Standing.CLONE_SEQUENCE
        assert sequence.standing("boot-a", number, digest(number)) is wanted


@given(_BOOTS)
def test_reboots_are_no_clones_however_many(runs: list[int]) -> None:
    sequence, number = Sequence(), 0
    for boot, run in enumerate(runs):
        for first in [True] + [False] * (run - 1):
            number += 1
            standing = sequence.standing(f"boot-{boot}", number, digest(number))
            assert standing is (Standing.REBOOTED if first and boot else Standing.NEW)
            sequence = sequence.after(f"boot-{boot}", number, digest(number), LIMITS)


@given(_GAPS, st.integers(1, LIMITS.remembered_boots - 1))
def test_a_boot_that_was_left_and_comes_back_is_a_clone(gaps: list[int], away: int) -> None:
    sequence, numbers = history(gaps)
    number = numbers[-1]
    for boot in range(away):
        number += 1
        sequence = sequence.after(f"boot-{boot}", number, digest(number), LIMITS)
    assert sequence.standing("boot-a", number + 1, digest(0)) is Standing.CLONE_BOOT
    assert sequence.standing(f"boot-{away - 1}", number + 1, digest(0)) is Standing.NEW  # the control


@given(_GAPS, _BOOTS)
def test_what_is_remembered_is_bounded(gaps: list[int], boots: list[int]) -> None:
    sequence, numbers = history(gaps, SMALL)
    for step, boot in enumerate(boots, 1):
        sequence = sequence.after(f"boot-{boot}", numbers[-1] + step, digest(step), SMALL)
    assert len(sequence.recent) <= SMALL.remembered_sequences
    assert len(sequence.boots) <= SMALL.remembered_boots
    assert sequence.last == numbers[-1] + len(boots)


@given(_GAPS)
def test_only_clones_are_clones(gaps: list[int]) -> None:
    sequence, numbers = history(gaps)
    honest = [sequence.standing("boot-a", n, digest(n)) for n in numbers[-2:]]
    assert not any(standing.is_clone for standing in honest)
    assert sequence.standing("boot-a", numbers[-1], digest_of(b"other")).is_clone
