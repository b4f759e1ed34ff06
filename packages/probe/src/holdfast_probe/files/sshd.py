"""Reading the settings of sshd as it does itself, and what its command line adds to them.

1. The first value outside Match blocks counts, and the first inside each Match block, which comes before it. A block
   for all takes the place of what stands outside.
2. Keywords may stand in double quotes, and one setting may have several names.
3. What ``-o`` gives comes before the file, and ``-f`` names another file, wherever something starts sshd.

Sources: sshd_config(5), sshd(8), OpenSSH's strdelim and its table of keywords.
"""

from __future__ import annotations

import msgspec

from holdfast_probe.case import Case
from holdfast_probe.edited import Source
from holdfast_probe.files.values import Value, lines_of
from holdfast_probe.roots import Root, Unreadable
from holdfast_probe.services.running import Command
from holdfast_probe.services.shell_words import OPEN
from holdfast_probe.services.starts import ran
from holdfast_probe.services.texts import words
from holdfast_probe.services.wrapped import base

USUAL = "/etc/ssh/sshd_config"
_MOST_FILES = 64
_BLANKS = " \t\r\f"
_ENDS = _BLANKS + '="'
_ALL = "Match all"
_NAMES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "hostbasedacceptedkeytypes": "hostbasedacceptedalgorithms",
    "dsaauthentication": "pubkeyauthentication",
    "authorizedkeysfile2": "authorizedkeysfile",
}
"""Older names of a setting."""
_VALUED = "CEbcfghkopu"
"""Options of sshd that take a value, written together or apart."""


class Server(msgspec.Struct, frozen=True):
    """One sshd as something starts it."""

    where: str
    file: str = USUAL
    options: tuple[str, ...] = ()
    """Settings as they stand after ``-o``, the first first."""
    open: bool = False
    """Whether its command line is worked out only when it runs."""

    def over(self, key: str, values: list[Value]) -> list[Value]:
        """`values` of its file with that of its command line, which comes before what stands outside Match blocks."""
        for option in self.options:
            parts = parted(option)
            if parts is not None and parts[0] == canonical(key):
                path, _, number = self.where.rpartition(":")
                text = " ".join(words(option[parts[1] :]))
                given = Value(text, path or self.where, int(number) if path else 1, "sshd as it is started")
                return [given, *(value for value in values if value.scope)]
        return values


def canonical(key: str) -> str:
    """A setting's one name among those that it has."""
    small = key.lower()
    return _NAMES.get(small, small)


def parted(line: str) -> tuple[str, int] | None:
    """The keyword of a line, in its one name, and where what follows it begins; `None` where the line sets nothing."""
    start = _past_blanks(line, 0)
    end = next((n for n in range(start, len(line)) if line[n] in _ENDS), len(line))
    if line[start : start + 1] in ("", "#") or end == len(line):
        return None
    if line[end] != '"':
        rest = _past_blanks(line, end)
        return canonical(line[start:end]), _past_blanks(line, rest + (line[rest : rest + 1] == "="))
    close = line.find('"', end + 1)
    keyword = line[start:end] + line[end + 1 : close]
    return (canonical(keyword), _past_blanks(line, close + 1)) if close > 0 else None


def _past_blanks(line: str, start: int) -> int:
    return next((n for n in range(start, len(line)) if line[n] not in _BLANKS), len(line))


def sshd_values(source: Source, key: str, default: str | None, path: str) -> list[Value]:
    """Every value of `key` that can take effect for somebody. Raises `Missing` or `Unreadable`."""
    found: dict[str, Value] = {}
    _Reader(source, canonical(key), found).file(path, "")
    everywhere = found.get("")
    if everywhere is None and found and default is not None:
        everywhere = Value(default, path)
    blocks = [value for scope, value in found.items() if scope]
    return blocks if _ALL in found or everywhere is None else [everywhere, *blocks]


class _Reader:
    """Follows includes, which inherit the Match block they stand in and end with it."""

    def __init__(self, source: Source, key: str, found: dict[str, Value]) -> None:
        self._source = source
        self._key = key
        self._found = found
        self._files = 0

    def file(self, path: str, scope: str) -> None:
        """Read one file inside `scope`."""
        self._files += 1
        if self._files > _MOST_FILES:
            raise Unreadable(path, f"more than {_MOST_FILES} files are included")
        for number, line in enumerate(lines_of(self._source, path), 1):
            parts = parted(line)
            if parts is None:
                continue
            keyword, rest = parts[0], line[parts[1] :].strip()
            if keyword == "match":
                scope = _ALL if [word.lower() for word in words(rest)] == ["all"] else f"Match {rest}"
            elif keyword == "include":
                self._include(rest, scope)
            elif keyword == self._key:
                self._found.setdefault(scope, Value(" ".join(words(rest)), path, number, scope))

    def _include(self, patterns: str, scope: str) -> None:
        for pattern in words(patterns):
            for included in self._source.glob(pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"):
                self.file(included, scope)


def servers(case: Case) -> list[Server]:
    """Every sshd that something starts. Raises `Unreadable`."""
    return [_server(command) for command in case.once(ran)[0] if _is_sshd(case.root, command)]


def _server(command: Command) -> Server:
    given = _given(command.words[1:])
    return Server(
        f"{command.path}:{command.number}" if command.number else command.path,
        next((value for letter, value in given if letter == "f"), USUAL),
        tuple(value for letter, value in given if letter == "o"),
        any(OPEN in word for word in command.words[1:]),
    )


def _is_sshd(root: Root, command: Command) -> bool:
    program = command.words[0]
    return "sshd" in {command.name, base(root.real(program)) if program.startswith("/") else ""}


def _given(arguments: tuple[str, ...]) -> list[tuple[str, str]]:
    """The options of a command line that take a value, with it."""
    found: list[tuple[str, str]] = []
    waiting = ""
    for word in arguments:
        if waiting:
            found.append((waiting, word))
            waiting = ""
        elif word.startswith("-"):
            place = next((n for n, letter in enumerate(word) if n and letter in _VALUED), 0)
            if place == len(word) - 1:
                waiting = word[place]
            elif place:
                found.append((word[place], word[place + 1 :]))
    return found
