"""What starts by itself, whoever starts it, and the three probes that ask.

1. An applet, a program or an init script lying about is no service; only what something starts counts.
2. A layout that is not known says nothing: without a single known way of starting, the answer is `unknown`.
3. What init systems start unasked (journald, the device manager) counts only where it is asked for by name.
4. A thing answers to what its script runs as well, whatever the script is called.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from holdfast_core.baseline.probes.services import Autostart, Runs, Service
from holdfast_probe.case import Case
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.running import Command, Running
from holdfast_probe.services.scripts import (
    STARTUP_SCRIPTS,
    from_openrc,
    from_rc_folders,
    from_runlevels,
    from_startup_scripts,
)
from holdfast_probe.services.tables import INETD, from_inetd, from_inittab, from_schedules, from_xinetd
from holdfast_probe.services.texts import exists, fitting
from holdfast_probe.services.units import ADMIN_UNITS, Units, exec_lines, from_units, unit_folders, unit_text
from holdfast_probe.sight import Sight, failed, judged, passed, unknown

NOTHING_STARTS = "Nothing here says what starts: no systemd, rc.d, OpenRC, inittab or inetd."
STOCK = frozenset({
    "dbus", "dbus-broker", "kmod-static-nodes", "ldconfig", "initrd-cleanup", "rc-local", "user-runtime-dir", "user",
    "console-getty", "quotaon", "rcS", "rcK", "rc", "mount", "mkdir", "hostname", "ln", "swapon", "openrc", "umount",
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


def started(root: Root) -> tuple[list[Started], int]:
    """Everything that starts, sorted, and how many ways of starting were found at all. Raises `Unreadable`."""
    found: set[Started] = set()
    sources = 0
    for reader in _READERS:
        items = reader(root)
        if items is not None:
            sources += 1
            found.update(items)
        if len(found) > _MOST_STARTED:
            raise Unreadable("/etc", f"more than {_MOST_STARTED} things start")
    running, units = Running(root), unit_folders(root)
    named = [(item, running.names(commands_of(root, running, item, units))) for item in found]
    return sorted(msgspec.structs.replace(item, runs=runs) for item, runs in named), sources


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
    for path in fitting(root, *STARTUP_SCRIPTS):
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
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    bad = [_said(item, spec.names) for item in items if item.answers_to(spec.names)]
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
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    expected = frozenset(case.plan.autostart)
    extra = [
        f"{item.name} is started by {item.source}"
        for item in items
        if item.name not in STOCK and not expected & {item.name, item.name.partition("@")[0], *item.aliases}
    ]
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
