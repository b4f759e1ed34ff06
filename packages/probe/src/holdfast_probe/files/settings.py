"""The setting probe: reading three kinds of settings files as their programs do.

1. Readers return every value that can take effect with where it stands; all of them must be accepted.
2. Includes and drop-ins are followed inside the root, bounded; one that cannot be read makes the whole unknown.
3. What starts sshd may name another file and settings of its own; then these are what counts.
4. A value is shown where it can be no secret: it is one of a few words or a small number, or everyone can read the
   file and the key does not say that it is one. What is asked may come from afar, and the answer goes there.

Sources: OpenWrt's UCI syntax, systemd's drop-ins; for sshd see `sshd`.
"""

from __future__ import annotations

import re
import stat

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import Setting, Syntax
from holdfast_probe.case import Case
from holdfast_probe.edited import Source
from holdfast_probe.files.sshd import USUAL, Server, servers, sshd_values
from holdfast_probe.files.values import Value, lines_of
from holdfast_probe.services.texts import fitting, words
from holdfast_probe.sight import Sight, judged, not_applicable, unknown

# What follows is taken whole and stripped: a lazy group before trailing space would be quadratic in a hostile line.
PAIR = re.compile(r"\s*([^\s=:#;\[]+)(\s*[=:]\s*|\s+)(.*)")
SECTION = re.compile(r"\s*\[([^\]]*)\]\s*$")
_WORD = re.compile(
    r"yes|no|on|off|true|false|none|any|all|auto|enabled?|disabled?|prohibit-password|without-password", re.IGNORECASE
)
_SMALL = re.compile(r"[0-9]{1,4}")
_SECRET = re.compile(r"pass|psk|pwd|secret|token|credential|community|(?<![a-z])key", re.IGNORECASE)
"""In a key whose value is not shown."""


def see_setting(case: Case, spec: Setting) -> Sight:
    """Judge one `Setting` probe."""
    started = started_by(case, spec)
    places = [(path, None) for path in fitting(case.root, spec.file)] if not started else []
    if not places and not started:
        return not_applicable(f"There is no {spec.file}.")
    bad: list[str] = []
    praise = ""
    for path, server in [*places, *((each.file, each) for each in started)]:
        values = values_in(case.root, spec, path)
        if server is not None:
            values = server.over(spec.key, values)
        if not values:
            bad.append(f"{spec.key} is not set in {path}, wanted {spec.wanted}")
        bad += [f"{_said(case, spec, v)}, wanted {spec.wanted}" for v in values if not spec.accepts(v.text)]
        praise = praise or (_said(case, spec, values[0]) if values else "")
    sight = judged(bad, praise)
    if sight.outcome is Outcome.PASS and (open_ := next((each.where for each in started if each.open), "")):
        return unknown(f"The options that {open_} starts sshd with are worked out when it runs.")
    return sight


def started_by(case: Case, spec: Setting) -> list[Server]:
    """The servers that `spec` is about, where it is about sshd and something starts one.

    One that is told nothing, and whose settings are not here, is left out: it does not start.
    """
    if spec.syntax is not Syntax.SSHD or spec.file != USUAL:
        return []
    usual = bool(case.root.glob(USUAL))
    return [each for each in servers(case) if usual or each.file != USUAL]


def values_in(source: Source, spec: Setting, path: str) -> list[Value]:
    """Every value of `spec` that can take effect in one file, its default included; empty: not set, no default.

    Raises:
        Missing, Unreadable: it, or what it includes, cannot be read whole.
    """
    values = _READERS[spec.syntax](source, spec, path)
    if not values and spec.default is not None:
        return [Value(spec.default, path)]
    return values


def _said(case: Case, spec: Setting, value: Value) -> str:
    scope = f" for {value.scope}" if value.scope else ""
    text = repr(value.text[:120]) if _may_be_shown(case, spec, value) else "set to what is not shown"
    return f"{spec.key} is {text}{scope} ({value.where})"


def _may_be_shown(case: Case, spec: Setting, value: Value) -> bool:
    if not value.line or _WORD.fullmatch(value.text):
        return True
    if _SECRET.search(spec.key):
        return False
    if not value.path.startswith("/"):  # a unit, which everyone can read
        return True
    return bool(_SMALL.fullmatch(value.text) or case.root.status(value.path).st_mode & stat.S_IROTH)


def _sshd(source: Source, spec: Setting, path: str) -> list[Value]:
    return sshd_values(source, spec.key, spec.default, path)


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
        said = words(line) if not line.lstrip().startswith("#") else []
        if len(said) > 1 and said[0] == "config":
            found += _closed(spec, path, opened, here)
            here, opened = [], number if wanted in said[1:3] else 0
        elif opened and len(said) > 2 and said[1] == option:  # noqa: PLR2004  (option, name, value)
            if said[0] == "option":
                here = [Value(said[2], path, number)]
            elif said[0] == "list":
                here.append(Value(said[2], path, number))
    return found + _closed(spec, path, opened, here)


def _closed(spec: Setting, path: str, opened: int, here: list[Value]) -> list[Value]:
    """What a section comes to, whose first line is `opened`; 0: it is not of those asked for."""
    if not opened or here or spec.default is None:
        return here
    return [Value(spec.default, path, section_line=opened)]


_READERS = {Syntax.SSHD: _sshd, Syntax.KEYVALUE: _keyvalue, Syntax.UCI: _uci}
