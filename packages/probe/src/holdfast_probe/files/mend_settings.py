"""Setting a setting: the one line that decides is changed, or one is added.

1. Comments, order, indentation and line ends of a file stay byte for byte.
2. The new value is the probe's own example; a list that has refused items loses those.
3. After the change the file is read again: a setting that still does not pass is refused, not left half right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from holdfast_core.baseline.probes import Setting, Syntax
from holdfast_probe.case import Case
from holdfast_probe.edited import EditedFiles
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.files.settings import PAIR, SECTION, started_by, values_in
from holdfast_probe.files.sshd import parted
from holdfast_probe.files.values import Value, lines_of
from holdfast_probe.services.texts import words

_SEPARATORS = re.compile(r"([,;:\s]+)")
_COMMENT = re.compile(r"\s#")
_UCI_OPTION = re.compile(r"(\s*(?:option|list)\s+\S+\s+)")


def mend_setting(case: Case, editor: Editor, spec: Setting) -> None:
    """Give `spec.key` an accepted value in every file that the probe judges."""
    for server in started_by(case, spec):
        if any(not spec.accepts(value.text) for value in server.over(spec.key, [])):
            raise CannotMend(server.where, f"what starts sshd there sets {spec.key} on its command line")
    for path in dict.fromkeys((*case.root.glob(spec.file), *(each.file for each in started_by(case, spec)))):
        source = EditedFiles(editor)
        wrong = [value for value in values_in(source, spec, path) if not spec.accepts(value.text)]
        # The last line first, so that a line that is added does not move those still to be changed.
        for value in sorted(wrong, key=lambda each: (each.line, each.section_line), reverse=True):
            _put_right(editor, spec, value)
        if not values_in(source, spec, path):
            _put_right(editor, spec, Value("", path))
        now = values_in(source, spec, path)
        if not now or not all(spec.accepts(value.text) for value in now):
            raise CannotMend(path, f"{spec.key} would still not be {spec.wanted}")


def _put_right(editor: Editor, spec: Setting, value: Value) -> None:
    source = EditedFiles(editor)
    lines = lines_of(source, value.path)
    new = _accepted(spec, value)
    # A last line without its newline keeps to that, unless another one follows it now.
    end = "" if value.line and not source.read(value.path).endswith(b"\n") else "\n"
    if value.line:
        lines[value.line - 1] = _REPLACE[spec.syntax](lines[value.line - 1], new)
    else:
        _ADD[spec.syntax](lines, spec, value, new)
    editor.write(value.path, ("\n".join(lines) + end).encode("utf-8", "surrogateescape"))


def _accepted(spec: Setting, value: Value) -> str:
    """What to write instead of `value`."""
    if spec.example is not None:
        return spec.example
    parts = _SEPARATORS.split(value.text)
    kept = [(part, after) for part, after in zip(parts[::2], [*parts[1::2], ""], strict=True) if spec.accepts(part)]
    text = "".join(part + after for part, after in kept).rstrip(",;: \t")
    if not text:
        raise CannotMend(
            value.path, f"nothing that {spec.key} is set to may stay, and {spec.wanted} has to be chosen by a person"
        )
    return text


def _ending(line: str) -> str:
    """The carriage return of a file with Windows line ends."""
    return "\r" if line.endswith("\r") else ""


def _tail(rest: str, *, quoted: bool) -> str:
    """What follows a value: a comment with the space before it (none is looked for beside quotes), and the ending."""
    comment = None if quoted else _COMMENT.search(rest)
    return rest[len(rest[: comment.start()].rstrip()) :] if comment else _ending(rest)


def _replace_sshd(line: str, new: str) -> str:
    parts = parted(line)
    assert parts is not None  # noqa: S101  (the reader took this very line apart)
    rest = line[parts[1] :]
    return line[: parts[1]] + new + _tail(rest, quoted='"' in rest or "'" in rest)


def _add_sshd(lines: list[str], spec: Setting, _value: Value, new: str) -> None:
    """Above the first Match block: what follows one belongs to it."""
    place = next((n for n, line in enumerate(lines) if (parts := parted(line)) and parts[0] == "match"), None)
    lines.insert(len(lines) if place is None else place, f"{spec.key} {new}" + _ending(lines[0] if lines else ""))


def _replace_pair(line: str, new: str) -> str:
    match = PAIR.match(line)
    assert match is not None  # noqa: S101  (the reader matched this very line)
    text = match.group(3)
    value = re.split(r"(?<=\s)[#;]", text, maxsplit=1)[0].rstrip()
    quote = value[0] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else ""
    return f"{line[: match.start(3)]}{quote}{new}{quote}{text[len(value) :]}"


def _add_pair(lines: list[str], spec: Setting, value: Value, new: str) -> None:
    """At the end of its section, written as the file writes its other settings."""
    section, _, key = spec.key.rpartition("/")
    headers = [(n, header.group(1).strip()) for n, line in enumerate(lines) if (header := SECTION.match(line))]
    if headers and not section:
        raise CannotMend(value.path, f"it has sections, and nothing says which of them {key} belongs to")
    end = _ending(lines[0] if lines else "")
    line = f"{key}{_separator(lines, value.path)}{new}{end}"
    start = next((n for n, name in headers if name == section), None) if section else -1
    if start is None:
        lines += [f"[{section}]{end}", line]
        return
    stop = next((n for n, _ in headers if n > start), len(lines))
    while stop > start + 1 and not lines[stop - 1].strip():
        stop -= 1
    lines.insert(stop, line)


def _separator(lines: list[str], path: str) -> str:
    """What most settings of a file have between key and value; those that are commented out show it as well."""
    seen: Counter[str] = Counter()
    for line in lines:
        plain = line.strip()
        pair = PAIR.match(plain if not plain.startswith("#") else plain[1:])
        if pair and (not plain.startswith("#") or "=" in pair.group(2)):
            seen[pair.group(2)] += 1
    if not seen:
        raise CannotMend(path, "nothing in it shows how a setting is written there")
    return seen.most_common(1)[0][0]


def _replace_uci(line: str, new: str) -> str:
    match = _UCI_OPTION.match(line)
    if match is None:
        raise CannotMend("/etc/config", "a line is written in a way that only a person should change")
    rest = line[match.end() :]
    return f"{match.group(1)}'{new}'" + _tail(rest, quoted="#" in "".join(words(rest)))


def _add_uci(lines: list[str], spec: Setting, value: Value, new: str) -> None:
    """Right below the line that opens the section; a section that is not there is added."""
    section, _, option = spec.key.rpartition(".")
    end = _ending(lines[0] if lines else "")
    if not value.section_line:
        lines += [end, f"config {section}{end}"]
    lines.insert(value.section_line or len(lines), f"\toption {option} '{new}'{end}")


_REPLACE: dict[Syntax, Callable[[str, str], str]] = {
    Syntax.SSHD: _replace_sshd,
    Syntax.KEYVALUE: _replace_pair,
    Syntax.UCI: _replace_uci,
}
_ADD: dict[Syntax, Callable[[list[str], Setting, Value, str], None]] = {
    Syntax.SSHD: _add_sshd,
    Syntax.KEYVALUE: _add_pair,
    Syntax.UCI: _add_uci,
}
