"""Daily windows in which a device may be disturbed: from a model's ``HH:MM-HH:MM`` to how long it is until one opens.

1. A window is in the device's local time and may pass midnight: ``22:00-02:00``.
2. Its start belongs to it, its end does not. One whose start is its end is open all day; no model may declare it.
"""

from __future__ import annotations

import re

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, MINUTE, Instant
from holdfast_core.wire.update import Window

MINUTES = 1_440
"""Of a day."""
_DAY_S = DAY // 1_000
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def parse_window(text: str) -> Window:
    """The window that a model's ``maintenance_window`` declares.

    Raises:
        HostileData: ``model.window``.
    """
    found = _WINDOW.fullmatch(text)
    if found is not None:
        hour, minute, end_hour, end_minute = map(int, found.groups())
        window = Window(60 * hour + minute, 60 * end_hour + end_minute)
        if window.start != window.end:
            return window
    raise HostileData(
        "model.window",
        f"{text[:40]!r} is not a daily window.",
        remedy="Write HH:MM-HH:MM, local time, with two different times, such as 02:00-04:00.",
    )


def window_of(text: str | None) -> Window | None:
    """As `parse_window`; `None` where a model declares none: it may be disturbed at any time."""
    return None if text is None else parse_window(text)


def until_open(window: Window | None, second: int) -> int:
    """Seconds until a window is open; 0 while it is, and without one.

    Args:
        window: the window.
        second: of the device's day, local time, from 0 to 86,399.
    """
    if window is None:
        return 0
    start, end = 60 * window.start, 60 * window.end
    length = (end - start) % _DAY_S or _DAY_S
    if (second - start) % _DAY_S < length:
        return 0
    return (start - second) % _DAY_S


def second_of_day(now: Instant, offset_min: int = 0) -> int:
    """The second of the day, `offset_min` minutes east of UTC."""
    return (now + offset_min * MINUTE) % DAY // 1_000
