"""The life of a TPM by its clock and counters: one chip is never taken for two, two that take turns always are."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import NOW
from holdfast_core.attestation.counters import TURNS, WITHIN, follow
from holdfast_core.attestation.model import Counters, DeviceState, Freshness
from holdfast_core.attestation.refusals import Effect, Refused
from holdfast_core.formats.tpm.attest import Clock
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND, Instant


@dataclass
class Chip:
    """The clock of one TPM, as Part 1, section 36 has it."""

    resets: int = 3
    restarts: int = 0
    clock: int = HOUR
    saved: int = HOUR
    """What is in its memory that lasts; after a power cut the clock goes on from there."""
    safe: bool = True

    def pass_time(self, took: int, pace: float = 1.0) -> None:
        self.clock += round(took * pace)
        if self.clock - self.saved > 2**22:
            self.saved, self.safe = self.clock, True

    def shut_down(self) -> None:
        self.resets, self.restarts, self.saved, self.safe = self.resets + 1, 0, self.clock, True

    def cut_power(self) -> None:
        self.resets, self.restarts, self.clock, self.safe = self.resets + 1, 0, self.saved, False

    def suspend(self) -> None:
        self.restarts, self.saved, self.safe = self.restarts + 1, self.clock, True

    def quote(self) -> Clock:
        return Clock(self.clock, self.resets, self.restarts, self.safe)

    def clone(self) -> Chip:
        return Chip(self.resets, self.restarts, self.clock, self.saved, self.safe)


class Verifier:
    """What is remembered between quotes."""

    def __init__(self) -> None:
        self.state, self.now = DeviceState(), int(NOW)

    def see(self, chip: Chip):
        life = follow(self.state, chip.quote(), Instant(self.now))
        self.state = msgspec.structs.replace(
            self.state, counters=life.counters, left=life.left, backs=life.backs, freshness=life.freshness
        )
        return life


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 40 * DAY), st.floats(0.85, 1.15)),
        st.sampled_from([("shut_down",), ("cut_power",), ("suspend",), ("quote",), ("off",)]),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_life_of_one_honest_chip_looks_like_a_clones(steps):
    chip, verifier = Chip(), Verifier()
    for step, *how in steps:
        if step == "run":
            chip.pass_time(*how)
            verifier.now += how[0]
        elif step == "off":
            chip.shut_down()
            verifier.now += 10 * DAY
        elif step == "quote":
            assert not verifier.see(chip).reasons
        else:
            getattr(chip, step)()
    assert not verifier.see(chip).reasons
    assert verifier.state.left is None


def take_turns(chips, gap, restarting, paces):
    """Twenty quotes, by turns; some chips are started anew before each of theirs."""
    verifier = Verifier()
    for turn in range(20):
        chip = chips[turn % 2]
        if chip is restarting:
            chip.shut_down()
        verifier.see(chip)
        verifier.now += gap
        for each, pace in zip(chips, paces, strict=True):
            each.pass_time(gap, pace)


@given(
    reboots=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    gap=st.integers(SECOND, 2 * HOUR),
    ahead=st.integers(MINUTE, DAY),
    restarting=st.sampled_from([None, 0, 1]),
    paces=st.tuples(st.floats(0.85, 1.15), st.floats(0.85, 1.15)),
)
def test_two_chips_that_take_turns_are_found_within_a_few_quotes(reboots, gap, ahead, restarting, paces):
    """One goes on, the other is a copy of before; one may be started anew before each of its quotes.

    Where both are, by turns, they are kept in step: that is the limit which the module states.
    """
    first = Chip()
    chips = first, first.clone()
    first.pass_time(ahead + 3 * gap)
    for chip, count in zip(chips, reboots, strict=True):
        for _ in range(count):
            chip.shut_down()
    with pytest.raises(Refused) as caught:
        take_turns(chips, gap, None if restarting is None else chips[restarting], paces)
    assert (caught.value.reason.code, caught.value.effect) == ("attestation.cloned", Effect.INCIDENT)


def test_two_chips_nearer_than_their_quotes_are_not_told_apart():
    """The limit that the module states: neither ever stands before where the other stood."""
    chips = Chip(), Chip()
    chips[0].pass_time(MINUTE)
    verifier = Verifier()
    for turn in range(10):
        assert not verifier.see(chips[turn % 2]).reasons
        verifier.now += HOUR
        for each in chips:
            each.pass_time(HOUR)


def test_the_first_quote_begins_a_boot_and_is_pending_where_the_clock_is_not_vouched_for():
    chip, verifier = Chip(safe=False), Verifier()
    life = verifier.see(chip)
    assert (life.new_boot, life.freshness, life.reasons) == (True, Freshness.PENDING, ())
    life = verifier.see(chip)
    assert (life.new_boot, life.freshness) == (False, Freshness.FRESH), "one more quote of that boot came"


@pytest.mark.parametrize("how", ["shut_down", "cut_power", "suspend"])
def test_one_more_reset_or_restart_is_a_new_boot(how):
    chip, verifier = Chip(), Verifier()
    verifier.see(chip)
    getattr(chip, how)()
    life = verifier.see(chip)
    assert life.new_boot
    assert life.freshness is (Freshness.PENDING if how == "cut_power" else Freshness.FRESH)


def went_back():
    """A verifier that saw a snapshot restored, and the chip that was restored."""
    chip, verifier = Chip(resets=9), Verifier()
    snapshot = chip.clone()
    chip.shut_down()
    verifier.see(chip)
    verifier.now += HOUR
    assert verifier.see(snapshot).reasons
    return verifier, snapshot, chip


def test_a_restored_snapshot_is_a_warning_until_a_person_ends_it():
    verifier, chip, _ = went_back()
    chip.shut_down()
    assert verifier.see(chip).reasons, "where it stood, another time: not at the pace of time"
    chip.shut_down()
    life = verifier.see(chip)
    assert life.reasons, "also once it has passed where it stood"
    assert verifier.state.backs


def test_a_clock_that_goes_back_within_a_boot_is_a_warning_and_pending_where_it_is_not_safe():
    chip, verifier = Chip(), Verifier()
    verifier.see(chip)
    chip.clock -= SECOND
    chip.safe = False
    life = verifier.see(chip)
    assert (life.new_boot, life.freshness, len(life.reasons)) == (False, Freshness.PENDING, 1)


def test_whoever_goes_on_from_where_the_counters_were_left_is_a_second_one():
    verifier, _, first = went_back()
    first.pass_time(HOUR)
    with pytest.raises(Refused, match="cloned"):
        verifier.see(first)


def test_who_was_paused_meanwhile_is_no_proof_of_two():
    verifier, _, first = went_back()
    verifier.now += DAY
    first.pass_time(SECOND)
    assert verifier.see(first).reasons


@pytest.mark.parametrize(("apart", "cloned"), [(DAY, True), (WITHIN, False)])
def test_going_back_again_and_again_counts_within_a_month(apart, cloned):
    chip, verifier = Chip(), Verifier()
    snapshot = chip.clone()
    for _ in range(TURNS - 1):
        chip.shut_down()
        chip.shut_down()
        verifier.see(chip)
        verifier.now += apart
        verifier.see(snapshot)
        verifier.now += apart
    chip.shut_down()
    verifier.see(chip)
    if not cloned:
        assert verifier.see(snapshot).reasons
        return
    with pytest.raises(Refused, match="cloned"):
        verifier.see(snapshot)


def test_a_clone_stays_one_until_a_person_decides():
    state = DeviceState(cloned=True, counters=Counters(3, 0, HOUR, NOW))
    with pytest.raises(Refused, match="cloned"):
        follow(state, Chip().quote(), NOW)


def test_counters_that_pass_the_end_of_their_numbers_go_on():
    """A TPM shows a key its counters plus an offset, modulo 2^32."""
    chip, verifier = Chip(), Verifier()
    chip.resets = 2**32 - 1
    verifier.see(chip)
    chip.shut_down()
    chip.resets %= 2**32
    life = verifier.see(chip)
    assert (chip.resets, life.new_boot, life.reasons) == (0, True, ())
