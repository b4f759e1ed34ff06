"""What a start script, a unit or a line of a table really runs, under whatever name it is started.

1. Scripts that a script calls are followed, a few levels deep and each once; a program of its own is not opened.
2. What is called through a link answers to the link's target too.
3. A client that calls out, or a tool that only looks, is nothing that a device offers: it is left out.
4. What cannot be read raises `Unreadable`: nobody then says that nothing of a kind starts.

Sources: the shells' manuals, openrc-run(8), OpenWrt's rc.common and procd.sh, init-d-script(5), systemd.exec(5).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services.shell import SOURCING, Spoken, assigned, spoken
from holdfast_probe.services.shell_words import OPEN
from holdfast_probe.services.texts import exists, fitting
from holdfast_probe.services.wrapped import base, ends_in

_DEEPEST = 4
_MOST_BYTES = 2 * 1024 * 1024
"""Of all scripts together that one question reads."""
_MOST_LINES = 32_768
"""The same: each line costs its turn, however short it is."""
_FOLLOWED_BYTES = 64 * 1024
"""A file beyond this that a script calls is taken for a program where its first bytes would have to be read."""
_MOST_COMMANDS = 8192
_MOST_PATTERNS = 32
"""Of paths, as in ``for each in /etc/more.d/*``."""
PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_LISTENING = frozenset({"nc", "ncat", "netcat", "socat"})
_CLIENTS = frozenset({
    "telnet", "ftp", "tftp", "ssh", "rsh", "rcp", "rlogin", "rexec", "ntp", "log", "cron", "syslog", "logging",
})  # fmt: skip
"""Names of services that, as a program, only call out or only tell."""
_ELSEWHERE = re.compile(
    r"/etc/(?:init\.d/)?(?:rc|rcS|rcK|rc\.local)|/etc/rc\.d/rc(?:\.local)?|/etc/(?:init|rc\w?)\.d/[SK].*"
)
"""Scripts that start other scripts, and those that start for themselves: they are asked one by one."""
_SIGNS = frozenset({"%", "*", "/", "+", "-", "**", "=", "==", "!="})
_NAME = re.compile(r"\w[\w.@+-]*")
QUIET_TOOLS = frozenset({
    "echo", "printf", "test", "[", "[[", "]]", "exit", "return", "sleep", ":", "true", "false", "kill", "killall",
    "pkill", "rm", "mkdir", "chmod", "chown", "logger", "cat", "touch", "pidof", "pgrep", "set", "shift", "sync",
    "usage", "cd", "umask", "ulimit", "unset", "trap", "wait", "read", "log_daemon_msg", "log_end_msg", "ebegin",
    "eend", "einfo", "success", "failure", "status", "stop", "start", "restart", "reload", "sed", "grep", "awk", "cut",
    "head", "tail", "basename", "dirname", "which", "type", "expr", "seq", "shopt", "alias", "mv", "cp", "ln",
})  # fmt: skip
"""What a script may run beside its one program without being for anything else."""


class Command(msgspec.Struct, frozen=True):
    """A program that is run, with its arguments, and where that stands."""

    words: tuple[str, ...]
    path: str
    number: int
    background: bool = False

    @property
    def name(self) -> str:
        """The program's own name."""
        return base(self.words[0])


class Running:
    """Reads what is run in one root, each script once."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._texts: dict[str, str] = {}
        self._left = _MOST_BYTES
        self._lines_left = _MOST_LINES
        self._reals: dict[str, str] = {}
        self._calls: dict[str, str] = {}
        self._patterns: dict[str, list[str]] = {}
        self._sets: dict[str, Mapping[str, str]] = {}
        """The variables that a file sets which scripts read in: on a Debian every script reads the same one."""
        self.lost: dict[str, None] = {}
        """Places of what could not be followed: too deep, or named by what only the running device could say."""

    def of_script(self, path: str, *, variables: Mapping[str, str] | None = None) -> list[Command]:
        """What the script at `path`, and those that it calls, run. Raises `Unreadable`."""
        text = self._text(path)
        return self._of_text(text, path, {**self._implied(path, text), **(variables or {})}) if text else []

    def of_command(self, command: str, path: str, number: int, variables: Mapping[str, str]) -> list[Command]:
        """What one line runs, and the scripts that it calls."""
        found = self._of_text(command, path, variables)
        return [msgspec.structs.replace(each, number=number) if each.path == path else each for each in found]

    def is_script(self, program: str) -> bool:
        """Whether what a word calls is a script that is here, so that what it runs can be told."""
        place = program if program.startswith("/") else self._found(program)
        return bool(place) and exists(self._root, place) and self._is_script(place)

    def names(self, commands: Iterable[Command]) -> tuple[str, ...]:
        """The names that what is run answers to, sorted."""
        found = {name for each in commands if _offers(each) for name in (each.name, self._real_name(each.words[0]))}
        return tuple(sorted(name for name in found - _CLIENTS if _NAME.fullmatch(name)))

    def _of_text(self, text: str, path: str, variables: Mapping[str, str]) -> list[Command]:
        found: list[Command] = []
        for each in self._followed(text, path, variables, (path,), set()):
            found.append(each)
            if len(found) > _MOST_COMMANDS:
                raise Unreadable(path, f"it runs more than {_MOST_COMMANDS} commands")
        return found

    def _followed(
        self, text: str, path: str, variables: Mapping[str, str], above: tuple[str, ...], seen: set[str]
    ) -> Iterator[Command]:
        known = assigned(text, variables, self._sourced)
        for each in (*_declared(text, known), *spoken(text, known, self._sourced)):
            for words in ends_in(each.words):
                if words[:2] == ("sh", "-c"):
                    if self._within(above, path, each.number):
                        yield from self._followed(" ".join(words[2:]), path, known, (*above, path), seen)
                    continue
                yield Command(words, path, each.number, each.background)
                word = words[1] if words[0] in SOURCING and len(words) > 1 else words[0]
                if _unsaid(each, word):
                    self.lost[f"{path}:{each.number}"] = None
                for inner in self._all_called(word):
                    if inner not in seen and inner not in above and self._within(above, path, each.number):
                        seen.add(inner)
                        yield from self._followed(self._text(inner), inner, known, (*above, inner), seen)

    def _within(self, above: tuple[str, ...], path: str, number: int) -> bool:
        """Whether it may go one level deeper; where not, that is noted."""
        deep = len(above) > _DEEPEST
        if deep:
            self.lost[f"{path}:{number}"] = None
        return not deep

    def _all_called(self, word: str) -> list[str]:
        """The scripts that a word calls: several where it is a pattern, as in ``for each in /etc/more.d/*``."""
        several = word.startswith("/") and any(sign in word for sign in "*?[") and not _ELSEWHERE.fullmatch(word)
        return [inner for path in (self._fitting(word) if several else [word]) if (inner := self._called(path))]

    def _fitting(self, pattern: str) -> list[str]:
        """What a pattern of a script fits, each pattern asked once."""
        if pattern not in self._patterns:
            if len(self._patterns) == _MOST_PATTERNS:
                raise Unreadable(pattern, f"start scripts call more than {_MOST_PATTERNS} patterns")
            self._patterns[pattern] = fitting(self._root, pattern)
        return self._patterns[pattern]

    def _called(self, program: str) -> str:
        """The script that a word calls; empty where it is none that is here, or one that is read for itself."""
        if program not in self._calls:
            self._calls[program] = "" if _ELSEWHERE.fullmatch(program) else self._found(program)
        return self._calls[program]

    def _found(self, program: str) -> str:
        if not program.startswith("/"):
            named = program and "/" not in program and program not in QUIET_TOOLS
            places = [f"{folder}/{program}" for folder in PATH] if named else []
            return next((place for place in places if exists(self._root, place) and self._is_script(place)), "")
        return program if exists(self._root, program) and self._is_script(program) else ""

    def _is_script(self, path: str) -> bool:
        status = self._root.status(path)
        small = stat.S_ISREG(status.st_mode) and status.st_size <= _FOLLOWED_BYTES
        return small and bool(self._text(path))

    def _text(self, path: str) -> str:
        """The text of a script; empty where it is a program, or where nothing is there."""
        real = self._root.real(path)
        if real not in self._texts:
            try:
                content = self._root.read(path)
            except Missing:
                content = b""
            text = "" if b"\0" in content[:1024] else content.decode("utf-8", "replace")
            self._left -= len(text)
            if self._left < 0:
                raise Unreadable(path, f"start scripts hold more than {_MOST_BYTES} bytes")
            self._lines_left -= text.count("\n")
            if self._lines_left < 0:
                raise Unreadable(path, f"start scripts hold more than {_MOST_LINES} lines")
            self._texts[real] = text
        return self._texts[real]

    def _sourced(self, path: str) -> Mapping[str, str]:
        """The variables of a file that a script reads in."""
        if path not in self._sets:
            there = path.startswith("/") and exists(self._root, path)
            self._sets[path] = assigned(self._text(path), {}) if there else {}
        return self._sets[path]

    def _implied(self, path: str, text: str) -> dict[str, str]:
        """The variables that the interpreter of a script gives it unasked."""
        first = text.partition("\n")[0]
        name = base(path)
        if "openrc-run" in first or "runscript" in first:
            return assigned(self._text(f"/etc/conf.d/{name}"), {"RC_SVCNAME": name, "SVCNAME": name})
        if "init-d-script" in first:
            plain = name[3:] if name[:1] == "S" and name[1:3].isdigit() else name
            return assigned(self._text(f"/etc/default/{plain}"), {"NAME": plain})
        return {}

    def _real_name(self, program: str) -> str:
        if not program.startswith("/"):
            return ""
        if program not in self._reals:
            self._reals[program] = base(self._root.real(program))
        return self._reals[program]


def _declared(text: str, known: Mapping[str, str]) -> Iterator[Spoken]:
    """What a script only declares, for its interpreter to run."""
    first = text.partition("\n")[0]
    if "openrc-run" in first or "runscript" in first:
        command, given = known.get("command", ""), known.get("command_args", "")
    elif "init-d-script" in first:
        command, given = known.get("DAEMON", ""), known.get("DAEMON_ARGS", "")
    else:
        command, given = "", ""
    if command:
        yield Spoken((*command.split(), *given.split()), 1)


def _unsaid(each: Spoken, word: str) -> bool:
    """Whether nobody here can say what is called. Settings that ``eval`` takes over and sums are no calls."""
    summing = len(each.words) > 1 and each.words[1] in _SIGNS
    return OPEN in word and "functions" not in word and each.words[0] != "eval" and not summing


def _offers(command: Command) -> bool:
    """Whether a command may be something that others reach; a tool that only calls out is not."""
    if command.name not in _LISTENING:
        return command.name not in QUIET_TOOLS
    options = "".join(word.lstrip("-") for word in command.words[1:] if word.startswith("-"))
    return "l" in options or "e" in options or any("LISTEN" in word or "EXEC" in word for word in command.words)
