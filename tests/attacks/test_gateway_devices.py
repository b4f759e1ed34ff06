"""Devices of a site that attack its cache: they get nothing that is not theirs, and take nothing from the others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from gateway_builders import (
    MIB,
    QUICK,
    FakeControlPlane,
    RunningCache,
    caching,
    control_plane,
    payload,
    problem_code,
    target_of,
    until,
)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[FakeControlPlane]:
    with control_plane(tmp_path) as plane:
        yield plane


def _raw(cache: RunningCache, data: bytes) -> bytes:
    with socket.create_connection(cache.place, timeout=30) as device:
        device.sendall(data)
        with device.makefile("rb") as file:
            return file.read()


@pytest.mark.parametrize(
    "path",
    [
        "/../../agent/identity.pem",
        "/v1/update/targets/../../../agent/identity.pem",
        "/v1/update/targets/a/b/%2e%2e%2f%2e%2e%2fagent%2fidentity.pem",
        "/v1/update/targets/a/b/../../../../agent/identity.pem",
        "/status.json",
        "/v1/update/metadata",
        "/v1/update/image/metadata/timestamp.json",
        "file:///etc/passwd",
    ],
)
def test_a_path_out_of_the_cache_leads_nowhere(plane: FakeControlPlane, tmp_path: Path, path: str) -> None:
    data = payload(1000)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        answer = _raw(cache, f"GET {path} HTTP/1.1\r\nHost: g\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"gateway.not_served" in answer
        assert plane.asked == []
        assert cache.ask(target.path)[1] == data


def test_a_name_in_the_folder_that_is_a_link_is_not_followed(plane: FakeControlPlane, tmp_path: Path) -> None:
    data, secret = payload(1000), tmp_path / "secret"
    target = plane.add(data)
    secret.write_bytes(b"secret")
    with caching(plane, tmp_path / "cache") as cache:
        (tmp_path / "cache/whole" / target.hex).symlink_to(secret)
        (tmp_path / "cache/parts" / target.hex).symlink_to(secret)
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.disk")
        assert secret.read_bytes() == b"secret"
        (tmp_path / "cache/parts" / target.hex).unlink()
        until(lambda: cache.ask(target.path)[1] == data)
        assert secret.read_bytes() == b"secret"


def test_a_file_that_was_changed_in_the_folder_is_fetched_again(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        cache.ask(target.path)
    (tmp_path / "cache/whole" / target.hex).write_bytes(payload(MIB, 2))
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[1] == data
    assert len(plane.asked) == 2


def test_a_part_that_was_changed_in_the_folder_costs_one_more_fetch(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.cuts = [500_000] + [1] * QUICK.tries
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[0].status == 503
    part = tmp_path / "cache/parts" / target.hex
    part.write_bytes(bytes(part.stat().st_size))
    plane.cuts = []
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[1] == data
        assert cache.cache.status().wrong == 0


@pytest.mark.parametrize("asked", ["bytes=" + ",".join(f"{at}-{at}" for at in range(500)), "bytes=0-,0-,0-,0-"])
def test_many_ranges_at_once_cost_no_more_than_one_file(plane: FakeControlPlane, tmp_path: Path, asked: str) -> None:
    data = payload(MIB)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[1] == data
        response, body = cache.ask(target.path, {"Range": asked})
        assert (response.status, body) == (200, data)
        until(lambda: cache.cache.status().served_bytes == 2 * len(data))
        assert cache.ask(target.path, {"Range": "bytes=7-"})[1] == data[7:]


@pytest.mark.parametrize("asked", [f"bytes={MIB}-", "bytes=-0", f"bytes={10**18}-"])
def test_a_range_behind_the_end_is_refused(plane: FakeControlPlane, tmp_path: Path, asked: str) -> None:
    target = plane.add(payload(MIB))
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path, {"Range": asked})
        assert (response.status, problem_code(body)) == (416, "http.range")
        assert cache.ask(target.path, {"Range": "bytes=-1"})[0].status == 206


def test_headers_without_end_are_cut_off(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(1000)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        head = f"GET {target.path} HTTP/1.1\r\nHost: g\r\n".encode()
        try:
            answer = _raw(cache, head + b"a: " + b"b" * 60_000)
        except ConnectionError:
            answer = b"HTTP/1.1 431 "
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert _raw(cache, head + b"a: " + b"b" * 6_000 + b"\r\n\r\n").endswith(data)


def test_slow_headers_are_cut_off_and_others_are_served_meanwhile(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    bounds = msgspec.structs.replace(QUICK, header_s=0.5)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache, ExitStack() as open_ones:
        slow = [open_ones.enter_context(socket.create_connection(cache.place, timeout=30)) for _ in range(6)]
        for device in slow:
            device.sendall(b"GET /v1/update/tar")
        assert cache.ask(target.path)[1] == data
        for device in slow:
            assert _until_closed(device) == b""
        until(lambda: cache.cache.status().turned_away == 6)


def _until_closed(device: socket.socket) -> bytes:
    got = b""
    try:
        while data := device.recv(65_536):
            got += data
    except ConnectionError:
        return got
    return got


def test_a_device_that_does_not_take_its_bytes_is_cut_off(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(8 * MIB)
    target = plane.add(data)
    bounds = msgspec.structs.replace(QUICK, chunk_s=0.5)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        cache.ask(target.path)
        with socket.socket() as device:
            device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            device.connect(cache.place)
            device.sendall(f"GET {target.path} HTTP/1.1\r\nHost: g\r\n\r\n".encode())
            until(lambda: cache.cache.status().turned_away == 1)
            assert len(_until_closed(device)) < len(data)
        assert cache.ask(target.path)[1] == data


def test_one_address_has_so_many_connections_and_no_more(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    bounds = msgspec.structs.replace(QUICK, header_s=30.0, connections_per_address=3)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        with ExitStack() as open_ones:
            for _ in range(3):
                open_ones.enter_context(socket.create_connection(cache.place, timeout=30))
            until(lambda: cache.cache._port.connections == 3)
            with socket.create_connection(cache.place, timeout=30) as device:
                assert _until_closed(device) == b""
        until(lambda: cache.cache._port.connections == 0)
        assert cache.ask(target.path)[1] == data


def test_all_addresses_together_have_so_many_connections_and_no_more(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(1000)
    target = plane.add(data)
    bounds = msgspec.structs.replace(QUICK, header_s=30.0, connections=4, connections_per_address=2)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        with ExitStack() as open_ones:
            for number in (2, 2, 3, 3):
                place = socket.create_connection(cache.place, timeout=30, source_address=(f"127.0.0.{number}", 0))
                open_ones.enter_context(place)
            until(lambda: cache.cache._port.connections == 4)
            with socket.create_connection(cache.place, timeout=30) as device:
                assert _until_closed(device) == b""
        until(lambda: cache.cache._port.connections == 0)
        assert cache.ask(target.path)[1] == data


def test_questions_for_what_there_is_not_do_not_reach_the_control_plane_without_end(
    plane: FakeControlPlane, tmp_path: Path
) -> None:
    data = payload(1000)
    target = plane.add(data)
    bounds = msgspec.structs.replace(QUICK, misses=5, miss_s=1000.0)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        answers = [problem_code(cache.ask(target_of(b"%d" % number).path)[1]) for number in range(20)]
        assert answers == ["gateway.absent"] * 5 + ["gateway.busy"] * 15
        assert len(plane.asked) == 5
        # The control: another address is none the worse.
        with socket.create_connection(cache.place, timeout=30, source_address=("127.0.0.2", 0)) as device:
            device.sendall(f"GET {target.path} HTTP/1.1\r\nHost: g\r\n\r\n".encode())
            assert _until_closed(device).endswith(data)


def test_what_is_not_there_is_asked_for_once_in_a_while(plane: FakeControlPlane, tmp_path: Path) -> None:
    target = target_of(b"absent")
    with caching(plane, tmp_path / "cache", bounds=msgspec.structs.replace(QUICK, absent_s=1000.0)) as cache:
        for _ in range(5):
            response, body = cache.ask(target.path)
            assert (response.status, problem_code(body)) == (404, "gateway.absent")
        assert len(plane.asked) == 1


def test_a_made_up_path_with_the_digest_of_an_artefact_keeps_nobody_from_it(
    plane: FakeControlPlane, tmp_path: Path
) -> None:
    data = payload(MIB)
    target, made_up = plane.add(data), target_of(data, release="no-such/1")
    with caching(plane, tmp_path / "cache", bounds=msgspec.structs.replace(QUICK, absent_s=1000.0)) as cache:
        assert cache.ask(made_up.path)[0].status == 404
        assert cache.ask(target.path)[1] == data


def test_two_paths_of_one_artefact_at_once_cost_one_fetch(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    one, two = plane.add(data), plane.add(data, release="other/1")
    plane.gate.clear()
    answers: list[bytes] = []
    with caching(plane, tmp_path / "cache") as cache:
        devices = [threading.Thread(target=lambda p=p: answers.append(cache.ask(p)[1])) for p in (one.path, two.path)]
        for device in devices:
            device.start()
        until(lambda: len(cache.cache.status().fetching) == 2)
        plane.gate.set()
        for device in devices:
            device.join()
    assert answers == [data, data]
    assert len(plane.asked) == 1


def test_one_address_begins_so_many_fetches_and_no_more(plane: FakeControlPlane, tmp_path: Path) -> None:
    targets = [plane.add(payload(5000, number)) for number in range(4)]
    plane.gate.clear()
    bounds = msgspec.structs.replace(QUICK, wait_s=0.1, flights_per_address=3)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        answers = [problem_code(cache.ask(target.path)[1]) for target in targets]
        assert answers == ["gateway.fetching"] * 3 + ["gateway.busy"]
        plane.gate.set()
        until(lambda: cache.ask(targets[3].path)[0].status == 200)


def test_artefacts_on_their_way_hold_up_nothing_that_is_here(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        cache.ask(target.path)
    slow = [plane.add(payload(5000, number)) for number in (2, 3)]
    plane.gate.clear()
    bounds = msgspec.structs.replace(QUICK, wait_s=0.1, fetches=2)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        for each in slow:
            assert problem_code(cache.ask(each.path)[1]) == "gateway.fetching"
        until(lambda: cache.ask(target.path)[1] == data)
        assert len(cache.cache.status().fetching) == 2
        plane.gate.set()
