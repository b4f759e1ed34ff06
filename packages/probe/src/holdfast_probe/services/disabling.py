"""Keeping something from starting, whoever starts it, in the way a person would.

1. A start link is removed; a numbered script of buildroot is put aside under a name that is not started.
2. A unit is disabled where the administrator enabled it, and masked by an empty file where the vendor did.
3. A line becomes a comment; a service of xinetd is switched off by its own switch.
4. A script under another name is kept from starting only where it runs nothing else.
5. A unit that the administrator wrote in the very place of the mask is left to a person.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.services import ConsoleLogin, Service
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.services.console import open_consoles
from holdfast_probe.services.edits import change_lines, comment_out, place, silence_commands
from holdfast_probe.services.entries import Started, Way
from holdfast_probe.services.starts import surveyed
from holdfast_probe.services.tables import INETD, INITTAB
from holdfast_probe.services.texts import SHELLS, WRAPPERS, exists
from holdfast_probe.services.units import ADMIN_UNITS


def _is_table(path: str) -> bool:
    """Whether a line of a file is an entry of its own, rather than a command of a script."""
    return path in (INITTAB, INETD) or "/cron" in path or path == "/etc/anacrontab" or path.startswith("/etc/network/")


def mend_service(case: Case, editor: Editor, spec: Service) -> None:
    """Keep everything that `spec` names from starting."""
    found = case.once(surveyed)
    for item in (*found.items, *found.occasional):
        if item.answers_to(spec.names):
            if not item.named(spec.names):
                _refuse_others(item, spec)
            disable(editor, item)


def _refuse_others(item: Started, spec: Service) -> None:
    """A script that runs something else beside what must not start is a person's."""
    wanted = item.running(spec.names)
    others = [name for name in item.runs if name not in wanted and name not in SHELLS | WRAPPERS]
    if others:
        raise CannotMend(
            item.places[0], f"it runs {', '.join(others[:3])} beside {wanted[0]}; take {wanted[0]} out of it by hand"
        )


def mend_console_login(case: Case, editor: Editor, _spec: ConsoleLogin) -> None:
    """Take out the entries of an inittab that open a shell. A getty's own options are a person's."""
    found = open_consoles(case)
    if not found or any(":" not in fault.split()[0] for fault in found):
        raise CannotMend("/etc/inittab", "a console is opened by something else than an entry here")
    comment_out(editor, "/etc/inittab", [place(fault.split()[0])[1] for fault in found])


def disable(editor: Editor, item: Started) -> None:
    """Keep `item` from starting."""
    match item.way:
        case Way.UNIT:
            _unit(editor, item)
        case Way.LINK:
            for path in item.places:
                editor.remove(path)
        case Way.SCRIPT:
            _aside(editor, item.places[0])
        case Way.LINE if item.places[0].endswith(".rules"):
            raise CannotMend(item.places[0], f"a rule of the device manager runs {item.name} beside what else it does")
        case Way.LINE:
            take = comment_out if _is_table(item.places[0]) else silence_commands
            take(editor, item.places[0], [item.number])
        case Way.BLOCK:
            _switched_off(editor, item)
        case Way.BUILT_IN:
            raise CannotMend(item.places[0], "the init system needs it")


def _unit(editor: Editor, item: Started) -> None:
    # A unit that another one asks for stands at its own place, and has no link that could be taken away.
    if all(path.startswith(f"{ADMIN_UNITS}/") and path.count("/") > ADMIN_UNITS.count("/") + 1 for path in item.places):
        for path in item.places:
            editor.remove(path)
        return
    mask = f"{ADMIN_UNITS}/{item.command}"
    if exists(editor.root, mask):
        raise CannotMend(mask, "the administrator's own unit stands where the mask would")
    editor.write(mask, b"")


def _aside(editor: Editor, path: str) -> None:
    folder, _, name = path.rpartition("/")
    content = editor.read(path)
    if content is None:
        raise CannotMend(path, "there is no such file")
    mode = editor.root.status(path).st_mode & 0o7777
    editor.write(f"{folder}/off-{name}", content, mode=mode)
    editor.remove(path)


def _switched_off(editor: Editor, item: Started) -> None:
    path = item.places[0]
    content = (editor.read(path) or b"").decode("utf-8", "surrogateescape").splitlines()
    inside = False
    for number, line in enumerate(content, 1):
        words = line.split()
        if words[:2] == ["service", item.name]:
            inside = True
        if inside and words[:1] == ["disable"]:
            change_lines(editor, path, [number], lambda line: line.partition("=")[0] + "= yes")
            return
        if inside and words[-1:] == ["}"]:
            if len(words) > 1:
                break
            change_lines(editor, path, [number], lambda line: f"\tdisable = yes\n{line}")
            return
    raise CannotMend(path, "its service is not written line by line")
