"""By which time a device judges metadata: floors, the signed word, ceilings; and what no lie makes lasting."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, LATEST, Instant, from_datetime
from holdfast_core.update.time import LIFE, Floor, Sense, Signed, Source, sense

BUILT = from_datetime(datetime(2026, 11, 1, tzinfo=UTC))
TRUE = Instant(BUILT + 100 * DAY)
Y1970, Y2106 = (from_datetime(datetime(year, 1, 2, tzinfo=UTC)) for year in (1970, 2106))
UP = 10_000


def now(wall=TRUE, *, floor=None, signed=None, up=UP):
    return sense(wall, up, built=BUILT, floor=floor or Floor(), signed=signed)


def test_control_a_clock_between_floor_and_ceiling_is_believed():
    assert now() == Sense(TRUE, Source.CLOCK)


@pytest.mark.parametrize("wall", [Y1970, Y2106, BUILT - 1, BUILT + LIFE + 1, Instant(-1), LATEST])
def test_a_clock_out_of_range_gives_way_to_the_floor(wall):
    assert now(Instant(wall)) == Sense(BUILT, Source.FLOOR)
    assert now(Instant(wall), floor=Floor(TRUE, "k")) == Sense(TRUE, Source.FLOOR)


@pytest.mark.parametrize("wall", [BUILT, BUILT + LIFE])
def test_the_ends_of_the_range_are_within_it(wall):
    assert now(Instant(wall)).source is Source.CLOCK


def test_a_clock_that_lags_behind_verified_metadata_gives_way():
    assert now(Instant(TRUE - 1), floor=Floor(TRUE, "k")) == Sense(TRUE, Source.FLOOR)
    assert now(TRUE, floor=Floor(TRUE, "k")) == Sense(TRUE, Source.CLOCK)


@pytest.mark.parametrize("wall", [Y1970, TRUE, TRUE + 60 * DAY, Y2106])
def test_the_signed_time_counts_before_any_clock_and_goes_on(wall):
    signed = Signed(TRUE, UP)
    assert now(Instant(wall), signed=signed) == Sense(TRUE, Source.SIGNED)
    assert now(Instant(wall), signed=signed, up=UP + DAY) == Sense(Instant(TRUE + DAY), Source.SIGNED)


def test_an_uptime_that_went_back_never_makes_it_earlier():
    assert now(signed=Signed(TRUE, UP), up=0) == Sense(TRUE, Source.SIGNED)


@pytest.mark.parametrize("said", [Y1970, BUILT - 1, Y2106, BUILT + LIFE + 1])
def test_a_signed_time_out_of_range_is_not_believed(said):
    assert now(signed=Signed(Instant(said), UP)) == Sense(TRUE, Source.CLOCK)
    assert now(Y1970, signed=Signed(Instant(said), UP)) == Sense(BUILT, Source.FLOOR)


def test_a_signed_time_below_the_floor_is_not_believed():
    assert now(Y1970, floor=Floor(TRUE, "k"), signed=Signed(Instant(TRUE - 1), UP)) == Sense(TRUE, Source.FLOOR)


def test_a_floor_rises_and_never_falls_under_one_key():
    floor = Floor().raised(TRUE, "k", built=BUILT)
    assert floor == Floor(TRUE, "k")
    assert floor.raised(Instant(TRUE - 1), "k", built=BUILT) == floor
    assert floor.raised(TRUE, "k", built=BUILT) == floor
    assert floor.raised(Instant(TRUE + 1), "k", built=BUILT) == Floor(Instant(TRUE + 1), "k")


def test_another_key_begins_a_floor_of_its_own():
    assert Floor(Instant(TRUE + 300 * DAY), "stolen").raised(TRUE, "new", built=BUILT) == Floor(TRUE, "new")


@pytest.mark.parametrize("issued", [BUILT + LIFE + 1, Y2106, LATEST])
def test_an_issue_after_the_device_s_life_is_refused_and_changes_nothing(issued):
    floor = Floor(TRUE, "k")
    with pytest.raises(HostileData) as refused:
        floor.raised(Instant(issued), "k", built=BUILT)
    assert refused.value.code == "update.time_impossible"
    assert floor == Floor(TRUE, "k")
    assert floor.raised(Instant(BUILT + LIFE), "k", built=BUILT).issued == BUILT + LIFE


instants = st.integers(-DAY, LATEST).map(Instant)
floors = st.builds(Floor, issued=st.integers(0, BUILT + LIFE).map(Instant), key=st.sampled_from(["", "k"]))
signeds = st.none() | st.builds(Signed, said=st.integers(0, LATEST).map(Instant), at_up=st.integers(0, 400 * DAY))
uptimes = st.integers(0, 500 * DAY)


@given(instants, uptimes, floors, signeds)
def test_time_stays_between_floor_and_ceiling_whatever_anybody_says(wall, up, floor, signed):
    found = sense(wall, up, built=BUILT, floor=floor, signed=signed)
    assert max(BUILT, floor.issued) <= found.now <= BUILT + LIFE


@given(instants, uptimes, floors, signeds)
def test_what_it_says_of_its_source_is_so(wall, up, floor, signed):
    found = sense(wall, up, built=BUILT, floor=floor, signed=signed)
    if found.source is Source.FLOOR:
        assert found.now == max(BUILT, floor.issued)
    elif found.source is Source.CLOCK:
        assert found.now == wall
    else:
        assert found.now == signed.said + max(0, up - signed.at_up)


@given(instants, instants, uptimes, floors, st.integers(BUILT, BUILT + LIFE - 400 * DAY))
def test_a_true_signed_time_makes_the_clock_and_an_earlier_lie_count_for_nothing(wall, other, up, floor, said):
    if said < floor.issued:
        return
    signed = Signed(Instant(said), up)
    assert sense(wall, up, built=BUILT, floor=floor, signed=signed) == sense(
        other, up, built=BUILT, floor=floor, signed=signed
    )


@given(st.lists(st.tuples(st.integers(0, LATEST).map(Instant), st.sampled_from("ab")), max_size=20))
def test_a_floor_after_any_history_is_an_issue_that_its_key_signed_and_within_life(history):
    floor = Floor()
    for issued, key in history:
        before = floor
        try:
            floor = floor.raised(issued, key, built=BUILT)
        except HostileData:
            assert issued > BUILT + LIFE
            continue
        assert floor.key == key
        assert floor.issued <= BUILT + LIFE
        assert floor.issued >= issued
        assert before.key != key or floor.issued >= before.issued
    assert floor == Floor() or (floor.issued, floor.key) in history


@given(instants, uptimes, uptimes, floors)
def test_time_does_not_run_backwards_within_a_boot(wall, up, later, floor):
    signed = Signed(TRUE, 0)
    first = sense(wall, min(up, later), built=BUILT, floor=floor, signed=signed)
    second = sense(wall, max(up, later), built=BUILT, floor=floor, signed=signed)
    assert second.now >= first.now or second.source is not first.source
