"""Reading libconfig's language, in which SWUpdate's descriptions are written.

1. Groups become dicts, lists and arrays tuples, scalars str, int, float and bool. A name that stands twice in a group
   is refused, as libconfig refuses it.
2. Text, depth, values and the length of strings are bounded; ``@include`` is refused.
3. Every refusal is a `ValueError` with words for it: the caller says whose file it is.

Source: libconfig manual 1.7, "Configuration File Grammar".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

LARGEST = 256 * 1024
"""Characters of one description."""
DEEPEST = 16
MOST_VALUES = 10_000
_TOKEN = re.compile(
    r"""(?P<space>[\s]+|\#[^\n]*|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
      | "(?P<string>(?:[^"\\]|\\.)*)"
      | (?P<number>[-+]?(?:0[xX][0-9A-Fa-f]+|\d+(?:\.\d*)?(?:[eE][-+]?\d+)?|\.\d+)L{0,2})(?![\w.])
      | (?P<name>[A-Za-z*][-\w*.]*)
      | (?P<sign>[{}()\[\]=:;,])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "b": "\b"}
_CLOSES = {"{": "}", "(": ")", "[": "]"}
_LONGEST_NUMBER = 40
_Token = tuple[str, str]


def parse(text: str) -> dict[str, Any]:
    """The settings of a file.

    Raises:
        ValueError: it cannot be read; the words say why.
    """
    if len(text) > LARGEST:
        raise ValueError(f"it has {len(text)} characters; {LARGEST} are allowed")
    reader = _Reader(_tokens(text))
    return reader.group("", 0)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.end() == at:
            raise ValueError(f"there is something at character {at} that does not belong there")
        at = found.end()
        if found.lastgroup and found.lastgroup != "space":
            yield found.lastgroup, found[found.lastgroup]


class _Reader:
    def __init__(self, tokens: Iterator[_Token]) -> None:
        self._tokens, self._count = tokens, 0
        self._next = next(tokens, ("end", ""))

    def group(self, close: str, depth: int) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        while self._next != (("sign", close) if close else ("end", "")):
            name = self._take("name")
            if name in settings:
                raise ValueError(f"{name[:40]} stands twice")
            self._take("sign", ":=")
            settings[name] = self._value(depth)
            if self._next in (("sign", ";"), ("sign", ",")):
                self._advance()
        self._advance()
        return settings

    def _value(self, depth: int) -> Any:
        self._count += 1
        if self._count > MOST_VALUES or depth > DEEPEST:
            raise ValueError("it has too many values, or nests too deep")
        kind, text = self._next
        if kind == "string":
            return self._string()
        self._advance()
        if kind == "number":
            return _number(text)
        if kind == "name" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "sign" and text == "{":
            return self.group("}", depth + 1)
        if kind == "sign" and text in _CLOSES:
            return self._list(_CLOSES[text], depth + 1)
        raise ValueError("a value is missing")

    def _list(self, close: str, depth: int) -> tuple[Any, ...]:
        values: list[Any] = []
        while self._next != ("sign", close):
            values.append(self._value(depth))
            if self._next == ("sign", ","):
                self._advance()
            elif self._next != ("sign", close):
                raise ValueError("a list does not end")
        self._advance()
        return tuple(values)

    def _string(self) -> str:
        """Strings that follow each other are one."""
        parts = []
        while self._next[0] == "string":
            parts.append(_ESCAPE.sub(_unescaped, self._next[1]))
            self._advance()
        return "".join(parts)

    def _take(self, kind: str, among: str = "") -> str:
        found, text = self._next
        if found != kind or (among and text not in among):
            raise ValueError(f"there is {text[:20]!r} where a {'sign' if among else 'name'} should be")
        self._advance()
        return text

    def _advance(self) -> None:
        self._next = next(self._tokens, ("end", ""))


def _number(text: str) -> int | float:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    plain = text.rstrip("L")
    if "x" in plain.lower():
        return int(plain, 16)
    return float(plain) if any(sign in plain for sign in ".eE") else int(plain)


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2])
