from __future__ import annotations

import os

import pytest

from gateway_builders import payload, target_of
from holdfast_core.kernel.errors import WorldError
from holdfast_gateway.part import Note, Part
from holdfast_gateway.shelf import Shelf

NO_LIMIT = 10**12


def _shelf(folder, *, size=1000, keep_free=0, free=lambda _: NO_LIMIT, recheck_s=1000.0):
    return Shelf(folder, size=size, keep_free=keep_free, recheck_s=recheck_s, free=free)


def _put(shelf, data):
    digest = target_of(data).digest
    part = shelf.begin(digest, sync_bytes=64)
    try:
        shelf.reserve(digest, part, len(data))
        part.expect(Note(len(data)))
        part.append(data)
        assert shelf.finish(digest, part)
    finally:
        shelf.put_down(digest, part)
    return digest


def _read(shelf, digest):
    with shelf.lend(digest) as lent:
        return None if lent is None else lent[0].read()


@pytest.fixture
def shelf(tmp_path):
    shelf = _shelf(tmp_path / "cache")
    yield shelf
    shelf.close()


def test_what_was_put_on_the_shelf_is_lent(shelf):
    data = payload(300)
    digest = _put(shelf, data)
    assert _read(shelf, digest) == data
    counts = shelf.counts()
    assert (counts.files, counts.bytes, counts.parts, counts.evicted) == (1, 300, 0, 0)


def test_what_is_longest_unused_makes_room(shelf):
    first, second = _put(shelf, payload(400, 1)), _put(shelf, payload(400, 2))
    _read(shelf, first)
    _put(shelf, payload(400, 3))
    assert (shelf.has(first), shelf.has(second)) == (True, False)
    assert shelf.counts().bytes <= 1000


def test_what_is_being_sent_makes_no_room(shelf):
    first, second = _put(shelf, payload(400, 1)), _put(shelf, payload(400, 2))
    with shelf.lend(first), shelf.lend(second), pytest.raises(WorldError) as full:
        _put(shelf, payload(400, 3))
    assert full.value.code == "gateway.no_room"
    assert shelf.has(first)
    assert shelf.has(second)
    third = _put(shelf, payload(400, 3))
    assert shelf.has(third)


def test_an_abandoned_part_makes_room_before_a_whole_file(shelf):
    whole, data = _put(shelf, payload(400, 1)), payload(500, 2)
    digest = target_of(data).digest
    part = shelf.begin(digest, sync_bytes=64)
    part.expect(Note(500))
    part.append(data[:300])
    shelf.put_down(digest, part)
    assert shelf.counts().part_bytes == 300
    _put(shelf, payload(500, 3))
    assert shelf.has(whole)
    assert shelf.counts().parts == 0


def test_what_another_fetch_was_promised_is_not_promised_again(shelf):
    digest = target_of(payload(600, 1)).digest
    part = shelf.begin(digest, sync_bytes=64)
    shelf.reserve(digest, part, 600)
    with pytest.raises(WorldError, match="no room"):
        _put(shelf, payload(600, 2))
    shelf.put_down(digest, part)
    _put(shelf, payload(600, 2))


def test_the_disk_keeps_its_free_bytes(tmp_path):
    left = [500]
    shelf = _shelf(tmp_path / "cache", keep_free=200, free=lambda _: left[0])
    first = _put(shelf, payload(300, 1))
    left[0] = 200
    with pytest.raises(WorldError) as full:
        _put(shelf, payload(300, 2))
    assert full.value.code == "gateway.no_room"
    assert not shelf.has(first), "everything that may go has gone"
    shelf.close()


def test_a_wrong_file_is_never_whole(shelf):
    digest = target_of(b"right").digest
    part = shelf.begin(digest, sync_bytes=64)
    part.expect(Note(5))
    part.append(b"wrong")
    assert not shelf.finish(digest, part)
    shelf.put_down(digest, part)
    assert _read(shelf, digest) is None
    assert not any((shelf.path / "parts").iterdir())
    assert not any((shelf.path / "whole").iterdir())


def test_what_an_earlier_process_left_is_lent_once_it_was_hashed(tmp_path):
    earlier = _shelf(tmp_path / "cache")
    digest = _put(earlier, payload(300))
    earlier.close()
    shelf = _shelf(tmp_path / "cache")
    assert (shelf.has(digest), shelf.ready(digest), _read(shelf, digest)) == (True, False, None)
    assert shelf.check(digest)
    assert _read(shelf, digest) == payload(300)
    shelf.close()


def test_what_was_verified_long_ago_is_hashed_again(tmp_path):
    shelf = _shelf(tmp_path / "cache", recheck_s=0.0)
    digest = _put(shelf, payload(300))
    assert not shelf.ready(digest)
    shelf.close()


def test_the_order_of_use_outlives_the_process(tmp_path):
    earlier = _shelf(tmp_path / "cache")
    digests = [_put(earlier, payload(300, number)) for number in range(3)]
    earlier.close()
    for age, digest in zip((10, 30, 20), digests, strict=True):
        os.utime(tmp_path / "cache/whole" / digest[7:], (1_000_000 - age, 1_000_000 - age))
    shelf = _shelf(tmp_path / "cache")
    _put(shelf, payload(300, 4))
    assert [shelf.has(digest) for digest in digests] == [True, False, True]
    shelf.close()


def test_a_file_that_is_gone_is_told_and_forgotten(shelf):
    digest = _put(shelf, payload(300))
    (shelf.path / "whole" / digest[7:]).unlink()
    with pytest.raises(WorldError, match="cannot be used"):
        _read(shelf, digest)
    assert not shelf.has(digest)


def test_a_part_without_its_note_is_begun_anew(tmp_path):
    path = tmp_path / ("0" * 64)
    part = Part(path, sync_bytes=10)
    part.expect(Note(100, '"tag"'))
    part.append(bytes(50))
    part.close()
    again = Part(path, sync_bytes=10)
    assert (again.have, again.note, again.inherited) == (50, Note(100, '"tag"'), True)
    again.close()
    path.with_name(path.name + ".json").write_bytes(b"{")
    anew = Part(path, sync_bytes=10)
    assert (anew.have, anew.note, anew.inherited) == (0, None, False)
    anew.close()


def test_a_part_that_is_longer_than_its_file_is_begun_anew(tmp_path):
    path = tmp_path / ("0" * 64)
    part = Part(path, sync_bytes=10)
    part.expect(Note(20))
    part.append(bytes(20))
    part.close()
    with path.open("ab") as file:
        file.write(b"more")
    anew = Part(path, sync_bytes=10)
    assert (anew.have, anew.inherited) == (0, False)
    anew.close()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorldError) as told:
        _shelf(tmp_path / "file" / "cache")
    assert told.value.code == "gateway.disk"
