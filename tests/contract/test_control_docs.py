"""The pages about controls say what the code does: what is generated is current, every key is told, examples work."""

from __future__ import annotations

import importlib.util
import re
import typing
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from conftest import ROOT
from holdfast import strict_yaml
from holdfast.baseline.catalogue_file import catalogue_with
from holdfast.config import Config
from holdfast_core.baseline.conditions import Condition
from holdfast_core.baseline.control import Ask, Burden, Control, Effect, Fix, MetBy, Prohibition, Remedy
from holdfast_core.baseline.probes import ProbeSpec
from holdfast_core.inventory.model import Expected
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.images import ImageLimits
from holdfast_probe.images.unknown import NAMED

REFERENCE = ROOT / "docs" / "reference"
FORMAT = REFERENCE / "control-format.md"


def tool(name: str) -> ModuleType:
    """A program of tools/, which is a script and no module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def section(title: str) -> str:
    """What stands below a heading of the control format, up to the next one."""
    return re.split(r"^#+ ", FORMAT.read_text().partition(f"\n{title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def keys(text: str) -> set[str]:
    """The keys of a section's tables."""
    return set(re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["probe_reference", "catalogue_reference"])
def test_what_is_generated_is_current(name: str) -> None:
    assert tool(name).main(["--check"]) == 0, f"run tools/{name}.py"


@pytest.mark.parametrize(("union", "name"), [(ProbeSpec, "probes"), (Condition, "conditions")])
def test_every_kind_has_its_place(union: object, name: str) -> None:
    generated = FORMAT.read_text().partition(f"<!-- {name}: ")[2].partition(f"<!-- end of {name} -->")[0]
    told = re.findall(r"^#### `([a-z_]+)`$", generated, re.MULTILINE)
    assert sorted(told) == sorted(kind.__struct_config__.tag for kind in typing.get_args(union))


@pytest.mark.parametrize(
    ("shape", "title", "elsewhere"),
    [
        (Control, "## A control", {"group", "filesystems"}),
        (Remedy, "### Remedy", set()),
        (Prohibition, "## Prohibitions", set()),
    ],
)
def test_every_key_of_a_file_is_told(shape: type[msgspec.Struct], title: str, elsewhere: set[str]) -> None:
    assert keys(section(title)) == set(shape.__struct_fields__) - elsewhere


def test_the_words_that_a_key_can_have_are_told() -> None:
    assert keys(section("### Classes")) == set(Ask)
    for word in (*Effect, *MetBy, *Fix, *Burden):
        assert f"`{word.value}`" in FORMAT.read_text()


def test_the_examples_of_the_format_are_taken(tmp_path: Path) -> None:
    index, override, probe = re.findall(r"^```yaml\n(.*?)^```$", FORMAT.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "catalogue.yaml").write_text(index)
    (tmp_path / "log.yaml").write_text(override)
    whole = catalogue_with((tmp_path,))
    assert whole.version == f"{shipped_catalogue().version}+acme-3"
    read = strict_yaml.read(probe.encode(), "catalogue", dict[str, object])
    assert msgspec.convert(read["probe"], ProbeSpec)


def test_every_list_of_a_model_and_every_setting_of_a_server_is_told() -> None:
    model, server = (REFERENCE / "model-file.md").read_text(), (REFERENCE / "configuration.md").read_text()
    (row,) = re.findall(r"^\| `expected` \|.*$", model, re.MULTILINE)
    assert all(f"`{name}`" in row for name in Expected.__struct_fields__)
    assert keys(server) >= set(Config.__struct_fields__)


def test_what_is_named_in_an_image_and_not_read_is_told() -> None:
    page = (REFERENCE / "audit-formats.md").read_text().partition("## What an image may be")[2]
    assert all(name in page for name, _ in NAMED.values())
    assert f"{ImageLimits().entries:,} files" in page
    assert (
        f"{ImageLimits().unpacked_bytes // 1024**3} GiB unpacked, {ImageLimits().scanned_bytes // 1024**3} GiB" in page
    )
