"""The driver with the device's real trust: two TUF repositories, one request, the payload, the slot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import tuf_builders
from holdfast_agent.update.driver import Driver, Identity
from holdfast_agent.update.ports import Ports
from holdfast_core.kernel.instants import DAY
from holdfast_core.update.install import Phase
from holdfast_core.wire.frame import Health
from holdfast_core.wire.orders import Order
from holdfast_core.wire.update import UpdateArgs
from holdfast_core.wire.update_metadata import PATH, Holding
from holdfast_sim.updating import bootloader
from tuf_builders import DEVICE_ID, PAYLOAD, TRUE_NOW, Pair
from update_driver_builders import Device, Payloads, plain_line, serving
from update_trust_builders import Device as Trusting


class Line:
    """A line to a server that has both repositories and the payloads."""

    def __init__(self, pair: Pair, payloads: Payloads, **time: Any) -> None:
        self.pair, self.time = pair, time
        self.plain = plain_line(payloads.port)

    def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        assert (method, path, headers) == ("POST", PATH, {"Content-Type": "application/json"})
        return msgspec.json.encode(self.pair.answer(msgspec.json.decode(body, type=Holding), **self.time))

    def stream(self, path: str, headers: dict[str, str]) -> Any:
        return self.plain.stream(path, headers)

    def wait(self, seconds: float) -> None:
        self.plain.wait(seconds)

    def close(self) -> None:
        self.plain.close()


class Whole(Device):
    """A device whose trust is the real one."""

    def __init__(self, folder: Path, payloads: Payloads, **time: Any) -> None:
        self.pair = Pair()
        self.folder, self.time = folder, time
        self.trusting = Trusting(folder, self.pair)
        super().__init__(folder, payloads)

    def _driver(self) -> Driver:
        ports = Ports(
            self.clock,  # type: ignore[arg-type]
            self.trusting.trust,
            self.installer,
            lambda: Line(self.pair, self.payloads, **self.time),
            self._reboot,
            lambda: Health(ok=True),
            lambda: None,
            self.said.append,
        )
        return Driver(self.state, Identity(DEVICE_ID, ("board-a",), tuf_builders.MODEL), ports)

    def directed(self) -> Order:
        """The directive that the pair's director stands behind, and its payload served."""
        self.trusting.ask()
        target = self.trusting.trust.imaged(self.pair.path)
        assert target is not None
        self.payloads.put(target, PAYLOAD)
        args = UpdateArgs(self.pair.offer.release, path=self.pair.path)
        return Order(7, "update", msgspec.json.encode(args).decode())


@pytest.fixture
def payloads() -> Iterator[Payloads]:
    with serving(Payloads()) as payloads:
        yield payloads


def test_a_release_that_both_repositories_sign_is_installed(tmp_path: Path, payloads: Payloads) -> None:
    device = Whole(tmp_path, payloads)
    device.take(device.directed())
    device.settle()
    assert (device.phase, bootloader.content(device.slots)) == (Phase.BOOTED, PAYLOAD)
    report = device.report()
    assert (report.director, report.frozen) == (device.trusting.trust.director_version, False)
    assert report.director > 0


def test_a_lost_clock_waits_for_the_signed_time_and_then_goes_on(tmp_path: Path, payloads: Payloads) -> None:
    device = Whole(tmp_path, payloads, told=False)
    order = device.directed()
    device.trusting.wall = 0
    device.trusting.again()
    device.restart()
    device.take(order)
    device.turns()
    assert (device.phase, device.install.code) == (Phase.ASKED, "update.no_time")
    device.time = {}
    device.clock.up_s += 61
    device.turns()
    assert device.phase is Phase.ARMED


def test_a_stale_repository_is_refused_before_anything_is_fetched(tmp_path: Path, payloads: Payloads) -> None:
    device = Whole(tmp_path, payloads, now=TRUE_NOW + 30 * DAY)
    order = device.directed()
    device.take(order)
    device.turns()
    [told] = device.take(order)
    assert (told.code, payloads.asked) == ("update.metadata_expired", [])


def test_a_device_that_pinned_no_roots_pins_those_of_its_server(tmp_path: Path, payloads: Payloads) -> None:
    device = Whole(tmp_path, payloads)
    order = device.directed()
    device.trusting.trust.forget()
    device.take(order)
    device.turns()
    assert (device.phase, device.trusting.trust.is_begun) == (Phase.ARMED, True)
