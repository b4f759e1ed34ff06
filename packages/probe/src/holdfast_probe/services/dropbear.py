"""The dropbear probe: whoever comes in over this small SSH server shows a key.

1. What counts is the command line that it really gets: variables of a file only where what starts it reads that file.
2. ``-s`` ends passwords for everybody; ``-g`` ends them for root alone, which is not enough.
3. OpenWrt's own script makes the options of its settings, which are judged as settings.

Source: dropbear(8), OpenWrt's dropbear.init.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.services import Dropbear
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import Root
from holdfast_probe.services.listen_daemons import DROPBEAR
from holdfast_probe.services.running import Command
from holdfast_probe.services.shell_words import OPEN
from holdfast_probe.services.starts import NOTHING_STARTS, ran, started
from holdfast_probe.services.texts import exists, text
from holdfast_probe.services.wrapped import base
from holdfast_probe.sight import Sight, failed, judged, not_applicable, unknown

_MULTI = "dropbearmulti"
_SETTINGS = "/etc/config/dropbear"
_HERE = ("/usr/sbin/dropbear", "/usr/local/sbin/dropbear", "/sbin/dropbear", "/etc/default/dropbear", "/etc/dropbear")
_VALUED = "bcdDGIKlpPrTW"
"""Options that take a value, written together or apart."""


def see_dropbear(case: Case, _spec: Dropbear) -> Sight:
    """Judge one `Dropbear` probe."""
    root = case.root
    items, sources = case.once(started)
    if not sources:
        here = any(exists(root, path) for path in _HERE)
        return unknown(NOTHING_STARTS) if here else not_applicable("There is no dropbear here.")
    servers = [command for command in case.once(ran)[0] if _is_server(root, command)]
    silent = [item for item in items if item.answers_to(DROPBEAR)] if not servers else []
    if silent:
        return unknown(f"{silent[0].source} starts {silent[0].name}, and nobody can tell with which options.")
    if not servers:
        return not_applicable("Nothing starts dropbear.")
    own = [command for command in servers if not _by_settings(root, command)]
    if not own:
        if exists(root, _SETTINGS):
            return not_applicable(f"The options of dropbear come from {_SETTINGS}, which is judged for itself.")
        return unknown(f"The options of dropbear come from {_SETTINGS}, and it is not here.")
    return _judged(own)


def mend_dropbear(case: Case, _editor: Editor, _spec: Dropbear) -> None:
    """Always a person's: whoever has no key yet would be locked out, and a script is no settings file."""
    found = [command for command in case.once(ran)[0] if _is_server(case.root, command)]
    raise CannotMend(
        found[0].path if found else "/etc",
        "it starts dropbear with passwords allowed; add -s to its options by hand once a key lets you in",
    )


def _judged(servers: list[Command]) -> Sight:
    bad: list[str] = []
    open_: list[str] = []
    for command in servers:
        if "s" not in _letters(command.words[1:]):
            where = f"{command.path}:{command.number}" if command.number else command.path
            (open_ if any(OPEN in word for word in command.words) else bad).append(where)
    if bad:
        return failed(f"dropbear is started without -s, so it takes passwords ({where})" for where in bad)
    if open_:
        return unknown(f"The options that {open_[0]} starts dropbear with are worked out when it runs.")
    return judged((), f"dropbear takes keys only: {servers[0].path} starts it with -s")


def _is_server(root: Root, command: Command) -> bool:
    names = {command.name, base(root.real(command.words[0])) if command.words[0].startswith("/") else ""}
    return bool(names & set(DROPBEAR)) or (command.name == _MULTI and command.words[1:2] == ("dropbear",))


def _by_settings(root: Root, command: Command) -> bool:
    """Whether OpenWrt's script starts it."""
    script = text(root, command.path) if command.path.startswith("/") else ""
    return "/etc/rc.common" in script.partition("\n")[0] and "config_" in script


def _letters(given: tuple[str, ...]) -> set[str]:
    """The options in a command line, values left out."""
    found: set[str] = set()
    skip = False
    for word in given:
        if skip or not word.startswith("-"):
            skip = False
            continue
        for place, letter in enumerate(word[1:], 1):
            found.add(letter)
            if letter in _VALUED:
                skip = place == len(word) - 1
                break
    return found
