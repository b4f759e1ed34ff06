"""The setting probe: reading three kinds of settings files as their programs do.

1. Readers return every value that can take effect with where it stands; all of them must be accepted.
2. Includes and drop-ins are followed inside the root, bounded; one that cannot be read makes the whole unknown.
3. A line is what stands between two newlines and nothing else: other signs that end a line for Python do not for the
   programs that read these files.
4. A value is shown where it can be no secret: it is one of a few words or a small number, or everyone can read the
   file and the key does not say that it is one. What is asked may come from afar, and the answer goes there.

Sources: sshd_config(5) (first value wins, Include, Match), OpenWrt's UCI syntax, systemd's drop-ins.
"""

from __future__ import annotations

import re
import shlex
import stat

import msgspec

from holdfast_core.baseline.probes import Setting, Syntax
from holdfast_probe.case import Case
from holdfast_probe.edited import Source
from holdfast_probe.roots import Unreadable
from holdfast_probe.sight import Sight, judged, not_applicable

_MOST_FILES = 64
# What follows is taken whole and stripped: a lazy group before trailing space would be quadratic in a hostile line.
SSHD_LINE = re.compile(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)")
PAIR = re.compile(r"\s*([^\s=:#;\[]+)(\s*[=:]\s*|\s+)(.*)")
SECTION = re.compile(r"\s*\[([^\]]*)\]\s*$")
_WORD = re.compile(
    r"yes|no|on|off|true|false|none|any|all|auto|enabled?|disabled?|prohibit-password|without-password", re.IGNORECASE
)
_SMALL = re.compile(r"[0-9]{1,4}")
_SECRET = re.compile(r"pass|psk|pwd|secret|token|credential|community|(?<![a-z])key", re.IGNORECASE)
"""In a key whose value is not shown."""


class Value(msgspec.Struct, frozen=True):
    """A value and where it stands; `scope` names the Match block or the section that it is limited to."""

    text: str
    path: str
    line: int = 0
    """From 1; 0 says that it is the default, since no line sets it."""
    scope: str = ""
    section_line: int = 0
    """The line that opens the section of a default in UCI; 0: there is none."""

    @property
    def where(self) -> str:
        """The place, to be shown."""
        return f"{self.path}:{self.line}" if self.line else f"the default, {self.path} does not set it"


def see_setting(case: Case, spec: Setting) -> Sight:
    """Judge one `Setting` probe."""
    paths = case.root.glob(spec.file)
    if not paths:
        return not_applicable(f"There is no {spec.file}.")
    bad: list[str] = []
    praise = ""
    for path in paths:
        values = values_in(case.root, spec, path)
        if not values:
            bad.append(f"{spec.key} is not set in {path}, wanted {spec.wanted}")
        bad += [f"{_said(case, spec, v)}, wanted {spec.wanted}" for v in values if not spec.accepts(v.text)]
        praise = praise or (_said(case, spec, values[0]) if values else "")
    return judged(bad, praise)


def values_in(source: Source, spec: Setting, path: str) -> list[Value]:
    """Every value of `spec` that can take effect in one file, its default included; empty: not set, no default.

    Raises:
        Missing, Unreadable: it, or what it includes, cannot be read whole.
    """
    values = _READERS[spec.syntax](source, spec, path)
    if not values and spec.default is not None:
        return [Value(spec.default, path)]
    return values


def lines_of(source: Source, path: str) -> list[str]:
    """The lines of a file without their newlines; bytes that are no UTF-8 survive the way back."""
    lines = source.read(path).decode("utf-8", "surrogateescape").split("\n")
    return lines if lines[-1] else lines[:-1]


def _said(case: Case, spec: Setting, value: Value) -> str:
    scope = f" for {value.scope}" if value.scope else ""
    text = repr(value.text[:120]) if _may_be_shown(case, spec, value) else "set to what is not shown"
    return f"{spec.key} is {text}{scope} ({value.where})"


def _may_be_shown(case: Case, spec: Setting, value: Value) -> bool:
    if not value.line or _WORD.fullmatch(value.text):
        return True
    if _SECRET.search(spec.key):
        return False
    return bool(_SMALL.fullmatch(value.text) or case.root.status(value.path).st_mode & stat.S_IROTH)


def _sshd(source: Source, spec: Setting, path: str) -> list[Value]:
    """The first value outside Match blocks, which is what counts, and the first inside each Match block."""
    found: dict[str, Value] = {}
    _SshdReader(source, spec.key.lower(), found).file(path, "")
    everywhere = found.get("")
    if everywhere is None and found and spec.default is not None:
        everywhere = Value(spec.default, path)
    return ([everywhere] if everywhere else []) + [value for scope, value in found.items() if scope]


class _SshdReader:
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
            match = None if line.lstrip().startswith("#") else SSHD_LINE.match(line)
            if match is None:
                continue
            keyword, rest = match.group(1).lower(), match.group(2).strip()
            if keyword == "match":
                scope = "" if rest.lower() == "all" else f"Match {rest}"
            elif keyword == "include":
                self._include(rest, scope)
            elif keyword == self._key:
                self._found.setdefault(scope, Value(" ".join(words_of(rest)), path, number, scope))

    def _include(self, patterns: str, scope: str) -> None:
        for pattern in words_of(patterns):
            for included in self._source.glob(pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"):
                self.file(included, scope)


def words_of(text: str) -> list[str]:
    """The words of a line as a shell splits them, comment left out; split at spaces where its quotes are broken."""
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _keyvalue(source: Source, spec: Setting, file: str) -> list[Value]:
    """The last value: of the file, then of its drop-ins in order of name."""
    section, _, key = spec.key.rpartition("/")
    last: Value | None = None
    for path in (file, *source.glob(f"{file}.d/*.conf")):
        inside = ""
        for number, line in enumerate(lines_of(source, path), 1):
            if line.lstrip().startswith(("#", ";")):
                continue
            if header := SECTION.match(line):
                inside = header.group(1).strip()
            elif (pair := PAIR.match(line)) and pair.group(1).lower() == key.lower() and section in ("", inside):
                last = Value(_unquoted(pair.group(3).strip()), path, number)
    return [last] if last else []


def _unquoted(text: str) -> str:
    text = re.split(r"(?<=\s)[#;]", text, maxsplit=1)[0].strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _uci(source: Source, spec: Setting, path: str) -> list[Value]:
    """The option's values in every section of that type or name; the default stands in where one does not set it."""
    wanted, _, option = spec.key.rpartition(".")
    found: list[Value] = []
    here: list[Value] = []
    opened = 0
    for number, line in enumerate(lines_of(source, path), 1):
        words = words_of(line)
        if len(words) > 1 and words[0] == "config":
            found += _closed(spec, path, opened, here)
            here, opened = [], number if wanted in words[1:3] else 0
        elif opened and len(words) > 2 and words[1] == option:  # noqa: PLR2004  (option, name, value)
            if words[0] == "option":
                here = [Value(words[2], path, number)]
            elif words[0] == "list":
                here = [*here, Value(words[2], path, number)]
    return found + _closed(spec, path, opened, here)


def _closed(spec: Setting, path: str, opened: int, here: list[Value]) -> list[Value]:
    """What a section comes to, whose first line is `opened`; 0: it is not of those asked for."""
    if not opened or here or spec.default is None:
        return here
    return [Value(spec.default, path, section_line=opened)]


_READERS = {Syntax.SSHD: _sshd, Syntax.KEYVALUE: _keyvalue, Syntax.UCI: _uci}
