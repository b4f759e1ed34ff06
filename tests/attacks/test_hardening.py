"""Attacks on hardening: on the tree while it is changed, on the change set, on the way back, on what must go on."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from holdfast.cli.app import build
from holdfast.inventory import model_file
from holdfast_core.baseline.control import Control, Effect, Fix
from holdfast_core.baseline.hardening import ChangeSet, Step, parse, render
from holdfast_core.baseline.model import Demand
from holdfast_core.baseline.probes import Absent, Service
from holdfast_core.baseline.tailoring import compile_plan, tailor
from holdfast_core.inventory.model import DeviceClass, HealthProbe
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import Instant
from holdfast_core.wire.changes import Change, ContentChange, LinkChange, ModeChange
from holdfast_probe.case import Case
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.planning import work_out
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, a_plan, grow

runner = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"})
PRECIOUS = "precious\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/target").write_text(PRECIOUS)
    (tmp_path / "outside/target").chmod(0o666)
    (tmp_path / "tree").mkdir()
    files = {
        "/etc/app/app.conf": "allow = all\n",
        "/etc/other": ("x\n", 0o666),
        "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "/etc/group": "root:x:0:\n",
    }
    return grow(tmp_path / "tree", files)


def ids() -> tuple[int, int]:
    return os.getuid(), os.getgid()


def content(path: str, before: bytes | None, after: bytes | None) -> ContentChange:
    return ContentChange(path, before, after, 0o644, *ids())


CONF = "/etc/app/app.conf"


def written(tmp_path: Path, *changes: Change, **plan: Any) -> Path:
    """A change set of these changes, as planned with the shipped catalogue."""
    planned = msgspec.structs.replace(a_plan(), catalogue=shipped_catalogue().digest, **plan)
    step = Step("FS-06", "Nothing is writable by everyone.", changes)
    file = tmp_path / "changes.json"
    file.write_bytes(render(ChangeSet("cam@1", digest_of(b"m"), planned, "2026-11-21T10:00:00.000Z", (step,))))
    return file


def harden(*arguments: object) -> Result:
    return runner.invoke(build(), ["harden", *map(str, arguments)])


def untouched(tree: Path) -> bool:
    outside = tree.parent / "outside/target"
    return outside.read_text() == PRECIOUS and stat.S_IMODE(outside.stat().st_mode) == 0o666


def swap_file(tree: Path) -> None:
    (tree / "etc/app/app.conf").unlink()
    (tree / "etc/app/app.conf").symlink_to(tree.parent / "outside/target")


def swap_folder(tree: Path) -> None:
    (tree / "etc/app").rename(tree / "etc/app-was")
    (tree.parent / "outside/app.conf").write_text("allow = all\n")
    (tree / "etc/app").symlink_to(tree.parent / "outside")


def hard_link(tree: Path) -> None:
    (tree / "etc/app/app.conf").unlink()
    (tree.parent / "outside/app.conf").write_text("allow = all\n")
    os.link(tree.parent / "outside/app.conf", tree / "etc/app/app.conf")


def edit_file(tree: Path) -> None:
    (tree / "etc/app/app.conf").write_text("allow = me\n")


def remove_file(tree: Path) -> None:
    (tree / "etc/app/app.conf").unlink()


def fifo(tree: Path) -> None:
    (tree / "etc/app/app.conf").unlink()
    os.mkfifo(tree / "etc/app/app.conf")


def grow_file(tree: Path) -> None:
    with (tree / "etc/app/app.conf").open("ab") as file:
        file.truncate(10 * 2**30)


@pytest.mark.parametrize(
    "attack", [swap_file, swap_folder, hard_link, edit_file, remove_file, fifo, grow_file], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("after", [b"allow = none\n", None], ids=["rewritten", "removed"])
def test_what_was_swapped_between_plan_and_apply_is_refused_by_name(
    tree: Path, tmp_path: Path, attack: Callable[[Path], None], after: bytes | None
) -> None:
    file = written(tmp_path, ModeChange("/etc/other", 0o666, 0o644), content(CONF, b"allow = all\n", after))
    attack(tree)
    result = harden("--apply", file, tree)
    assert result.exit_code == 1
    assert "harden.changed_meanwhile" in result.output
    assert CONF in result.output
    assert stat.S_IMODE((tree / "etc/other").stat().st_mode) == 0o666, "nothing else was touched either"
    assert untouched(tree)
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) in (["target"], ["app.conf", "target"])
    if (tmp_path / "outside/app.conf").exists():
        assert (tmp_path / "outside/app.conf").read_text() == "allow = all\n"


@pytest.mark.parametrize("attack", [swap_file, swap_folder, hard_link, edit_file, fifo], ids=lambda f: f.__name__)
def test_undo_after_somebody_swapped_or_edited_touches_nothing_of_theirs(
    tree: Path, tmp_path: Path, attack: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.cli.harden_apply.worse", lambda *_: [])
    file = written(tmp_path, ModeChange("/etc/other", 0o666, 0o644), content(CONF, b"allow = all\n", b"allow = none\n"))
    assert harden("--apply", file, tree).exit_code == 0
    attack(tree)
    result = harden("--undo", file, tree)
    assert result.exit_code == 3
    assert CONF in result.output
    assert stat.S_IMODE((tree / "etc/other").stat().st_mode) == 0o666, "the rest is back"
    assert untouched(tree)


@pytest.mark.parametrize(
    "path",
    ["/../outside/target", "/etc/../../outside/target", "../outside/target", "/etc/./other", "//etc/other", "/"],
)
def test_a_change_set_edited_to_leave_the_root_is_refused_whole(tree: Path, tmp_path: Path, path: str) -> None:
    file = written(tmp_path, ModeChange("/etc/other", 0o666, 0o644), ModeChange(CONF, 0o644, 0o600))
    document = json.loads(file.read_text())
    document["steps"][0]["changes"][1]["path"] = path
    file.write_text(json.dumps(document))
    for way in ("--apply", "--undo"):
        result = harden(way, file, tree)
        assert (result.exit_code, "changes.invalid" in result.output) == (1, True)
    assert stat.S_IMODE((tree / "etc/other").stat().st_mode) == 0o666
    assert untouched(tree)


@pytest.mark.parametrize("size", [2**18 + 1, 2**25 + 1], ids=["a file too large", "a document too large"])
def test_a_change_set_with_huge_content_is_refused(tree: Path, tmp_path: Path, size: int) -> None:
    file = written(tmp_path, content(CONF, b"allow = all\n", b"allow = none\n"))
    file.write_bytes(file.read_bytes().replace(b"allow = none", b"x" * size))
    result = harden("--apply", file, tree)
    assert result.exit_code == 1
    assert "changes.invalid" in result.output or "too_large" in result.output
    assert (tree / "etc/app/app.conf").read_text() == "allow = all\n"


def test_a_change_set_that_asks_for_devices_or_commands_is_no_change_set(tree: Path, tmp_path: Path) -> None:
    file = written(tmp_path, ModeChange("/etc/other", 0o666, 0o644))
    document = json.loads(file.read_text())
    for change in ({"kind": "run", "path": "/x", "command": "true"}, {"kind": "mode", "path": "/x"}, "rm", None, 7):
        document["steps"][0]["changes"] = [change]
        file.write_text(json.dumps(document))
        assert "changes.invalid" in harden("--apply", file, tree).output


def test_a_change_set_edited_to_stop_the_essential_function_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "etc/rc.d").mkdir()
    (tree / "etc/rc.d/S50camera").symlink_to("../init.d/camera")
    camera = HealthProbe("process", process="camera")
    file = written(tmp_path, LinkChange("/etc/rc.d/S50camera", "../init.d/camera", None), health=camera)
    result = harden("--apply", file, tree)
    assert (result.exit_code, "harden.essential" in result.output) == (1, True)
    assert (tree / "etc/rc.d/S50camera").is_symlink()


# A kill in the middle

KILLED = """
import sys
from holdfast_probe import changing
real, left = changing._shift, [int(sys.argv.pop(1))]
def shift(*arguments, **options):
    if left[0] == 0:
        print("here", flush=True)
        import time
        time.sleep(60)
    left[0] -= 1
    return real(*arguments, **options)
