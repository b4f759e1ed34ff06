"""A disk that fills up under the cache, and devices that thrash it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_builders import MIB, FakeControlPlane, caching, control_plane, payload, problem_code, until


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[FakeControlPlane]:
    with control_plane(tmp_path) as plane:
        yield plane


def test_a_disk_that_fills_up_in_the_middle_costs_no_byte_twice(
    plane: FakeControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = payload(MIB)
    target = plane.add(data)
    write, full = os.pwrite, [True]

    def pwrite(descriptor: int, view: bytes, at: int) -> int:
        if full[0] and at + len(view) > 500_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, view, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.disk")
        have = (tmp_path / "cache/parts" / target.hex).stat().st_size
        assert 400_000 < have <= 500_000
        full[0] = False
        until(lambda: cache.ask(target.path)[1] == data)
    assert plane.asked[1][1] == f"bytes={have}-"


def test_a_disk_without_room_is_left_as_it_is(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache", keep_free=2**60) as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.no_room")
        assert cache.cache.status().fetched_bytes == 0
    with caching(plane, tmp_path / "cache", keep_free=0) as cache:
        assert cache.ask(target.path)[1] == data


def test_the_cache_never_holds_more_than_it_may(plane: FakeControlPlane, tmp_path: Path) -> None:
    files = [payload(300_000, number) for number in range(10)]
    targets = [plane.add(data) for data in files]
    with caching(plane, tmp_path / "cache", size=MIB) as cache:
        for target, data in zip(targets, files, strict=True):
            assert cache.ask(target.path)[1] == data
            assert sum(each.stat().st_size for each in (tmp_path / "cache/whole").iterdir()) <= MIB
        assert cache.cache.status().evicted == 7
        assert cache.ask(targets[-1].path)[1] == files[-1]
        assert len(plane.asked) == 10
