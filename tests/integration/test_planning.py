"""Many controls broken at once: one plan mends them on top of each other, and one undo takes all of it back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hardened.shape import Break
from holdfast_core.baseline.control import Fix
from holdfast_core.baseline.hardening import ChangeSet, parse, rank, render
from holdfast_core.baseline.model import Outcome
from holdfast_core.kernel.digests import digest_of
from holdfast_probe.case import Case
from holdfast_probe.changing import apply, undo
from holdfast_probe.planning import work_out
from holdfast_probe.roots import FolderRoot
from integration import test_mutations as single

good = single.good
"""The one good tree, as a fixture."""


def paths_of(broken: Break) -> set[str]:
    return {path.rstrip("/") for path in (*broken.files, *broken.gone, *broken.modes, *broken.owners)}


def apart(paths: set[str], taken: set[str]) -> bool:
    """Whether no path is another one of them, or lies below it."""
    return not any(
        f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/") for one in paths for other in taken
    )


def chosen() -> list[str]:
    """Controls that a folder shows broken and that have a fix; their breaks touch different places."""
    names: list[str] = []
    taken: set[str] = set()
    for name, broken in sorted(single.BREAKS.items()):
        control = single.CONTROLS.get(name)
        if control is None or control.remedy.fix is Fix.BY_HAND or broken.fixed_by_hand or broken.live or broken.facts:
            continue
        if apart(paths_of(broken), taken):
            names.append(name)
            taken |= paths_of(broken)
    return names


@pytest.fixture
def broken(good: Path, tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    shutil.copytree(good, tree, symlinks=True)
    for name in chosen():
        single.break_(tree, single.BREAKS[name])
    return tree


def failing(tree: Path) -> set[str]:
    return {name for name, seen in single.outcomes(tree, live=False).items() if seen.outcome is Outcome.FAIL}


def test_everything_that_can_be_mended_is_and_nothing_is_lost_on_the_way_back(broken: Path) -> None:
    picture = single.photographed(broken)
    before = failing(broken)
    assert set(chosen()) <= before
    # The good tree's filter has no rule for a port that its model lists, so a plan for it would leave the policy alone.
    plan: Any = msgspec.structs.replace(single.plan_of_all(), listening=())
    case = Case(FolderRoot(broken, owners_kept=True), plan, now=single.NOW)
    steps, left = work_out(case, [single.CONTROLS[name] for name in before])
    assert {step.control for step in steps} | {entry.control for entry in left} == before
    assert not {entry.control for entry in left} & set(chosen()), {entry.control: entry.why for entry in left}
    order = [rank(single.CONTROLS[step.control]) for step in steps]
    assert order == sorted(order)
    assert single.photographed(broken) == picture, "planning changes nothing"

    changes = parse(render(ChangeSet("m@1", digest_of(b""), plan, "now", steps, left))).changes
    apply(broken, changes)
    assert failing(broken) == {entry.control for entry in left}
    assert undo(broken, changes) == ()
    assert single.photographed(broken) == picture
