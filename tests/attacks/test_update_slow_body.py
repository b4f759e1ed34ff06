"""A server that sends a byte now and then: a slice ends, check-ins go on, and too little is a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast_agent.update import download
from holdfast_agent.update.download import LEAST, STALL_S, WINDOW_S, Download, Interrupted, Rate
from holdfast_core.update.install import Phase
from install_builders import target
from update_driver_builders import NEW_IMAGE, Device, Payloads, plain_line, serving


class Time:
    """Seconds that pass as the test says: so many for each piece that comes."""

    def __init__(self, a_piece: float) -> None:
        self.now, self.a_piece, self.slept = 0.0, a_piece, 0.0

    def __call__(self) -> float:
        self.now += self.a_piece
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += seconds


@pytest.fixture
def payloads() -> Iterator[Payloads]:
    with serving(Payloads()) as payloads:
        yield payloads


def fetching(folder: Path, payloads: Payloads, time: Time, content: bytes = NEW_IMAGE) -> Download:
    wanted = target(payload=content)
    payloads.put(wanted, content)
    return Download(folder / "payload.part", wanted, now=time, sleep=time.sleep)


def test_control_a_line_that_is_fast_enough_brings_it_whole(tmp_path: Path, payloads: Payloads) -> None:
    found = fetching(tmp_path, payloads, Time(0.001)).slice(plain_line(payloads.port), Rate())
    assert (found.whole, found.held) == (True, len(NEW_IMAGE))


def test_a_trickle_is_ended_and_what_came_is_kept(
    tmp_path: Path, payloads: Payloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "CHUNK", 16)
    slow = fetching(tmp_path, payloads, Time(1.0))
    with pytest.raises(Interrupted) as raised:
        slow.slice(plain_line(payloads.port), Rate(slice_s=10_000))
    assert raised.value.code == "update.too_slow"
    assert 0 < raised.value.came < LEAST
    assert slow.held == (tmp_path / "payload.part").stat().st_size == raised.value.came


def test_silence_is_ended(tmp_path: Path, payloads: Payloads) -> None:
    class Silent:
        """A line whose reads time out at once."""

        def __init__(self) -> None:
            self.line = plain_line(payloads.port)
            self.waited: list[float] = []

        def stream(self, path: str, headers: dict[str, str]) -> Any:
            return self.line.stream(path, headers)

        def wait(self, seconds: float) -> None:
            self.waited.append(seconds)
            self.line.wait(-1.0)

        def close(self) -> None:
            self.line.close()

        def call(self, *_: Any) -> bytes:
            raise AssertionError("nothing is asked but the payload")

    silent = Silent()
    # What came with the head of the answer is there without waiting.
    with pytest.raises(Interrupted) as raised:
        fetching(tmp_path, payloads, Time(0.001)).slice(silent, Rate())
    assert raised.value.code == "update.stalled"
    assert set(silent.waited) == {STALL_S}


def test_a_slice_ends_in_time_and_the_next_goes_on(tmp_path: Path, payloads: Payloads) -> None:
    slow = fetching(tmp_path, payloads, Time(5.0))
    first = slow.slice(plain_line(payloads.port), Rate(slice_s=4.0))
    assert not first.whole
    assert 0 < first.held < len(NEW_IMAGE)
    rest = slow.slice(plain_line(payloads.port), Rate(slice_s=100_000.0))
    assert (rest.whole, first.came + rest.came) == (True, len(NEW_IMAGE))
    assert payloads.asked == ["", f"bytes={first.held}-"]


def test_the_bound_of_the_line_is_kept(tmp_path: Path, payloads: Payloads) -> None:
    time = Time(0.0)
    found = fetching(tmp_path, payloads, time).slice(plain_line(payloads.port), Rate(kbit_s=100, slice_s=1e9))
    assert found.whole
    assert time.slept == pytest.approx(len(NEW_IMAGE) * 8 / 100_000, rel=0.15)


def test_a_bound_below_the_least_rate_is_no_failure(tmp_path: Path, payloads: Payloads) -> None:
    content = bytes(3_000)
    time = Time(0.0)
    found = fetching(tmp_path, payloads, time, content).slice(plain_line(payloads.port), Rate(kbit_s=1, slice_s=1e9))
    assert found.whole
    assert time.slept > 20
    assert WINDOW_S * 125 < LEAST, "at one kilobit a second less comes than is asked of others"


def test_a_server_that_breaks_off_each_time_is_asked_again_after_pauses(tmp_path: Path, payloads: Payloads) -> None:
    device = Device(tmp_path, payloads)
    device.offer()
    payloads.cut = 1_000
    device.take(device.order())
    device.turns()
    asked = len(payloads.asked)
    device.turns()
    assert len(payloads.asked) == asked, "nothing is asked before its time"
    assert (device.phase, device.install.code) == (Phase.FETCHING, "update.cut_off")
    device.clock.up_s += 31
    device.turns()
    assert len(payloads.asked) == asked + 1
    payloads.cut = None
    device.clock.up_s += 3_600
    device.turns()
    assert device.phase is Phase.ARMED
