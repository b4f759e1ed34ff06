"""Payloads in a folder: what the disk does to them, and what a server that ended leaves."""

from __future__ import annotations

import errno
import os

import pytest

from holdfast.adapters.artefacts.folder import FolderArtefacts
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HoldfastError

DATA = b"payload" * 1000
NAME = digest_of(DATA).removeprefix("sha256:")


def stored(store, data=DATA):
    upload = store.begin()
    upload.write(data)
    return upload.finish().digest


def code(call, *arguments):
    with pytest.raises(HoldfastError) as error:
        call(*arguments)
    return error.value.code


@pytest.fixture
def store(tmp_path):
    return FolderArtefacts(tmp_path / "artefacts", reserve=0)


def test_a_payload_lies_under_its_digest_and_is_its_owners_alone(store, tmp_path):
    stored(store)
    file = tmp_path / "artefacts" / "sha256" / NAME[:2] / NAME
    assert file.read_bytes() == DATA
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "artefacts" / "incoming").iterdir()) == []


def test_what_a_server_that_ended_left_is_removed_at_the_next_start(store, tmp_path):
    kept = stored(store)
    upload = store.begin()
    upload.write(DATA * 2)
    assert len(list((tmp_path / "artefacts" / "incoming").iterdir())) == 1
    again = FolderArtefacts(tmp_path / "artefacts", reserve=0)
    assert list((tmp_path / "artefacts" / "incoming").iterdir()) == []
    assert again.holds(kept)
    upload.abandon()


def test_an_upload_stops_while_the_reserve_is_free(tmp_path):
    disk = os.statvfs(tmp_path)
    free = disk.f_bavail * disk.f_frsize
    full = FolderArtefacts(tmp_path / "artefacts", reserve=free * 2)
    assert code(full.begin) == "artefact.disk_full"
    assert list((tmp_path / "artefacts" / "incoming").iterdir()) == []


def test_the_reserve_is_looked_at_again_while_an_upload_grows(store, monkeypatch):
    upload = store.begin()
    upload.write(bytes(1024))
    monkeypatch.setattr(upload, "_reserve", 2**62)
    upload.write(bytes(1024))
    assert code(upload.write, bytes(17 * 1024 * 1024)) == "artefact.disk_full"
    upload.abandon()


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "artefact.disk_full"), (errno.EDQUOT, "artefact.disk_full"), (errno.EIO, "artefact.store")],
)
def test_what_the_disk_refuses_is_told(store, monkeypatch, number, expected):
    upload = store.begin()

    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.write", fails)
    assert code(upload.write, b"abc") == expected
    monkeypatch.undo()
    monkeypatch.setattr("os.fsync", fails)
    upload.write(b"abc")
    assert code(upload.finish) == expected
    assert not store.holds(digest_of(b"abc"))


def test_a_payload_that_was_changed_or_shortened_on_the_disk_is_told(store, tmp_path):
    digest = stored(store)
    file = tmp_path / "artefacts" / "sha256" / NAME[:2] / NAME
    opened = store.open(digest)
    os.truncate(file, 100)
    assert opened.read(0, 50) == DATA[:50]
    assert code(opened.read, 0, 200) == "artefact.corrupt"
    opened.close()
    assert code(store.check, digest) == "artefact.corrupt"
    file.write_bytes(DATA[::-1])
    assert code(store.check, digest) == "artefact.corrupt"


def test_a_link_in_place_of_a_payload_is_not_followed(store, tmp_path):
    digest = stored(store)
    file = tmp_path / "artefacts" / "sha256" / NAME[:2] / NAME
    file.unlink()
    file.symlink_to("/etc/passwd")
    assert code(store.open, digest) == "artefact.store"


@pytest.mark.parametrize("text", ["", "sha256:../../x", "sha256:" + "A" * 64, "sha512:" + "0" * 64])
def test_what_is_no_digest_is_no_path(store, text):
    assert code(store.open, text) == "digest.invalid"
    assert code(store.delete, text) == "digest.invalid"


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    assert code(FolderArtefacts, tmp_path / "file" / "artefacts") == "artefact.store"
