"""A payload that is longer, shorter or other than what was signed: refused before it is written anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_core.update.install import Phase
from holdfast_core.wire.frame import DirectiveState
from update_driver_builders import NEW_IMAGE, OLD_IMAGE, Device, Payloads, serving


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with serving(Payloads()) as payloads:
        device = Device(tmp_path, payloads)
        device.offer()
        device.take(device.order())
        yield device


def serve(device: Device, content: bytes) -> None:
    """Serve another content under the signed name."""
    for path in device.payloads.files:
        device.payloads.files[path] = content


def refused(device: Device) -> str:
    device.turns()
    [told] = device.take(device.order())
    assert told.state is DirectiveState.REFUSED
    assert (device.reboots, device.runs) == (0, OLD_IMAGE)
    assert not (device.state / "payload.part").exists()
    return told.code


def test_control_the_right_payload_is_taken(device: Device) -> None:
    device.turns()
    assert device.phase is Phase.ARMED


@pytest.mark.parametrize("content", [NEW_IMAGE + b"!", NEW_IMAGE[:-1], b"x"], ids=["longer", "shorter", "tiny"])
def test_another_length_is_refused_at_the_head_of_the_answer(device: Device, content: bytes) -> None:
    serve(device, content)
    assert refused(device) == "update.wrong_length"


def test_another_content_of_the_same_length_is_refused(device: Device) -> None:
    serve(device, bytes(len(NEW_IMAGE)))
    assert refused(device) == "update.digest"


def test_a_part_of_something_else_is_refused(device: Device) -> None:
    device.payloads.cut = 20_000
    device.turns()
    assert device.phase is Phase.FETCHING
    device.payloads.cut = None
    serve(device, NEW_IMAGE + b"!")
    device.clock.up_s += 31
    assert refused(device) == "update.wrong_length"


def test_a_part_that_rotted_on_the_disk_costs_one_more_download(device: Device) -> None:
    device.payloads.cut = 20_000
    device.turns()
    with (device.state / "payload.part").open("r+b") as part:
        part.write(b"rot")
    device.restart()
    device.payloads.cut = None
    device.turns()
    device.clock.up_s += 31
    device.turns()
    assert (device.phase, device.install.spoiled) == (Phase.ARMED, 1)


def test_a_part_longer_than_what_was_signed_is_begun_anew(device: Device) -> None:
    device.driver.turn(1)
    (device.state / "payload.part").write_bytes(bytes(2 * len(NEW_IMAGE)))
    device.turns()
    assert device.phase is Phase.ARMED


def test_a_server_that_does_not_know_ranges_is_served_from_the_start(device: Device) -> None:
    device.payloads.cut = 20_000
    device.turns()
    device.payloads.cut, device.payloads.whole_only = None, True
    device.clock.up_s += 31
    device.turns()
    assert device.phase is Phase.ARMED


@pytest.mark.parametrize(("status", "ends"), [(403, True), (410, True), (404, False), (429, False), (503, False)])
def test_a_payload_that_is_not_served_is_waited_for_where_that_helps(
    device: Device, status: int, *, ends: bool
) -> None:
    device.payloads.status = status
    device.turns()
    assert device.install.code == "update.not_served"
    assert device.phase is (Phase.FAILED if ends else Phase.FETCHING)
