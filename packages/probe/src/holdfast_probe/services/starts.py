"""What starts by itself, whoever starts it, and the three probes that ask.

1. An applet, a program or an init script lying about is no service; only what something starts counts.
2. A layout that is not known says nothing: without a single known way of starting, the answer is `unknown`.
3. What init systems start unasked (journald, the device manager) counts only where it is asked for by name.
4. A thing answers to what its script runs as well, whatever the script is called.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from holdfast_core.baseline.probes.services import Autostart, Runs, Service
from holdfast_probe.case import Case
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.occasions import occasional
from holdfast_probe.services.running import Command, Running
from holdfast_probe.services.scripts import (
    from_openrc,
    from_rc_folders,
    from_runlevels,
    from_startup_scripts,
    startup_scripts,
)
from holdfast_probe.services.tables import INETD, from_inetd, from_inittab, from_schedules, from_xinetd
from holdfast_probe.services.texts import exists
from holdfast_probe.services.unclear import unclear_programs
from holdfast_probe.services.units import ADMIN_UNITS, Units, exec_lines, from_units, unit_folders, unit_text
from holdfast_probe.sight import Sight, failed, judged, passed, unknown

NOTHING_STARTS = "Nothing here says what starts: no systemd, rc.d, OpenRC, inittab or inetd."
STOCK = frozenset({
    "dbus", "dbus-broker", "kmod-static-nodes", "ldconfig", "initrd-cleanup", "rc-local", "user-runtime-dir", "user",
    "console-getty", "quotaon", "rcS", "rcK", "rc", "mount", "mkdir", "hostname", "ln", "swapon", "openrc", "umount",
    "modprobe",
})  # fmt: skip
"""What belongs to any system."""
_MOST_STARTED = 1024
_SHOWN = 6
"""Names of a probe that a finding repeats."""
_READERS = (
    from_units, from_runlevels, from_rc_folders, from_openrc,
    from_startup_scripts, from_inittab, from_inetd, from_xinetd, from_schedules,
)  # fmt: skip
_BUILT_IN = (("systemd-journald", ("/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald")),)


class Surveyed(msgspec.Struct, frozen=True):
    """Everything that starts by itself."""

    items: tuple[Started, ...]
    """Sorted."""
    sources: int
    """How many ways of starting were found at all."""
    lost: tuple[str, ...]
    """Places in scripts that could not be followed: what they run, nobody here can say."""
    occasional: tuple[Started, ...]
    """What runs now and then; it counts where it is asked for by name."""

    @property
    def doubt(self) -> str:
        """Why nothing passes by silence; empty where every script was followed."""
        return f"What is run at {', '.join(self.lost[:4])} could not be followed." if self.lost else ""


def started(root: Root) -> tuple[list[Started], int]:
    """Everything that starts, sorted, and how many ways of starting were found at all. Raises `Unreadable`."""
    found = surveyed(root)
    return list(found.items), found.sources


def surveyed(root: Root) -> Surveyed:
    """Everything that starts, and what runs now and then. Raises `Unreadable`."""
    found: set[Started] = set()
    sources = 0
    for reader in _READERS:
        listed = reader(root)
        if listed is not None:
            sources += 1
            found.update(listed)
        if len(found) > _MOST_STARTED:
            raise Unreadable("/etc", f"more than {_MOST_STARTED} things start")
    running, units = Running(root), unit_folders(root)

    def told(items: Iterable[Started]) -> tuple[Started, ...]:
        named = [(item, running.names(commands_of(root, running, item, units))) for item in items]
        return tuple(sorted(msgspec.structs.replace(item, runs=runs) for item, runs in named))

    items = told(found)
    for path in startup_scripts(root, running):
        running.of_script(path)
    lost = tuple(running.lost)
    return Surveyed(items, sources, lost, told(occasional(root)))


def commands_of(root: Root, running: Running, item: Started, units: Units) -> list[Command]:
    """What starts with `item`, scripts that it calls followed. Raises `Unreadable`."""
    path = item.places[0]
    match item.way:
        case Way.UNIT:
            found = exec_lines(root, item.command, units)
            return [each for line, known in found for each in running.of_command(line, item.command, 0, known)]
        case Way.LINK | Way.SCRIPT:
            return running.of_script(item.command)
        case Way.LINE:
            command = " ".join(item.command.split()[5:]) if path == INETD else item.command.lstrip("-")
            return running.of_command(command, path, item.number, {})
    return []


def ran(root: Root) -> tuple[tuple[Command, ...], int]:
    """Every command that runs at a start, and how many ways of starting were found. Raises `Unreadable`."""
    items, sources = started(root)
    running, units = Running(root), unit_folders(root)
    found = [command for item in items for command in commands_of(root, running, item, units)]
    for path in startup_scripts(root, running):
        found += running.of_script(path)
    return tuple(found), sources


def built_in(root: Root) -> list[Started]:
    """What the init system starts unasked and no mask keeps from it."""
    units = unit_folders(root)
    found = []
    for name, programs in _BUILT_IN:
        unit = f"{name}.service"
        if not any(exists(root, program) for program in programs):
            continue
        listed = any(unit in listed for listed in units.values())
        if not listed or unit_text(root, unit, units) is not None:
            found.append(Started(name, (), "systemd", Way.BUILT_IN, (f"{ADMIN_UNITS}/{unit}",), command=unit))
    return found


def see_service(case: Case, spec: Service) -> Sight:
    """Judge one `Service` probe."""
    found = case.once(surveyed)
    bad = [_said(item, spec.names) for item in (*found.items, *found.occasional) if item.answers_to(spec.names)]
    if not bad and not found.sources:
        return unknown(NOTHING_STARTS)
    if not bad and found.lost:
        return unknown(found.doubt)
    return judged(bad, f"nothing that starts is {_some(spec.names)}")


def see_runs(case: Case, spec: Runs) -> Sight:
    """Judge one `Runs` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    good = [i for i in (*items, *case.once(built_in)) if i.answers_to(spec.names)]
    if good:
        return passed(*(_said(item, spec.names) for item in good[:3]))
    return failed([f"nothing starts {_some(spec.names)}"])


def see_autostart(case: Case, _spec: Autostart) -> Sight:
    """Judge one `Autostart` probe."""
    found = case.once(surveyed)
    if not found.sources:
        return unknown(NOTHING_STARTS)
    expected = frozenset(case.plan.autostart)
    extra = [
        f"{item.name} is started by {item.source}"
        for item in found.items
        if not STOCK & {item.name, item.name.partition("@")[0]}
        and not expected & {item.name, item.name.partition("@")[0], *item.aliases}
    ]
    unclear = [f"{name} ({place})" for name, place in case.once(unclear_programs) if name not in expected]
    if not extra and unclear:
        return unknown(f"Nobody here knows whether these stay running: {', '.join(unclear[:4])}.", *unclear)
    if not extra and found.lost:
        return unknown(found.doubt)
    return judged(extra, "everything that starts is expected")


def _said(item: Started, names: tuple[str, ...]) -> str:
    """What of `names` starts, and by whom: under its own name, or by a script of another."""
    ran_by_it = item.running(names)
    if not ran_by_it or any(fnmatchcase(item.name, name) for name in names):
        return f"{item.name} is started by {item.source}"
    return f"{', '.join(ran_by_it[:3])} is run by {item.name}, which {item.source} starts"


def _some(names: tuple[str, ...]) -> str:
    more = f" or {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return " or ".join(names[:_SHOWN]) + more
