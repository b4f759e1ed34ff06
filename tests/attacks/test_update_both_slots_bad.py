"""Both slots in doubt: what is whole boots, however often it failed; attempts never run out on the last whole one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_agent.durable import replace
from holdfast_agent.update.installers.boot_state import RUNNING, TRIES, image, load
from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.rauc import RaucInstaller
from holdfast_agent.update.installers.rauc_bus import Bus, RaucSlot
from holdfast_agent.update.installers.swupdate import SwConfig, SwSlot, SwupdateInstaller
from holdfast_core.kernel.errors import WorldError
from holdfast_core.supply.model import PayloadKind
from holdfast_core.update.install import Phase
from holdfast_core.update.install_trial import MOST_RETURNS
from holdfast_core.wire.update import Order as Verdict
from holdfast_sim.updating import bootloader
from update_driver_builders import NEW_IMAGE, OLD_IMAGE, Device, Payloads, serving
from update_tools import Boot, offer


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


def fall_forward(device: Device) -> None:
    """Begin a new boot: the slot before is whole and does not come up, so the boot loader takes the one on trial."""
    replace(device.slots / RUNNING, b"b")
    device.clock.boot += 1
    device.clock.up_s = 5
    device.restart()


def left_alone(device: Device) -> None:
    """The release is well, nobody confirms it in time, and the device orders itself back."""
    device.settle()
    device.clock.up_s += device.install.args.confirm_s
    device.turns()
    assert (device.phase, device.install.code) == (Phase.REVERTED, "update.fell_back_no_contact")


def test_a_way_back_that_does_not_boot_does_not_reboot_the_device_for_ever(device: Device) -> None:
    left_alone(device)
    before = device.reboots
    for _ in range(10 * MOST_RETURNS):
        fall_forward(device)
        device.turns()
    assert (device.phase, device.install.code) == (Phase.FAILED, "update.no_way_back")
    assert device.reboots - before < MOST_RETURNS
    assert device.runs == NEW_IMAGE
    assert device.report().floor == 1, "what was never confirmed raises no floor"
    device.take(device.order())
    device.offer(b"a good one at last", "cam:3", 3)
    assert device.take(device.order(8, "cam:3")) == []
    device.settle()
    device.answer(Verdict.CONFIRM, 8)
    device.turns()
    assert (device.phase, device.runs, device.report().floor) == (Phase.CONFIRMED, b"a good one at last", 3)


def test_a_confirmation_that_comes_while_there_is_no_way_back_ends_the_reboots(device: Device) -> None:
    left_alone(device)
    fall_forward(device)
    assert device.report().attempt is not None
    device.answer(Verdict.CONFIRM)
    device.turns()
    assert (device.phase, device.runs, device.report().floor) == (Phase.CONFIRMED, NEW_IMAGE, 2)
    assert load(device.slots).primary == "b"


def test_control_a_confirmation_is_not_heard_while_there_is_a_way_back(device: Device) -> None:
    left_alone(device)
    device.answer(Verdict.CONFIRM)
    device.boot()
    device.turns()
    assert (device.phase, device.runs) == (Phase.FELL_BACK, OLD_IMAGE)


def test_a_way_back_that_rots_after_it_was_chosen_is_not_booted_into_again(device: Device) -> None:
    left_alone(device)
    rot(device, "a")
    device.boot()
    device.turns()
    assert (device.phase, device.install.code) == (Phase.FAILED, "installer.no_way_back")
    assert (device.runs, device.report().floor) == (NEW_IMAGE, 1)


class RaucOver(Bus):
    """RAUC's service, as far as boots go, over a boot environment in files."""

    def __init__(self, boot: Boot) -> None:
        super().__init__()
        self.boot = boot

    def mark(self, state: str, slot: str) -> None:
        running = self.boot.get("current")
        name = running if slot == "booted" else "B" if running == "A" else "A"
        if state == "active":
            self.boot.set("primary", name)
        else:
            self.boot.set(f"state.{name}", state)

    def primary(self) -> str:
        return self.boot.get("primary")

    def boot_slot(self) -> str:
        return self.boot.get("current")

    def slots(self) -> tuple[RaucSlot, ...]:
        running = self.boot.get("current")
        return tuple(
            RaucSlot(
                name,
                "raw",
                "",
                "booted" if name == running else "inactive",
                bootname=name,
                good=self.boot.get(f"state.{name}") == "good",
            )
            for name in "AB"
        )


@pytest.fixture(params=["rauc", "swupdate"])
def tried(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Boot, RaucInstaller | SwupdateInstaller]:
    """A device with a boot environment, whose slot B runs on trial."""
    boot, memory = Boot(tmp_path / "boot"), Memory(tmp_path / "slots.json")
    for name, value in (("current", "B"), ("primary", "B")):
        boot.set(name, value)
    memory.keep("B", offer("2.0", 2, PayloadKind(request.param)))
    memory.arm("B")
    if request.param == "rauc":
        return boot, RaucInstaller(RaucOver(boot), memory)
    slots = (SwSlot("A", "/dev/a", "stable,a"), SwSlot("B", "/dev/b", "stable,b"))
    config = SwConfig(slots, "key", "board:1", (str(boot.program),), str(tmp_path / "work"))
    return boot, SwupdateInstaller(config, memory)


def test_the_slot_that_runs_is_not_given_up_where_the_other_is_marked_bad(
    tried: tuple[Boot, RaucInstaller | SwupdateInstaller],
) -> None:
    boot, installer = tried
    boot.set("state.A", "bad")
    for before in ("good", "bad"):
        boot.set("state.B", before)
        with pytest.raises(WorldError) as raised:
            installer.revert()
        assert raised.value.code == "installer.no_way_back"
        assert raised.value.remedy
        assert (boot.get("primary"), boot.get("state.B"), boot.next()) == ("B", "good", "B")
        assert installer.on_trial(), "it is not confirmed by that"


def test_the_last_slot_that_boots_does_not_run_out_of_attempts_on_trial(
    tried: tuple[Boot, RaucInstaller | SwupdateInstaller],
) -> None:
    boot, installer = tried
    boot.set("state.B", "bad")  # the boot loader counted it down
    installer.booted()
    assert boot.get("state.B") == "bad", "with a way back its attempts run out"
    boot.set("state.A", "bad")
    installer.booted()
    assert boot.get("state.B") == "good"


def test_control_a_slot_that_boots_is_gone_back_to(tried: tuple[Boot, RaucInstaller | SwupdateInstaller]) -> None:
    boot, installer = tried
    for _ in range(2):
        installer.revert()
        assert (boot.get("state.B"), boot.next()) == ("bad", "A")
