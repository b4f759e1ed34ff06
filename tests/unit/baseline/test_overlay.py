"""People's own controls over the shipped ones, and what the lint has to say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from baseline_builders import NOW, model
from holdfast.baseline.catalogue_file import catalogue_with, control_schema_text, read_overlay
from holdfast.baseline.service import Compiler
from holdfast_agent.audit import look_heavy, look_light
from holdfast_agent.state import Config
from holdfast_core.baseline.lint import lint
from holdfast_core.baseline.model import Outcome
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.severity import Severity
from holdfast_probe.catalogue import shipped_catalogue

OWN: dict[str, Any] = {
    "id": "NET-51",
    "title": "The site's own resolver is used",
    "fault": "Another resolver than the site's is used.",
    "rationale": "The site's resolver logs and filters; another one is how data leaves unseen.",
    "severity": "medium",
    "classes": {
        "linux-iot": "required",
        "others": {"ask": "not_applicable", "reason": "Only our small devices stand in that network."},
    },
    "probe": {"kind": "words", "paths": ["/etc/resolv.conf"], "forbid": ["8.8.8.8"]},
    "cost": {"cpu_ms": 1},
    "remedy": {"steps": ["Write the site's resolver into resolv.conf."], "undo": ["Write the former one."]},
    "mappings": {"cra": ["I.2.j"]},
}


def folder_of(tmp_path: Path, *controls: dict[str, Any], overrides: tuple[dict[str, Any], ...] = ()) -> Path:
    (tmp_path / "catalogue.yaml").write_text("version: acme-3\n")
    group = controls[0]["id"][:3] if controls else overrides[0]["id"][:3]
    text = json.dumps({"group": group, "controls": list(controls), "overrides": list(overrides)})  # JSON is YAML
    (tmp_path / "own.yaml").write_text(text)
    return tmp_path


def codes(folder: Path, *, walks: bool = False, mendable: bool = True) -> set[str]:
    whole = catalogue_with((folder,))
    found = lint(whole, shipped_catalogue(), walks=lambda _: walks, mendable=lambda _: mendable)
    return {reason.code for reason in found}


def test_an_own_control_stands_beside_the_shipped_ones(tmp_path: Path) -> None:
    whole = catalogue_with((folder_of(tmp_path, OWN),))
    assert whole.version == f"{shipped_catalogue().version}+acme-3"
    assert len(whole.controls) == len(shipped_catalogue().controls) + 1
    assert whole.digest != shipped_catalogue().digest
    own = next(control for control in whole.controls if control.id == "NET-51")
    assert own.classes.keys() == set(DeviceClass)
    assert [c.id for c in whole.controls if c.id.startswith("NET-")][-1] == "NET-51"
    assert codes(tmp_path) == set()


def test_an_agent_that_never_heard_of_it_looks_at_it(tmp_path: Path) -> None:
    """Its probe travels with the plan: data, never a command."""
    whole = catalogue_with((folder_of(tmp_path, OWN),))
    plan = Compiler(whole, shipped_catalogue()).compile(model(), NOW).plan
    assert plan.probes.keys() == {"NET-51"}
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "resolv.conf").write_text("nameserver 8.8.8.8\n")
    (root / "etc" / "resolv.conf").chmod(0o644)
    alone = msgspec.structs.replace(plan, controls=("NET-51",))
    config = Config("https://x", "cam-1", root=str(root))
    found = look_heavy(alone, None, config, wall_s=0, breath=lambda: False, walk=b"").findings
    assert [(entry.control, entry.outcome) for entry in found.findings] == [("NET-51", Outcome.FAIL)]


def test_an_agent_that_cannot_look_at_it_says_so_and_looks_at_the_rest(tmp_path: Path) -> None:
    whole = catalogue_with((folder_of(tmp_path, OWN),))
    plan = Compiler(whole, shipped_catalogue()).compile(model(), NOW).plan
    newer = {"NET-51": msgspec.Raw(b'{"kind":"of-next-year"}')}
    alone = msgspec.structs.replace(plan, controls=("NET-51", "ACC-05"), probes=newer)
    found, _ = look_light(alone, None, Config("https://x", "cam-1", root=str(tmp_path)), wall_s=0)
    assert {entry.control: entry.outcome for entry in found.findings} == {
        "NET-51": Outcome.UNKNOWN,
        "ACC-05": Outcome.NOT_APPLICABLE,
    }


def test_a_shipped_control_is_changed_in_parts(tmp_path: Path) -> None:
    excuse = {"ask": "not_applicable", "reason": "Our servers are not reachable from anywhere."}
    change = {"id": "NET-05", "severity": "high", "classes": {"server": excuse}}
    whole = catalogue_with((folder_of(tmp_path, overrides=(change,)),))
    changed = next(control for control in whole.controls if control.id == "NET-05")
    before = next(control for control in shipped_catalogue().controls if control.id == "NET-05")
    assert changed.severity is Severity.HIGH
    assert changed.classes[DeviceClass.SERVER].reason == excuse["reason"]
    assert changed.classes[DeviceClass.GATEWAY] == before.classes[DeviceClass.GATEWAY]
    assert changed.probe == before.probe
    assert codes(tmp_path) == {"control.unasked.NET-05"}


@pytest.mark.parametrize(
    ("controls", "overrides", "code", "words"),
    [
        pytest.param(({**OWN, "id": "NET-11"},), (), "catalogue.own_number", "NET-11", id="a shipped number"),
        pytest.param(
            ({**OWN, "probe": {"kind": "shell", "run": "ls"}},), (), "catalogue.shape", "NET-51", id="a shell"
        ),
        pytest.param(({**OWN, "severity": "grave"},), (), "catalogue.shape", "NET-51", id="no severity"),
        pytest.param(({**OWN, "classes": {"server": "required"}},), (), "catalogue.shape", "leaves out", id="a class"),
        pytest.param(({**OWN, "stand_in": ["NET-99"]},), (), "catalogue.invalid", "NET-99", id="a missing stand-in"),
        pytest.param((OWN, OWN), (), "catalogue.invalid", "twice", id="the same number twice"),
        pytest.param((), ({"id": "NET-98"},), "catalogue.override_unknown", "NET-98", id="an override of nothing"),
        pytest.param((), ({"id": "NET-05", "group": "FS"},), "catalogue.override", "group", id="another group"),
        pytest.param((), ({"id": "NET-05", "rank": 1},), "catalogue.override", "rank", id="an unknown field"),
        pytest.param((), ({"id": "NET-05", "cost": 3},), "catalogue.override", "NET-05", id="a wrong field"),
    ],
)
def test_what_cannot_be_laid_over_is_refused_by_name(
    tmp_path: Path, controls: tuple[Any, ...], overrides: tuple[Any, ...], code: str, words: str
) -> None:
    with pytest.raises(HoldfastError) as refused:
        catalogue_with((folder_of(tmp_path, *controls, overrides=overrides),))
    assert refused.value.code == code
    assert words in refused.value.sentence
    assert refused.value.remedy


def test_a_folder_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HoldfastError) as refused:
        read_overlay(tmp_path)
    assert refused.value.code == "catalogue.unreadable"


@pytest.mark.parametrize(
    ("changed", "options", "code"),
    [
        pytest.param({"fault": "another resolver is used"}, {}, "sentence", id="no sentence"),
        pytest.param({"mappings": {}}, {}, "unmapped", id="mapped to nothing"),
        pytest.param({"cost": {"cpu_ms": 1, "heavy": True}}, {"walks": True}, "walks", id="a walk"),
        pytest.param({"remedy": {**OWN["remedy"], "fix": "planned"}}, {}, "own_mend", id="a fix that no device makes"),
        pytest.param({"classes": {"others": "required"}}, {}, "no_agent", id="a look where nobody looks"),
        pytest.param(
            {"remedy": {**OWN["remedy"], "steps": ["A step." + " It goes on." * 30] * 4}}, {}, "long", id="too long"
        ),
    ],
)
def test_what_is_legal_and_not_good_is_told(
    tmp_path: Path, changed: dict[str, Any], options: dict[str, bool], code: str
) -> None:
    assert codes(folder_of(tmp_path, {**OWN, **changed}), **options) == {f"control.{code}.NET-51"}


def test_a_fix_of_what_cannot_be_worked_out_is_told(tmp_path: Path) -> None:
    (planned,) = [each for each in shipped_catalogue().controls if each.id == "NET-05"]
    remedy = {**msgspec.to_builtins(planned.remedy), "fix": "planned", "steps": ["Do it in another way."]}
    folder = folder_of(tmp_path, overrides=({"id": "NET-05", "remedy": remedy},))
    assert codes(folder, mendable=False) == {"control.no_mend.NET-05"}


def test_a_walk_that_is_called_cheap_is_told(tmp_path: Path) -> None:
    assert "control.cheap.NET-51" in codes(folder_of(tmp_path, OWN), walks=True)


def test_a_lowered_severity_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, overrides=({"id": "NET-05", "severity": "low"},))
    assert codes(folder) == {"control.lowered.NET-05"}


def test_the_committed_schema_is_that_of_the_format(checkout: Path) -> None:
    committed = checkout / "packages/server/src/holdfast/baseline/control.schema.json"
    assert committed.read_text() == control_schema_text(), "write control_schema_text() to control.schema.json"
