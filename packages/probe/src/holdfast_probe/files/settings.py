"""The setting probe: reading three kinds of settings files as their programs do.

1. Readers return every value that can take effect with where it stands; all of them must be accepted.
2. Includes and drop-ins are followed inside the root, bounded; one that cannot be read makes the whole unknown.

Sources: sshd_config(5) (first value wins, Include, Match), OpenWrt's UCI syntax, systemd's drop-ins.
"""

from __future__ import annotations

import re
import shlex

import msgspec

from holdfast_core.baseline.probes import Setting, Syntax
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable

_MOST_FILES = 64
# What follows is taken whole and stripped: a lazy group before trailing space would be quadratic in a hostile line.
_SSHD_LINE = re.compile(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)")
_PAIR = re.compile(r"\s*([^\s=:#;\[]+)\s*(?:[=:]\s*|\s+)(.*)")
_SECTION = re.compile(r"\s*\[([^\]]*)\]\s*$")


class Value(msgspec.Struct, frozen=True):
    """A value and where it stands; `scope` names the Match block or the section that it is limited to."""

    text: str
    where: str
    scope: str = ""


def see_setting(case: Case, spec: Setting) -> Sight:
    """Judge one `Setting` probe."""
    root = case.root
    try:
        values = _READERS[spec.syntax](root, spec)
    except Missing as missing:
        return not_applicable(missing.sentence)
    if not values:
        if spec.default is None:
            return judged([f"{spec.key} is not set in {spec.file}, wanted {spec.wanted}"], "")
        values = [Value(spec.default, f"the default, {spec.file} does not set it")]
    bad = [v for v in values if not spec.accepts(v.text)]
    return judged((_said(spec, v) + f", wanted {spec.wanted}" for v in bad), _said(spec, values[0]))


def _said(spec: Setting, value: Value) -> str:
    scope = f" for {value.scope}" if value.scope else ""
    return f"{spec.key} is {value.text[:120]!r}{scope} ({value.where})"


def _text(root: Root, path: str) -> list[str]:
    return root.read(path).decode("utf-8", "replace").splitlines()


def _sshd(root: Root, spec: Setting) -> list[Value]:
    """The first value outside Match blocks, which is what counts, and the first inside each Match block."""
    found: dict[str, Value] = {}
    _SshdReader(root, spec.key.lower(), found).file(spec.file, "")
    everywhere = found.get("")
    if everywhere is None and found and spec.default is not None:
        everywhere = Value(spec.default, f"the default, {spec.file} does not set it")
    return ([everywhere] if everywhere else []) + [value for scope, value in found.items() if scope]


class _SshdReader:
    """Follows includes, which inherit the Match block they stand in and end with it."""

    def __init__(self, root: Root, key: str, found: dict[str, Value]) -> None:
        self._root = root
        self._key = key
        self._found = found
        self._files = 0

    def file(self, path: str, scope: str) -> None:
        """Read one file inside `scope`."""
        self._files += 1
        if self._files > _MOST_FILES:
            raise Unreadable(path, f"more than {_MOST_FILES} files are included")
        for number, line in enumerate(_text(self._root, path), 1):
            match = None if line.lstrip().startswith("#") else _SSHD_LINE.match(line)
            if match is None:
                continue
            keyword, rest = match.group(1).lower(), match.group(2).strip()
            if keyword == "match":
                scope = "" if rest.lower() == "all" else f"Match {rest}"
            elif keyword == "include":
                self._include(rest, scope)
            elif keyword == self._key:
                self._found.setdefault(scope, Value(" ".join(_words(rest)), f"{path}:{number}", scope))

    def _include(self, patterns: str, scope: str) -> None:
        for pattern in _words(patterns):
            for included in self._root.glob(pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"):
                self.file(included, scope)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _keyvalue(root: Root, spec: Setting) -> list[Value]:
    """The last value: of the file, then of its drop-ins in order of name."""
    section, _, key = spec.key.rpartition("/")
    last: Value | None = None
    for path in (spec.file, *root.glob(f"{spec.file}.d/*.conf")):
        inside = ""
        for number, line in enumerate(_text(root, path), 1):
            if line.lstrip().startswith(("#", ";")):
                continue
            if header := _SECTION.match(line):
                inside = header.group(1).strip()
            elif (pair := _PAIR.match(line)) and pair.group(1).lower() == key.lower() and section in ("", inside):
                last = Value(_unquoted(pair.group(2).strip()), f"{path}:{number}")
    return [last] if last else []


def _unquoted(text: str) -> str:
    text = re.split(r"(?<=\s)[#;]", text, maxsplit=1)[0].strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _uci(root: Root, spec: Setting) -> list[Value]:
    """The option's value in every section of that type or name; the default stands in where one does not set it."""
    wanted, _, option = spec.key.rpartition(".")
    found: list[Value] = []
    where = ""
    value: Value | None = None

    def close() -> None:
        if where and value is not None:
            found.append(value)
        elif where and spec.default is not None:
            found.append(Value(spec.default, f"the default, {where} does not set it"))

    for number, line in enumerate(_text(root, spec.file), 1):
        words = _words(line)
        if len(words) > 1 and words[0] == "config":
            close()
            mine = wanted in words[1:3]
            where, value = (f"{spec.file}:{number}", None) if mine else ("", None)
        elif len(words) > 2 and words[0] in ("option", "list") and words[1] == option and where:  # noqa: PLR2004
            value = Value(words[2], f"{spec.file}:{number}")
    close()
    return found


_READERS = {Syntax.SSHD: _sshd, Syntax.KEYVALUE: _keyvalue, Syntax.UCI: _uci}
