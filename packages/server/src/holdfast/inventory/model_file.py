"""Reading and writing the model file: YAML bytes to a validated `DeviceModel`, and back.

1. Bounded before parsed: bytes, depth and nodes have limits; anchors, aliases and tags are refused, so that a small
   file cannot become a large value and no YAML can name a Python object.
2. A key given twice is refused: the second must never silently win.
3. YAML 1.1 does not surprise: only ``true``, ``false``, ``null`` and plain decimal numbers are anything but text.
   ``on`` and ``no`` are words, ``12:30`` is no sexagesimal number, ``1.10`` is a version, ``2027-01-31`` a string.
4. Every fault names the line and the path (``$.constraints.power``) and is `ModelInvalid`, `HostileData` or
   `LimitExceeded`; no other exception leaves `load`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any, cast

import msgspec
import yaml

from holdfast_core.inventory.model import DeviceModel
from holdfast_core.inventory.rules import ModelInvalid, validate
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.limits import LIMITS

EXAMPLES = ("edge-server", "site-gateway", "door-camera", "pump-controller", "soil-sensor")
"""The example models that ship, one of each class."""

_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_NULL = "tag:yaml.org,2002:null"
_STR = "tag:yaml.org,2002:str"

_AT = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>\$[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[[0-9]+\]")


def load(data: bytes) -> DeviceModel:
    """Read a model file.

    Args:
        data: UTF-8 YAML, at most `LIMITS.model_bytes`.

    Raises:
        LimitExceeded: ``model.too_large``, ``model.too_deep`` or ``model.too_many_nodes``.
        HostileData: ``model.not_text``, ``model.not_yaml``, ``model.alias``, ``model.tag``, ``model.duplicate_key``,
            ``model.key``.
        ModelInvalid: ``model.shape`` for a wrong type or key, and what `rules.validate` raises.
    """
    value, lines = _parse(data)
    try:
        model = msgspec.convert(value, DeviceModel)
    except msgspec.ValidationError as error:
        raise _shape(str(error), lines) from None
    try:
        validate(model)
    except ModelInvalid as error:
        raise _placed(error, lines) from None
    return model


def dump(model: DeviceModel) -> bytes:
    """`model` as YAML that `load` reads back to an equal model; comments of the original are not kept."""
    plain = msgspec.to_builtins(model)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110).encode()


def digest(model: DeviceModel) -> Digest:
    """The digest of what `model` says: files that differ in comments, order or spelled-out defaults share it."""
    return digest_of(canonical(model))


def schema() -> dict[str, Any]:
    """The JSON Schema of the model file (draft 2020-12), for editors and other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:holdfast:model-file:1",
        "title": "Holdfast model file",
        **msgspec.json.schema(DeviceModel),
    }


