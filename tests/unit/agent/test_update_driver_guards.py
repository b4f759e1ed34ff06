"""What holds an update back: the hour, the battery, the disk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_agent.update.guards import SPARE, battery, disk, held, power, window
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.time import Sense, Source
from holdfast_core.wire.update import Power, UpdateArgs, Window

AT_NIGHT = Sense(Instant((2 * 60 + 30) * 60_000), Source.SIGNED)


def supply(folder: Path, name: str, **files: str) -> None:
    place = folder / "class/power_supply" / name
    place.mkdir(parents=True)
    for file, text in files.items():
        (place / file).write_text(text + "\n")


def test_a_device_that_tells_of_no_supply_has_no_battery(tmp_path: Path) -> None:
    assert power(tmp_path) is None
    (tmp_path / "class/power_supply").mkdir(parents=True)
    assert power(tmp_path) is None


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({"AC": {"type": "Mains", "online": "1"}}, Power(mains=True)),
        (
            {"AC": {"type": "Mains", "online": "0"}, "BAT0": {"type": "Battery", "capacity": "41"}},
            Power(mains=False, percent=41),
        ),
        (
            {"usb": {"type": "USB", "online": "1"}, "b": {"type": "Battery", "capacity": "9"}},
            Power(mains=True, percent=9),
        ),
        (
            {"b1": {"type": "Battery", "capacity": "80"}, "b2": {"type": "Battery", "capacity": "7"}},
            Power(mains=False, percent=7),
        ),
        ({"mouse": {"type": "Battery", "capacity": "1", "scope": "Device"}}, None),
        ({"b": {"type": "Battery", "capacity": "900"}}, Power(mains=False, percent=100)),
        ({"b": {"type": "Battery", "capacity": "-5"}}, None),
        ({"b": {"type": "Battery", "capacity": "\u0663"}}, None),
        ({"AC": {"type": "Mains"}}, Power(mains=True)),
    ],
    ids=["mains", "battery", "usb", "two batteries", "a mouse", "too much", "negative", "other digits", "no online"],
)
def test_supplies_are_read_as_the_kernel_tells_them(tmp_path: Path, supplies, expected: Power | None) -> None:
    for name, files in supplies.items():
        supply(tmp_path, name, **files)
    assert power(tmp_path) == expected


@pytest.mark.parametrize(
    ("least", "found", "holds"),
    [
        (0, Power(mains=False, percent=1), False),
        (50, None, False),
        (50, Power(mains=True, percent=1), False),
        (50, Power(mains=False, percent=None), False),
        (50, Power(mains=False, percent=50), False),
        (50, Power(mains=False, percent=49), True),
    ],
)
def test_a_battery_counts_only_without_mains(least: int, found: Power | None, *, holds: bool) -> None:
    assert bool(battery(least, found)) is holds


@pytest.mark.parametrize(
    ("start", "end", "inside"),
    [(0, 300, True), (150, 151, True), (151, 300, False), (0, 150, False), (1_380, 240, True), (1_380, 60, False),
     (600, 600, True)],
)  # fmt: skip
def test_a_window_is_a_span_of_the_local_day_and_may_pass_midnight(start: int, end: int, *, inside: bool) -> None:
    assert (window(Window(start, end), AT_NIGHT, time.gmtime) == "") is inside


def test_a_window_is_of_the_devices_own_zone() -> None:
    five_hours_west = lambda seconds: time.gmtime(seconds - 5 * 3_600)  # noqa: E731  (a clock is a function)
    assert window(Window(0, 300), AT_NIGHT, five_hours_west)
    assert not window(Window(1_260, 1_320), AT_NIGHT, five_hours_west)


def test_a_device_that_does_not_know_the_time_is_in_no_window() -> None:
    lost = Sense(AT_NIGHT.now, Source.FLOOR)
    assert "does not know" in window(Window(0, 1_439), lost, time.gmtime)
    assert window(None, lost) == ""


@given(st.integers(0, 1_439), st.integers(0, 1_439), st.integers(0, 2**40))
def test_a_window_and_the_rest_of_the_day_never_hold_at_once(start: int, end: int, at: int) -> None:
    sense = Sense(Instant(at), Source.CLOCK)
    inside, outside = (window(Window(*span), sense, time.gmtime) == "" for span in ((start, end), (end, start)))
    assert inside is not outside or start == end


def test_room_is_asked_for_with_some_to_spare(tmp_path: Path) -> None:
    assert disk(tmp_path, 0) == ""
    assert str(2**60 + SPARE) in disk(tmp_path, 2**60)
    assert "cannot be told" in disk(tmp_path / "missing", 0)


def test_the_hour_is_looked_at_before_the_battery() -> None:
    args = UpdateArgs("cam:2", window=Window(0, 1), battery=50)
    assert held(args, Sense(Instant(0), Source.FLOOR), Power(mains=False, percent=3))[0] == "update.window"
    assert held(UpdateArgs("cam:2", battery=50), AT_NIGHT, Power(mains=False, percent=3))[0] == "update.battery"
    assert held(UpdateArgs("cam:2"), AT_NIGHT, Power(mains=False, percent=3)) == ("", "")
