"""Daily windows: what a model declares is read, and how long it is until one opens is told, over midnight too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.inventory import validation
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.update.windows import MINUTES, parse_window, second_of_day, until_open, window_of
from holdfast_core.wire.update import Window

DAY_S = 86_400
windows = st.builds(Window, st.integers(0, MINUTES - 1), st.integers(0, MINUTES - 1))
seconds = st.integers(0, DAY_S - 1)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("02:00-04:00", Window(120, 240)),
        ("22:30-01:15", Window(1350, 75)),
        ("00:00-23:59", Window(0, 1439)),
        ("23:59-00:00", Window(1439, 0)),
    ],
)
def test_a_window_is_read(text, window):
    assert parse_window(text) == window_of(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "at night",
        "24:00-01:00",
        "25:00-26:00",
        "02:60-03:00",
        "2:00-4:00",
        "02:00-02:00",
        "02:00-04:00 ",
        "02:00-04:00\n",
        "02:00\u201304:00",
        "\u0660\u0662:\u0660\u0660-\u0660\u0664:\u0660\u0660",
    ],
)
def test_what_is_no_window_is_refused_with_what_to_write(text):
    with pytest.raises(HostileData) as refused:
        parse_window(text)
    assert refused.value.code == "model.window"
    assert "02:00-04:00" in refused.value.remedy


def test_without_a_window_a_device_may_always_be_disturbed():
    assert window_of(None) is None
    assert until_open(None, 12_345) == 0


@given(st.one_of(st.text(), st.from_regex(r"[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}"), st.binary().map(repr)))
def test_what_a_model_file_may_declare_is_read_and_nothing_else(text):
    start, _, end = text.partition("-")
    declared = bool(validation._WINDOW.fullmatch(text)) and start != end
    try:
        parse_window(text)
    except HostileData:
        assert not declared
    else:
        assert declared


@pytest.mark.parametrize(
    ("window", "clock", "wait"),
    [
        (Window(120, 240), 2 * 3600, 0),
        (Window(120, 240), 4 * 3600 - 1, 0),
        (Window(120, 240), 4 * 3600, 22 * 3600),
        (Window(120, 240), 2 * 3600 - 1, 1),
        (Window(1320, 120), 23 * 3600, 0),
        (Window(1320, 120), 3600, 0),
        (Window(1320, 120), 2 * 3600, 20 * 3600),
        (Window(300, 300), 4321, 0),
    ],
)
def test_how_long_until_it_opens(window, clock, wait):
    assert until_open(window, clock) == wait


@given(windows, seconds)
def test_after_the_wait_the_window_is_open_and_before_it_never_was(window, second):
    wait = until_open(window, second)
    assert 0 <= wait < DAY_S
    assert until_open(window, (second + wait) % DAY_S) == 0
    if wait:
        assert until_open(window, (second + wait - 1) % DAY_S) == 1


@given(windows)
def test_it_is_open_for_as_long_as_it_says(window):
    open_for = sum(until_open(window, 60 * minute) == 0 for minute in range(MINUTES))
    assert open_for == ((window.end - window.start) % MINUTES or MINUTES)


def test_the_second_of_the_day_is_the_devices_own():
    now = Instant(1_795_000_000_000)
    assert second_of_day(now) == 1_795_000_000 % DAY_S
    assert second_of_day(now, 60) == (second_of_day(now) + HOUR // 1000) % DAY_S
    assert second_of_day(now, -11 * 60) == (second_of_day(now) - 11 * 3600) % DAY_S
