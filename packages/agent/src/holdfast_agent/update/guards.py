"""What holds an update back though it is right: the hour, the battery, the disk.

1. A maintenance window is of the device's own local time. While the device does not know what time it is, it is not in
   the window: an update that waits does less harm than one at the wrong hour. One that ends when it starts is all day.
2. A battery counts only without mains. A device that cannot tell is one without a battery.
3. Room is needed for what is still to come, and some to spare.

Source: Linux, Documentation/ABI/testing/sysfs-class-power (``type``, ``online``, ``capacity``, ``scope``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from holdfast_core.kernel.instants import SECOND
from holdfast_core.update.time import Sense, Source
from holdfast_core.wire.update import Power, UpdateArgs, Window

SPARE = 16 * 1024 * 1024
"""Bytes that an update leaves free."""
SUPPLIES = 32
LARGEST = 64
_MAINS = frozenset({"Mains", "USB", "UPS", "Wireless", "BrickID"})
Local = Callable[[float], time.struct_time]


def power(sys: Path) -> Power | None:
    """The energy there is, from sysfs; `None` where the device has no supply that it tells of.

    Args:
        sys: where sysfs is mounted.
    """
    folder = sys / "class/power_supply"
    try:
        supplies = sorted(folder.iterdir())[:SUPPLIES]
    except OSError:
        return None
    online: list[bool] = []
    percents: list[int] = []
    for supply in supplies:
        kind = _text(supply / "type")
        if kind in _MAINS:
            online.append(_number(supply / "online") != 0)
        elif kind == "Battery" and _text(supply / "scope") != "Device":  # a mouse has a battery, too
            percent = _number(supply / "capacity")
            if percent is not None:
                percents.append(min(100, percent))
    if not online and not percents:
        return None
    return Power(any(online), min(percents) if percents else None)


def window(wanted: Window | None, sense: Sense, local: Local = time.localtime) -> str:
    """Why this is not the hour; empty where it is."""
    if wanted is None:
        return ""
    if sense.source is Source.FLOOR:
        return "The device does not know what time it is, so it cannot tell its maintenance window."
    now = local(sense.now / SECOND)
    minute = now.tm_hour * 60 + now.tm_min
    if wanted.start < wanted.end:
        inside = wanted.start <= minute < wanted.end
    else:
        inside = minute >= wanted.start or minute < wanted.end
    if inside:
        return ""
    return f"It is {_clock(minute)}, and the maintenance window is {_clock(wanted.start)} to {_clock(wanted.end)}."


def battery(least: int, found: Power | None) -> str:
    """Why the energy does not do; empty where it does."""
    if not least or found is None or found.mains or found.percent is None or found.percent >= least:
        return ""
    return f"The battery has {found.percent} %, and {least} % are asked for."


def disk(folder: Path, missing: int) -> str:
    """Why there is no room for `missing` bytes; empty where there is."""
    try:
        there = os.statvfs(folder)
    except OSError as error:
        return f"The free space of {folder} cannot be told: {error.strerror}."
    free = there.f_bavail * there.f_frsize
    if free >= missing + SPARE:
        return ""
    return f"{missing + SPARE} bytes of room are needed in {folder}, and {free} are free."


def held(args: UpdateArgs, sense: Sense, found: Power | None) -> tuple[str, str]:
    """Code and sentence of what holds an attempt back by hour or energy; both empty where nothing does."""
    if why := window(args.window, sense):
        return "update.window", why
    if why := battery(args.battery, found):
        return "update.battery", why
    return "", ""


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isascii() and text.isdigit() else None
