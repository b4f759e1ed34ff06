"""Compile the control catalogue: thirteen YAML files, reviewed by people, into the one JSON file that the wheels carry.

Usage: compile_catalogue.py [--check] [--source FOLDER] [--output FILE]

1. Agents read no YAML, so what they ship is compiled here, validated by the same types that read it on a device.
2. The output is stable: groups in their order, controls by id, keys sorted; the same source gives the same bytes.
3. With --check nothing is written; exit 1 says that the output is stale, exit 2 that the source is wrong.

``catalogue.yaml`` has the version and what stands in for a burden; there is one more file a group. In these, a class
may be written as one word (``server: required``), and ``excuses`` holds anchors only.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import yaml

from holdfast.baseline.catalogue_file import spelt
from holdfast_core.baseline.control import Catalogue, Group
from holdfast_core.kernel.errors import HostileData

PROBE = Path(__file__).resolve().parent.parent / "packages" / "probe"
SOURCE = PROBE / "catalogue"
OUTPUT = PROBE / "src" / "holdfast_probe" / "catalogue.json"


class SourceWrong(Exception):
    """A source file that cannot be compiled; the message names it."""


def compile_catalogue(source: Path) -> bytes:
    """The compiled catalogue of the YAML files in `source`.

    Raises:
        SourceWrong: a file is missing, no YAML, or not a catalogue.
    """
    controls: list[dict[str, Any]] = []
    prohibitions: list[dict[str, Any]] = []
    for group in Group:
        document = _read(source / f"{group.value.lower()}.yaml", group)
        controls.extend(sorted((_control(entry, group) for entry in document["controls"]), key=_id))
        prohibitions.extend(sorted(document.get("prohibitions", []), key=_id))
    index = _loaded(source / "catalogue.yaml")
    if not isinstance(index, dict) or index.keys() - {"version", "stand_ins"}:
        raise SourceWrong("catalogue.yaml: needs `version`, and may have `stand_ins`")
    compiled = {**index, "controls": controls, "prohibitions": prohibitions}
    try:
        catalogue = msgspec.convert(compiled, type=Catalogue)
    except (msgspec.ValidationError, HostileData) as error:
        raise SourceWrong(f"the catalogue is refused: {_place(str(error), controls)}") from error
    text = json.dumps(msgspec.to_builtins(catalogue), indent=1, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()


def _read(path: Path, group: Group) -> dict[str, Any]:
    document = _loaded(path)
    allowed = {"group", "excuses", "controls", "prohibitions"}
    if not isinstance(document, dict) or document.get("group") != group.value or not document.get("controls"):
        raise SourceWrong(f"{path.name}: needs `group: {group.value}` and `controls`")
    if unknown := sorted(document.keys() - allowed):
        raise SourceWrong(f"{path.name}: unknown keys {', '.join(unknown)}")
    return document


def _loaded(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SourceWrong(f"{path.name}: {error}") from error


def _control(entry: dict[str, Any], group: Group) -> dict[str, Any]:
    """A control as its type has it: classes spelt out, group filled in."""
    return {**entry, "group": group.value, "classes": spelt(entry.get("classes", {}))}


def _id(entry: dict[str, Any]) -> str:
    return str(entry.get("id", ""))


def _place(message: str, controls: list[dict[str, Any]]) -> str:
    """`message` with the control's id where msgspec names only its position."""
    for position, control in enumerate(controls):
        message = message.replace(f"$.controls[{position}]", f"{_id(control)}")
    return message


def main(arguments: list[str]) -> int:
    """Compile or check; returns the exit status."""
    parser = argparse.ArgumentParser(description="Compile the control catalogue.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the output is stale")
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of the YAML files")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file")
    options = parser.parse_args(arguments)
    try:
        compiled = compile_catalogue(options.source)
    except SourceWrong as error:
        print(error, file=sys.stderr)
        return 2
    current = options.output.read_bytes() if options.output.exists() else b""
    if current == compiled:
        return 0
    if options.check:
        print(f"{options.output.name} is stale: run tools/compile_catalogue.py and commit it.", file=sys.stderr)
        return 1
    options.output.write_bytes(compiled)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
