"""The shipped catalogue: complete, compiled from its source, and in our words."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast_core.baseline.control import Ask, Control, Group
from holdfast_core.baseline.probes import Every, ProbeSpec
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.severity import Severity
from holdfast_probe.catalogue import shipped_catalogue, shipped_digest

Compile = Callable[..., subprocess.CompletedProcess[str]]
CONTROLS = shipped_catalogue().controls
SENTENCES = [
    (control.id, sentence)
    for control in CONTROLS
    for sentence in (control.fault, control.rationale, *control.remedy.steps, *control.remedy.undo)
]


@pytest.fixture
def compiled(checkout: Path, tmp_path: Path) -> Compile:
    """Runs the compiler on a copy of the source, with the output beside it."""
    shutil.copytree(checkout / "packages" / "probe" / "catalogue", tmp_path / "source")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        tool = checkout / "tools" / "compile_catalogue.py"
        places = ("--source", str(tmp_path / "source"), "--output", str(tmp_path / "out.json"))
        return subprocess.run([sys.executable, tool, *places, *arguments], capture_output=True, text=True, check=False)

    return run


def test_every_group_has_its_ten_controls_and_more() -> None:
    for group in Group:
        numbers = {int(control.id[-2:]) for control in CONTROLS if control.group is group}
        assert numbers >= set(range(1, 11)), group
    assert len(CONTROLS) >= 139


def test_controls_come_in_the_order_of_groups_and_ids() -> None:
    order = list(Group)
    assert [c.id for c in CONTROLS] == [c.id for c in sorted(CONTROLS, key=lambda c: (order.index(c.group), c.id))]


def test_open_doors_and_nothing_else_are_critical() -> None:
    critical = {control.id for control in CONTROLS if control.severity is Severity.CRITICAL}
    assert critical == {"SVC-01", "SVC-03", "ACC-01", "ACC-02", "ACC-05", "ACC-10", "CRY-01"}


@pytest.mark.parametrize("device_class", DeviceClass)
def test_every_class_is_asked_enough_to_be_judged(device_class: DeviceClass) -> None:
    asks = [control.classes[device_class].ask for control in CONTROLS]
    assert len([ask for ask in asks if ask is not Ask.NOT_APPLICABLE]) >= 13


def test_only_microcontrollers_are_judged_by_their_manifest() -> None:
    classes = {name for c in CONTROLS for name, demand in c.classes.items() if demand.ask is Ask.MANIFEST}
    assert classes == {DeviceClass.MCU}


@pytest.mark.parametrize(("name", "sentence"), SENTENCES)
def test_every_sentence_is_one(name: str, sentence: str) -> None:
    assert sentence[0].isupper(), name
    assert sentence.endswith("."), name


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_every_control_is_mapped_and_can_be_undone(control: Control) -> None:
    assert control.mappings.etsi
    assert control.mappings.cra
    assert control.mappings.csf2
    assert control.remedy.undo


def kinds(probe: ProbeSpec | None) -> set[str]:
    if probe is None:
        return set()
    return set().union(*map(kinds, probe.of)) if isinstance(probe, Every) else {type(probe).__name__}


def test_the_digest_names_the_meaning() -> None:
    assert shipped_digest() == shipped_catalogue().digest
    assert shipped_digest().startswith("sha256:")


def test_the_committed_output_is_that_of_the_source(compiled: Compile, checkout: Path, tmp_path: Path) -> None:
    assert compiled().returncode == 0
    committed = checkout / "packages" / "probe" / "src" / "holdfast_probe" / "catalogue.json"
    assert (tmp_path / "out.json").read_bytes() == committed.read_bytes()
    assert compiled("--check").returncode == 0


def test_a_stale_output_is_found_and_left_alone(compiled: Compile, tmp_path: Path) -> None:
    assert compiled().returncode == 0
    source = tmp_path / "source" / "dat.yaml"
    source.write_text(source.read_text().replace("lies about", "lies around"))
    before = (tmp_path / "out.json").read_bytes()
    stale = compiled("--check")
    assert (stale.returncode, (tmp_path / "out.json").read_bytes()) == (1, before)
    assert "stale" in stale.stderr


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        pytest.param("severity: medium", "severity: grave", "DAT-01", id="a severity that is none"),
        pytest.param("kind: core_files", "kind: shell, run: ls", "DAT-06", id="a shell command for a probe"),
        pytest.param("group: DAT", "group: NET", "dat.yaml", id="the wrong group"),
        pytest.param("stand_in: [SVC-03, ACC-10]", "stand_in: [SVC-99]", "SVC-99", id="a stand-in that is missing"),
        pytest.param("controls:", "control:", "dat.yaml", id="a misspelt key"),
        pytest.param("group: DAT", "group: [DAT", "dat.yaml", id="no YAML"),
    ],
)
def test_a_wrong_source_is_refused_by_name(compiled: Compile, tmp_path: Path, old: str, new: str, words: str) -> None:
    source = tmp_path / "source" / "dat.yaml"
    assert old in source.read_text()
    source.write_text(source.read_text().replace(old, new))
    refused = compiled()
    assert refused.returncode == 2
    assert words in refused.stderr
    assert not (tmp_path / "out.json").exists()
