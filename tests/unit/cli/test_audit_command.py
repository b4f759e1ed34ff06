from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast.cli.app import build
from holdfast.cli.audit import exit_of
from holdfast.cli.session import Exit
from holdfast.inventory import model_file
from holdfast_core.baseline.model import Judged, Outcome, Report
from holdfast_core.kernel.severity import Severity

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"})


def _report(*outcomes: tuple[Outcome, Severity], decided: int = 1) -> Report:
    judged = tuple(
        Judged(f"FS-{number:02}", "A title", severity, outcome, "A reason")
        for number, (outcome, severity) in enumerate(outcomes)
    )
    return Report(judged, len(judged), decided)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (_report((Outcome.PASS, Severity.CRITICAL)), Exit.FINE),
        (_report((Outcome.UNKNOWN, Severity.LOW), (Outcome.PASS, Severity.HIGH)), Exit.FINE),
        (_report((Outcome.FAIL, Severity.LOW)), Exit.FINDINGS),
        (_report((Outcome.FAIL, Severity.LOW), (Outcome.UNKNOWN, Severity.CRITICAL)), Exit.FINDINGS),
        (_report((Outcome.PASS, Severity.HIGH), (Outcome.UNKNOWN, Severity.CRITICAL)), Exit.UNDECIDED),
        (_report((Outcome.UNKNOWN, Severity.LOW), decided=0), Exit.UNDECIDED),
        (_report(decided=0), Exit.UNDECIDED),
    ],
    ids=[
        "all pass",
        "a low unknown",
        "a failure",
        "failure beats unknown",
        "critical unknown",
        "nothing decided",
        "empty",
    ],
)
def test_exit_codes_of_an_audit(report: Report, code: Exit) -> None:
    assert exit_of(report) is code


@pytest.fixture
def careless(tmp_path: Path) -> Path:
    etc = tmp_path / "rootfs" / "etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    (etc / "shadow").write_text("root::19000:0:99999:7:::\n")
    (etc / "shadow").chmod(0o644)
    return tmp_path / "rootfs"


def test_the_page_tells_coverage_questions_and_fixes(careless: Path) -> None:
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot"])
    assert result.exit_code == 3
    assert result.stdout.index("Coverage") < result.stdout.index("Two questions")
    assert "Two questions" in result.stdout
    assert "An account can be entered without any password." in result.stdout
    assert "fix:" in result.stdout
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_bare_class_does_not_fail_what_only_a_model_could_declare(careless: Path, tmp_path: Path) -> None:
    bare = json.loads(runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "--json"]).stdout)
    outcomes = {each["control"]: each for each in bare["judged"]}
    assert outcomes["ACC-10"]["outcome"] == "unknown"
    assert "--model" in outcomes["ACC-10"]["reason"]
    model = tmp_path / "camera.yaml"
    model.write_bytes(model_file.example_bytes("door-camera"))
    told = json.loads(runner.invoke(build(), ["audit", str(careless), "--model", str(model), "--json"]).stdout)
    assert {each["control"]: each["outcome"] for each in told["judged"]}["ACC-10"] == "fail"
    assert [each["question"] for each in told["answers"]] == ["integrity", "update"]


def test_sarif_is_written_beside_the_report(careless: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.sarif"
    result = runner.invoke(build(), ["audit", str(careless), "--class", "linux-iot", "--sarif", str(target)])
    assert result.exit_code == 3
    document = json.loads(target.read_text())
    assert document["version"] == "2.1.0"
    assert any(each["kind"] == "fail" for each in document["runs"][0]["results"])


def test_deciding_nothing_is_no_pass(tmp_path: Path) -> None:
    manifest = tmp_path / "build.json"
    manifest.write_text('{"type": "manifest", "build": "1", "facts": {}}')
    result = runner.invoke(build(), ["audit", str(manifest), "--class", "mcu", "--json"])
    assert json.loads(result.stdout)["decided"] == 0
    assert result.exit_code == 4


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--class", "linux-iot"], "audit.not_a_tree"),
        (["--class", "mcu"], "audit.manifest"),
    ],
)
def test_a_file_that_is_no_tree_is_refused_with_a_remedy(tmp_path: Path, arguments: list[str], code: str) -> None:
    image = tmp_path / "fw.bin"
    image.write_bytes(b"\x00" * 64)
    result = runner.invoke(build(), ["audit", str(image), *arguments])
    assert result.exit_code == 1
    assert code in result.stderr


def test_a_kind_of_device_must_be_said(tmp_path: Path) -> None:
    assert runner.invoke(build(), ["audit", str(tmp_path)]).exit_code == 2


def test_model_check_tells_contradictions_with_exit_3(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_bytes(model_file.example_bytes("door-camera"))
    assert runner.invoke(build(), ["model", "check", str(good)]).exit_code == 0
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(good.read_bytes().replace(b"kind: single-image", b"kind: package-manager"))
    result = runner.invoke(build(), ["model", "check", str(bad)])
    assert result.exit_code == 3
    assert "model.immutable_packages" in result.stdout


def test_model_show_gives_a_reason_for_every_control(tmp_path: Path) -> None:
    file = tmp_path / "camera.yaml"
    file.write_bytes(model_file.example_bytes("door-camera"))
    told = json.loads(runner.invoke(build(), ["model", "show", str(file), "--json"]).stdout)
    assert told["lines"]
    assert all(line["reason"] for line in told["lines"])


def test_the_reference_page_is_current(checkout: Path) -> None:
    import importlib.util  # noqa: PLC0415  (a script, not a module)

    spec = importlib.util.spec_from_file_location("cli_reference", checkout / "tools" / "cli_reference.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (checkout / "docs" / "reference" / "cli.md").read_text() == script.render(), "run tools/cli_reference.py"
