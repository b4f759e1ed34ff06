"""What every artefact store promises: a folder and one in memory pass one suite."""

from __future__ import annotations

import contextlib
import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.artefacts.folder import FolderArtefacts
from holdfast.ports.artefacts import LONGEST_READ, Stored, corrupt, empty, missing, other_digest, too_large
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import Bug, HoldfastError

LARGEST = 10 * 1024 * 1024
NONE = digest_of(b"nothing of the kind")
_FOLDERS = itertools.count()


class MemoryUpload:
    def __init__(self, store):
        self._store, self._data = store, bytearray()

    @property
    def size(self):
        return len(self._data)

    def _going(self):
        if self._data is None:
            raise Bug("artefact.ended", "The upload has ended.", remedy="Begin another.")

    def write(self, piece):
        self._going()
        if len(self._data) + len(piece) > LARGEST:
            raise too_large(len(self._data) + len(piece), LARGEST)
        self._data += piece

    def finish(self, expected=None):
        self._going()
        data, self._data = bytes(self._data), None
        if not data:
            raise empty()
        if expected not in (None, digest_of(data)):
            raise other_digest(digest_of(data), expected)
        self._store[digest_of(data)] = data
        return Stored(digest_of(data), len(data))

    def abandon(self):
        self._data = None


class MemoryOpened:
    def __init__(self, data):
        self._data, self.size = data, len(data)

    def read(self, start, length):
        if start < 0 or not 0 <= length <= LONGEST_READ:
            raise Bug("artefact.range", "Too much.", remedy="Ask for less.")
        return self._data[start : start + length]

    def close(self):
        pass


class MemoryArtefacts:
    """A store as an object store would be: no file of it is on this machine until one is asked for."""

    def __init__(self, folder):
        self._folder, self.kept = folder, {}

    def begin(self):
        return MemoryUpload(self.kept)

    def open(self, digest):
        if digest not in self.kept:
            raise missing(digest)
        return MemoryOpened(self.kept[digest])

    def read(self, digest, start, length):
        return self.open(digest).read(start, length)

    def holds(self, digest):
        return digest in self.kept

    def size(self, digest):
        return self.open(digest).size

    def check(self, digest):
        if digest_of(self.open(digest).read(0, LONGEST_READ)) != digest:
            raise corrupt(digest)

    @contextlib.contextmanager
    def local(self, digest):
        path = self._folder / "local"
        path.write_bytes(self.open(digest).read(0, LONGEST_READ))
        yield path
        path.unlink()

    def listed(self):
        return [Stored(digest, len(data)) for digest, data in sorted(self.kept.items())]

    def delete(self, digest):
        self.kept.pop(digest, None)


def folder(tmp_path):
    return FolderArtefacts(tmp_path / "artefacts", reserve=0, largest=LARGEST)


@pytest.fixture(params=[folder, MemoryArtefacts], ids=["folder", "memory"])
def store(request, tmp_path):
    return request.param(tmp_path)


def put(store, data, step=1000):
    upload = store.begin()
    for at in range(0, len(data), step):
        upload.write(data[at : at + step])
    return upload.finish(digest_of(data))


def code(call, *arguments):
    with pytest.raises(HoldfastError) as error:
        call(*arguments)
    assert error.value.remedy
    return error.value.code


def test_what_was_stored_is_read_again_at_any_range(store):
    data = bytes(range(256)) * 40
    stored = put(store, data)
    assert stored == Stored(digest_of(data), len(data))
    assert store.holds(stored.digest)
    assert store.size(stored.digest) == len(data)
    store.check(stored.digest)
    for start, length in ((0, 10), (9999, 500), (len(data) - 3, 10), (len(data), 10), (len(data) + 9, 1), (5, 0)):
        assert store.read(stored.digest, start, length) == data[start : start + length]
    opened = store.open(stored.digest)
    assert (opened.size, opened.read(3, 4)) == (len(data), data[3:7])
    opened.close()
    opened.close()
    with store.local(stored.digest) as path:
        assert path.read_bytes() == data


def test_nothing_is_there_before_it_is_finished(store):
    upload = store.begin()
    upload.write(b"abc")
    assert upload.size == 3
    assert not store.holds(digest_of(b"abc"))
    upload.finish()
    assert store.holds(digest_of(b"abc"))
    upload.abandon()
    assert store.holds(digest_of(b"abc"))


def test_everything_that_is_whole_is_listed_by_digest(store):
    stored = [put(store, data) for data in (b"one", b"two and more", b"three")]
    store.begin().write(b"under way")
    assert list(store.listed()) == sorted(stored, key=lambda each: each.digest)
    store.delete(stored[1].digest)
    assert stored[1] not in store.listed()


def test_an_abandoned_upload_leaves_nothing_and_takes_nothing(store):
    upload = store.begin()
    upload.write(b"abc")
    upload.abandon()
    upload.abandon()
    assert not store.holds(digest_of(b"abc"))
    assert code(upload.write, b"d") == "artefact.ended"
    assert code(upload.finish) == "artefact.ended"


def test_one_that_is_there_already_stays(store):
    first = put(store, b"abc")
    opened = store.open(first.digest)
    assert put(store, b"abc") == first
    assert opened.read(0, 3) == b"abc"
    opened.close()


def test_what_is_opened_can_be_read_to_its_end_though_it_is_deleted(store):
    stored = put(store, b"abc" * 1000)
    opened = store.open(stored.digest)
    store.delete(stored.digest)
    assert not store.holds(stored.digest)
    assert opened.read(2999, 9) == b"c"
    opened.close()
    store.delete(stored.digest)


def test_what_is_not_here_is_told(store):
    for call in (store.open, store.size, store.check):
        assert code(call, NONE) == "artefact.missing"
    assert code(store.read, NONE, 0, 1) == "artefact.missing"
    with pytest.raises(HoldfastError) as error, store.local(NONE):
        pass
    assert error.value.code == "artefact.missing"
    assert not store.holds(NONE)


def test_an_upload_that_is_not_what_was_announced_is_refused(store):
    upload = store.begin()
    upload.write(b"abc")
    assert code(upload.finish, NONE) == "artefact.other_digest"
    assert not store.holds(digest_of(b"abc"))
    assert not store.holds(NONE)
    assert code(store.begin().finish) == "artefact.empty"


def test_more_than_a_payload_may_have_is_refused(store):
    upload = store.begin()
    piece = bytes(1024 * 1024)
    for _ in range(10):
        upload.write(piece)
    assert code(upload.write, b"!") == "artefact.too_large"
    upload.abandon()


def test_a_read_without_bounds_is_a_fault_of_ours(store):
    stored = put(store, b"abc")
    for start, length in ((0, LONGEST_READ + 1), (-1, 2), (0, -1)):
        assert code(store.read, stored.digest, start, length) == "artefact.range"


@given(
    pieces=st.lists(st.binary(max_size=40), min_size=1, max_size=8),
    start=st.integers(0, 400),
    length=st.integers(0, 400),
)
def test_any_pieces_make_the_payload_that_they_are(tmp_path_factory, pieces, start, length):
    data = b"".join(pieces)
    for make in (folder, MemoryArtefacts):
        store = make(tmp_path_factory.getbasetemp() / f"artefacts{next(_FOLDERS)}")
        upload = store.begin()
        for piece in pieces:
            upload.write(piece)
        if data:
            stored = upload.finish()
            assert stored.digest == "sha256:" + hashlib.sha256(data).hexdigest()
            assert store.read(stored.digest, start, length) == data[start : start + length]
        else:
            assert code(upload.finish) == "artefact.empty"
