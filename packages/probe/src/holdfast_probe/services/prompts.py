"""What a command does that a console starts: asks for a login, opens a shell, or something that nobody here knows.

1. Options are read as getopt reads them: in clusters, with a value in the same word, long ones cut short.
2. A program that is a link is what it leads to; a script is what it runs.
3. What asks is known by name, and so is what listens to nobody; every other program is a doubt, never a pass.

Sources: getopt(3), agetty(8), busybox's getty and login, login(1), sulogin(8), OpenWrt's base-files.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

import msgspec

from holdfast_probe.roots import Root
from holdfast_probe.services.listen_daemons import DAEMONS
from holdfast_probe.services.listen_web import WEB
from holdfast_probe.services.listeners import QUIET
from holdfast_probe.services.running import PATH, QUIET_TOOLS, Command, Running
from holdfast_probe.services.texts import SHELLS, exists, truthy, words
from holdfast_probe.services.uci import sections
from holdfast_probe.services.unclear import MANY_IN_ONE, TOOLS
from holdfast_probe.services.wrapped import base

OPENS = "opens a shell without a login"
_SHELLS = SHELLS | {"fish", "tcsh", "lash", "yash"}
_LOGINS = frozenset({"login", "login.shadow", "login.util-linux", "vlock", "fgetty-login"})
_SULOGINS = frozenset({"sulogin", "sulogin.util-linux", "systemd-sulogin-shell"})
_GETTY_VALUES = "aCdEfHIlmoPrtT"
_GETTY_WORDS = {
    "autologin": "a", "login-program": "l", "loginprog": "l", "login-options": "o", "issue-file": "f", "chroot": "r",
    "chdir": "d", "host": "H", "init-string": "I", "nice": "P", "timeout": "t", "delay": "",
}  # fmt: skip
_LOGIN_VALUES = "hdr"
_DEEPEST = 3


class Answer(msgspec.Struct, frozen=True):
    """What whoever sits down there meets: a `fault`, a `doubt`, or, with neither of them, a question."""

    fault: str = ""
    doubt: str = ""


class Prompts:
    """Judges what consoles start in one root.

    Args:
        root: the tree.
        expected: names of programs that the device's model declares, which are taken to open no shell.
    """

    def __init__(self, root: Root, expected: Iterable[str]) -> None:
        self._root = root
        self._expected = frozenset(expected)
        self._running = Running(root)

    def answer(self, line: str, path: str, *, stays: bool = True) -> Answer:
        """What the command `line` of `path` answers; one that does not stay need not be known. Raises `Unreadable`."""
        found = self._running.of_command(line, path, 0, {})
        own = [command for command in found if command.path == path]
        if not own and stays and line.strip():
            return Answer(doubt=f"runs {words(line)[0]}, and nobody here knows what that comes to")
        # Of a script only what opens a shell counts: what else it runs, it was written to run.
        answers = [self._of(each, 0, stays=stays and each.path == path) for each in (found if stays else own)]
        return next((each for each in answers if each.fault), next((each for each in answers if each.doubt), Answer()))

    def _of(self, command: Command, depth: int, *, stays: bool) -> Answer:
        program, rest = command.words[0].lstrip("-"), command.words[1:]
        name = self._name(program)
        answer = Answer()
        if program.startswith("/dev/"):
            answer = Answer("runs what is typed there, without a login")
        elif base(program) == "login.sh":  # OpenWrt's, which asks only where it is told to
            answer = Answer("" if _ttylogin(self._root) else "opens a shell, since ttylogin is off")
        elif name in _SHELLS:
            answer = Answer(OPENS if _told_nothing(command) else "")
        elif "getty" in name:
            answer = self._of_getty(rest, depth)
        elif name in _LOGINS | _SULOGINS:
            answer = Answer(_skipping(name, rest))
        elif stays and not self._harmless(name, command):
            answer = Answer(doubt=f"runs {base(program)}")
        return answer

    def _of_getty(self, rest: tuple[str, ...], depth: int) -> Answer:
        given = _options(rest)
        if "a" in given:
            return Answer("starts a getty that does not ask")
        if _has(tuple(words(given.get("o", ""))), "f", _LOGIN_VALUES):
            return Answer("starts a getty that does not ask")
        program = given.get("l", "")
        if not program or depth > _DEEPEST:
            return Answer()
        found = self._running.of_command(program, "/etc/inittab", 0, {})
        answers = [self._of(each, depth + 1, stays=True) for each in found]
        if any(each.fault for each in answers):
            return Answer("starts a getty that does not ask")
        doubts = [each.doubt for each in answers if each.doubt]
        return Answer(doubt=f"starts a getty that {doubts[0]}" if doubts else "")

    def _name(self, program: str) -> str:
        """The name of what a program really is: of a link its target, unless that is many programs in one."""
        places = [program] if program.startswith("/") else [f"{folder}/{program}" for folder in PATH]
        place = next((each for each in places if exists(self._root, each)), "")
        real = base(self._root.real(place)) if place else ""
        return base(program) if not real or real in MANY_IN_ONE else real

    def _harmless(self, name: str, command: Command) -> bool:
        """Whether a program is known to give nobody a shell, or a script that is judged by what it runs."""
        mine = {name, command.name}
        known = mine & (self._expected | QUIET_TOOLS | TOOLS)
        patterns = (*QUIET, *(each for names in (*DAEMONS, *WEB) for each in names))
        return (
            bool(known)
            or any(fnmatch.fnmatchcase(each, pattern) for each in mine for pattern in patterns)
            or self._running.is_script(command.words[0])
        )


def _told_nothing(command: Command) -> bool:
    """Whether a shell takes its orders from a terminal; what it is told to run is a command of its own."""
    return command.words[:2] != ("sh", "-c") and all(word.startswith(("-", "+")) for word in command.words[1:])


def _skipping(name: str, rest: tuple[str, ...]) -> str:
    if name in _LOGINS:
        return "logs somebody in by itself" if _has(rest, "f", _LOGIN_VALUES) else ""
    forced = _has(rest, "e", "t") or any(word.startswith("--f") for word in rest)
    return OPENS if forced else ""


def _options(rest: tuple[str, ...]) -> dict[str, str]:
    """The options of a getty by their letters."""
    given: dict[str, str] = {}
    index = 0
    while index < len(rest) and rest[index] != "--":
        word = rest[index]
        value = rest[index + 1] if index + 1 < len(rest) else ""
        if word.startswith("--"):
            key, sign, own = word[2:].partition("=")
            letter = next((short for name, short in _GETTY_WORDS.items() if key and name.startswith(key)), "")
            if letter:
                given[letter] = own if sign else value
                index += not sign
        elif word.startswith("-"):
            index += _cluster(word[1:], value, given)
        index += 1
    return given


def _cluster(letters: str, value: str, given: dict[str, str]) -> int:
    for place, letter in enumerate(letters):
        given[letter] = ""
        if letter in _GETTY_VALUES:
            own = letters[place + 1 :]
            given[letter] = own or value
            return 0 if own else 1
    return 0


def _has(rest: tuple[str, ...], wanted: str, valued: str) -> bool:
    """Whether an option stands in `rest`, alone, in a cluster, or with its value in one word."""
    for word in rest:
        if not word.startswith("-") or word.startswith("--"):
            continue
        for letter in word[1:]:
            if letter == wanted:
                return True
            if letter in valued:
                break
    return False


def _ttylogin(root: Root) -> bool:
    if not exists(root, "/etc/config/system"):
        return False
    return any(
        truthy(section.last("ttylogin", "0"))
        for section in sections(root, "/etc/config/system")
        if section.kind == "system"
    )
