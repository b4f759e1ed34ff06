"""What init scripts start: SysV's runlevels, OpenWrt's rc.d, buildroot's init.d, OpenRC's runlevels, and rcS itself.

1. Enabled means the link or the number, not the script: OpenWrt's ``/etc/rc.d/S50telnet``, buildroot's
   ``/etc/init.d/S50telnet``, OpenRC's ``/etc/runlevels/default/telnetd``.
2. A SysV start link is void where systemd runs and has a unit of that name, which then decides.
3. Runlevels 0, 1 and 6 belong to any system and are left out.

Sources: systemd-sysv-generator(8), OpenWrt's rc.common, buildroot's rcS, openrc-run(8).
"""

from __future__ import annotations

import re

from holdfast_probe.roots import Root
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.running import Command, Running
from holdfast_probe.services.shell import SOURCING
from holdfast_probe.services.texts import exists, fitting, names, numbered
from holdfast_probe.services.units import SUFFIX, UNIT_FOLDERS

STARTUP_SCRIPTS = (
    "/etc/rc.local",
    "/etc/init.d/rcS",
    "/etc/rc.d/rc.local",
    "/etc/init.d/rc.local",
    "/etc/local.d/*.start",
    "/etc/rc",
    "/etc/rcS",
    "/etc/rc.sysinit",
    "/etc/rc.d/rcS",
    "/etc/rc.d/rc.sysinit",
    "/etc/preinit",
)
_INITS = ("/init", "/linuxrc", "/* at 0x*/init", "/* at 0x*/linuxrc")
"""What a kernel starts first, of the root and of the trees that an image holds beside it."""
_START = re.compile(r"S[0-9]{0,2}(.+)")
"""What SysV's rc and OpenWrt's run: ``S*``."""
_ANY_START = re.compile(r"S..(.+)")
"""What buildroot's rcS runs: ``S??*``."""
LIBRARY = re.compile(
    r".*functions.*|/lib/preinit/.*|.*/(?:rc\.(?:common|subr|status|shared)|preinit\.sh|procd\.sh|vars\.sh)"
)
"""What scripts read in for its functions, which by itself starts nothing."""
_RUNLEVELS = ("S", "2", "3", "4", "5")
_OPENRC_LEVELS = ("sysinit", "boot", "default", "nonetwork")
_DAEMON = re.compile(r"[a-z][\w.-]{2,}d|nc|ncat|socat|dropbear|gdbserver")
"""What in a start-up script stays running, though it is not put in the background by a ``&``."""
_ENDING = frozenset({"insmod", "mknod", "find", "read", "head", "load", "send", "passwd", "chpasswd", "hostid", "cmd"})
"""What only sounds like it."""


def from_runlevels(root: Root) -> list[Started] | None:
    """SysV: one entry per script, whatever the number of its runlevels."""
    units = {SUFFIX.sub("", name) for folder in UNIT_FOLDERS for name in names(root, folder)}
    systemd = any(exists(root, p) for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd"))
    found: dict[str, list[str]] = {}
    present = False
    for level in _RUNLEVELS:
        folder = f"/etc/rc{level}.d"
        for name in names(root, folder):
            present = True
            match = _START.fullmatch(name)
            script = match.group(1).removesuffix(".sh") if match else ""
            if script and not (systemd and script in units) and exists(root, f"{folder}/{name}"):
                found.setdefault(script, []).append(f"{folder}/{name}")
    entries = [
        Started(script, (), places[0].rpartition("/")[0], Way.LINK, tuple(places), command=places[0])
        for script, places in found.items()
    ]
    return entries if present else None


def from_rc_folders(root: Root) -> list[Started] | None:
    """OpenWrt's ``/etc/rc.d`` and buildroot's ``/etc/init.d``."""
    found = []
    present = False
    for folder in ("/etc/rc.d", "/etc/init.d"):
        for name in names(root, folder):
            path = f"{folder}/{name}"
            pattern = _ANY_START if folder == "/etc/init.d" else _START
            if (match := pattern.fullmatch(name)) and exists(root, path):
                present = True
                way = Way.LINK if root.link(path) else Way.SCRIPT
                found.append(Started(match.group(1).removesuffix(".sh"), (), path, way, (path,), command=path))
    return found if present else None


def from_openrc(root: Root) -> list[Started] | None:
    """OpenRC: the names in its runlevels that have a script."""
    if not names(root, "/etc/runlevels"):
        return None
    found: dict[str, list[str]] = {}
    for level in _OPENRC_LEVELS:
        for name in names(root, f"/etc/runlevels/{level}"):
            if exists(root, f"/etc/runlevels/{level}/{name}"):
                found.setdefault(name, []).append(f"/etc/runlevels/{level}/{name}")
    return [
        Started(name, (), places[0].rpartition("/")[0], Way.LINK, tuple(places), command=places[0])
        for name, places in found.items()
    ]


def startup_scripts(root: Root, running: Running) -> list[str]:
    """The scripts that start a system by themselves; an init counts where it is one. Raises `Unreadable`."""
    return [*fitting(root, *STARTUP_SCRIPTS), *(path for path in fitting(root, *_INITS) if running.is_script(path))]


def from_startup_scripts(root: Root) -> list[Started] | None:
    """Commands in rcS and rc.local that stay running, and scripts called there that start such."""
    found: dict[Started, None] = {}
    present = False
    running = Running(root)
    for path in startup_scripts(root, running):
        listed = numbered(root, path)
        if listed is None:
            continue
        present = True
        lines = dict(listed)
        here = None
        for command in running.of_script(path):
            here = command if command.path == path else here
            if here is None or not stays(command):
                continue
            if here.name not in SOURCING:
                found[_line(here, lines.get(here.number, ""))] = None
            elif not LIBRARY.fullmatch(command.path):
                found[_line(command, "")] = None
    return list(found) if present else None


def _line(command: Command, line: str) -> Started:
    """An entry for a command of a start-up script, told as the line has it, or with its variables filled in."""
    path, said = command.path, line if command.words[0] in line else " ".join(command.words)
    return Started(command.name, (), path, Way.LINE, (path,), command.number, said)


def stays(command: Command) -> bool:
    """Whether a command of a start-up script goes on to run, as far as its name and its ``&`` tell."""
    return command.background or (bool(_DAEMON.fullmatch(command.name)) and command.name not in _ENDING)
