"""A control plane, or what sits before it, that serves a gateway wrongly: nothing of it reaches a device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent_builders import Authority
from gateway_builders import (
    MIB,
    QUICK,
    FakeControlPlane,
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


def _holds_nothing(folder: Path) -> bool:
    return not any((folder / "whole").iterdir())


def test_a_corrupt_artefact_is_thrown_away_told_and_not_fetched_again_for_a_while(
    plane: FakeControlPlane, tmp_path: Path
) -> None:
    data = payload(MIB)
    target = target_of(data)
    plane.files[target.path] = data[:-1] + bytes([data[-1] ^ 1])
    with caching(plane, tmp_path / "cache") as cache:
        for _ in range(3):
            response, body = cache.ask(target.path)
            assert (response.status, problem_code(body)) == (502, "gateway.wrong")
            assert int(response.headers["Retry-After"] or 0) > 3000 or _ == 0
        assert len(plane.asked) == 1
        assert cache.cache.status().wrong == 1
        assert any("gateway.wrong" in line for line in cache.said)
        assert _holds_nothing(tmp_path / "cache")
        # The control: the right bytes, after the while has passed.
    plane.files[target.path] = data
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[1] == data


def test_bytes_are_never_sent_before_the_last_one_was_verified(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = target_of(data)
    plane.files[target.path] = data[:-1] + bytes([data[-1] ^ 1])
    plane.gate.clear()
    with caching(plane, tmp_path / "cache", bounds=msgspec.structs.replace(QUICK, wait_s=0.1)) as cache:
        for headers in ({}, {"Range": "bytes=0-0"}):
            response, body = cache.ask(target.path, headers)
            assert (response.status, problem_code(body)) == (503, "gateway.fetching")
        plane.gate.set()
        until(lambda: cache.cache.status().wrong == 1)
        assert cache.cache.status().served_bytes == 0


@pytest.mark.parametrize("difference", [-1000, 1000])
def test_a_length_that_is_a_lie_brings_nothing(plane: FakeControlPlane, tmp_path: Path, difference: int) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.declared = len(data) + difference
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert response.status in (502, 503)
        assert problem_code(body) in ("gateway.wrong", "gateway.upstream", "gateway.upstream_answer")
        assert _holds_nothing(tmp_path / "cache")
    assert plane.sent[target.path] <= 2 * len(data)


@pytest.mark.parametrize("how", ["chunked", "close"])
def test_a_body_without_end_is_not_begun(plane: FakeControlPlane, tmp_path: Path, how: str) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.endless = how
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.upstream_answer")
        assert cache.cache.status().fetched_bytes == 0
        plane.endless = ""
        until(lambda: cache.ask(target.path)[1] == data)


def test_an_artefact_larger_than_the_cache_is_not_begun(plane: FakeControlPlane, tmp_path: Path) -> None:
    data, small = payload(MIB), payload(1000)
    large, fits = plane.add(data), plane.add(small)
    with caching(plane, tmp_path / "cache", size=MIB - 1) as cache:
        response, body = cache.ask(large.path)
        assert (response.status, problem_code(body)) == (503, "gateway.no_room")
        assert cache.cache.status().fetched_bytes == 0
        assert cache.ask(fits.path)[1] == small


def test_a_control_plane_that_drips_is_given_up_and_holds_nobody_for_ever(
    plane: FakeControlPlane, tmp_path: Path
) -> None:
    data, other = payload(MIB), payload(1000, 2)
    target = plane.add(data)
    plane.per_s = 40
    bounds = msgspec.structs.replace(QUICK, fetches=1, tries=2, window_s=0.5, wait_s=20.0)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.upstream")
        plane.per_s = 0
        assert cache.ask(plane.add(other).path)[1] == other
        until(lambda: cache.ask(target.path)[1] == data)
    assert plane.sent[target.path] <= len(data) + 64 * 1024, "what dripped was kept"


def test_a_connection_that_always_breaks_is_given_up(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.cuts = [1] * 100
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.upstream")
        assert len(plane.asked) == QUICK.tries
        plane.cuts = []
        until(lambda: cache.ask(target.path)[1] == data)


def test_a_server_that_never_resumes_cannot_use_up_the_line(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.resumes, plane.cuts = False, [500_000] * 100
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[0].status == 503
    assert len(plane.asked) == QUICK.tries + 1
    plane.cuts = []
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[1] == data


def test_the_line_is_used_so_much_in_a_day_and_no_more(plane: FakeControlPlane, tmp_path: Path) -> None:
    first, second = payload(MIB), payload(MIB, 2)
    one, two = plane.add(first), plane.add(second)
    with caching(plane, tmp_path / "cache", daily=MIB + 1000) as cache:
        assert cache.ask(one.path)[1] == first
        response, body = cache.ask(two.path)
        assert (response.status, problem_code(body)) == (503, "gateway.daily_spent")
        assert cache.cache.status().fetched_bytes <= MIB + 1000 + 64 * 1024
        assert cache.ask(one.path)[1] == first


def test_an_impostor_of_the_control_plane_is_told_nothing(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(1000)
    target = plane.add(data)
    plane.gateway(tmp_path / "agent")
    (tmp_path / "agent/root.pem").write_bytes(_root_of_another())
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.upstream")
        assert plane.asked == []


def _root_of_another() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415  (this test alone)

    return Authority().root.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("status", [401, 403, 301, 206])
def test_an_answer_that_is_no_artefact_is_told_as_what_it_is(
    plane: FakeControlPlane, tmp_path: Path, status: int
) -> None:
    target = plane.add(payload(1000))
    plane.status = (status, {"Content-Range": "bytes 0-0/1"} if status == 206 else {})
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert response.status == 503
        assert problem_code(body) == ("gateway.upstream_answer" if status == 206 else "gateway.upstream_refused")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    ],
)
def test_an_answer_that_is_no_http_or_none_at_all_brings_nothing(
    plane: FakeControlPlane, tmp_path: Path, raw: bytes
) -> None:
    data = payload(1000)
    target = plane.add(data)
    plane.raw = raw
    bounds = msgspec.structs.replace(QUICK, exchange_s=0.3, tries=2)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache:
        response, body = cache.ask(target.path)
        assert response.status == 503
        assert problem_code(body) in ("gateway.upstream", "gateway.upstream_answer")
        plane.silence.set()
        plane.raw = None
        until(lambda: cache.ask(target.path)[1] == data)


@pytest.mark.parametrize(
    "claims",
    ["bytes 0-1048575/1048576", "bytes 500000-1048575/2097152", "bytes 500000-600000/1048576", "bytes */1048576", "x"],
)
def test_a_part_that_is_another_than_was_asked_for_is_not_taken(
    plane: FakeControlPlane, tmp_path: Path, claims: str
) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.cuts, plane.claims = [500_000], claims
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.upstream_answer")
        assert cache.cache.status().fetched_bytes == 500_000
        plane.claims = None
        until(lambda: cache.ask(target.path)[1] == data)
    assert plane.sent[target.path] <= 2 * len(data)


def test_a_control_plane_that_is_overloaded_is_asked_again_when_it_says(
    plane: FakeControlPlane, tmp_path: Path
) -> None:
    target = plane.add(payload(1000))
    plane.status = (503, {"Retry-After": "3600"})
    with caching(plane, tmp_path / "cache", bounds=msgspec.structs.replace(QUICK, wait_s=0.3)) as cache:
        for _ in range(3):
            assert problem_code(cache.ask(target.path)[1]) == "gateway.fetching"
        assert len(plane.asked) == 1
