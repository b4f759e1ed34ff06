"""The cache between a control plane and the devices of a site: real TLS upstream, real connections downstream."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from gateway_builders import MIB, QUICK, FakeControlPlane, caching, control_plane, payload, problem_code, until
from holdfast_agent.state import Folder, KeyPlace

PROGRAM = Path(sys.executable).parent / "holdfast-gateway"


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[FakeControlPlane]:
    with control_plane(tmp_path) as plane:
        yield plane


def test_twenty_devices_at_once_cost_the_line_each_byte_once(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(3 * MIB)
    target = plane.add(data)
    plane.gate.clear()
    bounds = msgspec.structs.replace(QUICK, connections_per_address=20)
    with caching(plane, tmp_path / "cache", bounds=bounds) as cache, ThreadPoolExecutor(20) as devices:
        answers = [devices.submit(cache.ask, target.path) for _ in range(20)]
        until(lambda: plane.sent.get(target.path, 0) == 1)
        plane.gate.set()
        assert all(answer.result()[1] == data for answer in answers)
        assert plane.sent == {target.path: len(data)}
        assert len(plane.asked) == 1
        assert plane.peers == ["gateway-1"]
        until(lambda: cache.cache.status().served_bytes == 20 * len(data))
        assert cache.cache.status().fetches == 1


def test_what_is_here_is_served_while_the_line_is_down(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        cache.ask(target.path)
        plane.status = (503, {})
        response, body = cache.ask(target.path)
        assert (response.status, body) == (200, data)
        assert response.headers["ETag"] == f'"{target.hex}"'
        assert cache.cache.status().hits == 1


def test_ranges_conditions_and_heads(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path, {"Range": "bytes=1000-"})
        assert (response.status, body) == (206, data[1000:])
        assert response.headers["Content-Range"] == f"bytes 1000-{MIB - 1}/{MIB}"
        response, body = cache.ask(target.path, {"Range": "bytes=1000-1999", "If-Range": target.etag})
        assert (response.status, body) == (206, data[1000:2000])
        response, body = cache.ask(target.path, {"Range": "bytes=1000-1999", "If-Range": '"another"'})
        assert (response.status, body) == (200, data)
        response, body = cache.ask(target.path, {"Range": f"bytes={MIB}-"})
        assert response.status == 416
        assert response.headers["Content-Range"] == f"bytes */{MIB}"
        response, body = cache.ask(target.path, method="HEAD")
        assert (response.status, body, response.headers["Content-Length"]) == (200, b"", str(MIB))


def test_a_fetch_goes_on_where_the_line_was_cut(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.cuts = [1, 70_001, 300_007, 5]
    with caching(plane, tmp_path / "cache") as cache:
        response, body = cache.ask(target.path)
        assert (response.status, body) == (200, data)
    assert plane.sent == {target.path: len(data)}
    etag = target.etag
    assert plane.asked == [
        (target.path, "", ""),
        (target.path, "bytes=1-", etag),
        (target.path, "bytes=70002-", etag),
        (target.path, "bytes=370009-", etag),
        (target.path, "bytes=370014-", etag),
    ]


def test_a_server_that_does_not_resume_is_taken_from_the_first_byte(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.cuts, plane.resumes = [500_000], False
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[1] == data
    assert plane.sent == {target.path: len(data) + 500_000}


def test_a_server_that_has_no_strong_entity_tag_is_still_resumed(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.cuts, plane.etag = [500_000], 'W/"weak"'
    with caching(plane, tmp_path / "cache") as cache:
        plane.etag = ""
        assert cache.ask(target.path)[1] == data
    assert plane.sent == {target.path: len(data)}
    assert plane.asked[1] == (target.path, "bytes=500000-", "")


def _start(plane: FakeControlPlane, tmp_path: Path, *more: str) -> tuple[subprocess.Popen[str], tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = probe.getsockname()
    if not (tmp_path / "agent").exists():
        plane.gateway(tmp_path / "agent")
    process = subprocess.Popen(
        [
            PROGRAM, "cache", "--state", tmp_path / "agent", "--folder", tmp_path / "cache",
            "--listen", f"{place[0]}:{place[1]}", "--size", "1GiB", "--keep-free", "1MiB", *more,
        ],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "Serving at" in process.stderr.readline()
    return process, place


def _ask(place: tuple[str, int], path: str) -> tuple[int, bytes]:
    with socket.create_connection(place, timeout=60) as device:
        device.sendall(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
        with device.makefile("rb") as file:
            head, _, body = file.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def _end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    process.send_signal(number)
    process.wait(30)
    assert process.stderr is not None
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_fetch_goes_on_where_the_gateway_was_stopped(
    plane: FakeControlPlane, tmp_path: Path, number: signal.Signals
) -> None:
    data = payload(4 * MIB)
    target = plane.add(data)
    plane.per_s = 2 * MIB
    process, place = _start(plane, tmp_path)
    part = tmp_path / "cache/parts" / target.hex
    device = threading.Thread(target=lambda: _quietly(place, target.path))
    device.start()
    until(lambda: part.exists() and part.stat().st_size > MIB)
    _end(process, number)
    device.join()
    have, plane.per_s = part.stat().st_size, 0
    assert MIB < have < len(data)
    plane.sent.clear()
    process, place = _start(plane, tmp_path)
    try:
        assert _ask(place, target.path) == (200, data)
        assert plane.sent == {target.path: len(data) - have}
    finally:
        _end(process, signal.SIGTERM)


def _quietly(place: tuple[str, int], path: str) -> None:
    try:
        _ask(place, path)
    except (OSError, IndexError):
        return


def test_what_an_earlier_gateway_fetched_is_hashed_again_and_not_fetched_again(
    plane: FakeControlPlane, tmp_path: Path
) -> None:
    data = payload(MIB)
    target = plane.add(data)
    with caching(plane, tmp_path / "cache") as cache:
        cache.ask(target.path)
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(target.path)[1] == data
    assert plane.sent == {target.path: len(data)}


def test_a_device_is_asked_to_come_again_while_a_long_fetch_goes_on(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    plane.gate.clear()
    with caching(plane, tmp_path / "cache", bounds=msgspec.structs.replace(QUICK, wait_s=0.1)) as cache:
        response, body = cache.ask(target.path)
        assert (response.status, problem_code(body)) == (503, "gateway.fetching")
        assert re.fullmatch(r"[1-9][0-9]*", response.headers["Retry-After"])
        plane.gate.set()
        until(lambda: cache.cache.status().fetches == 1)
        assert cache.ask(target.path)[1] == data
    assert len(plane.asked) == 1


def test_the_status_tells_what_it_holds_and_did(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(2 * MIB)
    target = plane.add(data)
    process, place = _start(plane, tmp_path)
    try:
        for _ in range(3):
            _ask(place, target.path)
        _ask(place, "/v1/update/metadata")
        told = subprocess.run(
            [PROGRAM, "status", "--folder", tmp_path / "cache"], capture_output=True, text=True, check=False
        )
        assert (told.returncode, told.stdout.splitlines()[0].split(",")[0]) == (0, "running")
        _rss(process.pid)
    finally:
        _end(process, signal.SIGTERM)
    told = subprocess.run(
        [PROGRAM, "status", "--folder", tmp_path / "cache", "--json"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 3
    status = json.loads(told.stdout)
    expected = {"running": False, "files": 1, "bytes": len(data), "hits": 2, "fetches": 1, "refused": 1, "wrong": 0}
    assert expected.items() <= status.items()
    assert (status["fetched_bytes"], status["served_bytes"]) == (len(data), 3 * len(data))


def _rss(pid: int) -> None:
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert peak is not None
    assert int(peak[1]) <= 40 * 1024


def test_it_listens_at_a_unix_socket_as_well(plane: FakeControlPlane, tmp_path: Path) -> None:
    data = payload(MIB)
    target = plane.add(data)
    place = tmp_path / "cache.sock"
    process, _ = _start(plane, tmp_path, "--listen", f"unix:{place}")
    try:
        with socket.socket(socket.AF_UNIX) as device:
            device.connect(str(place))
            device.sendall(f"GET {target.path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
            with device.makefile("rb") as file:
                assert file.read().partition(b"\r\n\r\n")[2] == data
        assert place.stat().st_mode & 0o777 == 0o660
    finally:
        _end(process, signal.SIGTERM)


@pytest.mark.parametrize(
    ("words", "code", "ends"),
    [
        (("cache", "--listen", "nowhere"), "gateway.listen", 2),
        (("cache", "--listen", "127.0.0.1:1", "--size", "big"), "gateway.size", 2),
        (("cache", "--listen", "192.0.2.1:8480"), "gateway.listening", 1),
        (("status",), "gateway.no_status", 1),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    plane: FakeControlPlane, tmp_path: Path, words: tuple[str, ...], code: str, ends: int
) -> None:
    plane.gateway(tmp_path / "agent")
    state = ("--state", tmp_path / "agent") if words[0] == "cache" else ()
    done = subprocess.run(
        [PROGRAM, *words, *state, "--folder", tmp_path / "cache", *(("--keep-free", "0") if state else ())],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, code in done.stderr) == (ends, True), done.stderr


def test_only_one_cache_uses_a_folder(plane: FakeControlPlane, tmp_path: Path) -> None:
    process, _ = _start(plane, tmp_path)
    try:
        done = subprocess.run(
            [
                PROGRAM, "cache", "--state", tmp_path / "agent", "--folder", tmp_path / "cache",
                "--listen", "127.0.0.1:0",
            ],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, "gateway.folder_busy" in done.stderr) == (1, True)
    finally:
        _end(process, signal.SIGTERM)


def test_a_key_in_a_token_is_refused_at_the_start(plane: FakeControlPlane, tmp_path: Path) -> None:
    agent = plane.gateway(tmp_path / "agent")
    config = msgspec.structs.replace(agent.config(), key=KeyPlace.TOKEN, token="pkcs11:object=x")  # noqa: S106  (a name)
    (tmp_path / "agent/config.json").write_bytes(msgspec.json.encode(config))
    done = subprocess.run(
        [PROGRAM, "cache", "--state", tmp_path / "agent", "--folder", tmp_path / "cache", "--listen", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "gateway.token_key" in done.stderr) == (1, True)


def test_a_gateway_that_was_retired_fetches_nothing_and_says_why(plane: FakeControlPlane, tmp_path: Path) -> None:
    here, missing = payload(1000), payload(1000, 2)
    one, two = plane.add(here), plane.add(missing)
    with caching(plane, tmp_path / "cache") as cache:
        assert cache.ask(one.path)[1] == here
        Folder(tmp_path / "agent").retire("gateway-1", 0)
        response, body = cache.ask(two.path)
        assert (response.status, problem_code(body)) == (503, "agent.retired")
        assert cache.ask(one.path)[1] == here
