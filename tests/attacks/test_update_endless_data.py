"""A server that does not stop sending: nothing beyond what was signed is read or written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_core.update.install import Phase
from holdfast_core.wire.frame import DirectiveState
from update_driver_builders import NEW_IMAGE, Device, Payloads, serving

IN_FLIGHT = 8 * 1024 * 1024
"""What the kernel takes off the server's hands before anybody reads it."""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with serving(Payloads()) as payloads:
        device = Device(tmp_path, payloads)
        device.offer()
        device.take(device.order())
        yield device


def test_control_a_server_that_stops_is_believed(device: Device) -> None:
    device.payloads.says = 0  # it does not say how much there is; the end of the connection is the end
    device.turns()
    assert device.phase is Phase.ARMED


@pytest.mark.parametrize("says", [0, None], ids=["a length is not announced", "the right length is announced"])
def test_a_body_without_end_is_bounded_by_what_was_signed(device: Device, says: int | None) -> None:
    device.payloads.says = says
    device.payloads.more = b"more and more " * 5_000
    device.turns()
    held = device.state / "payload.part"
    assert not held.exists() or held.stat().st_size <= len(NEW_IMAGE)
    assert device.payloads.sent < len(NEW_IMAGE) + IN_FLIGHT
    if says == 0:
        [told] = device.take(device.order())
        assert (told.state, told.code) == (DirectiveState.REFUSED, "update.wrong_length")
    else:
        assert device.phase is Phase.ARMED, "what comes after the announced end is not looked at"
