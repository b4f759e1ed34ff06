"""Rights and owners taken back: all offenders, nothing else, and nothing by halves."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes import FileMode, ProbeSpec, Setuid, Unowned, WorldWritable, WritableList
from holdfast_core.kernel.limits import LIMITS
from holdfast_probe.budget import Budget
from holdfast_probe.case import Case
from holdfast_probe.changing import apply, undo
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.files import mend_modes
from holdfast_probe.mending import mend
from holdfast_probe.roots import FolderRoot
from probe_builders import a_plan, ask, grow, own_ids


def modes(tree: Path) -> dict[str, int]:
    """The permission bits of everything below `tree`."""
    return {str(path.relative_to(tree)): stat.S_IMODE(path.lstat().st_mode) for path in sorted(tree.rglob("*"))}


def mended(tree: Path, spec: ProbeSpec, *, budget: Budget | None = None, kept: bool = True, **lists: Any) -> None:
    """Apply what the mend of `spec` makes of `tree`, and see that it can be taken back."""
    editor = Editor(FolderRoot(tree, owners_kept=kept))
    mend(Case(editor.root, a_plan(**lists), budget=budget), editor, spec)
    before = modes(tree)
    changes = editor.changes()
    apply(tree, changes)
    assert undo(tree, changes) == ()
    assert modes(tree) == before
    apply(tree, changes)


def test_more_files_than_a_finding_names_are_all_mended(tmp_path: Path) -> None:
    many = {f"srv/{number:03d}": ("x", 0o666) for number in range(3 * LIMITS.proof_items)}
    grow(tmp_path, {**many, "srv/open/": ("", 0o777), "tmp/": ("", 0o1777), "etc/ours": ("x", 0o640)})
    mended(tmp_path, WorldWritable())
    assert ask(tmp_path, WorldWritable()).outcome is Outcome.PASS
    after = modes(tmp_path)
    assert (after["tmp"], after["etc/ours"], after["srv/open"], after["srv/000"]) == (0o1777, 0o640, 0o775, 0o664)


def test_only_directories_that_are_not_declared_are_closed(tmp_path: Path) -> None:
    grow(tmp_path, {"tmp/": ("", 0o1777), "tmp/below/": ("", 0o1777), "srv/": ("", 0o1777)})
    mended(tmp_path, WritableList(), writable=("/tmp",))  # noqa: S108  (audited, not used)
    assert modes(tmp_path) == {"tmp": 0o1777, "tmp/below": 0o1777, "srv": 0o1775}


def test_only_programs_that_are_not_declared_lose_their_bits(tmp_path: Path) -> None:
    grow(tmp_path, {"bin/su": ("x", 0o4755), "bin/sh": ("x", 0o6755), "var/mail/": ("", 0o2775)})
    mended(tmp_path, Setuid(), setuid=("/bin/su",))
    after = modes(tmp_path)
    assert (after["bin/su"], after["bin/sh"], after["var/mail"]) == (0o4755, 0o755, 0o2775)


@pytest.mark.root
def test_what_nobody_owns_goes_to_root_and_a_known_half_stays(tmp_path: Path) -> None:
    grow(
        tmp_path, {"etc/passwd": own_ids() + "app:x:77:77::/:/x\n", "etc/group": own_ids(), "srv/a": "x", "srv/b": "x"}
    )
    os.chown(tmp_path / "srv/a", 4711, 4712)
    os.chown(tmp_path / "srv/b", 77, 4712)
    mended(tmp_path, Unowned())
    assert [((tmp_path / name).stat().st_uid, (tmp_path / name).stat().st_gid) for name in ("srv/a", "srv/b")] == [
        (0, 0),
        (77, 0),
    ]


@pytest.mark.root
def test_a_setuid_program_of_nobody_never_becomes_one_of_root(tmp_path: Path) -> None:
    grow(tmp_path, {"etc/passwd": own_ids(), "etc/group": own_ids(), "srv/a": "x"})
    os.chown(tmp_path / "srv/a", 4711, 4711)
    (tmp_path / "srv/a").chmod(0o4755)
    with pytest.raises(CannotMend, match="/srv/a"):
        mended(tmp_path, Unowned())


def test_a_mode_is_lowered_and_never_raised(tmp_path: Path) -> None:
    spec = FileMode(paths=("/etc/shadow*",), max_mode=0o640)
    grow(tmp_path, {"etc/shadow": ("x", 0o666), "etc/shadow-": ("x", 0o400)})
    mended(tmp_path, spec)
    assert modes(tmp_path) == {"etc": 0o755, "etc/shadow": 0o640, "etc/shadow-": 0o400}


@pytest.mark.root
def test_a_file_goes_to_its_owner_with_its_group(tmp_path: Path) -> None:
    spec = FileMode(paths=("/etc/shadow",), max_mode=0o640, uid=0)
    grow(tmp_path, {"etc/shadow": ("x", 0o640)})
    os.chown(tmp_path / "etc/shadow", 42, 43)
    mended(tmp_path, spec)
    assert ((tmp_path / "etc/shadow").stat().st_uid, (tmp_path / "etc/shadow").stat().st_gid) == (0, 43)
    os.chown(tmp_path / "etc/shadow", 42, 43)
    with pytest.raises(CannotMend, match="extracted"):
        mended(tmp_path, spec, kept=False)


@pytest.mark.parametrize("spec", [Setuid(), Unowned()])
def test_owners_that_were_lost_are_not_mended(tmp_path: Path, spec: ProbeSpec) -> None:
    grow(tmp_path, {"etc/passwd": own_ids(), "etc/group": own_ids()})
    with pytest.raises(CannotMend, match="extracted"):
        mended(tmp_path, spec, kept=False)


def test_without_a_list_of_accounts_nobody_is_a_stranger(tmp_path: Path) -> None:
    with pytest.raises(CannotMend, match="/etc/passwd"):
        mended(grow(tmp_path, {"srv/a": "x"}), Unowned())


def test_a_walk_that_was_cut_short_mends_nothing(tmp_path: Path) -> None:
    grow(tmp_path, {"srv/a": ("x", 0o666), "srv/deep/deeper/deepest/b": ("x", 0o666)})
    with pytest.raises(CannotMend, match="not all of it was seen"):
        mended(tmp_path, WorldWritable(), budget=Budget(depth=2))


def test_too_many_are_a_persons_affair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend_modes, "MOST", 3)
    grow(tmp_path, {f"srv/{number}": ("x", 0o666) for number in range(4)})
    with pytest.raises(CannotMend, match="more than 3"):
        mended(tmp_path, WorldWritable())