def schema_text() -> str:
    """`schema` as it is committed in ``model.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(schema(), order="deterministic"), indent=2).decode() + "\n"


def example_bytes(name: str) -> bytes:
    """The file of one of `EXAMPLES`, comments and all.

    Raises:
        HostileData: ``model.no_example``.
    """
    if name not in EXAMPLES:
        raise HostileData(
            "model.no_example", f"No example is called {name[:80]!r}.", remedy=f"Use one of {', '.join(EXAMPLES)}."
        )
    return (resources.files("holdfast.inventory") / "examples" / f"{name}.yaml").read_bytes()


def load_examples() -> dict[str, DeviceModel]:
    """The example models by name, in the order of `EXAMPLES`."""
    return {name: load(example_bytes(name)) for name in EXAMPLES}


class _Loader(yaml.SafeLoader):
    """YAML composed to nodes, with what a model file may not contain refused on the way.

    It only composes: values are made in `_value`, so no constructor of PyYAML ever runs.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own name; filled below)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one node, within the limits."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave the parser untyped
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _refused("model.alias", line, "anchors and aliases are not allowed", "Write the value out.")
        if getattr(event, "tag", None) is not None:
            raise _refused("model.tag", line, "tags are not allowed", "Remove what begins with '!'.")
        self._nodes += 1
        if self._nodes > LIMITS.model_nodes:
            raise LimitExceeded(
                "model.too_many_nodes",
                f"Line {line}: the file has more than {LIMITS.model_nodes} keys and values.",
                remedy="Describe one model a file, and only what the format asks for.",
            )
        if self._depth == LIMITS.model_depth:
            raise LimitExceeded(
                "model.too_deep",
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


def _parse(data: bytes) -> tuple[Any, Mapping[str, int]]:
    """The plain value of a file, and the line of every path in it."""
    if len(data) > LIMITS.model_bytes:
        raise LimitExceeded(
            "model.too_large",
            f"The file has {len(data)} bytes.",
            remedy=f"A model file has at most {LIMITS.model_bytes} bytes; describe one model a file.",
        )
    lines: dict[str, int] = {}
    try:
        node = _Loader(data.decode("utf-8-sig")).get_single_node()
        value = None if node is None else _value(node, "$", lines)
    except UnicodeDecodeError as error:
        raise HostileData(
            "model.not_text", f"Byte {error.start} is not UTF-8.", remedy="Save the file as UTF-8 text."
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an escape past U+10FFFF, a version of 5,000 digits
        mark = getattr(error, "problem_mark", None)
        where = f"Line {mark.line + 1}: " if mark is not None else ""
        what = getattr(error, "problem", None) or "a character or escape that YAML does not allow"
        raise HostileData(
            "model.not_yaml", f"{where}{what}."[: LIMITS.text], remedy="Correct the YAML; indent with spaces."
        ) from None
    return value, lines


def _value(node: yaml.Node, path: str, lines: dict[str, int]) -> Any:
    """The plain value of a composed node; the depth is bounded by the loader."""
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{index}]", lines) for index, item in enumerate(node.value)]
    text = cast("str", node.value)
    if node.tag == _INT:
        return int(text)
    if node.tag == _BOOL:
        return text == "true"
    if node.tag == _NULL:
        return None
    if not all(sign.isprintable() or sign in "\n\u00a0" for sign in text):
        raise _refused("model.unprintable", line, "the text has a control character", "Remove the character.")
    return text


def _mapping(node: yaml.MappingNode, path: str, lines: dict[str, int]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _STR or not key.isprintable():
            raise _refused("model.key", line, "a key is not a word", "Use the keys of the format only.")
        if key in mapping:
            raise _refused("model.duplicate_key", line, f"the key {key[:80]!r} is given twice", "Keep one of the two.")
        lines[f"{path}.{key}"] = line
        mapping[key] = _value(value_node, f"{path}.{key}", lines)
    return mapping


def _refused(code: str, line: int, what: str, remedy: str) -> HostileData:
    return HostileData(code, f"Line {line}: {what}.", remedy=remedy)


def _shape(message: str, lines: Mapping[str, int]) -> ModelInvalid:
    """A msgspec message as an error that says where and what would fit."""
    match = _AT.fullmatch(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    spec = _spec_at(path)
    remedy = "The reference of the model file lists every key and its type."
    unknown = _UNKNOWN.fullmatch(what)
    if unknown:
        known = sorted(spec.get("properties", ()))
        near = difflib.get_close_matches(unknown["field"], known, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else f"Use one of {', '.join(known)}."
        path = f"{path}.{unknown['field'][:80]}"
    elif "enum" in spec:
        remedy = f"Use one of {', '.join(map(str, spec['enum']))}."
    elif what.startswith("Expected `str`"):
        remedy = "Put the value into quotes."
    elif what.startswith("Expected `bool`"):
        remedy = "Write true or false."
    return _placed(ModelInvalid("model.shape", f"{path}: {what[:200]}.", remedy=remedy, path=path), lines)


def _spec_at(path: str) -> dict[str, Any]:
    """The part of the schema that speaks of `path`; empty where it does not."""
    whole = schema()

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        for choice in (part, *part.get("anyOf", ())):
            if "$ref" in choice:
                return cast("dict[str, Any]", whole["$defs"][choice["$ref"].rpartition("/")[2]])
        return part

    spec = resolved(whole)
    for step in _STEP.finditer(path):
        inner = spec.get("items", {}) if step[1] is None else spec.get("properties", {}).get(step[1], {})
        spec = resolved(inner) if isinstance(inner, dict) else {}
    return spec


def _placed(error: ModelInvalid, lines: Mapping[str, int]) -> ModelInvalid:
    """`error` with the line of its path, or of the nearest part of the path that is in the file."""
    path = error.path
    while path not in lines and len(path) > 1:
        path = path[: max(path.rfind("."), path.rfind("["), 1)]
    sentence = f"Line {lines.get(path, 1)}: {error.sentence}"
    return ModelInvalid(error.code, sentence, remedy=error.remedy, path=error.path)
