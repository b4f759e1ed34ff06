"""Which devices a rollout is for, and in which wave each is: in one, by shares that count all before, at no choice."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.errors import HostileData
from holdfast_core.update.model import WAVES as MOST
from holdfast_core.update.model import Selection, Thresholds, Wave
from holdfast_core.update.waves import Candidate, check, check_filled, place, selects
from rollout_builders import MODEL, WAVES, a_rollout

LABELS = (("ring", "lab"), ("zone", "dmz"))


def fleet(size: int, labels=()) -> list[Candidate]:
    return [Candidate(f"camera-{number}", MODEL, "berlin", labels) for number in range(size)]


def sizes(size: int, *waves: Wave) -> list[int]:
    counts = Counter(place("r", waves, fleet(size)).values())
    return [counts[number] for number in range(len(waves))]


@pytest.mark.parametrize(
    ("selection", "is_selected"),
    [
        (Selection(MODEL), True),
        (Selection("pump"), False),
        (Selection(MODEL, sites=("berlin",)), True),
        (Selection(MODEL, sites=("paris",)), False),
        (Selection(MODEL, devices=("camera-1",)), True),
        (Selection(MODEL, devices=("camera-2",)), False),
        (Selection(MODEL, labels=LABELS), True),
        (Selection(MODEL, labels=LABELS[:1]), True),
        (Selection(MODEL, labels=(("ring", "field"),)), False),
        (Selection(MODEL, sites=("berlin",), devices=("camera-2",)), False),
    ],
)
def test_everything_that_is_named_narrows(selection, is_selected):
    assert selects(selection, Candidate("camera-1", MODEL, "berlin", LABELS)) is is_selected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, [0, 0, 0]),
        (1, [1, 0, 0]),
        (2, [1, 1, 0]),
        (3, [1, 1, 1]),
        (6, [1, 1, 4]),
        (20, [1, 1, 18]),
        (100, [1, 9, 90]),
        (101, [2, 9, 90]),
        (10_000, [100, 900, 9_000]),
    ],
)
def test_percentages_count_all_devices_before_and_take_at_least_one(size, expected):
    assert sizes(size, *WAVES) == expected


@pytest.mark.parametrize(
    ("size", "percent", "first"), [(1_000, 0.7, 7), (100, 1.1, 2), (700, 0.1, 1), (250, 64.4, 161), (375, 8.8, 33)]
)
def test_what_floating_point_adds_takes_no_device_more(size, percent, first):
    assert sizes(size, Wave("a", percent), Wave("b"))[0] == first


def test_a_named_wave_takes_its_devices_wherever_they_would_have_been_and_they_count():
    devices = [Candidate("lab-1", MODEL, "lab", LABELS), *fleet(99)]
    waves = (
        Wave("lab", labels=LABELS[:1]),
        Wave("named", devices=("camera-7", "other")),
        Wave("ten", 10.0),
        Wave("all"),
    )
    placed = place("r", waves, devices)
    assert placed["lab-1"] == 0
    assert placed["camera-7"] == 1
    assert list(map(Counter(placed.values()).__getitem__, range(4))) == [1, 1, 8, 90]


def test_whom_no_wave_takes_is_in_the_last():
    placed = place("r", (Wave("ten", 10.0), Wave("lab", labels=LABELS)), fleet(100))
    assert Counter(placed.values()) == {0: 10, 1: 90}


def test_other_rollouts_have_other_canaries_and_the_same_one_has_the_same_in_any_order():
    devices = fleet(1_000)
    first, again = place("one", WAVES, devices), place("one", WAVES, devices[::-1])
    assert first == again
    canaries = [{d for d, w in place(name, WAVES, devices).items() if w == 0} for name in ("one", "two", "three")]
    assert len(set.union(*canaries)) > 20


waves = st.lists(
    st.one_of(
        st.builds(Wave, st.just(""), st.floats(0, 100)),
        st.builds(
            Wave, st.just(""), devices=st.lists(st.integers(0, 60).map("camera-{}".format), min_size=1).map(tuple)
        ),
        st.builds(Wave, st.just(""), labels=st.just(LABELS[:1])),
    ),
    min_size=1,
    max_size=MOST,
)


@given(st.text(max_size=5), waves, st.lists(st.booleans(), max_size=60))
def test_every_device_is_in_exactly_one_wave_and_shares_are_kept(rollout, some, labelled):
    devices = [Candidate(f"camera-{n}", MODEL, labels=LABELS if is_lab else ()) for n, is_lab in enumerate(labelled)]
    placed = place(rollout, some, devices)
    assert sorted(placed) == sorted(device.device for device in devices)
    assert all(0 <= wave < len(some) for wave in placed.values())
    assert placed == place(rollout, some, list(reversed(devices)))
    done = 0
    for number, wave in enumerate(some[:-1]):
        before, done = done, done + sum(1 for each in placed.values() if each == number)
        if not (wave.devices or wave.labels):
            assert done >= min(len(devices), before + 1)
            assert done * 100 >= wave.percent * len(devices) - 1e-3
            assert done == before + 1 or (done - 1) * 100 <= wave.percent * len(devices) or done == before


@pytest.mark.parametrize(
    ("some", "code"),
    [
        ((Wave("a", 10.0), Wave("b", 5.0)), "rollout.waves"),
        ((Wave("a", 10.0), Wave("a")), "rollout.waves"),
        ((Wave("a", soak_s=-1),), "rollout.waves"),
        ((Wave("a", at_once=-1),), "rollout.waves"),
        ((Wave("a", per_hour=-1),), "rollout.waves"),
    ],
)
def test_waves_that_cannot_be_are_refused(some, code):
    with pytest.raises(HostileData) as refused:
        check(a_rollout(*some))
    assert refused.value.code == code


@pytest.mark.parametrize(
    "changed",
    [
        {"failed": 0.0},
        {"failed": 100.1},
        {"silent": 0.0},
        {"sample": 0},
        {"least": 0},
        {"deadline_s": 0},
        {"patience_s": -1},
        {"succeeded": 0.0},
        {"succeeded": 101.0},
    ],
)
def test_thresholds_that_cannot_be_are_refused(changed):
    with pytest.raises(HostileData) as refused:
        check(a_rollout(thresholds=msgspec.structs.replace(Thresholds(), **changed)))
    assert refused.value.code == "rollout.thresholds"


def test_what_can_be_is_not_refused():
    check(a_rollout())
    check(a_rollout(Wave("lab", labels=LABELS), Wave("a", 50.0), Wave("names", devices=("x",)), Wave("b", 50.0)))


def test_a_wave_that_names_nobody_there_is_refused_for_its_trial_would_be_skipped():
    rollout = a_rollout(Wave("lab", labels=LABELS), *WAVES)
    with pytest.raises(HostileData) as refused:
        check_filled(rollout, place(rollout.id, rollout.waves, fleet(5)))
    assert refused.value.code == "rollout.empty_wave"
    check_filled(rollout, place(rollout.id, rollout.waves, [*fleet(5), Candidate("lab-1", MODEL, labels=LABELS)]))


def test_a_share_of_a_small_fleet_may_be_empty():
    rollout = a_rollout()
    check_filled(rollout, place(rollout.id, rollout.waves, fleet(1)))
