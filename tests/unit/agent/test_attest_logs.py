"""The two logs as they travel: the event log whole, of the IMA list what is new."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest_agent_builders import BOOT, Sysfs, line, split
from holdfast_agent import ima
from holdfast_agent.boot_log import BootLogFile
from holdfast_agent.ima import KEPT_PLACES, take
from holdfast_agent.state import Config, ImaPlaces
from holdfast_core.wire.attestation import LARGEST_LOG, BootLog, unpack

ROOM = 64 * 1024
NONE = ImaPlaces()


@pytest.fixture
def sysfs(tmp_path):
    return Sysfs(tmp_path)


@pytest.fixture
def config(sysfs):
    return Config("https://x", "cam-1", sys=str(sysfs.path))


def entries(taken):
    return split(unpack(taken.part.data))


def numbered(first, count):
    return [line(number) for number in range(first, first + count)]


def test_the_whole_list_travels_first_and_then_what_is_new(sysfs, config):
    sysfs.ima(0, 5)
    first = take(config, 0, NONE, BOOT, ROOM)
    assert (first.part.start, entries(first), first.part.more) == (0, numbered(0, 5), False)
    sysfs.ima(5, 3)
    second = take(config, 5, first.places, BOOT, ROOM)
    assert (second.part.start, entries(second)) == (5, numbered(5, 3))
    third = take(config, 8, second.places, BOOT, ROOM)
    assert (third.part.start, entries(third), third.part.more) == (8, [], False)


def test_a_long_list_travels_in_slices_of_whole_entries_that_fit(sysfs, config):
    sysfs.ima(0, 3000)
    seen, places, start, slices = [], NONE, 0, 0
    while True:
        taken = take(config, start, places, BOOT, 16 * 1024)
        assert len(taken.part.data) <= 16 * 1024
        assert taken.part.start == start
        seen += entries(taken)
        start, places, slices = len(seen), taken.places, slices + 1
        if not taken.part.more:
            break
    assert seen == numbered(0, 3000)
    assert 3 < slices < 40
    assert len(places.places) <= KEPT_PLACES


def test_what_was_sent_is_not_read_again_and_a_lost_place_is_found_by_counting(sysfs, config, monkeypatch):
    sysfs.ima(0, 500)
    first = take(config, 0, NONE, BOOT, ROOM)
    sysfs.ima(500, 10)
    skipped = []
    real = ima._skip
    monkeypatch.setattr(ima, "_skip", lambda file, offset, lines: skipped.append(lines) or real(file, offset, lines))
    assert entries(take(config, 500, first.places, BOOT, ROOM)) == numbered(500, 10)
    assert entries(take(config, 500, NONE, BOOT, ROOM)) == numbered(500, 10)
    assert skipped == [0, 500]


def test_the_server_may_have_taken_a_part_of_a_slice_or_have_lost_its_place(sysfs, config):
    sysfs.ima(0, 20)
    places = take(config, 0, NONE, BOOT, ROOM).places
    for start in (13, 0, 20, 7):
        taken = take(config, start, places, BOOT, ROOM)
        assert (taken.part.start, entries(taken)) == (start, numbered(start, 20 - start))
        places = taken.places


def test_a_new_boot_starts_at_the_first_entry_whatever_was_asked(sysfs, config):
    sysfs.ima(0, 20)
    places = take(config, 0, NONE, "a" * 32, ROOM).places
    taken = take(config, 20, places, BOOT, ROOM)
    assert (taken.part.start, len(entries(taken)), taken.places.boot) == (0, 20, BOOT)


def test_a_list_with_less_than_was_asked_starts_at_the_first_entry(sysfs, config):
    sysfs.ima(0, 3)
    taken = take(config, 20, NONE, BOOT, ROOM)
    assert (taken.part.start, entries(taken)) == (0, numbered(0, 3))


def test_a_place_that_is_no_beginning_of_an_entry_is_not_believed(sysfs, config):
    sysfs.ima(0, 10)
    taken = take(config, 5, ImaPlaces(BOOT, ((5, 7),)), BOOT, ROOM)
    assert entries(taken) == numbered(5, 5)


def test_half_an_entry_waits_for_its_other_half(sysfs, config):
    sysfs.ima(0, 2)
    path = sysfs.path / ima.LIST
    path.write_bytes(path.read_bytes() + line(2)[:20])
    taken = take(config, 0, NONE, BOOT, ROOM)
    assert (entries(taken), taken.part.more) == (numbered(0, 2), True)


def test_without_a_list_there_is_no_slice(config):
    assert take(config, 0, NONE, BOOT, ROOM) is None


def test_without_room_an_empty_slice_says_that_the_list_goes_on(sysfs, config):
    sysfs.ima(0, 5)
    taken = take(config, 2, NONE, BOOT, -5)
    assert (taken.part.start, entries(taken), taken.part.more) == (2, [], True)


@given(st.binary(max_size=2000), st.integers(0, 50), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3000))))
def test_no_list_and_no_remembered_place_raises_anything(tmp_path_factory, data, start, places):
    sysfs = Sysfs(tmp_path_factory.mktemp("ima"))
    sysfs.write(ima.LIST, data)
    config = Config("https://x", "cam-1", sys=str(sysfs.path))
    taken = take(config, start, ImaPlaces(BOOT, tuple(places)), BOOT, 300)
    assert unpack(taken.part.data) in data
    assert len(taken.part.data) <= 300


def test_an_event_log_travels_packed_and_is_read_again_when_it_changed(sysfs, config):
    path = sysfs.log(b"log " * 1000)
    log = BootLogFile(config)
    body = log.body(BOOT)
    assert unpack(msgspec.json.decode(body, type=BootLog).log) == b"log " * 1000
    times = path.stat()
    path.write_bytes(b"LOG " * 1000)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert log.body(BOOT) is body, "same boot, size and time: it is not read again"
    assert unpack(msgspec.json.decode(log.body("c" * 32), type=BootLog).log) == b"LOG " * 1000


@pytest.mark.parametrize("size", [0, LARGEST_LOG + 1])
def test_an_empty_or_endless_log_is_no_log(sysfs, config, size):
    sysfs.log(bytes(size))
    assert BootLogFile(config).body(BOOT) == b""


def test_a_log_that_does_not_fit_into_its_section_is_no_log(sysfs, config):
    sysfs.log(os.urandom(100 * 1024))
    assert BootLogFile(config).body(BOOT) == b""


def test_a_log_that_is_not_there_is_no_log_and_one_elsewhere_is_found(config, tmp_path):
    assert BootLogFile(config).body(BOOT) == b""
    (tmp_path / "log").write_bytes(b"log")
    assert BootLogFile(msgspec.structs.replace(config, boot_log=str(tmp_path / "log"))).body(BOOT)
