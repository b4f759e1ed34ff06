"""Changes are made inside the root only, all or nothing each, and taken back byte for byte."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_core.wire.changes import Change, ContentChange, FolderChange, LinkChange, ModeChange, OwnerChange
from holdfast_probe.chains import Standing
from holdfast_probe.changing import ChangeRefused, apply, standings, undo
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import FolderRoot
from probe_builders import Files, grow

FILES: Files = {
    "/etc/a.conf": ("one\ntwo\n", 0o640),
    "/etc/b": ("", 0o4755),
    "/etc/c/d": ("x\n", 0o600),
    "/etc/link": "-> a.conf",
    "/empty/": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("precious")
    (tmp_path / "tree").mkdir()
    return grow(tmp_path / "tree", FILES)


def content(path: str, before: bytes | None, after: bytes | None, mode: int = 0o640) -> ContentChange:
    return ContentChange(path, before, after, mode, os.getuid(), os.getgid())


def picture(tree: Path) -> dict[str, tuple[Any, ...]]:
    seen: dict[str, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(tree):
        for path in (Path(folder, name) for name in (*folders, *files)):
            status = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            link = str(path.readlink()) if path.is_symlink() else ""
            seen[str(path.relative_to(tree))] = (status.st_mode, status.st_uid, status.st_gid, data, link)
    return seen


ALL: tuple[Change, ...] = (
    FolderChange("/etc/new.d"),
    FolderChange("/etc/new.d/below", 0o700),
    content("/etc/new.d/below/file", None, b"made\n", 0o644),
    content("/etc/a.conf", b"one\ntwo\n", b"two\n"),
    ModeChange("/etc/a.conf", 0o640, 0o600),
    content("/etc/c/d", b"x\n", None, 0o600),
    LinkChange("/etc/link", "a.conf", None),
    LinkChange("/etc/other", None, "a.conf"),
    ModeChange("/etc/b", 0o4755, 0o755),
)


def test_everything_is_made_and_taken_back_byte_for_byte_twice_each(tree: Path) -> None:
    before = picture(tree)
    for _ in range(2):
        apply(tree, ALL)
    after = picture(tree)
    assert after["etc/a.conf"][3] == b"two\n"
    assert "etc/c/d" not in after
    assert after["etc/other"][4] == "a.conf"
    for _ in range(2):
        assert undo(tree, ALL) == ()
    assert picture(tree) == before


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_undo_repairs_a_crash_after_any_change(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("crash")
    (folder / "tree").mkdir()
    tree = grow(folder / "tree", FILES)
    before = picture(tree)
    apply(tree, ALL[: data.draw(st.integers(0, len(ALL)))])
    undone = data.draw(st.integers(0, len(ALL)))
    undo(tree, ALL[undone:])  # killed again while it was undone
    assert undo(tree, ALL) == ()
    assert picture(tree) == before
    shutil.rmtree(folder)


def test_a_kill_between_writing_and_renaming_leaves_nothing_behind(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = content("/etc/a.conf", b"one\ntwo\n", b"two\n")
    (tree / "etc/a.conf.holdfast-new").write_bytes(b"half of i")
    before = picture(tree)
    assert undo(tree, [change]) == ()
    assert before.keys() - picture(tree).keys() == {"etc/a.conf.holdfast-new"}

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", fail)
        with pytest.raises(ChangeRefused, match="No space"):
            apply(tree, [change])
    assert not (tree / "etc/a.conf.holdfast-new").exists()
    assert (tree / "etc/a.conf").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize(
    "change",
    [
        ModeChange("/etc/a.conf", 0o644, 0o600),
        OwnerChange("/etc/a.conf", (7, 7), (8, 8)),
        content("/etc/a.conf", b"other", b"new"),
        content("/etc/a.conf", b"one\ntwo\n", b"new", mode=0o600),
        content("/etc/a.conf", None, b"new"),
        content("/etc", b"other", b"new"),
        LinkChange("/etc/link", "b", None),
        LinkChange("/etc/a.conf", "b", None),
        FolderChange("/etc/a.conf"),
        ModeChange("/etc/none", 0o644, 0o600),
        ModeChange("/etc/link", 0o777, 0o600),
    ],
    ids=lambda change: f"{type(change).__name__} {change.path}",
)
def test_what_is_not_as_the_change_says_is_left_alone(tree: Path, change: Change) -> None:
    before = picture(tree)
    with pytest.raises(ChangeRefused):
        apply(tree, [change])
    assert picture(tree) == before


def test_what_somebody_else_changed_meanwhile_is_left_alone_and_named(tree: Path) -> None:
    apply(tree, ALL)
    (tree / "etc/a.conf").write_bytes(b"mine\n")
    (tree / "etc/new.d/below/mine").write_bytes(b"mine\n")
    left = undo(tree, ALL)
    assert set(left) == {"/etc/a.conf", "/etc/new.d/below", "/etc/new.d"}
    assert (tree / "etc/a.conf").read_bytes() == b"mine\n"
    assert (tree / "etc/new.d/below/mine").exists()
    assert (tree / "etc/c/d").read_bytes() == b"x\n"


def test_standing_tells_the_state_and_touches_nothing(tree: Path) -> None:
    before = picture(tree)
    assert {each for _, each in standings(tree, ALL)} == {Standing.BEFORE}
    assert picture(tree) == before
    apply(tree, ALL)
    assert {each for _, each in standings(tree, ALL)} == {Standing.AFTER}
    (tree / "etc/other").unlink()
    (tree / "etc/other").symlink_to("elsewhere")
    assert dict(standings(tree, ALL))["/etc/other"] is Standing.OTHER


CHAIN: tuple[Change, ...] = (
    content("/etc/a.conf", b"one\ntwo\n", b"two\n"),
    FolderChange("/etc/new.d"),
    content("/etc/new.d/file", None, b"1\n", 0o644),
    ModeChange("/etc/a.conf", 0o640, 0o600),
    content("/etc/a.conf", b"two\n", b"two\nthree\n", 0o600),
    ModeChange("/etc/a.conf", 0o600, 0o400),
    content("/etc/new.d/file", b"1\n", b"2\n", 0o644),
    ModeChange("/etc/new.d/file", 0o644, 0o600),
    LinkChange("/etc/link", "a.conf", "b"),
    LinkChange("/etc/link", "b", "c"),
    content("/etc/c/d", b"x\n", b"y\n", 0o600),
    ModeChange("/etc/c/d", 0o600, 0o400),
    content("/etc/c/d", b"y\n", None, 0o400),
)
"""Several changes of one path, of one kind and of two, and a file that is made, changed and changed again."""


def test_a_chain_is_made_twice_and_taken_back_twice(tree: Path) -> None:
    before = picture(tree)
    apply(tree, CHAIN)
    after = picture(tree)
    apply(tree, CHAIN)
    assert picture(tree) == after
    assert {each for _, each in standings(tree, CHAIN)} == {Standing.AFTER}
    assert undo(tree, CHAIN) == ()
    assert undo(tree, CHAIN) == ()
    assert picture(tree) == before
    assert {each for _, each in standings(tree, CHAIN)} == {Standing.BEFORE}


@given(st.integers(0, len(CHAIN)), st.integers(0, len(CHAIN)))
@settings(max_examples=60, deadline=None)
def test_a_kill_in_the_middle_of_a_chain_is_gone_on_from_in_both_directions(
    tmp_path_factory: pytest.TempPathFactory, made: int, undone: int
) -> None:
    folder = tmp_path_factory.mktemp("chain")
    (folder / "tree").mkdir()
    tree = grow(folder / "tree", FILES)
    before = picture(tree)
    apply(tree, CHAIN[:made])
    assert Standing.OTHER not in {each for _, each in standings(tree, CHAIN)}
    undo(tree, CHAIN[undone:])  # killed again while it was undone
    apply(tree, CHAIN)
    assert {each for _, each in standings(tree, CHAIN)} == {Standing.AFTER}
    undo(tree, CHAIN[undone:])
    assert undo(tree, CHAIN) == ()
    assert picture(tree) == before
    shutil.rmtree(folder)


def test_a_state_that_is_not_along_the_chain_is_somebody_elses(tree: Path) -> None:
    apply(tree, CHAIN)
    (tree / "etc/a.conf").chmod(0o600)
    (tree / "etc/a.conf").write_text("mine\n")
    (tree / "etc/new.d/file").unlink()
    (tree / "etc/new.d/file").symlink_to("../b")
    assert set(undo(tree, CHAIN)) == {"/etc/new.d", "/etc/new.d/file", "/etc/a.conf"}
    assert (tree / "etc/a.conf").read_text() == "mine\n"


@pytest.mark.parametrize("path", ["/../outside/file", "/etc/../../outside/file", "/", "etc/a", "//etc/a", "/etc/./a"])
def test_no_change_names_a_place_outside_or_none_at_all(path: str) -> None:
    for make in (
        lambda: ModeChange(path, 0o666, 0o600),
        lambda: ContentChange(path, None, b""),
        lambda: LinkChange(path, None, "x"),
        lambda: FolderChange(path),
    ):
        with pytest.raises(ValueError, match="place below the root"):
            make()


def test_a_file_with_another_name_is_refused(tree: Path) -> None:
    os.link(tree.parent / "outside/file", tree / "etc/hard")
    for change in (content("/etc/hard", b"precious", b"", 0o644), ModeChange("/etc/hard", 0o644, 0o600)):
        with pytest.raises(ChangeRefused, match="another name"):
            apply(tree, [change])
    assert (tree.parent / "outside/file").read_text() == "precious"


def test_a_link_points_elsewhere_in_one_step_and_back(tree: Path) -> None:
    change = LinkChange("/etc/link", "a.conf", "b")
    (tree / "etc/link.holdfast-new").symlink_to("left by a kill")
    for _ in range(2):
        apply(tree, [change])
        assert str((tree / "etc/link").readlink()) == "b"
    assert undo(tree, [change]) == ()
    assert str((tree / "etc/link").readlink()) == "a.conf"
    assert not (tree / "etc/link.holdfast-new").is_symlink()


def test_a_fifo_is_never_opened(tree: Path) -> None:
    os.mkfifo(tree / "etc/fifo")
    with pytest.raises(ChangeRefused, match="neither"):
        apply(tree, [content("/etc/fifo", b"", b"x")])


def attributes(path: Path) -> dict[str, bytes]:
    return {key: os.getxattr(path, key) for key in os.listxattr(path)}


@pytest.fixture
def labelled(tree: Path) -> Path:
    try:
        os.setxattr(tree / "etc/a.conf", "user.holdfast", b"kept")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    return tree


def test_extended_attributes_stay_with_the_file(labelled: Path) -> None:
    change = content("/etc/a.conf", b"one\ntwo\n", b"two\n")
    apply(labelled, [change])
    assert attributes(labelled / "etc/a.conf")["user.holdfast"] == b"kept"
    assert undo(labelled, [change]) == ()
    assert attributes(labelled / "etc/a.conf")["user.holdfast"] == b"kept"


def test_a_file_whose_attributes_would_be_lost_is_not_removed(labelled: Path) -> None:
    with pytest.raises(ChangeRefused, match="extended attributes"):
        apply(labelled, [content("/etc/a.conf", b"one\ntwo\n", None)])


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_an_owner_changes_without_losing_the_setuid_bit(tree: Path) -> None:
    change = OwnerChange("/etc/b", (0, 0), (7, 8))
    apply(tree, [change])
    status = (tree / "etc/b").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (7, 8, 0o4755)
    assert undo(tree, [change]) == ()


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["write", "remove", "take", "branch"]),
        st.sampled_from(["/etc/a.conf", "/etc/b", "/etc/c/d", "/etc/link", "/n/e/w", "/n/o", "/etc/c", "/empty/x"]),
        st.binary(max_size=8),
        st.integers(0, 0o777),
    ),
    max_size=12,
)


@given(EDITS)
@settings(max_examples=150, deadline=None)
def test_whatever_is_edited_is_made_as_edited_and_undone(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str, bytes, int]]
) -> None:
    folder = tmp_path_factory.mktemp("edits")
    (folder / "tree").mkdir()
    tree = grow(folder / "tree", FILES)
    before = picture(tree)
    editor = Editor(FolderRoot(tree))
    changes: list[Change] = []
    for kind, path, data, bits in edits:
        try:
            if kind == "write":
                editor.write(path, data)
            elif kind == "remove":
                editor.remove(path)
            elif kind == "take":
                editor.take_bits(path, bits)
            else:
                changes += editor.changes()
                editor = editor.branch()
        except CannotMend:
            continue
    changes += editor.changes()
    wanted = {path: editor.read(path) for path in ("/etc/b", "/n/e/w", "/n/o", "/empty/x")}
    apply(tree, changes)
    for path, content_wanted in wanted.items():
        place = tree / path.strip("/")
        assert (place.read_bytes() if place.exists() else None) == content_wanted
    assert undo(tree, changes) == ()
    assert picture(tree) == before
    shutil.rmtree(folder)
