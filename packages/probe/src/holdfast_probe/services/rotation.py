"""What logrotate rotates, and how long what it rotates stays.

1. It rotates only where something runs it: a timer, a schedule, or a start-up entry of its own.
2. A file that no pattern names is not rotated.

Source: logrotate(8).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast_probe.patterns import PathPattern
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started
from holdfast_probe.services.texts import exists, fitting, lines, words

_PERIODS = {"hourly": 0, "daily": 1, "weekly": 7, "monthly": 30, "yearly": 365}
_MOST_BLOCKS = 512
_RUNNERS = ("/etc/cron.daily/logrotate", "/etc/cron.hourly/logrotate", "/etc/periodic/daily/logrotate")
_SCHEDULES = ("/etc/crontab", "/etc/crontabs/root", "/var/spool/cron/crontabs/root", "/etc/cron.d/*")


class Rotated(msgspec.Struct, frozen=True):
    """The files of one block, and for how many days what was in them stays."""

    patterns: tuple[str, ...]
    days: int


class Rotation(msgspec.Struct, frozen=True):
    """Every block; none where nothing runs logrotate."""

    blocks: tuple[Rotated, ...]

    def covers(self, path: str) -> bool:
        """Whether `path` is rotated."""
        return any(PathPattern(block.patterns).matches(path) for block in self.blocks)

    def days(self, path: str) -> int:
        """For how long lines of `path` stay; 0 where that is less than a day or not known."""
        return max((block.days for block in self.blocks if PathPattern(block.patterns).matches(path)), default=0)


def rotation(root: Root, items: Iterable[Started]) -> Rotation:
    """What logrotate does here, where `items` start. Raises `Unreadable`."""
    if not _runs(root, items):
        return Rotation(())
    blocks: list[Rotated] = []
    general = {"rotate": 0, "period": 7}
    for path in fitting(root, "/etc/logrotate.conf", "/etc/logrotate.d/*"):
        _read(lines(root, path) or (), general, blocks)
    return Rotation(tuple(blocks))


def _runs(root: Root, items: Iterable[Started]) -> bool:
    if any(item.answers_to(("logrotate",)) for item in items) or any(exists(root, path) for path in _RUNNERS):
        return True
    return any("logrotate" in line for path in fitting(root, *_SCHEDULES) for line in lines(root, path) or ())


def _read(found: list[str] | tuple[()], general: dict[str, int], blocks: list[Rotated]) -> None:
    patterns: list[str] = []
    inside: dict[str, int] | None = None
    for line in found:
        if line.startswith("}") and inside is not None:
            if len(blocks) == _MOST_BLOCKS:
                raise Unreadable("/etc/logrotate.d", f"it holds more than {_MOST_BLOCKS} blocks")
            blocks.append(Rotated(tuple(patterns), inside["rotate"] * inside["period"]))
            patterns, inside = [], None
            continue
        head, brace, _ = line.partition("{")
        if inside is None and (head.startswith(("/", '"')) or brace):
            patterns += [word for word in words(head) if word.startswith("/")]
            inside = dict(general) if brace else None
        else:
            _set(line.split(), general if inside is None else inside)


def _set(parts: list[str], mine: dict[str, int]) -> None:
    if parts[0] in _PERIODS:
        mine["period"] = _PERIODS[parts[0]]
    elif parts[0] in ("rotate", "maxage") and len(parts) > 1 and parts[1].isascii() and parts[1].isdigit():
        mine["rotate"] = int(parts[1][:6]) if parts[0] == "rotate" else mine["rotate"]
