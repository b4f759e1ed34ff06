"""What tables start: inittab, inetd.conf, xinetd's files, and cron at boot.

Sources: inittab(5) and busybox's, inetd(8), xinetd.conf(5).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator

import msgspec

from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.occasions import SCHEDULES, scheduled
from holdfast_probe.services.texts import fitting, gathered, lines, numbered, programs

_INIT_ACTIONS = frozenset(
    {
        "respawn",
        "respawnlate",
        "askfirst",
        "askconsole",
        "askconsolelate",
        "once",
        "wait",
        "sysinit",
        "boot",
        "bootwait",
        "ondemand",
    }
)
INITTAB = "/etc/inittab"
INETD = "/etc/inetd.conf"
XINETD = "/etc/xinetd.conf"
XINETD_KEYS = ("user", "port", "bind", "protocol", "socket_type")
"""What is kept of a service of xinetd, as ``key=value``, for who asks later."""
_MOST_INCLUDES = 64
_INIT_FIELDS = 4
_INETD_FIELDS = 6


class InitLine(msgspec.Struct, frozen=True):
    """One entry of an inittab."""

    number: int
    terminal: str
    action: str
    command: str


def init_lines(root: Root) -> list[InitLine] | None:
    """The entries of ``/etc/inittab`` that start something, or `None` where there is none."""
    found = numbered(root, INITTAB)
    if found is None:
        return None
    entries = []
    for number, line in found:
        fields = line.split(":", 3)
        if len(fields) == _INIT_FIELDS and fields[2] in _INIT_ACTIONS:
            entries.append(InitLine(number, fields[0], fields[2], fields[3].strip()))
    return entries


def from_inittab(root: Root) -> list[Started] | None:
    """What init starts."""
    entries = init_lines(root)
    if entries is None:
        return None
    found = []
    for entry in entries:
        named = programs(entry.command)
        if named:
            found.append(
                Started(named[0], tuple(named[1:]), INITTAB, Way.LINE, (INITTAB,), entry.number, entry.command)
            )
    return found


def _line(named: list[str], path: str, number: int, command: str) -> Started:
    return Started(named[0], tuple(named[1:]), path, Way.LINE, (path,), number, command)


def from_inetd(root: Root) -> list[Started] | None:
    """What inetd answers for."""
    path = INETD
    listed = numbered(root, path)
    if listed is None:
        return None
    found = []
    for number, line in listed:
        fields = line.split()
        if len(fields) >= _INETD_FIELDS:
            named = tuple(programs(" ".join(fields[5:])))
            found.append(Started(fields[0].rsplit(":", 1)[-1], named, path, Way.LINE, (path,), number, line))
    return found


def from_xinetd(root: Root) -> list[Started] | None:
    """What xinetd answers for."""
    paths = fitting(root, XINETD, "/etc/xinetd.d/*")
    if not paths:
        return None
    more = [path for path in fitting(root, *_included(root)) if not stat.S_ISDIR(root.status(path).st_mode)]
    paths = list(dict.fromkeys((*paths, *more)))
    found = []
    for path in paths:
        for name, settings in xinetd_services(lines(root, path) or ()):
            if settings.get("disable", "no") != "yes":
                kept = " ".join(f"{key}={settings[key]}" for key in XINETD_KEYS if settings.get(key))
                server = tuple(programs(settings.get("server", "")))
                found.append(Started(name, server, path, Way.BLOCK, (path,), command=kept))
    return found


def _included(root: Root) -> list[str]:
    """What xinetd's own file reads in besides, as patterns."""
    fields = [line.split(None, 1) for line in lines(root, XINETD) or ()]
    named = [(each[0], each[1].rstrip("/")) for each in fields if len(each) > 1 and each[1].startswith("/")]
    if len(named) > _MOST_INCLUDES:
        raise Unreadable(XINETD, f"it reads in more than {_MOST_INCLUDES} others")
    return [f"{path}/*" if key == "includedir" else path for key, path in named if key in ("include", "includedir")]


def from_schedules(root: Root) -> list[Started] | None:
    """What cron starts with the machine (``@reboot``); the system's own tables name a user first."""
    found = []
    for where, line in gathered(root, *SCHEDULES):
        when, command = scheduled(where, line)
        named = programs(command) if when == "@reboot" else []
        if named:
            path, _, number = where.rpartition(":")
            found.append(_line(named, path, int(number), command))
    return found or None


def xinetd_services(found: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The services of an xinetd.conf(5) and their settings, line by line: one pass, however hostile the file."""
    name, settings = "", dict[str, str]()
    for piece in (piece for line in found for piece in re.split(r"([{}])", line)):
        parts = piece.split(maxsplit=1)
        if len(parts) > 1 and parts[0] == "service":
            name, settings = parts[1].strip(), {}
        elif piece == "}" and name:
            yield name, settings
            name = ""
        elif "=" in piece:
            key, _, value = piece.partition("=")
            settings[key.strip(" \t+")] = value.strip()
