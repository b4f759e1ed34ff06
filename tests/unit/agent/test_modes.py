"""Permission bits are changed inside the root only, and put back only where nobody else changed them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from holdfast_agent import modes
from holdfast_agent.modes import ModeRefused
from holdfast_core.wire.changes import ModeChange


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    file = tmp_path / "root/etc/file"
    file.write_text("x")
    file.chmod(0o4666)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    (outside / "file").chmod(0o666)
    return tmp_path / "root"


def test_only_the_bits_asked_for_are_taken_and_put_back(root: Path) -> None:
    change = modes.planned(root, "/etc/file", take=0o002)
    assert change == ModeChange("/etc/file", 0o4666, 0o4664)
    for _ in range(2):  # idempotent
        modes.make(root, change)
        assert mode(root / "etc/file") == 0o4664
    for _ in range(2):
        assert modes.take_back(root, change)
        assert mode(root / "etc/file") == 0o4666


def test_nothing_is_planned_where_nothing_is_to_take(root: Path) -> None:
    assert modes.planned(root, "/etc/file", take=0o1000) is None


def test_what_somebody_else_changed_is_left_alone(root: Path) -> None:
    change = ModeChange("/etc/file", 0o4666, 0o4664)
    (root / "etc/file").chmod(0o600)
    assert not modes.take_back(root, change)
    with pytest.raises(ModeRefused):
        modes.make(root, change)
    assert mode(root / "etc/file") == 0o600


@pytest.mark.parametrize("path", ["/link", "/folder/file", "/../outside/file", "/etc/../../outside/file", "/"])
def test_no_path_leads_out_of_the_root(root: Path, path: str) -> None:
    (root / "link").symlink_to(root.parent / "outside/file")
    (root / "folder").symlink_to(root.parent / "outside")
    with pytest.raises(ModeRefused):
        modes.planned(root, path, take=0o002)
    with pytest.raises(ModeRefused):
        modes.make(root, ModeChange(path, 0o666, 0o664))
    assert not modes.take_back(root, ModeChange(path, 0o664, 0o666))
    assert mode(root.parent / "outside/file") == 0o666


def test_a_hard_link_is_left_alone(root: Path) -> None:
    os.link(root.parent / "outside/file", root / "etc/hard")
    with pytest.raises(ModeRefused, match="another name"):
        modes.planned(root, "/etc/hard", take=0o002)


def test_a_fifo_is_neither_opened_nor_changed(root: Path) -> None:
    os.mkfifo(root / "etc/fifo")
    with pytest.raises(ModeRefused):
        modes.planned(root, "/etc/fifo", take=0o002)
