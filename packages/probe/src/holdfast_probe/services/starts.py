"""What starts by itself: systemd, rc.d, init and inetd, and the two probes that ask.

1. An applet, a program or an init script lying about is no service; only what something starts counts.
2. A unit is started by a link in a ``.wants`` or ``.requires`` directory, if the unit exists and is not masked.
3. A SysV start link is void where systemd runs and has a unit of that name, which then decides.
4. systemd's own units, and runlevels 0, 1 and 6, belong to any system and are left out.

Sources: systemd.unit(5), systemd-sysv-generator(8), inittab(5) and busybox's, OpenWrt's rc.common, xinetd.conf(5).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias

import msgspec

from holdfast_core.baseline.probes import Autostart, Service
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root
from holdfast_probe.sight import Sight, judged, unknown

_ADMIN_UNITS = "/etc/systemd/system"
_UNIT_FOLDERS = (_ADMIN_UNITS, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_SUFFIX = re.compile(r"\.(?:service|socket|timer|path)$")
_START = re.compile(r"S[0-9]{2}(.+)")
_SCRIPT_FOLDERS = ("/etc/rc.d", "/etc/init.d")
_RUNLEVELS = ("S", "2", "3", "4", "5")
_INIT_ACTIONS = frozenset(
    {"respawn", "respawnlate", "askfirst", "askconsole", "once", "wait", "sysinit", "boot", "bootwait"}
)
_SHARED = frozenset({"sh", "busybox", "env", "nice", "exec", "start-stop-daemon", "nohup", "setsid", "sudo"})
_DAEMON = re.compile(r"[a-z][\w.-]{2,}d|nc|ncat|socat|dropbear")
"""What in a start-up script stays running, though it is not put in the background by a ``&``."""
_STOCK = frozenset({
    "dbus", "dbus-broker", "kmod-static-nodes", "ldconfig", "initrd-cleanup", "rc-local", "user-runtime-dir", "user",
    "console-getty", "quotaon", "rcS", "rcK", "rc", "mount", "mkdir", "hostname", "ln", "swapon",
})  # fmt: skip


Units: TypeAlias = Mapping[str, tuple[str, ...]]
"""The names in each unit folder, in the order of precedence."""


class Started(msgspec.Struct, frozen=True, order=True):
    """Something that starts by itself: its plain `name`, every other name it answers to, and where that is said."""

    name: str
    aliases: tuple[str, ...]
    source: str


def see_service(case: Case, spec: Service) -> Sight:
    """Judge one `Service` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown("Nothing here says what starts: no systemd, rc.d, inittab or inetd.")
    bad = [
        f"{item.name} is started by {item.source}"
        for item in items
        if any(fnmatch.fnmatchcase(alias, name) for name in spec.names for alias in (item.name, *item.aliases))
    ]
    return judged(bad, f"nothing that starts is {' or '.join(spec.names)}")


