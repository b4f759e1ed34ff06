"""``holdfast control`` and ``holdfast baseline``, on files alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from holdfast.cli.app import build
from holdfast.cli.session import Exit
from holdfast.inventory import model_file
from holdfast_probe.catalogue import shipped_catalogue

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "100"})


def run(*arguments: str) -> Result:
    return runner.invoke(build(), list(arguments))


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    path = tmp_path / "camera.yaml"
    path.write_bytes(model_file.example_bytes("door-camera"))
    return path


def own(tmp_path: Path, fault: str = "It is wrong.") -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "catalogue.yaml").write_text("version: acme-1\n")
    text = f"""
group: DAT
controls:
  - id: DAT-51
    title: No test pictures are left behind
    fault: {fault}
    rationale: Pictures of the laboratory tell who works there and on what.
    severity: low
    classes: {{others: required, mcu: {{ask: not_applicable, reason: It has no file system at all.}}}}
    probe: {{kind: absent, paths: [/srv/test.jpg]}}
    cost: {{cpu_ms: 1}}
    remedy: {{steps: [Remove the pictures from the build.], undo: [Put them back for a test.]}}
    mappings: {{cra: [I.2.g]}}
"""
    (folder / "dat.yaml").write_text(text)
    return folder


def test_every_control_is_listed_and_can_be_shown() -> None:
    listed = json.loads(run("control", "list", "--json").stdout)["items"]
    assert [item["id"] for item in listed] == [control.id for control in shipped_catalogue().controls]
    shown = run("control", "show", "acc-06")
    assert shown.exit_code == Exit.FINE
    assert "SSH" in shown.stdout
    assert "undo:" in shown.stdout


def test_a_list_is_narrowed_by_class_and_group() -> None:
    listed = json.loads(run("control", "list", "--json", "--class", "mcu", "--group", "phy").stdout)["items"]
    assert {item["group"] for item in listed} == {"PHY"}
    assert {item["classes"]["mcu"]["ask"] for item in listed} <= {"manifest", "required"}


def test_a_control_that_does_not_exist_is_told() -> None:
    result = run("control", "show", "ACC-99", "--json")
    assert result.exit_code == Exit.FAILED
    assert "control.unknown" in result.output


def test_good_controls_of_ones_own_pass_the_lint_and_are_asked(tmp_path: Path, camera: Path) -> None:
    folder = own(tmp_path)
    assert run("control", "lint", str(folder)).exit_code == Exit.FINE
    told = json.loads(run("baseline", "show", str(camera), "--catalogue", str(folder), "--json").stdout)
    assert [line["demand"] for line in told["lines"] if line["control"] == "DAT-51"] == ["required"]


def test_the_lint_tells_what_is_not_good_and_refuses_what_cannot_be(tmp_path: Path) -> None:
    folder = own(tmp_path, fault="pictures were found")
    told = run("control", "lint", str(folder))
    assert told.exit_code == Exit.FINDINGS
    assert "control.sentence.DAT-51" in told.stdout
    (folder / "dat.yaml").write_text("group: DAT\ncontrols: [{id: DAT-51}]\n")
    refused = run("control", "lint", str(folder))
    assert refused.exit_code == Exit.FAILED
    assert "catalogue.shape" in refused.output


def test_a_control_that_is_not_of_the_form_is_told_with_its_line_and_field(tmp_path: Path) -> None:
    folder = own(tmp_path)
    file = folder / "dat.yaml"
    file.write_text(file.read_text().replace("Remove the pictures from the build.", "Remove."))
    told = " ".join(run("control", "lint", str(folder)).output.split())
    assert "dat.yaml: Line 12: remedy.steps[0]: the text must have at least 12 characters (of DAT-51)" in told


def test_the_lint_tells_what_nobody_mends_and_where_nobody_looks(tmp_path: Path) -> None:
    folder = own(tmp_path)
    file = folder / "dat.yaml"
    plain = yaml.safe_load(file.read_text())
    plain["controls"][0]["remedy"]["fix"] = "planned"
    plain["controls"][0]["classes"] = {"others": "required"}
    file.write_text(yaml.safe_dump(plain))
    told = run("control", "lint", str(folder))
    assert told.exit_code == Exit.FINDINGS, told.output
    assert "control.own_mend.DAT-51" in told.stdout
    assert "control.no_agent.DAT-51" in told.stdout


def test_a_baseline_explains_every_line(camera: Path) -> None:
    told = json.loads(run("baseline", "show", str(camera), "--json").stdout)
    assert {line["control"] for line in told["lines"]} >= {control.id for control in shipped_catalogue().controls}
    assert all(line["reason"] for line in told["lines"])
    page = run("baseline", "show", str(camera)).stdout
    assert "not applicable" in page
    assert "forbidden" in page


def test_one_line_is_explained_in_full(camera: Path) -> None:
    page = run("baseline", "show", str(camera), "--control", "SVC-01").stdout
    assert "required" in page
    assert "to take that back" in page


def test_two_models_differ_where_more_or_other_things_are_asked(tmp_path: Path, camera: Path) -> None:
    server = tmp_path / "server.yaml"
    server.write_bytes(model_file.example_bytes("edge-server"))
    found = json.loads(run("baseline", "diff", str(camera), str(server), "--json").stdout)
    assert found["before"] == "door-camera@1.0.0"
    changed = {item["control"]: item for item in found["items"]}
    assert changed["FS-91"]["after"] is None or "after" not in changed["FS-91"], "a server may disable file systems"
    page = " ".join(run("baseline", "diff", str(camera), str(server)).stdout.split())
    assert "edge-server@1.0.0:" in page, "the reason of the side that asks less"
    same = run("baseline", "diff", str(camera), str(camera))
    assert same.exit_code == Exit.FINE
    assert "asked the same" in same.output


def test_the_schema_is_one() -> None:
    assert json.loads(run("control", "schema").stdout)["title"] == "Holdfast controls"


def test_an_audit_asks_the_controls_of_ones_own(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "srv").mkdir(parents=True)
    (root / "srv" / "test.jpg").write_bytes(b"x")
    result = run("audit", str(root), "--class", "linux-iot", "--catalogue", str(own(tmp_path)), "--json")
    judged = {entry["control"]: entry for entry in json.loads(result.stdout)["judged"]}
    assert judged["DAT-51"]["outcome"] == "fail"
    assert judged["DAT-51"]["proof"] == ["/srv/test.jpg"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root with a keyring for updates, and an account that its model does not name."""
    root = tmp_path / "root"
    (root / "etc/rauc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nmallory:x:1000:1000::/:/bin/sh\n")
    (root / "etc/shadow").write_text("root:*:::::::\nmallory::::::::\n")
    return root


def test_a_model_is_held_against_its_image(camera: Path, image: Path) -> None:
    result = run("model", "check", str(camera), "--image", str(image), "--json")
    assert result.exit_code == Exit.FINDINGS
    claims = {claim["field"]: claim for claim in json.loads(result.stdout)["claims"]}
    assert claims["expected.accounts"]["shows"] == "contradicted"
    assert "mallory" in claims["expected.accounts"]["proof"][0]
    assert claims["boot.secure_boot"]["shows"] == "not_shown"
    page = run("model", "check", str(camera), "--image", str(image)).stdout
    assert "What the image shows" in page
    assert "contradicted" in page


def test_without_an_image_the_declaration_alone_is_checked(camera: Path) -> None:
    assert "claims" not in json.loads(run("model", "check", str(camera), "--json").stdout)
