"""The console probe: who sits down at a serial line or a screen meets a login prompt, not a shell.

1. inittab: an action that starts a shell, rather than a getty or login, is a console without a password.
2. BusyBox's init without an inittab has a table of its own, which offers a shell to whoever presses a key.
3. systemd: a getty that logs somebody in by itself, a unit that opens a shell on a terminal, or the debug shell.
4. A program on a console that nobody here knows leaves it unknown.

Sources: inittab(5) and busybox's, systemd's debug-shell.service, systemd.exec(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_core.baseline.probes.services import ConsoleLogin
from holdfast_probe.case import Case
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.prompts import Answer, Prompts
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.services.tables import INITTAB, init_lines
from holdfast_probe.services.texts import exists, fitting, text
from holdfast_probe.services.units import UNIT_FOLDERS, Units, unit_folders, unit_settings
from holdfast_probe.services.wrapped import base
from holdfast_probe.sight import Sight, failed, passed, unknown

_STAYS = frozenset({
    "askfirst", "askconsole", "askconsolelate", "respawn", "respawnlate", "once", "wait", "ondemand",
})  # fmt: skip
"""What init runs to stay, or for whoever sits there; the rest only sets the machine up."""
_MOST = 1024
_INIT = ("/sbin/init", "/init", "/bin/init", "/linuxrc")
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox", "/sbin/busybox")
_OF_SYSTEMD = ("debug-shell", "debug-shell.service")


def see_console_login(case: Case, _spec: ConsoleLogin) -> Sight:
    """Judge one `ConsoleLogin` probe."""
    answers = list(_answers(case))
    bad = [f"{place} {answer.fault}" for place, answer in answers if answer.fault]
    if bad:
        return failed(sorted(set(bad)))
    if not case.once(started)[1]:
        return unknown(NOTHING_STARTS)
    doubts = sorted({f"{place} {answer.doubt}" for place, answer in answers if answer.doubt})
    if doubts:
        return unknown(f"Nobody here knows whether these ask for a login: {'; '.join(doubts[:4])}.", *doubts)
    return passed("every console asks for a login")


def open_consoles(case: Case) -> list[str]:
    """Every way past a login, with its place first."""
    return [f"{place} {answer.fault}" for place, answer in _answers(case) if answer.fault]


def _answers(case: Case) -> Iterator[tuple[str, Answer]]:
    case.once(started)  # a table of very many entries is refused there
    prompts = Prompts(case.root, (*case.plan.autostart, *case.plan.programs))
    yield from _of_inittab(case.root, prompts)
    yield from _of_units(case, prompts)


def _of_inittab(root: Root, prompts: Prompts) -> Iterator[tuple[str, Answer]]:
    entries = init_lines(root)
    if entries is None and (init := _busybox_init(root)):
        yield init, Answer("is BusyBox's and finds no inittab: its own table offers a shell without a login")
    if len(entries or ()) > _MOST:
        raise Unreadable(INITTAB, f"it has more than {_MOST} entries")
    for entry in entries or ():
        command = entry.command.lstrip("-")
        answer = prompts.answer(command, INITTAB, stays=entry.action in _STAYS)
        where = f" ({entry.action} on {entry.terminal or 'the console'})"
        yield f"{INITTAB}:{entry.number}", Answer(*(said and said + where for said in (answer.fault, answer.doubt)))


def _busybox_init(root: Root) -> str:
    """The init that is BusyBox under another name; empty where it is none."""
    path = next((path for path in _INIT if exists(root, path)), "")
    if not path:
        return ""
    if base(root.real(path)).startswith("busybox"):
        return path
    status = root.status(path)
    others = [root.status(other) for other in _BUSYBOX if exists(root, other)]
    return path if (status.st_dev, status.st_ino) in {(each.st_dev, each.st_ino) for each in others} else ""


def _of_units(case: Case, prompts: Prompts) -> Iterator[tuple[str, Answer]]:
    root, units = case.root, unit_folders(case.root)
    for item in case.once(started)[0]:
        if item.name in _OF_SYSTEMD:
            yield item.name, Answer(f"is started by {item.source}")
        elif item.command.endswith(".service"):
            yield item.name, _of_unit(root, item.command, units, prompts)
    # Instances of getty that a console of the command line brings to life are listed nowhere: their drop-ins tell.
    patterns = ("*getty@*.service.d/*.conf", "*getty@.service", "*getty.service.d/*.conf")
    for path in fitting(root, *(f"{folder}/{pattern}" for folder in UNIT_FOLDERS for pattern in patterns)):
        for line in text(root, path).replace("\\\n", " ").splitlines():
            key, _, value = line.strip().partition("=")
            if key.strip() == "ExecStart" and value.strip():
                yield path, prompts.answer(value.strip().lstrip("-@:+!|"), path)


def _of_unit(root: Root, unit: str, units: Units, prompts: Prompts) -> Answer:
    """What a unit that is a getty, or that has a terminal for its input, opens there."""
    found = unit_settings(root, unit, units)
    given = dict(found)
    if "getty" not in unit and not given.get("StandardInput", "").startswith("tty"):
        return Answer()
    if not given.get("ExecStart"):
        return Answer()
    return prompts.answer(given["ExecStart"].lstrip("-@:+!|"), unit)
