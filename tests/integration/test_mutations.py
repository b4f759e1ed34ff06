"""Every control of the catalogue on one good tree: it passes; broken in one place, exactly that control fails; mended,
it passes again; undone, every byte is back."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from hardened.shape import Break
from holdfast_core.baseline.control import Control, Fix, Group
from holdfast_core.baseline.model import BuildManifest, Finding, Outcome
from holdfast_core.baseline.probes import judge_manifest, parts
from holdfast_core.baseline.probes.statements import MANIFEST_PATH
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_probe.audit import HUNTS, audit
from holdfast_probe.case import Case
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.changing import apply, undo
from holdfast_probe.editor import Editor
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot, LiveRoot, Root
from probe_builders import Files, a_plan, grow

NOW = parse_rfc3339("2026-11-21T10:00:00Z")
GROUPS: tuple[ModuleType, ...] = tuple(import_module(f"hardened.{group.value.lower()}") for group in Group)
CONTROLS: dict[str, Control] = {
    control.id: control
    for control in shipped_catalogue().controls
    if control.probe is not None and not control.inspected
}
BREAKS: dict[str, Break] = {name: each for group in GROUPS for name, each in group.BREAKS.items()}
FACTS: dict[str, Any] = {key: value for group in GROUPS for key, value in group.FACTS.items()}
LIVE_ONLY = frozenset[str]().union(*(group.LIVE_ONLY for group in GROUPS))
FOLDER_ONLY = frozenset[str]().union(*(group.FOLDER_ONLY for group in GROUPS))


def manifest(**changed: Any) -> bytes:
    return msgspec.json.encode(BuildManifest("test-1", {**FACTS, **changed}))


def plan_of_all() -> Any:
    lists: dict[str, Any] = {}
    for group in GROUPS:
        for name, entries in group.PLAN.items():
            lists[name] = (*lists.get(name, ()), *entries)
    return a_plan(**lists)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "tree"
    files: Files = {}
    for group in GROUPS:
        for name, content in group.GOOD.items():
            assert files.get(name, content) == content, f"two groups disagree about {name}"
            files[name] = content
    files[MANIFEST_PATH] = manifest()
    folder.mkdir()
    return grow(folder, files)


def root_of(tree: Path, *, live: bool) -> Root:
    return LiveRoot(tree) if live else FolderRoot(tree, owners_kept=True)


def outcomes(tree: Path, *, live: bool) -> dict[str, Finding]:
    asked = [(name, control.probe) for name, control in CONTROLS.items() if control.probe is not None]
    found = audit(root_of(tree, live=live), asked, plan_of_all(), now=NOW)
    return {finding.control: finding for finding in found.findings}


@cache
def of_the_good(tree: Path, *, live: bool) -> dict[str, Finding]:
    return outcomes(tree, live=live)


@pytest.mark.parametrize("live", [False, True], ids=["folder", "live"])
@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_the_good_tree_meets_it(good: Path, name: str, *, live: bool) -> None:
    finding = of_the_good(good, live=live)[name]
    if name in (FOLDER_ONLY if live else LIVE_ONLY):
        assert finding.outcome in {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}, finding
        assert finding.reason
    else:
        assert finding.outcome is Outcome.PASS, finding


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_broken_in_one_place_exactly_it_fails_and_is_mended_and_undone(good: Path, tmp_path: Path, name: str) -> None:
    broken = BREAKS[name]
    tree = tmp_path / "tree"
    shutil.copytree(good, tree, symlinks=True)
    break_(tree, broken)
    live = broken.live
    before, seen = of_the_good(good, live=live), outcomes(tree, live=live)
    changed = {each for each, finding in seen.items() if finding.outcome is not before[each].outcome}
    assert seen[name].outcome is Outcome.FAIL, seen[name]
    assert changed == {name}, {each: seen[each] for each in changed}
    assert seen[name].proof, "a failure shows what it saw"
    if CONTROLS[name].remedy.fix is not Fix.BY_HAND and not broken.fixed_by_hand:
        mended_and_undone(tree, name, before, live=live)


def mended_and_undone(tree: Path, name: str, before: dict[str, Finding], *, live: bool) -> None:
    picture = photographed(tree)
    root, probe = root_of(tree, live=live), CONTROLS[name].probe
    assert probe is not None
    editor = Editor(root)
    mend(Case(root, plan_of_all(), now=NOW), editor, probe)
    changes = editor.changes()
    assert changes
    assert photographed(tree) == picture, "working out a change changes nothing"
    apply(tree, changes)
    after = outcomes(tree, live=live)
    assert after[name].outcome is Outcome.PASS, after[name]
    assert {n for n, f in after.items() if f.outcome is not before[n].outcome} == set()
    assert undo(tree, changes) == ()
    assert photographed(tree) == picture


@pytest.mark.parametrize("name", sorted(c.id for c in shipped_catalogue().controls if c.manifest is not None))
def test_a_build_manifest_meets_it_and_stated_otherwise_fails(name: str) -> None:
    control = next(each for each in shipped_catalogue().controls if each.id == name)
    assert control.manifest is not None
    good_one = msgspec.json.decode(manifest(), type=BuildManifest)
    assert judge_manifest(name, control.manifest, good_one).outcome is Outcome.PASS
    silent = BuildManifest("test-1", {k: v for k, v in FACTS.items() if k != control.manifest.key})
    assert judge_manifest(name, control.manifest, silent).outcome is Outcome.UNKNOWN
    bad = msgspec.json.decode(manifest(**{control.manifest.key: "nonsense"}), type=BuildManifest)
    assert judge_manifest(name, control.manifest, bad).outcome is Outcome.FAIL


def test_a_break_for_every_control_and_no_other() -> None:
    assert set(BREAKS) == set(CONTROLS)


def test_a_probe_that_walks_is_priced_as_heavy() -> None:
    for control in CONTROLS.values():
        if control.probe and any(type(part) in HUNTS for part in parts(control.probe)):
            assert control.cost.heavy, control.id


def break_(tree: Path, broken: Break) -> None:
    for path in broken.gone:
        target = tree / path.strip("/")
        shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink()
    for path in broken.files:
        target = tree / path.strip("/")
        if target.is_symlink() or target.is_file():
            target.unlink()
    grow(tree, broken.files)
    for path, mode in broken.modes.items():
        (tree / path.strip("/")).chmod(mode)
    for path, (uid, gid) in broken.owners.items():
        os.lchown(tree / path.strip("/"), uid, gid)
    if broken.facts:
        (tree / MANIFEST_PATH.strip("/")).write_bytes(manifest(**broken.facts))


def photographed(tree: Path) -> dict[str, tuple[Any, ...]]:
    """Every path with its kind, mode, owner and bytes."""
    return {str(path.relative_to(tree)): _pictured(path) for path in _everything(tree)}


def _pictured(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    target = str(path.readlink()) if path.is_symlink() else ""
    return status.st_mode, status.st_uid, status.st_gid, content, target


def _everything(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        yield from (Path(folder, name) for name in (*folders, *files))
