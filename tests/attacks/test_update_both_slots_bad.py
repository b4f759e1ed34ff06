"""Both slots in doubt: what is whole boots, however often it failed; attempts never run out on the last whole one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_agent.update.installers.boot_state import TRIES, image, load
from holdfast_core.kernel.errors import WorldError
from holdfast_core.update.install import Phase
from holdfast_core.wire.update import Order as Verdict
from holdfast_sim.updating import bootloader
from update_driver_builders import NEW_IMAGE, OLD_IMAGE, Device, Payloads, serving


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with serving(Payloads()) as payloads:
        device = Device(tmp_path, payloads)
        device.offer()
        device.take(device.order())
        yield device


def rot(device: Device, slot: str) -> None:
    image(device.slots, slot).write_bytes(b"nothing that was ever signed")


def test_control_with_both_slots_whole_a_trial_runs_out_of_attempts(device: Device) -> None:
    device.turns()
    chosen = [bootloader.boot(device.slots) for _ in range(TRIES + 2)]
    assert chosen == ["b"] * TRIES + ["a", "a"]


def test_the_lasting_slot_never_runs_out_of_attempts(device: Device) -> None:
    assert {bootloader.boot(device.slots) for _ in range(50)} == {"a"}


def test_a_trial_without_a_way_back_goes_on_booting(device: Device) -> None:
    device.turns()
    rot(device, "a")
    assert {bootloader.boot(device.slots) for _ in range(3 * TRIES)} == {"b"}
    device.boot()
    device.turns()
    assert (device.phase, device.runs) == (Phase.BOOTED, NEW_IMAGE)


def test_a_device_that_is_to_go_back_to_a_slot_that_rotted_stays_where_it_is(device: Device) -> None:
    device.settle()
    rot(device, "a")
    reboots = device.reboots
    device.answer(Verdict.REVERT)
    device.turns()
    assert (device.phase, device.install.code) == (Phase.FAILED, "installer.no_way_back")
    assert device.reboots == reboots, "it does not reboot into nothing"
    assert load(device.slots).trial == "b"
    for _ in range(2 * TRIES):
        device.boot()
        assert device.runs == NEW_IMAGE
    assert device.report().floor == 1, "what was never confirmed raises no floor"


def test_from_the_one_whole_slot_a_good_release_can_still_be_installed(device: Device) -> None:
    test_a_device_that_is_to_go_back_to_a_slot_that_rotted_stays_where_it_is(device)
    device.take(device.order())
    device.offer(b"a good one at last", "cam:3", 3)
    assert device.take(device.order(8, "cam:3")) == []
    device.settle()
    assert (device.phase, device.runs) == (Phase.BOOTED, b"a good one at last")
    device.answer(Verdict.CONFIRM, 8)
    device.turns()
    assert device.report().floor == 3


def test_control_a_whole_slot_is_gone_back_to(device: Device) -> None:
    device.settle()
    device.answer(Verdict.REVERT)
    device.turns()
    device.boot()
    device.turns()
    assert (device.runs, device.phase) == (OLD_IMAGE, Phase.FELL_BACK)


def test_a_release_that_was_given_up_boots_where_the_lasting_one_rotted(device: Device) -> None:
    test_control_a_whole_slot_is_gone_back_to(device)
    rot(device, "a")
    device.boot()
    assert device.runs == NEW_IMAGE


def test_where_neither_is_whole_nothing_is_booted_blindly(device: Device) -> None:
    rot(device, "a")
    rot(device, "b")
    with pytest.raises(WorldError) as raised:
        bootloader.boot(device.slots)
    assert raised.value.code == "boot.nothing"


def test_a_cut_off_write_leaves_the_other_slot_to_boot(device: Device) -> None:
    while device.phase is not Phase.WRITING:
        device.driver.turn(1)
    fresh = load(device.slots)
    assert fresh.content("a").whole
    device.driver.turn(1)
    rot(device, "b")
    assert bootloader.boot(device.slots) == "a"
