"""Words of a shell script, with its variables filled in as far as the script itself says what they are.

1. One pattern takes a word apart, and none of its parts can match in two ways: a hostile line costs its length once.
2. A value is cut at `_LONGEST`, so that variables made of each other cannot grow without end.
3. What only the running shell could say stays `OPEN` in the word: whoever asks sees that it is not known.

Source: POSIX, Shell Command Language, 2.6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

OPEN = "$()"
"""What stands for a value that nothing here tells."""
PIECE = r"\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\"|\$\([^()]*\)|\$\{[^{}]*\}|\$\w+|\$[@*#?$!-]|[^\s;&|()<>'\"\\$]+|['\"\\$]"
_PIECES = re.compile(PIECE)
_INSIDE = re.compile(r"\\[\"\\$`]|\$\([^()]*\)|\$\{[^{}]*\}|\$\w+|\$[@*#?$!-]|[^\\$]+|[\\$]")
_BRACED = re.compile(r"(\w+)(?::?([-=+?])(.*))?", re.DOTALL)
_SHORTEST_QUOTED = 2
_LONGEST = 1024
_FINDERS = frozenset({"which", "type", "echo", "readlink", "realpath"})
"""What in ``$(...)`` says again what it is given."""

Variables = Mapping[str, str]


def expanded(raw: str, variables: Variables) -> list[str]:
    """The words that a raw one becomes: several where an unquoted variable holds several, none where it is empty."""
    found = [""]
    certain = False
    for piece in _PIECES.findall(raw):
        if len(piece) >= _SHORTEST_QUOTED and piece[0] == "'":
            found[-1] += piece[1:-1]
            certain = True
        elif len(piece) >= _SHORTEST_QUOTED and piece[0] == '"':
            found[-1] += _filled(piece[1:-1], variables)
            certain = True
        elif len(piece) >= _SHORTEST_QUOTED and piece[0] == "$":
            parts = _value(piece, variables).split()
            found[-1] += parts[0] if parts else ""
            found += parts[1:]
        else:
            found[-1] += piece[1:] if piece[0] == "\\" and len(piece) >= _SHORTEST_QUOTED else piece
    return [word[:_LONGEST] for word in found] if certain or found != [""] else []


def joined(raw: str, variables: Variables) -> str:
    """What a variable is given: the same, in one piece."""
    return " ".join(expanded(raw, variables))[:_LONGEST]


def _filled(quoted: str, variables: Variables) -> str:
    found = ""
    for piece in _INSIDE.findall(quoted):
        if len(piece) >= _SHORTEST_QUOTED and piece[0] == "$":
            found += _value(piece, variables)
        else:
            found += piece[1:] if piece[0] == "\\" and len(piece) >= _SHORTEST_QUOTED else piece
        if len(found) > _LONGEST:
            break
    return found[:_LONGEST]


def _value(piece: str, variables: Variables) -> str:
    if piece.startswith("$("):
        return _said(piece[2:-1], variables)
    if not piece.startswith("${"):
        return _plain(piece[1:], variables)
    match = _BRACED.match(piece[2:-1])
    if match is None:
        return OPEN
    name, sign, other = match.groups()
    value = _plain(name, variables)
    if sign in ("-", "="):
        return value or _without_quotes(other, variables)
    return _without_quotes(other, variables) if sign == "+" and value else value if sign != "+" else ""


def _without_quotes(value: str, variables: Variables) -> str:
    """A default, in which variables without braces are filled in once."""
    plain = value.strip("\"'")
    return variables.get(plain[1:], "") if plain.startswith("$") else plain


def _plain(name: str, variables: Variables) -> str:
    """A variable that nothing sets is empty; what the caller gives (``$1``) is not known, and nothing at a start."""
    return variables.get(name, "")


def _said(inside: str, variables: Variables) -> str:
    words = inside.split()
    if words[:2] == ["command", "-v"] or (words[:1] and words[0] in _FINDERS):
        return _plain(words[-1][1:], variables) if words[-1].startswith("$") else words[-1].strip("\"'")
    return OPEN
