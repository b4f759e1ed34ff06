"""YAML that cannot surprise: bytes to plain values, and the line of each.

1. Bounded before parsed: bytes, depth and nodes have limits; anchors, aliases and tags are refused, so that a small
   file cannot become a large value and no YAML can name a Python object.
2. A key given twice is refused: the second must never silently win.
3. YAML 1.1 does not surprise: only ``true``, ``false``, ``null`` and plain decimal numbers are anything but text.
   ``on`` and ``no`` are words, ``12:30`` is no sexagesimal number, ``1.10`` is a version, ``2027-01-31`` a string.
4. Every fault names its line, and its code starts with the `kind` of file that is read; it is `HostileData` or
   `LimitExceeded`, and no other exception leaves here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec
import yaml

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS

_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_NULL = "tag:yaml.org,2002:null"
_STR = "tag:yaml.org,2002:str"

_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>\$[^`]*)`)?", re.DOTALL)
_LENGTH = re.compile(r"Expected `str` of length (>=|<=) ([0-9]{1,9})")

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """YAML composed to nodes, with what a file may not contain refused on the way.

    It only composes: values are made in `_value`, so no constructor of PyYAML ever runs.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own name; filled below)

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self._kind = kind
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node, within the limits."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave the parser untyped
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refused(f"{self._kind}.alias", line, "anchors and aliases are not allowed", "Write the value out.")
        if getattr(event, "tag", None) is not None:
            raise _refused(f"{self._kind}.tag", line, "tags are not allowed", "Remove what begins with '!'.")
        self._nodes += 1
        if self._nodes > LIMITS.model_nodes:
            raise LimitExceeded(
                f"{self._kind}.too_many_nodes",
                f"Line {line}: the file has more than {LIMITS.model_nodes} keys and values.",
                remedy="Describe only what the format asks for; split what is too long.",
            )
        if self._depth == LIMITS.model_depth:
            raise LimitExceeded(
                f"{self._kind}.too_deep",
                f"Line {line}: the file nests more than {LIMITS.model_depth} deep.",
                remedy="Remove the brackets or indents that the format does not ask for.",
            )
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_Loader.add_implicit_resolver(_BOOL, re.compile(r"(?:true|false)\Z"), ["t", "f"])
_Loader.add_implicit_resolver(_NULL, re.compile(r"(?:null|~|)\Z"), ["n", "~", ""])
_Loader.add_implicit_resolver(_INT, re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z"), list("-0123456789"))


def parse(data: bytes, kind: str) -> tuple[Any, Mapping[str, int]]:
    """The plain value of a file, and the line of every path in it (``$.constraints.power``, ``$[3].owner``).

    Args:
        data: UTF-8 YAML, at most `LIMITS.model_bytes`.
        kind: what the codes of errors start with.

    Raises:
        LimitExceeded: ``too_large``, ``too_deep``, ``too_many_nodes``.
        HostileData: ``not_text``, ``not_yaml``, ``alias``, ``tag``, ``duplicate_key``, ``key``, ``unprintable``.
    """
    if len(data) > LIMITS.model_bytes:
        raise LimitExceeded(
            f"{kind}.too_large",
            f"The file has {len(data)} bytes.",
            remedy=f"Such a file has at most {LIMITS.model_bytes} bytes; split it.",
        )
    try:
        node = _Loader(data.decode("utf-8-sig"), kind).get_single_node()
        reading = _Reading(kind)
        return (None if node is None else reading.value(node, "$")), reading.lines
    except UnicodeDecodeError as error:
        raise HostileData(
            f"{kind}.not_text", f"Byte {error.start} is not UTF-8.", remedy="Save the file as UTF-8 text."
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an escape past U+10FFFF, a version of 5,000 digits
        mark = getattr(error, "problem_mark", None)
        where = f"Line {mark.line + 1}: " if mark is not None else ""
        what = getattr(error, "problem", None) or "a character or escape that YAML does not allow"
        raise HostileData(
            f"{kind}.not_yaml", f"{where}{what}."[: LIMITS.text], remedy="Correct the YAML; indent with spaces."
        ) from None


def read(data: bytes, kind: str, shape: type[T]) -> T:
    """The file as a value of `shape`.

    Raises:
        HostileData: ``shape``, with the line and what would fit, and what `parse` raises.
    """
    return read_with_lines(data, kind, shape)[0]


def read_with_lines(data: bytes, kind: str, shape: type[T]) -> tuple[T, Mapping[str, int]]:
    """The same, and the line of every path in the file."""
    value, lines = parse(data, kind)
    try:
        return msgspec.convert(value, shape), lines
    except msgspec.ValidationError as error:
        what, path = told(error)
        raise HostileData(
            f"{kind}.shape",
            f"Line {line_of(path, lines)}: {path}: {what[:200]}.",
            remedy="Correct the entry; the reference lists every key and what it takes.",
        ) from None


def told(error: msgspec.ValidationError) -> tuple[str, str]:
    """What is wrong with a value, and the path where."""
    match = _AT.fullmatch(str(error))
    what, path = (match["what"], match["path"] or "$") if match else (str(error), "$")
    if length := _LENGTH.fullmatch(what):
        what = f"the text must have at {'least' if length[1] == '>=' else 'most'} {length[2]} characters"
    return what, path


def line_of(path: str, lines: Mapping[str, int]) -> int:
    """The line of `path`, or of the nearest part of the path that is in the file."""
    while path not in lines and len(path) > 1:
        path = path[: max(path.rfind("."), path.rfind("["), 1)]
    return lines.get(path, 1)


class _Reading:
    """Nodes made values; their depth was bounded by the loader."""

    def __init__(self, kind: str) -> None:
        self.lines: dict[str, int] = {}
        self._kind = kind

    def value(self, node: yaml.Node, path: str) -> Any:
        """The plain value of a composed node."""
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        text = cast("str", node.value)
        if node.tag == _INT:
            return int(text)
        if node.tag == _BOOL:
            return text == "true"
        if node.tag == _NULL:
            return None
        if not all(sign.isprintable() or sign in "\n\u00a0" for sign in text):
            code = f"{self._kind}.unprintable"
            raise _refused(code, line, "the text has a control character", "Remove the character.")
        return text

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _STR or not key.isprintable():
                raise _refused(f"{self._kind}.key", line, "a key is not a word", "Use the keys of the format only.")
            if key in mapping:
                code = f"{self._kind}.duplicate_key"
                raise _refused(code, line, f"the key {key[:80]!r} is given twice", "Keep one of the two.")
            self.lines[f"{path}.{key}"] = line
            mapping[key] = self.value(value_node, f"{path}.{key}")
        return mapping


def _refused(code: str, line: int, what: str, remedy: str) -> HostileData:
    return HostileData(code, f"Line {line}: {what}.", remedy=remedy)
