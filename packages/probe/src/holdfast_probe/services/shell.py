"""The commands of a shell script: what stands where a shell looks for a program, with its arguments.

1. A word that is shown, tested or compared is no command: ``echo telnetd``, ``[ -x telnetd ]``, a pattern of ``case``.
2. Every branch counts, whether or not it would be taken: who can tell what a test says on a device?
3. Lines are read one by one, and one that is longer than `_LONGEST` goes on as a line of its own.
4. Variables are known from everywhere in a script before its commands are read: a function may stand above them.

Source: POSIX, Shell Command Language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from holdfast_probe.services.shell_words import PIECE, expanded, joined

_LONGEST = 4096
_MOST_TURNS = 32
"""Values of a ``for`` that are followed."""
_TOKEN = re.compile(rf"\d*(?:<<<|<<-?|>>|>\||>&|<&|&>>|&>|<>|>|<)|;;|&&|\|\||[;&|()]|(?:{PIECE})+|\s+")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)\+?=(.*)", re.DOTALL)
_BACKTICKS = re.compile(r"`([^`]*)`")
_DOLLAR = re.compile(r"\$\(([^()]*)\)")
_OPENING = frozenset({
    "if", "then", "else", "elif", "while", "until", "do", "!", "{", "time", "export", "readonly", "local", "declare",
})  # fmt: skip
"""What a command, or an assignment, may follow."""
_ENDS = frozenset({"fi", "done", "esac", "}", "in", "break", "continue"})
SOURCING = frozenset({".", "source"})
_END = "\n"
_CONTROL = frozenset({";", "&", "|", "&&", "||", ";;", "(", ")", _END})


class Spoken(msgspec.Struct, frozen=True):
    """One command as it stands, variables filled in."""

    words: tuple[str, ...]
    number: int
    """The line."""
    background: bool = False


Sourced: TypeAlias = Callable[[str], Mapping[str, str]]
"""The variables that a file sets which a script reads in."""


def _none(_path: str) -> Mapping[str, str]:
    return {}


class _Reading:
    """Where in a script the reader stands."""

    def __init__(self, variables: dict[str, str], sourced: Sourced) -> None:
        self.variables = variables
        self.sourced = sourced
        self.turns: dict[str, list[str]] = {}
        self.functions: set[str] = set()
        self.cases = 0
        self.pattern = False
        self.heredoc = ""


def assigned(text: str, given: Mapping[str, str], sourced: Sourced = _none) -> dict[str, str]:
    """Every variable that a script sets, over those that it is given; the last assignment counts."""
    reading = _Reading(dict(given), sourced)
    for _ in _spoken(text, reading):
        pass
    return reading.variables


def spoken(text: str, known: Mapping[str, str], sourced: Sourced = _none) -> list[Spoken]:
    """The commands of a script that knows the variables `known` (`assigned`), functions of its own left out."""
    reading = _Reading(dict(known), sourced)
    found = list(_spoken(text, reading))
    return [each for each in found if each.words[0] not in reading.functions]


def _spoken(text: str, reading: _Reading) -> Iterator[Spoken]:
    for number, line in _lines(text):
        if reading.heredoc:
            reading.heredoc = "" if line.strip() == reading.heredoc else reading.heredoc
            continue
        plain = _BACKTICKS.sub(r"$(\1)", line)
        for inside in _DOLLAR.findall(plain):
            yield from _of_line(inside, number, reading)
        yield from _of_line(plain, number, reading)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; those that end in a backslash with what follows, up to a bound.

    A comment does not go on. Where a sign in a quote may only look like one, the line counts both ways.
    """
    held, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.rstrip("\r")
        doubted = "#" in held
        if doubted:
            yield number, bare.rstrip("\\")[:_LONGEST]
        start = start or number
        held += bare
        if _goes_on(held) and len(held) < _LONGEST:
            held = held[:-1]
            if "#" in held and not doubted:
                yield start, held
                held, start = ("", 0) if held.lstrip()[:1] == "#" else (held, start)
            continue
        for cut in range(0, max(len(held), 1), _LONGEST):
            yield start, held[cut : cut + _LONGEST]
        held, start = "", 0
    if held:
        yield start, held


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _of_line(line: str, number: int, reading: _Reading) -> Iterator[Spoken]:
    held: list[str] = []
    redirected = ""
    for token in (*_TOKEN.findall(line), _END):
        if token in _CONTROL:
            yield from _closed(held, token, number, reading)
            held, redirected = [], ""
        elif token[:1] == "#" and not redirected:
            yield from _closed(held, _END, number, reading)
            return
        elif token.isspace():
            continue
        elif redirected:
            if redirected.lstrip("0123456789") in ("<<", "<<-"):
                reading.heredoc = token.strip("\"'\\")
            redirected = ""
        elif token.lstrip("0123456789&")[:1] in ("<", ">"):
            redirected = token
        else:
            held.append(token)


def _closed(held: list[str], end: str, number: int, reading: _Reading) -> Iterator[Spoken]:
    """The command that ends here, unless it is a pattern, the name of a function, or a part of the grammar."""
    if reading.pattern:
        reading.pattern = end != ")" and held[:1] != ["esac"]
        return
    if end == ";;" and reading.cases:
        reading.pattern = True
    if end == "(" and len(held) == 1:
        reading.functions.add(held[0])
        return
    rest = _unwound(held, reading)
    reading.pattern = reading.pattern and end != ")"
    if rest:
        yield from _filled(rest, number, reading, background=end == "&")


def _unwound(held: list[str], reading: _Reading) -> list[str]:
    """A command without what grammar stands before it; assignments are noted on the way."""
    index = 0
    while index < len(held):
        word = held[index]
        match = _ASSIGNED.fullmatch(word)
        if word in ("for", "select"):
            _turning(held[index + 1 :], reading)
            return []
        if word == "case":
            reading.cases += 1
            reading.pattern = True
            return []
        if word == "function":
            reading.functions.update(held[index + 1 : index + 2])
            index += 1
        elif match:
            reading.variables[match.group(1)] = joined(match.group(2), reading.variables)
        elif word not in _OPENING:
            break
        index += 1
    rest = held[index:]
    return [] if rest[:1] and rest[0] in _ENDS else rest


def _turning(rest: list[str], reading: _Reading) -> None:
    """``for NAME in WORDS``."""
    if rest:
        values = [value for word in rest[2:] for value in expanded(word, reading.variables)]
        reading.turns[rest[0]] = values[:_MOST_TURNS]
        reading.variables[rest[0]] = values[0] if values else ""


def _filled(rest: list[str], number: int, reading: _Reading, *, background: bool) -> Iterator[Spoken]:
    """The command with its variables filled in: once for every value of a ``for`` that its program is named by."""
    name = next((name for name in reading.turns if f"${name}" in rest[0] or f"${{{name}}}" in rest[0]), "")
    for value in reading.turns[name] if name else [""]:
        known = {**reading.variables, name: value} if name else reading.variables
        words = tuple(word for raw in rest for word in expanded(raw, known))
        if words and words[0] in SOURCING and len(words) > 1:
            reading.variables.update(reading.sourced(words[1]))
        if words and words[0]:
            yield Spoken(words, number, background)
