"""Changes are worked out without touching anything, each on top of those before it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast_core.wire.changes import (
    MAX_CONTENT,
    ContentChange,
    FolderChange,
    LinkChange,
    ModeChange,
    OwnerChange,
)
from holdfast_probe.changing import apply, undo
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import FolderRoot
from probe_builders import grow


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "/etc/a.conf": ("one\ntwo\n", 0o640),
        "/etc/alias.conf": "-> a.conf",
        "/etc/rc.d/S50telnet": "-> ../init.d/telnet",
        "/etc/init.d/telnet": ("#!/bin/sh\n", 0o755),
    }
    (tmp_path / "tree").mkdir()
    return grow(tmp_path / "tree", files)


@pytest.fixture
def editor(tree: Path) -> Editor:
    return Editor(FolderRoot(tree))


def owner() -> tuple[int, int]:
    return os.getuid(), os.getgid()


def test_an_edit_is_seen_by_the_next_and_nothing_is_touched(tree: Path, editor: Editor) -> None:
    editor.write("/etc/a.conf", b"one\n")
    editor.write("/etc/a.conf", (editor.read("/etc/a.conf") or b"") + b"three\n")
    assert editor.changes() == (ContentChange("/etc/a.conf", b"one\ntwo\n", b"one\nthree\n", 0o640, *owner()),)
    assert (tree / "etc/a.conf").read_bytes() == b"one\ntwo\n"


def test_what_came_to_nothing_is_left_out(editor: Editor) -> None:
    editor.write("/etc/a.conf", b"x")
    editor.write("/etc/a.conf", b"one\ntwo\n")
    editor.take_bits("/etc/a.conf", 0o001)
    editor.remove("/etc/none")
    editor.own("/etc/a.conf", *owner())
    assert editor.changes() == ()


def test_where_a_link_leads_is_what_is_edited(editor: Editor) -> None:
    editor.write("/etc/alias.conf", b"new\n")
    assert [change.path for change in editor.changes()] == ["/etc/a.conf"]


def test_removing_a_link_leaves_what_it_points_to(editor: Editor) -> None:
    editor.remove("/etc/rc.d/S50telnet")
    editor.remove("/etc/rc.d/S50telnet")
    assert editor.changes() == (LinkChange("/etc/rc.d/S50telnet", "../init.d/telnet", None),)


def test_a_new_file_gets_its_folders_first_and_its_bits_with_its_content(editor: Editor) -> None:
    editor.write("/etc/sysctl.d/hard/10.conf", b"x\n", mode=0o666)
    editor.take_bits("/etc/sysctl.d/hard/10.conf", 0o022)
    assert editor.changes() == (
        FolderChange("/etc/sysctl.d"),
        FolderChange("/etc/sysctl.d/hard"),
        ContentChange("/etc/sysctl.d/hard/10.conf", None, b"x\n", 0o644),
    )


def test_bits_are_taken_and_owners_given_after_the_content(editor: Editor) -> None:
    editor.take_bits("/etc/a.conf", 0o040)
    editor.own("/etc/a.conf", 7, 8)
    editor.write("/etc/a.conf", b"x")
    assert [type(change) for change in editor.changes()] == [ContentChange, OwnerChange, ModeChange]


def test_a_branch_leads_on_and_may_be_thrown_away(tree: Path, editor: Editor) -> None:
    editor.write("/etc/a.conf", b"first\n")
    editor.take_bits("/etc/a.conf", 0o040)
    thrown = editor.branch()
    thrown.write("/etc/a.conf", b"thrown\n")
    thrown.remove("/etc/init.d/telnet")
    second = editor.branch()
    assert second.changes() == ()
    assert second.read("/etc/a.conf") == b"first\n"
    second.write("/etc/a.conf", b"second\n")
    assert second.changes() == (ContentChange("/etc/a.conf", b"first\n", b"second\n", 0o600, *owner()),)
    assert editor.read("/etc/a.conf") == b"first\n"
    both = (*editor.changes(), *second.changes())
    apply(tree, both)
    assert (tree / "etc/a.conf").read_bytes() == b"second\n"
    assert undo(tree, both) == ()
    assert (tree / "etc/a.conf").read_bytes() == b"one\ntwo\n"
    assert (tree / "etc/a.conf").stat().st_mode & 0o7777 == 0o640


def test_a_file_made_in_one_branch_is_removed_in_the_next(editor: Editor) -> None:
    editor.write("/etc/new", b"x", mode=0o600)
    after = editor.branch()
    after.remove("/etc/new")
    assert after.changes() == (ContentChange("/etc/new", b"x", None, 0o600),)
    with pytest.raises(CannotMend, match="no such file"):
        after.take_bits("/etc/new", 0o002)


def test_what_cannot_be_edited_whole_is_refused(tree: Path, editor: Editor) -> None:
    os.mkfifo(tree / "etc/fifo")
    (tree / "etc/large").write_bytes(b"x" * (MAX_CONTENT + 1))
    for path in ("/etc/fifo", "/etc/large", "/etc"):
        with pytest.raises(CannotMend):
            editor.write(path, b"x")
    with pytest.raises(CannotMend, match="larger"):
        editor.write("/etc/a.conf", b"x" * (MAX_CONTENT + 1))
    with pytest.raises(CannotMend, match="neither"):
        editor.take_bits("/etc/fifo", 0o002)
    with pytest.raises(CannotMend, match="no directory"):
        editor.write("/etc/a.conf/below", b"x")
    assert editor.changes() == ()


@pytest.mark.parametrize("name", [b"\xff\xfe", b"x" * 250], ids=["no text", "no room for another name"])
def test_a_name_that_no_change_could_carry_is_refused(tree: Path, editor: Editor, name: bytes) -> None:
    path = "/etc/" + os.fsdecode(name)
    Path(str(tree) + path).write_bytes(b"x")
    with pytest.raises(CannotMend):
        editor.write(path, b"y")
    with pytest.raises(CannotMend):
        editor.take_bits(path, 0o4)
    with pytest.raises(CannotMend):
        editor.remove(path)


def test_a_link_out_of_the_root_leads_back_into_it(tree: Path, editor: Editor) -> None:
    (tree / "etc/out").symlink_to("../../../../../outside")
    editor.write("/etc/out", b"x")
    assert editor.changes() == (ContentChange("/outside", None, b"x"),)
