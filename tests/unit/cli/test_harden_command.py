"""``holdfast harden`` on a tree: planned, written, made, checked, undone."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from holdfast.cli import harden_apply
from holdfast.cli.app import build
from holdfast.cli.harden_apply import carry_out
from holdfast.inventory import model_file
from holdfast_core.baseline.hardening import ByHand, ChangeSet, Step, parse
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.changes import ContentChange, ModeChange
from holdfast_core.wire.frame import Health
from holdfast_probe import changing
from probe_builders import a_plan, grow

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "100"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "/etc/group": "root:x:0:\n",
        "/etc/shadow": ("root:*:19000:0:99999:7:::\n", 0o644),
        "/etc/open": ("x", 0o666),
    }
    (tmp_path / "tree").mkdir()
    return grow(tmp_path / "tree", files)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "camera.yaml").write_bytes(model_file.example_bytes("door-camera"))
    return tmp_path / "camera.yaml"


def harden(*arguments: object) -> Result:
    return runner.invoke(build(), ["harden", *map(str, arguments)])


def modes(tree: Path) -> tuple[int, int]:
    return tuple(stat.S_IMODE((tree / "etc" / name).stat().st_mode) for name in ("shadow", "open"))  # type: ignore[return-value]  # two names, two modes


ONLY = ("--control", "FS-06", "--control", "FS-08")


def test_a_plan_changes_nothing_and_is_written_for_its_owner_alone(tree: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "changes.json"
    result = harden(tree, "--model", model, *ONLY, "-o", file)
    assert result.exit_code == 3, result.output
    assert "mode 0644 -> 0640  /etc/shadow" in result.stdout
    assert "Nothing has been changed." in result.stdout
    assert modes(tree) == (0o644, 0o666)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    steps = parse(file.read_bytes()).steps
    assert {step.control for step in steps} == {"FS-06", "FS-08"}


def test_it_is_made_checked_and_undone(tree: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "changes.json"
    harden(tree, "--model", model, *ONLY, "-o", file)
    result = harden("--apply", file, tree)
    assert result.exit_code == 0, result.output
    assert modes(tree) == (0o640, 0o664)
    again = harden("--apply", file, tree)
    assert (again.exit_code, "harden.already" in again.output) == (1, True)
    assert "already applied" in again.output
    assert harden(tree, "--model", model, *ONLY).exit_code == 0
    assert harden("--undo", file, tree).exit_code == 0
    assert modes(tree) == (0o644, 0o666)
    assert harden("--undo", file, tree).exit_code == 0
    (tree / "etc/open").chmod(0o664)
    partly = harden("--apply", file, tree).output
    assert "harden.changed_meanwhile" in partly
    assert "already applied" in " ".join(partly.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["camera.yaml", "changes.json", "tree"]


def test_an_image_is_planned_for_and_its_unpacked_tree_is_changed(tree: Path, model: Path, tmp_path: Path) -> None:
    image, file, same = tmp_path / "root.tar", tmp_path / "changes.json", tmp_path / "same.json"
    with tarfile.open(image, "w") as archive:
        archive.add(tree, ".")
    assert harden(image, "--model", model, *ONLY, "-o", file).exit_code == 3
    harden(tree, "--model", model, *ONLY, "-o", same)
    assert parse(file.read_bytes()).steps == parse(same.read_bytes()).steps
    refused = harden("--apply", file, image)
    assert (refused.exit_code, "harden.no_folder" in refused.output) == (1, True)
    assert harden("--apply", file, tree).exit_code == 0
    assert modes(tree) == (0o640, 0o664)


def test_the_page_tells_what_is_left_to_a_person_and_what_could_go_wrong(
    tree: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand = ByHand(
        "ACC-05", "Only root has uid 0", "No change is worked out for it.", ("Remove it.",), may_brick=True
    )
    step = Step("BOOT-10", "No back way", (ModeChange("/etc/open", 0o666, 0o664),), reboot=True, may_brick=True)
    many = Step("FS-06", "Nothing", tuple(ModeChange(f"/etc/{n}", 0o666, 0o664) for n in range(60)))
    changes = ChangeSet("cam@1", digest_of(b"m"), a_plan(), "2026-11-21T10:00:00.000Z", (step, many), (by_hand,))
    monkeypatch.setattr("holdfast.cli.harden.planned", lambda *_, **__: changes)
    told = harden(tree, "--model", model).stdout
    assert "2 to make, 1 by hand, 1 in force after a reboot, 1 that can brick." in told
    assert told.count("can brick: have the way to recover it at hand") == 2
    assert "1. Remove it." in told
    assert "and 20 more lines" in told
    assert "Add -o changes.json" in told


def test_a_guide_is_written_or_printed(model: Path, tmp_path: Path) -> None:
    printed = harden("--guide", "md", model)
    assert (printed.exit_code, printed.stdout.startswith("# Hardening guide: door-camera")) == (0, True)
    assert harden("--guide", "html", model, "-o", tmp_path / "guide.html").exit_code == 0
    assert (tmp_path / "guide.html").read_text().rstrip().endswith("</html>")


def test_a_made_change_set_is_told_as_json(tree: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "changes.json"
    harden(tree, "--model", model, *ONLY, "-o", file)
    made = json.loads(harden("--apply", file, tree, "--json").stdout)
    assert (set(made["steps"]), made["dropped"], made["asked_health"]) == ({"FS-06", "FS-08"}, [], False)
    assert json.loads(harden("--undo", file, tree, "--json").stdout) == {"left_alone": []}


def test_json_tells_the_same(tree: Path, model: Path) -> None:
    told = json.loads(harden(tree, "--model", model, *ONLY, "--json").stdout)
    assert {step["control"] for step in told["steps"]} == {"FS-06", "FS-08"}
    assert told["by_hand"] == []


def test_what_no_change_is_worked_out_for_is_left_to_a_person_with_its_steps(tree: Path, model: Path) -> None:
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nother:x:0:0:::/bin/sh\n")
    told = json.loads(harden(tree, "--model", model, "--control", "ACC-05", "--json").stdout)
    by_hand = {left["control"]: left for left in (*told["by_hand"], *told["steps"])}
    assert set(by_hand) == {"ACC-05"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--control", "XX-99"], "control.unknown"),
        (["--control", "FS-91"], "control.forbidden"),
    ],
)
def test_what_cannot_be_planned_says_why(tree: Path, model: Path, arguments: list[str], code: str) -> None:
    result = harden(tree, "--model", model, *arguments)
    assert (result.exit_code, code in result.output) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["TREE"],
        ["TREE", "--class", "mcu"],
        ["TREE", "--class", "server", "--model", "x"],
        ["--apply", "x"],
        ["TREE", "--apply", "x", "--undo", "x"],
        ["--device", "cam-1"],
        ["--device", "cam-1", "--control", "FS-06", "--control", "FS-08"],
    ],
    ids=" ".join,
)
def test_what_is_not_understood_ends_with_usage(tree: Path, arguments: list[str]) -> None:
    assert harden(*(tree if word == "TREE" else word for word in arguments)).exit_code == 2


def test_a_tree_that_changed_since_is_refused_and_the_path_is_named(tree: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "changes.json"
    harden(tree, "--model", model, *ONLY, "-o", file)
    (tree / "etc/open").chmod(0o667)
    result = harden("--apply", file, tree)
    assert result.exit_code == 1
    assert "harden.changed_meanwhile" in result.output
    assert "/etc/open" in result.output
    assert modes(tree) == (0o644, 0o667)


def test_another_catalogue_and_an_image_are_refused(tree: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "changes.json"
    harden(tree, "--model", model, *ONLY, "-o", file)
    assert "harden.no_folder" in harden("--apply", file, model).output
    document: dict[str, Any] = json.loads(file.read_text())
    document["plan"]["catalogue"] = digest_of(b"another")
    file.write_text(json.dumps(document))
    assert "harden.other_catalogue" in harden("--apply", file, tree).output
    assert harden("--undo", file, tree).exit_code == 0, "taking back needs no catalogue"


def test_after_a_kill_only_undo_goes_on(
    tree: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "changes.json"
    harden(tree, "--model", model, *ONLY, "-o", file)
    with monkeypatch.context() as patched:
        patched.setattr(changing, "undo", lambda *_: ())
        patched.setattr(harden_apply, "_close", lambda _: None)
        patched.setattr(harden_apply, "worse", lambda *_: pytest.fail("killed before"))
        patched.setattr(harden_apply, "_made", killed)
        harden("--apply", file, tree)
    assert (tmp_path / "changes.json.journal").exists()
    assert modes(tree) != (0o644, 0o666)
    assert "harden.interrupted" in harden("--apply", file, tree).output
    assert harden("--undo", file, tree).exit_code == 0
    assert modes(tree) == (0o644, 0o666)
    assert not (tmp_path / "changes.json.journal").exists()


def killed(tree: Path, step: Step, _: object) -> str:
    changing.apply(tree, step.changes[:1])
    raise KeyboardInterrupt


def test_a_journal_of_another_change_set_is_not_undone_with_this_one(tree: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "changes.json"
    harden(tree, "--model", model, *ONLY, "-o", file)
    (tmp_path / "changes.json.journal").write_text(json.dumps({"changes": digest_of(b"x"), "tree": str(tree)}))
    assert "harden.other_journal" in harden("--undo", file, tree).output


# Carrying out, with an essential function that can be asked

STEPS = (
    Step("AA-01", "One", (ModeChange("/etc/open", 0o666, 0o664),)),
    Step("AA-02", "Two", (ContentChange("/etc/group", b"root:x:0:\n", b"root:x:0:\nx:x:1:\n", 0o644, 0, 0),)),
    Step("AA-03", "Three", (ModeChange("/etc/shadow", 0o644, 0o640),)),
)
CHANGES = ChangeSet("cam@1", digest_of(b"m"), a_plan(), "2026-11-21T10:00:00.000Z", STEPS)
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="the files of these steps belong to root")


def findings(**outcomes: Outcome) -> Findings:
    told = (Finding(name.replace("_", "-"), outcome, ("seen",)) for name, outcome in outcomes.items())
    return Findings(digest_of(b"p"), tuple(told))


def nothing(_: frozenset[str]) -> set[str]:
    return set()


def fine() -> Health:
    return Health(ok=True)


class Looks:
    """What the audit before and the one after say."""

    def __init__(self, *answers: Findings) -> None:
        self._answers = list(answers)

    def __call__(self) -> Findings:
        return self._answers.pop(0)


BEFORE = findings(AA_01=Outcome.FAIL, AA_02=Outcome.FAIL, AA_03=Outcome.FAIL, BB_01=Outcome.PASS, BB_02=Outcome.UNKNOWN)
AFTER = findings(AA_01=Outcome.PASS, AA_02=Outcome.PASS, AA_03=Outcome.PASS, BB_01=Outcome.PASS, BB_02=Outcome.UNKNOWN)


@needs_root
def test_a_step_that_stops_the_essential_function_is_undone_and_the_rest_goes_on(tree: Path) -> None:
    def ask() -> Health:
        stopped = b"x:x:1" in (tree / "etc/group").read_bytes()
        return Health(ok=not stopped, detail="No process named camera runs." if stopped else "")

    after = findings(AA_01=Outcome.PASS, AA_02=Outcome.FAIL, AA_03=Outcome.PASS, BB_01=Outcome.PASS)
    made = carry_out(tree, CHANGES, look=Looks(BEFORE, after), ask=ask, settle=nothing)
    assert made.steps == ("AA-01", "AA-03")
    assert [dropped.control for dropped in made.dropped] == ["AA-02"]
    assert "No process named camera runs. The step was undone." in made.dropped[0].why
    assert (tree / "etc/group").read_text() == "root:x:0:\n"
    assert modes(tree) == (0o640, 0o664)


def test_a_device_that_is_not_well_is_not_hardened(tree: Path) -> None:
    with pytest.raises(WorldError) as raised:
        carry_out(tree, CHANGES, look=Looks(), ask=lambda: Health(ok=False, detail="Nothing answers."), settle=nothing)
    assert raised.value.code == "harden.unwell"
    assert modes(tree) == (0o644, 0o666)


@needs_root
@pytest.mark.parametrize(
    "after",
    [
        findings(AA_01=Outcome.FAIL, AA_02=Outcome.PASS, AA_03=Outcome.PASS, BB_01=Outcome.PASS),
        findings(AA_01=Outcome.PASS, AA_02=Outcome.UNKNOWN, AA_03=Outcome.PASS, BB_01=Outcome.PASS),
        findings(AA_01=Outcome.PASS, AA_02=Outcome.PASS, AA_03=Outcome.PASS, BB_01=Outcome.FAIL),
        findings(AA_01=Outcome.PASS, AA_02=Outcome.PASS, AA_03=Outcome.PASS, BB_01=Outcome.UNKNOWN),
    ],
    ids=["not met", "not known", "another fails", "another is not known"],
)
def test_what_the_second_audit_does_not_praise_is_undone_as_a_whole(tree: Path, after: Findings) -> None:
    with pytest.raises(WorldError) as raised:
        carry_out(tree, CHANGES, look=Looks(BEFORE, after), ask=fine, settle=nothing)
    assert raised.value.code == "harden.not_met"
    assert modes(tree) == (0o644, 0o666)
    assert (tree / "etc/group").read_text() == "root:x:0:\n"


@needs_root
def test_an_error_in_the_middle_undoes_everything(tree: Path) -> None:
    with pytest.raises(IndexError):
        carry_out(tree, CHANGES, look=Looks(BEFORE), ask=fine, settle=nothing)
    assert modes(tree) == (0o644, 0o666)


@needs_root
def test_all_that_was_well_stays(tree: Path) -> None:
    made = carry_out(tree, CHANGES, look=Looks(BEFORE, AFTER), ask=fine, settle=nothing)
    assert (made.steps, made.dropped, made.asked_health) == (("AA-01", "AA-02", "AA-03"), (), True)


@needs_root
def test_what_only_a_new_start_brings_into_force_stays_and_is_told(tree: Path) -> None:
    after = findings(AA_01=Outcome.PASS, AA_02=Outcome.FAIL, AA_03=Outcome.PASS, BB_01=Outcome.PASS)
    asked: list[frozenset[str]] = []

    def by_files(names: frozenset[str]) -> set[str]:
        asked.append(names)
        return set(names)

    made = carry_out(tree, CHANGES, look=Looks(BEFORE, after), ask=fine, settle=by_files)
    assert asked == [frozenset({"AA-02"})]
    assert made.later == ("AA-02",)
    assert modes(tree) == (0o640, 0o664)
