"""Settings that are spread over files: what a file reads in, and which file a program is told to read.

1. What is read in follows the file that asks for it, each file once and a bounded number of them.
2. A path that is not absolute begins where the program's own settings are.
3. A program that is started with a file of its own reads that one, beside what stands at the usual places.

Sources: mosquitto.conf(5), snmpd.conf(5), sshd_config(5), lighttpd's configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started
from holdfast_probe.services.listen_common import options
from holdfast_probe.services.running import Running
from holdfast_probe.services.starts import commands_of
from holdfast_probe.services.texts import fitting, gathered, unquoted, words
from holdfast_probe.services.units import unit_folders

_MOST_FILES = 64


class Spread(msgspec.Struct, frozen=True):
    """How a program's settings are spread."""

    files: tuple[str, ...]
    """The usual places."""
    includes: Mapping[str, str]
    """Keywords, in small letters, that read in something, with ``{}`` where their value stands in the pattern."""
    folder: str
    """Where a path that is not absolute begins."""
    option: str = ""
    """The option that names another file."""
    programs: tuple[str, ...] = ()


MOSQUITTO_FILES = Spread(
    ("/etc/mosquitto/mosquitto.conf", "/etc/mosquitto/conf.d/*.conf"),
    {"include_dir": "{}/*.conf"}, "/etc/mosquitto", "-c", ("mosquitto",),
)  # fmt: skip
SNMPD_FILES = Spread(
    ("/etc/snmp/snmpd.conf", "/etc/snmp/snmpd.local.conf", "/etc/snmp/snmpd.conf.d/*.conf",
     "/usr/share/snmp/snmpd.conf", "/etc/snmpd.conf"),
    {"includefile": "{}", "includedir": "{}/*.conf", "includesearch": "{}"}, "/etc/snmp", "-c", ("snmpd",),
)  # fmt: skip
SSHD_FILES = Spread(
    ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf"), {"include": "{}"}, "/etc/ssh", "-f", ("sshd",)
)
LIGHTTPD_FILES = Spread(
    ("/etc/lighttpd/lighttpd.conf", "/etc/lighttpd/conf-enabled/*.conf", "/etc/lighttpd/conf.d/*.conf"),
    {"include": "{}"}, "/etc/lighttpd", "-f", ("lighttpd",),
)  # fmt: skip


def spread(root: Root, kind: Spread, given: Iterable[str] = ()) -> list[tuple[str, str, str]]:
    """Keyword, value and place of every line. Raises `Unreadable`."""
    found = []
    for where, line in spread_lines(root, kind, given):
        key, value = _parted(line)
        found.append((key, unquoted(value), where))
    return found


def spread_lines(root: Root, kind: Spread, given: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Place and text of every line of the files at the usual places, of `given`, and of what they read in."""
    todo = [*kind.files, *given]
    seen: set[str] = set()
    found = []
    while todo:
        for path in fitting(root, todo.pop(0)):
            real = root.real(path)
            if real in seen:
                continue
            seen.add(real)
            if len(seen) > _MOST_FILES:
                raise Unreadable(path, f"more than {_MOST_FILES} files are read in")
            listed = gathered(root, path)
            found += listed
            todo += [pattern for _, line in listed for pattern in _asked(kind, line)]
    return found


def own_files(root: Root, items: Iterable[Started], kind: Spread) -> list[str]:
    """The files that the program is told to read where it is started. Raises `Unreadable`."""
    return [path for path in own_options(root, items, kind, kind.option) if path.startswith("/")]


def own_options(root: Root, items: Iterable[Started], kind: Spread, *flags: str) -> list[str]:
    """The values of an option with which the program is started. Raises `Unreadable`."""
    running, units = Running(root), unit_folders(root)
    commands = [each for item in items for each in commands_of(root, running, item, units)]
    return [value for each in commands if each.name in kind.programs for value in options(list(each.words[1:]), *flags)]


def _asked(kind: Spread, line: str) -> list[str]:
    key, value = _parted(line)
    pattern = kind.includes.get(key.lower())
    if pattern is None:
        return []
    values = [word.rstrip("/") for word in words(value.lstrip("= "))]
    return [pattern.format(word if word.startswith("/") else f"{kind.folder}/{word}") for word in values if word]


def _parted(line: str) -> tuple[str, str]:
    """A keyword and its value; Net-SNMP lets the name of a program stand before them for one line."""
    pair = line.split(None, 1)
    if pair[0].startswith("[") and pair[0].endswith("]") and len(pair) > 1:
        pair = pair[1].split(None, 1)
    return pair[0], pair[1].strip() if len(pair) > 1 else ""
