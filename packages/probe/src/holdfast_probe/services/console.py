"""The console probe: who sits down at a serial line or a screen meets a login prompt, not a shell.

1. inittab: an action that starts a shell, rather than a getty or login, is a console without a password.
2. systemd: a getty that logs somebody in by itself (``--autologin``), or systemd's debug shell.
3. OpenWrt: ``ttylogin`` decides whether the login of its inittab asks at all; without it, it does not.

Sources: inittab(5) and busybox's, systemd's debug-shell.service, agetty(8), OpenWrt's base-files.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.services import ConsoleLogin
from holdfast_probe.case import Case
from holdfast_probe.roots import Root
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.tables import InitLine, init_lines
from holdfast_probe.services.texts import SHELLS, WRAPPERS, exists, fitting, lines, truthy, words
from holdfast_probe.services.uci import sections
from holdfast_probe.services.units import unit_folders, unit_settings
from holdfast_probe.sight import Sight, judged, unknown

_ASKING = frozenset({"askfirst", "askconsole", "askconsolelate", "respawn", "respawnlate", "once", "wait"})


def see_console_login(case: Case, _spec: ConsoleLogin) -> Sight:
    """Judge one `ConsoleLogin` probe."""
    _, sources = case.once(started)
    return judged(open_consoles(case), "every console asks for a login") if sources else unknown(NOTHING_STARTS)


def open_consoles(case: Case) -> list[str]:
    """Every way past a login, with its place first."""
    root = case.root
    items, _ = case.once(started)
    bad = [said for entry in init_lines(root) or () if (said := _open_line(root, entry))]
    units = unit_folders(root)
    for item in items:
        if item.name == "debug-shell":
            bad.append(f"debug-shell is started by {item.source}")
        elif item.command.endswith(".service") and "getty" in item.name:
            bad += _self_opening(item.name, unit_settings(root, item.command, units))
    # Instances of getty that a console of the command line brings to life are listed nowhere: their drop-ins tell.
    for path in fitting(root, "/etc/systemd/system/*getty@*.service.d/*.conf", "/etc/systemd/system/*getty@.service"):
        bad += [f"{path} logs in by itself" for line in lines(root, path) or () if _logs_in(line)]
    return bad


def _logs_in(line: str) -> bool:
    text = line.strip()
    return text.startswith("ExecStart") and any(
        word in ("-a", "--autologin") or word.startswith("--autologin=") for word in text.split()
    )


def _self_opening(name: str, settings: list[tuple[str, str]]) -> list[str]:
    last = [value for key, value in settings if key == "ExecStart" and value]
    return [f"{name} logs in by itself"] if last and _logs_in(f"ExecStart={last[-1]}") else []


def _open_line(root: Root, entry: InitLine) -> str:
    """What is wrong with an entry of an inittab; empty where it asks for a login."""
    found = [word for word in words(entry.command.lstrip("-")) if word not in {"-", "--"}]
    names = [word.rsplit("/", 1)[-1].lstrip("-") for word in found]
    while names and names[0] in WRAPPERS:
        names, found = names[1:], found[1:]
    if entry.action not in _ASKING or not names:
        return ""
    fault = _fault(root, names[0], found)
    return f"/etc/inittab:{entry.number} {fault} ({entry.action} on {entry.terminal or 'the console'})" if fault else ""


def _fault(root: Root, program: str, found: list[str]) -> str:
    if program == "login.sh":  # OpenWrt's, which asks only where it is told to
        return "" if _ttylogin(root) else "opens a shell, since ttylogin is off"
    if program in SHELLS:
        return (
            "opens a shell without a login" if all(word.startswith("-") and word != "-c" for word in found[1:]) else ""
        )
    if "getty" in program:
        return "starts a getty that does not ask" if _getty_skips(found) else ""
    return "logs somebody in by itself" if program == "login" and "-f" in found else ""


def _getty_skips(found: list[str]) -> bool:
    """Whether a getty is told to start a shell or to log somebody in, rather than login."""
    for index, word in enumerate(found):
        if word in ("-a", "--autologin") or word.startswith("--autologin="):
            return True
        if word in ("-l", "--login-program") and index + 1 < len(found):
            return found[index + 1].rsplit("/", 1)[-1] != "login"
    return False


def _ttylogin(root: Root) -> bool:
    if not exists(root, "/etc/config/system"):
        return False
    return any(
        truthy(section.last("ttylogin", "0"))
        for section in sections(root, "/etc/config/system")
        if section.kind == "system"
    )
