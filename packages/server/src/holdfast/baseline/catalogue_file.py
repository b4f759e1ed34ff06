"""Reading people's own controls: a folder of YAML files, laid over the shipped catalogue.

1. ``catalogue.yaml`` names the version; every other ``*.yaml`` has one `group`, with `controls`, `overrides` and
   `prohibitions`. Files are read in the order of their names, bounded, by `strict_yaml`.
2. A class may be written as one word (``server: required``); ``others`` speaks for the classes that are not named.
3. What is refused names the file and the line or the control.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from holdfast import strict_yaml
from holdfast_core.baseline.control import Burden, Catalogue, Control, ControlIds, Group, Prohibition
from holdfast_core.baseline.model import ControlId
from holdfast_core.baseline.overlay import Overlay, Version, overlaid
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.errors import HoldfastError, HostileData, WorldError
from holdfast_core.kernel.limits import LIMITS
from holdfast_probe.catalogue import shipped_catalogue

INDEX = "catalogue.yaml"
FILES = 64
"""Files of one folder."""


class _Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``catalogue.yaml``."""

    version: Version
    stand_ins: dict[Burden, ControlIds] = msgspec.field(default_factory=dict)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Any other file, with its controls still plain."""

    group: Group
    controls: tuple[dict[str, Any], ...] = ()
    overrides: tuple[dict[str, Any], ...] = ()
    prohibitions: tuple[Prohibition, ...] = ()


def catalogue_with(folders: tuple[Path, ...]) -> Catalogue:
    """The shipped catalogue with the controls of `folders` over it, one after the other.

    Raises:
        WorldError: ``catalogue.unreadable``.
        HostileData, LimitExceeded: what `read_overlay` and `overlaid` raise.
    """
    catalogue = shipped_catalogue()
    for folder in folders:
        catalogue = overlaid(catalogue, read_overlay(folder))
    return catalogue


def read_overlay(folder: Path) -> Overlay:
    """The controls of one folder.

    Raises:
        WorldError: ``catalogue.unreadable``.
        HostileData, LimitExceeded: ``catalogue.shape``, ``catalogue.files``, and what `strict_yaml.read` raises.
    """
    index, _ = _read(folder / INDEX, _Index)
    controls: list[Control] = []
    overrides: list[tuple[ControlId, dict[str, Any]]] = []
    prohibitions: list[Prohibition] = []
    for path in _files(folder):
        file, lines = _read(path, _File)
        controls += [
            _control(_Place(path, f"$.controls[{at}]", lines), plain, file.group)
            for at, plain in enumerate(file.controls)
        ]
        overrides += [_override(path, plain) for plain in file.overrides]
        prohibitions += file.prohibitions
    return Overlay(index.version, tuple(controls), tuple(overrides), tuple(prohibitions), index.stand_ins)


def spelt(classes: dict[str, Any]) -> dict[str, Any]:
    """Classes as their type has them: one word spelt out, ``others`` given to every class that is not named."""
    others = classes.get("others")
    named = {name: demand for name, demand in classes.items() if name != "others"}
    if others is not None:
        named = {**{entry.value: others for entry in DeviceClass}, **named}
    return {name: {"ask": demand} if isinstance(demand, str) else demand for name, demand in named.items()}


def control_schema() -> dict[str, Any]:
    """The JSON Schema of a file of controls (draft 2020-12)."""
    (whole,), definitions = msgspec.json.schema_components([Control], ref_template="#/$defs/{name}")
    control = definitions["Control"]
    demand = {"anyOf": [{"enum": ["required", "manifest"]}, {"$ref": "#/$defs/ClassDemand"}]}
    names = [*(entry.value for entry in DeviceClass), "others"]
    control["properties"]["classes"] = {
        "type": "object",
        "properties": dict.fromkeys(names, demand),
        "additionalProperties": False,
    }
    control["required"] = sorted(set(control["required"]) - {"group"})
    override = {
        "type": "object",
        "properties": {name: shape for name, shape in control["properties"].items() if name != "group"},
        "required": ["id"],
        "additionalProperties": False,
    }
    (prohibition,), more = msgspec.json.schema_components([Prohibition], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:holdfast:controls:1",
        "title": "Holdfast controls",
        "description": "One file of a folder of controls; one file a group.",
        "type": "object",
        "properties": {
            "group": {"enum": [group.value for group in Group]},
            "controls": {"type": "array", "items": whole},
            "overrides": {"type": "array", "items": override},
            "prohibitions": {"type": "array", "items": prohibition},
        },
        "required": ["group"],
        "additionalProperties": False,
        "$defs": {**more, **definitions},
    }


def control_schema_text() -> str:
    """`control_schema` as it is committed in ``control.schema.json``."""
    return msgspec.json.format(msgspec.json.encode(control_schema(), order="deterministic"), indent=2).decode() + "\n"


def _files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != INDEX)
    if len(paths) > FILES:
        raise HostileData(
            "catalogue.files", f"{folder} has more than {FILES} files.", remedy="One file a group is enough."
        )
    return paths


class _Place(NamedTuple):
    """Where a control stands: its file, its path there, and the lines of the file."""

    file: Path
    path: str
    lines: Mapping[str, int]

    def told(self, error: msgspec.ValidationError) -> str:
        """What is wrong, with the line and the field."""
        what, inner = strict_yaml.told(error)
        line = strict_yaml.line_of(self.path + inner[1:], self.lines)
        return f"{self.file.name}: Line {line}: {inner.removeprefix('$.') if inner != '$' else 'the control'}: {what}"


def _read(path: Path, shape: type[strict_yaml.T]) -> tuple[strict_yaml.T, Mapping[str, int]]:
    """A file as a value of `shape`, and the line of every path in it."""
    try:
        with path.open("rb") as file:
            data = file.read(LIMITS.model_bytes + 1)
    except OSError as error:
        raise WorldError(
            "catalogue.unreadable",
            f"{path} could not be read: {error.strerror}.",
            remedy=f"A folder of controls has a {INDEX} with its version, and one YAML file a group.",
        ) from error
    try:
        return strict_yaml.read_with_lines(data, "catalogue", shape)
    except HoldfastError as error:
        error.sentence = f"{path.name}: {error.sentence}"
        raise


def _control(place: _Place, plain: dict[str, Any], group: Group) -> Control:
    name = str(plain.get("id", "a control without an id"))
    classes = plain.get("classes")
    whole = {**plain, "group": group.value}
    if isinstance(classes, dict):
        whole["classes"] = spelt(classes)
    try:
        return msgspec.convert(whole, Control)
    except msgspec.ValidationError as error:
        raise _shape(f"{place.told(error)} (of {name[:20]})") from None
    except HostileData as error:
        raise _shape(f"{place.file.name}: {name[:20]}: {error}") from None


def _override(path: Path, plain: dict[str, Any]) -> tuple[ControlId, dict[str, Any]]:
    name = plain.get("id")
    if not isinstance(name, str):
        raise _shape(f"{path.name}: an override names no control")
    fields = {key: value for key, value in plain.items() if key != "id"}
    if isinstance(fields.get("classes"), dict):
        fields["classes"] = spelt(fields["classes"])
    return name, fields


def _shape(sentence: str) -> HostileData:
    return HostileData(
        "catalogue.shape",
        f"{sentence[: LIMITS.text]}.",
        remedy="docs/reference/control-format.md lists every key; holdfast control schema prints its JSON Schema.",
    )