def see_autostart(case: Case, _spec: Autostart) -> Sight:
    """Judge one `Autostart` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown("Nothing here says what starts: no systemd, rc.d, inittab or inetd.")
    expected = frozenset(case.plan.autostart)
    extra = [
        f"{item.name} is started by {item.source}"
        for item in items
        if item.name not in _STOCK and not expected & {item.name, item.name.partition("@")[0], *item.aliases}
    ]
    return judged(extra, "everything that starts is expected")


def started(root: Root) -> tuple[list[Started], int]:
    """Everything that starts, sorted, and how many ways of starting were found at all. Raises `Unreadable`."""
    found: set[Started] = set()
    sources = 0
    for reader in (_systemd, _sysv, _scripts, _inittab, _inetd, _xinetd):
        items = reader(root)
        if items is not None:
            sources += 1
            found.update(items)
    return sorted(found), sources


def _systemd(root: Root) -> list[Started] | None:
    units = {folder: _names(root, folder) for folder in _unit_folders(root)}
    if not any(units.values()):
        return None
    found = []
    for folder, names in units.items():
        for wants in names:
            if not wants.endswith((".wants", ".requires")):
                continue
            for unit in _names(root, f"{folder}/{wants}"):
                plain = _SUFFIX.sub("", unit)
                own = folder != _ADMIN_UNITS and plain.startswith("systemd-")
                if plain != unit and not own and _unit_text(root, unit, units) is not None:
                    found.append(Started(plain, _unit_programs(root, unit, units), f"{folder}/{wants}"))
    return found


def _unit_folders(root: Root) -> list[str]:
    """The folders units are looked up in, each once: ``/lib`` is often a link to ``/usr/lib``."""
    seen: set[tuple[int, int]] = set()
    folders = []
    for folder in _UNIT_FOLDERS:
        with suppress(Missing):
            status = root.status(folder)
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                folders.append(folder)
    return folders


def _unit_text(root: Root, unit: str, units: Units) -> str | None:
    """The content of the unit that systemd would load, or `None` if it is masked or missing."""
    template = re.sub(r"@.*\.", "@.", unit)
    for name in dict.fromkeys((unit, template)):
        for folder, names in units.items():
            if name in names:
                # A mask is a link to /dev/null, which a folder does not have, or an empty file.
                masked = root.link(f"{folder}/{name}") == "/dev/null"
                with suppress(Missing):
                    return None if masked else root.read(f"{folder}/{name}").decode("utf-8", "replace") or None
    return None


def _unit_programs(root: Root, unit: str, units: Units) -> tuple[str, ...]:
    """The base names of what a unit starts; for a socket, also of the service it stands for."""
    names: set[str] = set()
    asked = [unit]
    if unit.endswith(".socket"):
        plain = unit.removesuffix(".socket")
        asked += [f"{plain}.service", f"{plain}@.service"]
    for each in asked:
        for line in re.findall(r"^ExecStart\s*=\s*[-@:+!|]*(.+)$", _unit_text(root, each, units) or "", re.MULTILINE):
            names.update(_programs(line))
    return tuple(sorted(names))


def _sysv(root: Root) -> list[Started] | None:
    units = {_SUFFIX.sub("", name) for folder in _UNIT_FOLDERS for name in _names(root, folder)}
    systemd = any(_exists(root, p) for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd"))
    found = []
    present = False
    for level in _RUNLEVELS:
        folder = f"/etc/rc{level}.d"
        for name in _names(root, folder):
            present = True
            match = _START.fullmatch(name)
            script = match.group(1).removesuffix(".sh") if match else ""
            if script and not (systemd and script in units) and _exists(root, f"{folder}/{name}"):
                found.append(Started(script, (), folder))
    # One line per script, not one per runlevel.
    return list({item.name: item for item in reversed(found)}.values()) if present else None


def _scripts(root: Root) -> list[Started] | None:
    """OpenWrt's ``/etc/rc.d/S50telnet``, buildroot's ``/etc/init.d/S50telnet``, and commands in a start-up script."""
    found = []
    present = False
    for folder in _SCRIPT_FOLDERS:
        for name in _names(root, folder):
            if (match := _START.fullmatch(name)) and _exists(root, f"{folder}/{name}"):
                present = True
                found.append(Started(match.group(1), (), f"{folder}/{name}"))
    for path in ("/etc/rc.local", "/etc/init.d/rcS", "/etc/rc.d/rc.local", "/etc/init.d/rc.local"):
        lines = _lines(root, path)
        if lines is None:
            continue
        present = True
        for line in lines:
            programs = [p for p in _programs(line) if p not in _SHARED]
            kept = programs[:1] if line.endswith("&") else []
            kept += [p for p in programs if _DAEMON.fullmatch(p)]
            found += [Started(program, (), path) for program in dict.fromkeys(kept)]
    return found if present else None


def _inittab(root: Root) -> list[Started] | None:
    lines = _lines(root, "/etc/inittab")
    if lines is None:
        return None
    found = []
    for line in lines:
        fields = line.split(":", 3)
        if len(fields) == 4 and fields[2] in _INIT_ACTIONS:  # noqa: PLR2004  (inittab(5))
            programs = _programs(fields[3])
            if programs:
                found.append(Started(programs[0], tuple(programs[1:]), "/etc/inittab"))
    return found


def _inetd(root: Root) -> list[Started] | None:
    lines = _lines(root, "/etc/inetd.conf")
    if lines is None:
        return None
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) >= 6:  # noqa: PLR2004  (inetd(8))
            programs = _programs(" ".join(fields[5:]))
            found.append(Started(fields[0].rsplit(":", 1)[-1], tuple(programs), "/etc/inetd.conf"))
    return found


def _xinetd(root: Root) -> list[Started] | None:
    paths = [p for pattern in ("/etc/xinetd.conf", "/etc/xinetd.d/*") for p in root.glob(pattern)]
    if not paths:
        return None
    found = []
    for path in paths:
        for name, settings in _xinetd_services(_lines(root, path) or ()):
            if settings.get("disable", "no") != "yes":
                found.append(Started(name, tuple(_programs(settings.get("server", ""))), path))
    return found


def _xinetd_services(lines: Iterable[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The services of an xinetd.conf(5) and their settings, line by line: one pass, however hostile the file."""
    name, settings = "", dict[str, str]()
    for piece in (piece for line in lines for piece in re.split(r"([{}])", line)):
        words = piece.split(maxsplit=1)
        if len(words) > 1 and words[0] == "service":
            name, settings = words[1].strip(), {}
        elif piece == "}" and name:
            yield name, settings
            name = ""
        elif "=" in piece:
            key, _, value = piece.partition("=")
            settings[key.strip(" \t+")] = value.strip()


def _programs(command: str) -> list[str]:
    """The base names of the words in a command that could be programs, in order, shells and wrappers last."""
    words = re.split(r"[\s;&|()`\"']+", command)
    words = [w.rsplit("/", 1)[-1] for w in words if "/" in w or not w.startswith("-")]
    names = list(dict.fromkeys(w.lstrip("-@:+!") for w in words if re.fullmatch(r"[-@:+!]*[A-Za-z][\w.@+-]*", w)))
    return [n for n in names if n not in _SHARED] + [n for n in names if n in _SHARED]


def _lines(root: Root, path: str) -> list[str] | None:
    """The lines that are no comment, or `None` if there is no such file."""
    try:
        text = root.read(path).decode("utf-8", "replace")
    except Missing:
        return None
    return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def _names(root: Root, folder: str) -> tuple[str, ...]:
    try:
        return root.listing(folder)
    except Missing:
        return ()


def _exists(root: Root, path: str) -> bool:
    try:
        root.status(path)
    except Missing:
        return False
    return True
