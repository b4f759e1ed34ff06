"""Bundles are read bounded: whatever bytes a stick has, they are refused with a code, or read."""

from __future__ import annotations

import io
import os
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_agent.update import bundle as reading
from holdfast_agent.update.bundle import opened
from holdfast_core.kernel.errors import HostileData
from install_builders import target

FILES = {
    "bundle.json": b"{}",
    "image/1.root.json": b"one",
    "image/12.root.json": b"twelve",
    "metadata/timestamp.json": b"now",
    "targets/exemptions/ab.back.json": b"leave",
    "unknown/file": b"not looked at",
}
WANTED = target()
PAYLOAD = f"targets/cam/2/{WANTED.digest[7:]}.image.img"


def zipped(files, compression=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return made.getvalue()


WHOLE = zipped({**FILES, PAYLOAD: b"image"})


def read(path):
    with opened(path) as bundle, bundle.payload(WANTED).open("rb") as file:
        return bundle, file.read()


def code_of(path):
    with pytest.raises(HostileData) as refused:
        read(path)
    assert refused.value.remedy
    return refused.value.code


def test_a_folder_and_a_zip_file_are_the_same(tmp_path):
    (tmp_path / "usb.zip").write_bytes(WHOLE)
    with zipfile.ZipFile(tmp_path / "usb.zip") as archive:
        archive.extractall(tmp_path / "usb")
    for path in (tmp_path / "usb.zip", tmp_path / "usb"):
        bundle, payload = read(path)
        assert payload == b"image"
        assert set(bundle.files) == set(FILES) - {"unknown/file"}
        assert bundle.newest_root("image") == b"twelve"
        assert (dict(bundle.metadata), bundle.word) == ({"timestamp.json": b"now"}, b"{}")
        assert (bundle.small("targets/exemptions/ab.back.json"), bundle.small("else")) == (b"leave", b"")


def test_what_is_compressed_is_refused_so_nothing_grows(tmp_path):
    (tmp_path / "bomb.zip").write_bytes(zipped({**FILES, "bundle.json": bytes(10**6)}, zipfile.ZIP_DEFLATED))
    assert code_of(tmp_path / "bomb.zip") == "update.bundle_malformed"


def test_a_directory_that_claims_to_be_large_is_refused_before_it_is_read(tmp_path):
    for count, length in ((65_000, 100), (3, 2**31)):
        data = bytearray(WHOLE)
        at = data.rfind(b"PK\5\6")
        struct.pack_into("<2H1L", data, at + 8, count, count, length)
        (tmp_path / "usb.zip").write_bytes(data)
        assert code_of(tmp_path / "usb.zip") == "update.bundle_malformed"
    large = WHOLE[: WHOLE.rfind(b"PK\5\6")]
    sixty_four = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10**9, 10**9, 10**9, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(large), 1)
    (tmp_path / "usb.zip").write_bytes(large + sixty_four + locator + WHOLE[len(large) :])
    assert code_of(tmp_path / "usb.zip") == "update.bundle_malformed"


@pytest.mark.parametrize("missing", ["bundle.json", "image/1.root.json"])
def test_a_bundle_without_its_parts_is_none(tmp_path, missing):
    files = {name: data for name, data in FILES.items() if not name.startswith(missing[:5])}
    (tmp_path / "usb.zip").write_bytes(zipped(files))
    with pytest.raises(HostileData) as refused, opened(tmp_path / "usb.zip") as bundle:
        bundle.newest_root("image")
    assert refused.value.code == "update.bundle_malformed"


def test_too_much_is_refused(tmp_path, monkeypatch):
    (tmp_path / "usb.zip").write_bytes(WHOLE)
    monkeypatch.setattr(reading, "LARGEST", 8)
    assert code_of(tmp_path / "usb.zip") == "update.bundle_malformed"


def test_links_and_pipes_in_a_folder_are_not_read(tmp_path):
    (tmp_path / "usb").mkdir()
    os.mkfifo(tmp_path / "usb/bundle.json")
    assert code_of(tmp_path / "usb") == "update.bundle_malformed"
    (tmp_path / "usb/bundle.json").unlink()
    (tmp_path / "usb/bundle.json").symlink_to("/etc/hostname")
    assert code_of(tmp_path / "usb") == "update.bundle_malformed"
    assert code_of(tmp_path / "nothing") == "update.bundle_malformed"


def survives(path, data):
    """Reading it raises nothing but what a person can be told."""
    path.write_bytes(data)
    try:
        read(path)
    except (HostileData, OSError):
        return False
    return True


def test_truncated_at_every_byte(tmp_path):
    assert survives(tmp_path / "usb.zip", WHOLE), "a control"
    for end in range(len(WHOLE)):
        assert not survives(tmp_path / "usb.zip", WHOLE[:end])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes(tmp_path_factory, data):
    survives(tmp_path_factory.getbasetemp() / "arbitrary.zip", data)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes(tmp_path_factory, changes):
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    survives(tmp_path_factory.getbasetemp() / "changed.zip", bytes(data))
