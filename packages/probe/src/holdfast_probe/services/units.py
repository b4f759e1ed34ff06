"""What systemd starts: units that a ``.wants`` or ``.requires`` folder names, and what a unit says.

1. A unit is started by a link there, or by a setting of what starts, if the unit exists and is not masked.
2. systemd's own units belong to any system and are left out, unless the administrator enabled them.
3. Drop-ins follow the unit in the order of their names; the last setting counts, as systemd has it.

Source: systemd.unit(5), systemd.exec(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias

from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.texts import fitting, names, programs, text, unquoted, words

ADMIN_UNITS = "/etc/systemd/system"
UNIT_FOLDERS = (ADMIN_UNITS, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
SUFFIX = re.compile(r"\.(?:service|socket|timer|path)$")
EXECS = ("ExecStartPre", "ExecStart", "ExecStartPost")

_WANTING = (".wants", ".requires", ".upholds")
_DEMANDS = frozenset({"Wants", "Requires", "BindsTo", "Upholds"})
_TARGETS = (
    "default.target", "multi-user.target", "graphical.target", "basic.target", "sysinit.target", "local-fs.target",
    "network.target", "network-online.target", "remote-fs.target", "sockets.target", "timers.target", "paths.target",
    "getty.target",
)  # fmt: skip
_UNIT_NAME = re.compile(r"[\w:.@\\-]{1,255}", re.ASCII)
_MOST_UNITS = 1024

Units: TypeAlias = Mapping[str, tuple[str, ...]]
"""The names in each unit folder, in the order of precedence."""


def from_units(root: Root) -> list[Started] | None:
    """Every unit that starts; `None` where there are no units."""
    units = unit_folders(root)
    if not any(units.values()):
        return None
    found: dict[str, Started] = {}
    targets: list[str] = list(_TARGETS)
    for folder, listed in units.items():
        for wants in listed:
            if not wants.endswith(_WANTING):
                continue
            for unit in names(root, f"{folder}/{wants}"):
                if unit.endswith(".target"):
                    targets.append(unit)
                elif _starts(root, folder, unit, units):
                    earlier = found.get(unit)
                    source = earlier.source if earlier else f"{folder}/{wants}"
                    places = (*(earlier.places if earlier else ()), f"{folder}/{wants}/{unit}")
                    found[unit] = _unit(root, unit, source, places, units)
    _demanded(root, units, found, targets)
    return list(found.values())


def _starts(root: Root, folder: str, unit: str, units: Units) -> bool:
    plain = SUFFIX.sub("", unit)
    own = folder != ADMIN_UNITS and plain.startswith("systemd-")
    return plain != unit and not own and unit_text(root, unit, units) is not None


def _unit(root: Root, unit: str, source: str, places: tuple[str, ...], units: Units) -> Started:
    aliases = _unit_programs(root, unit, units)
    return Started(SUFFIX.sub("", unit), aliases, source, Way.UNIT, places, command=unit)


def _demanded(root: Root, units: Units, found: dict[str, Started], targets: list[str]) -> None:
    """Add what units that start, and the targets they stand in, ask for in their own settings."""
    default = next((f"{folder}/default.target" for folder, listed in units.items() if "default.target" in listed), "")
    todo = [*(root.real(default).rpartition("/")[2:] if default else ()), *targets, *found]
    seen = set(todo)
    while todo:
        asking = todo.pop()
        for key, value in unit_settings(root, asking, units):
            for unit in value.split() if key in _DEMANDS else ():
                if unit in seen or not _UNIT_NAME.fullmatch(unit):
                    continue
                seen.add(unit)
                if len(seen) > _MOST_UNITS:
                    raise Unreadable(ADMIN_UNITS, f"units ask for more than {_MOST_UNITS} others")
                todo.append(unit)
                folder = next((folder for folder, listed in units.items() if unit in listed), "")
                if _starts(root, folder, unit, units):
                    source = f"{key}= of {asking}"
                    found[unit] = _unit(root, unit, source, (f"{folder or ADMIN_UNITS}/{unit}",), units)


def unit_folders(root: Root) -> Units:
    """What each folder of units holds, by precedence."""
    return {folder: names(root, folder) for folder in _unit_folders(root)}


def _unit_folders(root: Root) -> list[str]:
    """The folders units are looked up in, each once: ``/lib`` is often a link to ``/usr/lib``."""
    seen: set[tuple[int, int]] = set()
    folders = []
    for folder in UNIT_FOLDERS:
        with suppress(Missing):
            status = root.status(folder)
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                folders.append(folder)
    return folders


def unit_text(root: Root, unit: str, units: Units) -> str | None:
    """The content of the unit that systemd would load, or `None` if it is masked or missing."""
    template = re.sub(r"@.*\.", "@.", unit)
    for name in dict.fromkeys((unit, template)):
        for folder, listed in units.items():
            if name in listed:
                # A mask is a link to /dev/null, which a folder does not have, or an empty file.
                masked = root.link(f"{folder}/{name}") == "/dev/null"
                with suppress(Missing):
                    return None if masked else root.read(f"{folder}/{name}").decode("utf-8", "replace") or None
    return None


def unit_settings(root: Root, unit: str, units: Units) -> list[tuple[str, str]]:
    """The settings of a unit and its drop-ins, in order: key and value."""
    texts = [unit_text(root, unit, units) or ""]
    for folder in reversed(tuple(units)):
        drop_ins = dict.fromkeys((re.sub(r"@[^@]*\.", "@.", unit), unit))
        paths = fitting(root, *(f"{folder}/{name}.d/*.conf" for name in drop_ins))
        texts += [root.read(path).decode("utf-8", "replace") for path in paths]
    found = []
    # A line that ends in a backslash goes on in the next one.
    for line in (line.strip() for content in texts for line in content.replace("\\\n", " ").splitlines()):
        key, sign, value = line.partition("=")
        if sign and not line.startswith(("#", ";")):
            found.append((key.strip(), value.strip()))
    return found


def exec_lines(root: Root, unit: str, units: Units, keys: tuple[str, ...] = EXECS) -> list[tuple[str, dict[str, str]]]:
    """The commands that a unit runs when it starts, drop-ins included, each with the unit's variables.

    A socket, a timer and a path stand for their service.
    """
    found: list[tuple[str, dict[str, str]]] = []
    for each in _asked(root, unit, units):
        lines: dict[str, list[str]] = {}
        variables: dict[str, str] = {}
        for key, value in unit_settings(root, each, units):
            if key in keys:
                # An empty value takes back what was said before.
                lines[key] = [*lines.get(key, ()), value] if value else []
            elif key == "Environment":
                pairs = (word.partition("=") for word in words(value))
                variables |= {name: given for name, sign, given in pairs if sign}
            elif key == "EnvironmentFile":
                read = text(root, value.lstrip("-")) if value.lstrip("-").startswith("/") else ""
                pairs = (line.partition("=") for line in read.splitlines() if not line.lstrip().startswith("#"))
                variables |= {name.strip(): unquoted(given) for name, sign, given in pairs if sign}
        found += [(value.lstrip("-@:+!|"), variables) for key in keys for value in lines.get(key, ())]
    return found


def _asked(root: Root, unit: str, units: Units) -> list[str]:
    plain = SUFFIX.sub("", unit)
    if unit.endswith(".service"):
        return [unit]
    named = [value for key, value in unit_settings(root, unit, units) if key in ("Unit", "Service") and value]
    return [unit, *(named or (f"{plain}.service", f"{plain}@.service"))]


def _unit_programs(root: Root, unit: str, units: Units) -> tuple[str, ...]:
    """The base names of what a unit starts; for a socket, a timer or a path also of the service it stands for."""
    return tuple(sorted({name for line, _ in exec_lines(root, unit, units, ("ExecStart",)) for name in programs(line)}))