changing._shift = shift
from holdfast.__main__ import main
sys.argv[0] = "holdfast"
main()
"""


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_kill_in_the_middle_leaves_what_undo_repairs(tree: Path, tmp_path: Path, done: int) -> None:
    file = written(
        tmp_path,
        ModeChange("/etc/other", 0o666, 0o644),
        content(CONF, b"allow = all\n", b"allow = none\n"),
        content("/etc/new", None, b"x\n"),
    )
    command = [sys.executable, "-c", KILLED, str(done), "harden", "--apply", str(file), str(tree)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "changes.json.journal").exists()
    assert "harden.interrupted" in harden("--apply", file, tree).output
    assert harden("--undo", file, tree).exit_code == 0
    assert stat.S_IMODE((tree / "etc/other").stat().st_mode) == 0o666
    assert (tree / "etc/app/app.conf").read_text() == "allow = all\n"
    assert not (tree / "etc/new").exists()


# What is never planned


def case_of(tree: Path, **plan: Any) -> Case:
    return Case(FolderRoot(tree, owners_kept=True), msgspec.structs.replace(a_plan(), **plan))


def a_control(probe: Absent | Service, **changed: Any) -> Control:
    base = next(each for each in shipped_catalogue().controls if each.id == "FS-08")
    remedy = msgspec.structs.replace(base.remedy, fix=Fix.PLANNED)
    return msgspec.structs.replace(base, probe=probe, remedy=remedy, **changed)


def test_the_start_of_the_essential_function_is_never_removed(tree: Path) -> None:
    """Not even by a control that asks for exactly that."""
    grow(tree, {"/etc/rc.d/S50camera": "-> ../init.d/camera", "/etc/init.d/camera": ("#!/bin/sh\n", 0o755)})
    control = a_control(Absent(("/etc/rc.d/S50camera", "/etc/init.d/camera")))
    for plan in ({"health": HealthProbe("process", process="camera")}, {"autostart": ("camera",)}):
        steps, left = work_out(case_of(tree, **plan), [control])
        assert steps == ()
        assert left[0].why == "camera has to start, and /etc/rc.d/S50camera starts it."
        assert left[0].steps == control.remedy.steps
    steps, _ = work_out(case_of(tree), [control])
    assert len(steps) == 1, "the control: without that declaration it would have been planned"


STARTS: dict[str, Files] = {
    "a unit of another name": {
        "/etc/systemd/system/video.service": "[Service]\nExecStart=/opt/bin/camera --all\n",
        "/etc/systemd/system/multi-user.target.wants/video.service": "-> ../video.service",
    },
    "a vendor's unit": {
        "/usr/lib/systemd/system/video.service": "[Service]\nExecStart=/opt/bin/camera --all\n",
        "/usr/lib/systemd/system/multi-user.target.wants/video.service": "-> ../video.service",
    },
    "a start link": {
        "/etc/rc.d/S50video": "-> ../init.d/video",
        "/etc/init.d/video": ("#!/bin/sh /etc/rc.common\nPROG=/opt/bin/camera\n/opt/bin/camera &\n", 0o755),
    },
    "a line of inittab": {"/etc/inittab": "::sysinit:/bin/true\n::respawn:/opt/bin/camera --all\n"},
    "a line of inetd": {"/etc/inetd.conf": "8554 stream tcp nowait root /opt/bin/camera camera\n"},
    "a start-up script": {"/etc/rc.local": ("#!/bin/sh\n/opt/bin/camera --all &\n", 0o755)},
}


@pytest.mark.parametrize("way", STARTS)
def test_not_even_a_ban_on_the_essential_program_keeps_it_from_starting(tree: Path, way: str) -> None:
    grow(tree, STARTS[way])
    ban = a_control(Service(("camera", "video")))
    steps, _ = work_out(case_of(tree), [ban])
    assert steps, "the control: nobody needs it here, so it is stopped"
    steps, left = work_out(case_of(tree, health=HealthProbe("process", process="camera")), [ban])
    assert steps == ()
    assert left[0].why.startswith("camera has to start, and /")


@pytest.mark.parametrize("name", ["door-camera", "site-gateway", "pump-controller"])
def test_disabling_the_file_system_it_boots_from_is_forbidden_and_cannot_be_asked_for(
    tree: Path, tmp_path: Path, name: str
) -> None:
    model = tmp_path / "model.yaml"
    model.write_bytes(model_file.example_bytes(name))
    result = harden(tree, "--model", model, "--control", "FS-91")
    assert (result.exit_code, "control.forbidden" in result.output) == (1, True)


def test_no_forbidden_control_is_ever_in_a_plan_for_a_device() -> None:
    """Also when a careless catalogue gives a control an effect that the device would not survive."""
    catalogue = shipped_catalogue()
    careless = tuple(
        msgspec.structs.replace(each, effects=(Effect.DISABLES_FILESYSTEM,), filesystems=("squashfs",))
        for each in catalogue.controls
    )
    catalogue = msgspec.structs.replace(catalogue, controls=careless)
    for model in model_file.load_examples().values():
        baseline = tailor(catalogue, model, Instant(1_790_000_000_000))
        forbidden = {line.control for line in baseline.lines if line.demand is Demand.FORBIDDEN}
        assert forbidden or model.device_class in {DeviceClass.SERVER, DeviceClass.MCU}
        assert not forbidden & set(compile_plan(baseline, model, catalogue).controls)


def test_a_mend_that_would_disable_squashfs_is_thrown_away(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(_: Case, editor: Any, __: Any) -> None:
        editor.write("/etc/modprobe.d/hardening.conf", b"install squashfs /bin/true\n")

    monkeypatch.setattr("holdfast_probe.mending.MENDS", {Absent: careless})
    steps, left = work_out(case_of(tree), [a_control(Absent(("/etc/other",)))])
    assert steps == ()
    assert "boots from" in left[0].why


def test_a_mend_that_fails_half_way_leaves_no_half(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: Case, editor: Any, spec: Absent) -> None:
        editor.write(CONF, b"half\n")
        if spec.paths[0] == "/half":
            raise ValueError("a hostile line")

    monkeypatch.setattr("holdfast_probe.mending.MENDS", {Absent: half})
    failing = a_control(Absent(("/half",)), id="FS-06")
    steps, left = work_out(case_of(tree), [failing, a_control(Absent(("/whole",)))])
    assert [entry.control for entry in left] == ["FS-06"]
    assert [step.changes for step in steps] == [(content(CONF, b"allow = all\n", b"half\n"),)]


def test_names_that_act_on_a_terminal_do_not(tree: Path, tmp_path: Path) -> None:
    (tree / "etc/\x1b[2J\x1b]0;owned\x07").write_text("x")
    (tree / "etc/\x1b[2J\x1b]0;owned\x07").chmod(0o666)
    (tree / "etc/<script>\n").write_text("x")
    (tree / "etc/<script>\n").chmod(0o666)
    model = tmp_path / "model.yaml"
    model.write_bytes(model_file.example_bytes("door-camera"))
    result = harden(tree, "--model", model, "--control", "FS-06", "-o", tmp_path / "c.json")
    assert result.exit_code == 3
    assert "\x1b" not in result.output
    assert "\n\n" not in result.output.partition("script")[2][:8]
    assert len(parse((tmp_path / "c.json").read_bytes()).changes) == 3
