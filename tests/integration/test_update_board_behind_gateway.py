"""A microcontroller behind a gateway: its resets are seen in its flash, though the gateway's own boot goes on."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from holdfast_agent.update.boots import BoardClock
from holdfast_agent.update.installers.mcuboot import McubootInstaller
from holdfast_agent.update.installers.mcuboot_flash import Layout
from holdfast_agent.update.installers.memory import Memory
from holdfast_core.kernel.digests import digest_of
from holdfast_core.supply.model import PayloadKind
from holdfast_core.update.agreement import Target
from holdfast_core.update.install import Phase
from holdfast_core.wire.update import Order
from holdfast_sim.updating.mcuboot_flash import Booted, boot
from update_driver_builders import Clock, Device, Payloads, serving
from update_tools import mcu_image, mcu_key, offer

SLOT = 0x10000
RELEASE = "gw:2.0.0"


class Gateway(Device):
    """A gateway that has been up for a month, and updates the microcontroller behind it."""

    def __init__(self, folder, payloads):
        super().__init__(folder, payloads)
        self.keys = (load_pem_public_key(mcu_key(folder).read_bytes()),)
        chip = folder / "flash.bin"
        chip.write_bytes(b"\xff" * (2 * SLOT))
        self.layout = Layout(str(chip), 0, SLOT, SLOT)
        with chip.open("r+b") as file:
            file.write(mcu_image(folder, "1.0.0", svn=3).read_bytes())
        self.host = Clock()
        self.host.up_s = 30 * 86_400
        self.folder = folder
        data = mcu_image(folder, "2.0.0", svn=3).read_bytes()
        stated = offer("2.0.0", 2, PayloadKind.MCUBOOT, svn=3, hardware=self.hardware)
        wanted = Target("gw/2.0.0/image.img", len(data), digest_of(data), stated)
        self.trusted.directs[wanted.path] = self.trusted.images[wanted.path] = wanted
        payloads.put(wanted, data)
        self.restart()

    def restart(self):
        memory = Memory(self.folder / "slots.json")
        self.installer = McubootInstaller(self.layout, self.keys, self.hardware, memory)
        self.clock = BoardClock(self.host, self.installer.boot_id, self.state)
        super().restart()

    def reset(self, floor=0):
        return boot(self.layout, self.keys, floor=floor)


@pytest.fixture
def gateway(tmp_path):
    with serving(Payloads()) as payloads:
        made = Gateway(tmp_path, payloads)
        made.take(made.order(release=RELEASE))
        made.turns()
        assert (made.phase, made.reboots) == (Phase.ARMED, 1)
        yield made


@pytest.mark.parametrize("again", [False, True])
def test_a_reset_is_seen_and_the_trial_has_its_whole_time(gateway, again):
    assert gateway.reset() is Booted.TEST
    if again:
        gateway.restart()
    gateway.turns()
    assert gateway.phase is Phase.BOOTED, "the gateway's month of uptime is none of the board's"
    gateway.answer(Order.CONFIRM)
    gateway.turns()
    assert gateway.phase is Phase.CONFIRMED
    assert gateway.reset() is Booted.AS_BEFORE
    assert gateway.report().running.release == RELEASE


def test_one_that_nobody_confirms_goes_back(gateway):
    gateway.reset()
    gateway.turns()
    gateway.host.up_s += 899
    gateway.turns()
    assert gateway.phase is Phase.BOOTED
    gateway.host.up_s += 2
    gateway.turns()
    assert (gateway.phase, gateway.reboots) == (Phase.REVERTED, 2)
    assert gateway.reset() is Booted.REVERT
    gateway.turns()
    assert (gateway.phase, gateway.install.code) == (Phase.FELL_BACK, "update.fell_back_no_contact")


def test_one_that_resets_itself_while_on_trial_fell_back(gateway):
    gateway.reset()
    gateway.turns()
    assert gateway.reset() is Booted.REVERT
    gateway.turns()
    assert (gateway.phase, gateway.install.code) == (Phase.FELL_BACK, "update.fell_back_boot")


def test_an_image_that_the_boot_loader_refuses_fell_back(gateway):
    assert gateway.reset(floor=9) in (Booted.REFUSED, Booted.NOTHING)
    gateway.turns()
    assert (gateway.phase, gateway.install.code) == (Phase.FELL_BACK, "update.fell_back_boot")


def test_nothing_happens_while_the_board_was_not_reset(gateway):
    for _ in range(3):
        gateway.restart()
        gateway.turns()
        assert gateway.phase is Phase.ARMED
    gateway.host.boot += 1
    gateway.restart()
    gateway.turns()
    assert gateway.phase is Phase.ARMED, "the gateway's own boot is none of the board's"
    assert gateway.reset() is Booted.TEST
    gateway.turns()
    assert gateway.phase is Phase.BOOTED
