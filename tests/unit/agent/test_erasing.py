"""Erasing a device's data: what goes, what stays, and what is honestly said of it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_agent import directives
from holdfast_agent.erasing import erase, header_size
from holdfast_agent.state import CONFIG, ERASING, IDENTITY, LOCK, RETIRED, Folder
from holdfast_core.inventory.erasure import EraseArgs, Technique, shortfall
from holdfast_core.inventory.model import Sanitizing
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.frame import DirectiveReport
from holdfast_core.wire.orders import Order


def args(*paths: str, method: Sanitizing = Sanitizing.CLEAR) -> EraseArgs:
    return EraseArgs(method, paths)


def told(root: Path, *paths: str, discards: bool = True, secure: bool = False) -> list[tuple[str, Technique, str]]:
    report = erase(args(*paths), root, discard=lambda _: discards, secure_discard=lambda *_: secure)
    return [(item.path, item.technique, item.why) for item in report.items]


def luks1(size: int = 2 * 1024 * 1024) -> bytes:
    head = bytearray(size + 4096)
    head[:8] = b"LUKS\xba\xbe\x00\x01"
    head[104:108] = (size // 512).to_bytes(4, "big")
    head[4096:4104] = b"keyslots"
    head[size : size + 4] = b"data"
    return bytes(head)


def luks2(offset: str = str(16 * 1024 * 1024), area: int = 16384) -> bytes:
    head = bytearray(int(offset) + 4096 if offset.isdigit() else area)
    head[:8] = b"LUKS\xba\xbe\x00\x02"
    head[8:16] = area.to_bytes(8, "big")
    text = json.dumps({"segments": {"0": {"type": "crypt", "offset": offset, "size": "dynamic"}}}).encode()
    head[4096 : 4096 + len(text)] = text
    return bytes(head)


def test_files_and_folders_go_and_their_storage_discards_them(tmp_path):
    (tmp_path / "data/clips/deep").mkdir(parents=True)
    (tmp_path / "data/clips/deep/one.mp4").write_bytes(b"face")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/wifi").write_text("psk")
    (tmp_path / "etc/keep").write_text("stays")
    assert told(tmp_path, "/data/clips", "/etc/wifi") == [
        ("/data/clips", Technique.DISCARD, ""),
        ("/etc/wifi", Technique.DISCARD, ""),
    ]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data", "etc", "keep"]


def test_where_nothing_is_discarded_it_is_called_removed_which_clears_nothing(tmp_path):
    (tmp_path / "clips").write_bytes(b"face")
    report = erase(args("/clips"), tmp_path, discard=lambda _: False)
    assert [item.technique for item in report.items] == [Technique.REMOVE]
    assert shortfall(args("/clips"), report)


def test_what_is_gone_already_counts_so_that_a_crash_in_between_does_no_harm(tmp_path):
    (tmp_path / "clips").write_bytes(b"face")
    first = told(tmp_path, "/clips", "/never/there")
    assert told(tmp_path, "/clips", "/never/there") == first
    assert {technique for _, technique, _ in first} == {Technique.DISCARD}


def test_no_link_leads_to_something_else(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("stays")
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "way").symlink_to(outside)
    (root / "data/link").symlink_to(outside)
    assert told(root, "/way/precious", "/data") == [
        ("/way/precious", Technique.FAILED, "a link is in the way"),
        ("/data", Technique.DISCARD, ""),
    ]
    assert (outside / "precious").read_text() == "stays"


def test_a_link_that_is_named_goes_itself(tmp_path):
    (tmp_path / "target").write_text("stays")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert told(tmp_path, "/link") == [("/link", Technique.DISCARD, "")]
    assert (tmp_path / "target").exists()


def test_what_fails_is_told_and_the_rest_goes_all_the_same(tmp_path, monkeypatch):
    for name in ("first", "second"):
        (tmp_path / name).write_text("x")

    real = os.unlink

    def unlink(name, *, dir_fd):
        if name == "first":
            raise PermissionError(1, "Operation not permitted")
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr("holdfast_agent.erasing.os.unlink", unlink)
    assert told(tmp_path, "/first", "/second") == [
        ("/first", Technique.FAILED, "Operation not permitted"),
        ("/second", Technique.DISCARD, ""),
    ]


@pytest.mark.parametrize("container", [luks1(), luks2()], ids=["LUKS1", "LUKS2"])
@pytest.mark.parametrize("secure", [False, True])
def test_the_keys_of_a_container_go(tmp_path, container, secure):
    (tmp_path / "vault").write_bytes(container)
    (tmp_path / "other-name").hardlink_to(tmp_path / "vault")
    expected = Technique.CRYPTOGRAPHIC_ERASE if secure else Technique.KEY_OVERWRITE
    assert told(tmp_path, "/vault", secure=secure) == [("/vault", expected, "")]
    left = (tmp_path / "other-name").read_bytes()
    size = header_size(lambda start, length: container[start : start + length])
    assert size is not None
    assert left[:size] == bytes(size)
    assert left[size:] == container[size:]


def test_a_header_that_cannot_be_read_is_a_failure_not_a_success(tmp_path):
    (tmp_path / "vault").write_bytes(luks2("none"))
    assert told(tmp_path, "/vault") == [("/vault", Technique.FAILED, "its LUKS header cannot be read")]
    assert (tmp_path / "vault").exists()


@given(st.binary(max_size=64), st.sampled_from([b"", b"LUKS\xba\xbe\x00\x01", b"LUKS\xba\xbe\x00\x02"]))
def test_whatever_stands_in_a_header_it_is_bounded(noise, start):
    data = (start + noise).ljust(8192, b"\xff")
    try:
        size = header_size(lambda at, length: data[at : at + length])
    except OSError:
        return
    assert size is None or 4096 <= size <= 64 * 1024 * 1024


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{}", "directive.malformed"),
        ('{"method":"clear","paths":["/usr"]}', "erase.forbidden_place"),
        ('{"method":"clear","paths":["/data/../etc"]}', "erase.forbidden_place"),
        ('{"method":"clear","paths":["/"]}', "directive.malformed"),
        ('{"method":"burn","paths":[]}', "directive.malformed"),
        ("[" * 10_000, "directive.malformed"),
    ],
)
def test_an_order_to_erase_what_the_device_starts_from_is_refused(text, code):
    report = directives.read_erase(Order(3, "erase", text))
    assert isinstance(report, DirectiveReport)
    assert report.code == code


# The folder


def test_once_the_mark_is_there_nothing_else_is_and_no_command_starts(tmp_path):
    folder = Folder(tmp_path / "state")
    for name in (IDENTITY, CONFIG, ERASING, "root.pem", "tpm.json"):
        folder.write(name, b"{}")
    folder.retire("cam-1", 1)
    assert [path.name for path in folder.path.iterdir()] == [RETIRED]
    assert stat.S_IMODE((folder.path / RETIRED).stat().st_mode) == 0o600
    with pytest.raises(WorldError, match=r"agent\.retired"), folder.locked():
        pass
    with pytest.raises(WorldError, match=r"agent\.retired"):
        folder.config()


def test_a_crash_right_after_the_mark_leaves_no_key(tmp_path, monkeypatch):
    folder = Folder(tmp_path / "state")
    folder.write(IDENTITY, b"key")
    monkeypatch.setattr(Folder, "_empty", lambda _: None)
    folder.retire("cam-1", 1)
    assert (folder.path / IDENTITY).exists()
    monkeypatch.undo()
    with pytest.raises(WorldError, match=r"agent\.retired"), folder.locked():
        pass
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, RETIRED]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "state")


def test_a_retired_device_keeps_nothing_of_its_updates(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("another's")
    update = folder.path / "update"
    (update / "trust/image/roots").mkdir(parents=True)
    for name in ("journal.json", "payload.part", "trust/pins.json", "trust/image/roots/1.root.json"):
        (update / name).write_text("of the fleet's updates")
    (update / "trust/linked").symlink_to(outside)
    (update / "named").symlink_to(outside / "kept")
    (folder.path / "elsewhere").symlink_to(outside)
    folder.retire("cam-1", 1)
    assert {path.name for path in folder.path.iterdir()} <= {RETIRED, LOCK}
    assert (outside / "kept").read_text() == "another's", "no link is followed"


def test_a_folder_of_updates_that_is_a_link_goes_alone(folder, tmp_path):
    (tmp_path / "outside/trust").mkdir(parents=True)
    (folder.path / "update").symlink_to(tmp_path / "outside")
    folder.retire("cam-1", 1)
    assert not (folder.path / "update").is_symlink()
    assert (tmp_path / "outside/trust").is_dir()


def test_a_depth_without_end_is_told_and_the_key_is_gone_all_the_same(folder):
    (folder.path / "update" / "/".join(["deeper"] * 40)).mkdir(parents=True)
    (folder.path / IDENTITY).write_text("key")
    with pytest.raises(WorldError) as told:
        folder.retire("cam-1", 1)
    assert told.value.code == "agent.disk"
    assert {path.name for path in folder.path.iterdir()} - {LOCK} == {RETIRED, "update"}
    control = folder.path / "update"
    control.rename(folder.path.parent / "moved")
    (control / "/".join(["deeper"] * 10)).mkdir(parents=True)
    with pytest.raises(WorldError, match=r"agent\.retired"), folder.locked():
        pass
    assert not control.exists(), "whoever finds the mark goes on"
