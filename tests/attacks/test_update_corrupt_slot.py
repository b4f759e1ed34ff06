"""A slot whose content is not what was written: it is not armed, not booted, and not gone back to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast_agent.update.installers.boot_state import image
from holdfast_agent.update.installers.file_ab import FileAB
from holdfast_core.update.install import Phase
from holdfast_core.wire.frame import DirectiveState
from update_driver_builders import NEW_IMAGE, OLD_IMAGE, Device, Payloads, serving


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with serving(Payloads()) as payloads:
        device = Device(tmp_path, payloads)
        device.offer()
        yield device


def flip(device: Device, slot: str, at: int = 5_000) -> None:
    """One bit of a slot turns over."""
    with image(device.slots, slot).open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_control_a_slot_that_holds_what_was_written_is_booted(device: Device) -> None:
    device.take(device.order())
    device.settle()
    assert (device.phase, device.runs) == (Phase.BOOTED, NEW_IMAGE)


class Failing(FileAB):
    """A medium that stores one bit wrong, as often as `times` says."""

    def __init__(self, folder: Path, spoil: Callable[[], None], times: int) -> None:
        super().__init__(folder)
        self.spoil, self.times = spoil, times

    def write(self, *arguments: object) -> str:  # type: ignore[override]
        slot = super().write(*arguments)  # type: ignore[arg-type]
        if self.times:
            self.times -= 1
            self.spoil()
        return slot


@pytest.mark.parametrize("at", [0, 4_095, 5_000, len(NEW_IMAGE) - 1])
def test_a_medium_that_stores_one_bit_wrong_for_good_ends_the_attempt_before_the_boot(device: Device, at: int) -> None:
    device.installer = Failing(device.slots, lambda: flip(device, "b", at), 99)
    device.restart()
    device.take(device.order())
    device.turns()
    [told] = device.take(device.order())
    assert (told.state, told.code) == (DirectiveState.REFUSED, "installer.slot_corrupt")
    assert (device.reboots, device.runs) == (0, OLD_IMAGE)
    device.boot()
    assert device.runs == OLD_IMAGE


def test_a_medium_that_fails_once_is_written_once_more(device: Device) -> None:
    device.installer = Failing(device.slots, lambda: flip(device, "b"), 1)
    device.restart()
    device.take(device.order())
    device.settle()
    assert (device.phase, device.runs) == (Phase.BOOTED, NEW_IMAGE)


def test_a_slot_that_rots_between_arming_and_boot_is_skipped(device: Device) -> None:
    device.take(device.order())
    device.turns()
    assert device.phase is Phase.ARMED
    flip(device, "b")
    device.boot()
    [told] = device.take(device.order())
    assert (device.runs, told.code) == (OLD_IMAGE, "update.fell_back_boot")
    assert device.report().slots[1].good is False


def test_a_confirmed_slot_that_rots_gives_way_to_the_one_before(device: Device) -> None:
    device.installer = FileAB(device.slots)
    test_control_a_slot_that_holds_what_was_written_is_booted(device)
    device.driver.turn(1)
    device.installer.confirm(device.install.target.offer)  # type: ignore[union-attr]
    flip(device, "b")
    device.boot()
    assert device.runs == OLD_IMAGE
