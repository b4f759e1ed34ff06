"""Reading and writing the model file: YAML bytes to a validated `DeviceModel`, and back.

1. The YAML is read by `strict_yaml`: bounded, nothing twice, no surprises of YAML 1.1.
2. Every fault names the line and the path (``$.constraints.power``) and is `ModelInvalid`, `HostileData` or
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

from holdfast.strict_yaml import line_of, parse, told
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.inventory.rules import ModelInvalid, validate
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.errors import HostileData

EXAMPLES = ("edge-server", "site-gateway", "door-camera", "pump-controller", "soil-sensor")
"""The example models that ship, one of each class."""

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
    value, lines = parse(data, "model")
    try:
        model = msgspec.convert(value, DeviceModel)
    except msgspec.ValidationError as error:
        raise _shape(error, lines) from None
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


def _shape(error: msgspec.ValidationError, lines: Mapping[str, int]) -> ModelInvalid:
    """A msgspec message as an error that says where and what would fit."""
    what, path = told(error)
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
    sentence = f"Line {line_of(error.path, lines)}: {error.sentence}"
    return ModelInvalid(error.code, sentence, remedy=error.remedy, path=error.path)
