"""Attacks by MCUboot images: each is refused before the flash is written, and the boot loader would not boot it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from holdfast_agent.update.installers.mcuboot import McubootInstaller
from holdfast_agent.update.installers.mcuboot_flash import Layout
from holdfast_agent.update.installers.memory import Memory
from holdfast_core.supply.model import PayloadKind
from holdfast_sim.updating.mcuboot_flash import Booted, boot
from update_tools import code_of, installed, mcu_image, mcu_key, offer, payload, quiet

SLOT = 0x10000


class Lab:
    def __init__(self, folder):
        self.folder = folder
        self.keys = (load_pem_public_key(mcu_key(folder).read_bytes()),)
        mcu_key(folder, "other")
        chip = folder / "flash.bin"
        chip.write_bytes(mcu_image(folder, "1.0.0", svn=3).read_bytes().ljust(2 * SLOT, b"\xff"))
        self.layout = Layout(str(chip), 0, SLOT, SLOT)
        self.installer = McubootInstaller(self.layout, self.keys, ("board-1",), Memory(folder / "memory.json"))


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def mcu(svn=3, hardware=("board-1",)):
    return offer("2.0.0", 2, PayloadKind.MCUBOOT, svn=svn, hardware=hardware)


def forced(lab, made, offered, floor=0):
    """What the boot loader does where an image comes into the slot past our checks."""
    lab.installer.write(made, offered, payload(made, offered.kind), quiet)
    lab.installer.arm(offered)
    return boot(lab.layout, lab.keys, floor=floor)


def changed(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    return path


def test_control_the_honest_image_is_installed_and_tried(lab):
    made = mcu_image(lab.folder, "2.0.0", svn=3)
    assert installed(lab, made, mcu()) == "b"
    assert boot(lab.layout, lab.keys) is Booted.TEST


def test_an_image_signed_by_another_key(lab):
    made = mcu_image(lab.folder, "2.0.0", svn=3, name="other")
    assert code_of(lab.installer.verify, made, mcu()) == "installer.mcuboot_wrong_key"
    assert forced(lab, made, mcu()) is Booted.REFUSED


def test_an_image_with_one_bit_flipped(lab):
    made = changed(mcu_image(lab.folder, "2.0.0", svn=3), 3000)
    assert code_of(lab.installer.verify, made, mcu()) == "installer.mcuboot_hash"
    assert forced(lab, made, mcu()) is Booted.REFUSED


def test_an_image_whose_signature_was_changed(lab):
    made = mcu_image(lab.folder, "2.0.0", svn=3)
    assert (
        code_of(lab.installer.verify, changed(made, made.stat().st_size - 20), mcu()) == "installer.mcuboot_signature"
    )


@pytest.mark.parametrize("size", [0, 31, 100, 5000])
def test_a_truncated_image(lab, size):
    made = mcu_image(lab.folder, "2.0.0", svn=3)
    made.write_bytes(made.read_bytes()[:size])
    assert code_of(lab.installer.verify, made, mcu()) == "installer.mcuboot_malformed"
    stated = None
    assert code_of(lab.installer.write, made, mcu(), stated, quiet) == "installer.mcuboot_malformed"
    assert Path(lab.layout.path).read_bytes()[SLOT:].strip(b"\xff") == b""


def test_an_older_image_with_a_good_signature(lab):
    made = mcu_image(lab.folder, "0.9.0", svn=2)
    assert code_of(lab.installer.verify, made, mcu(svn=2)) == "installer.security_counter"
    # Control: a boot loader without counters boots it, one that keeps them does not.
    assert forced(lab, made, mcu(svn=2), floor=3) is Booted.REFUSED
    assert forced(lab, made, mcu(svn=2)) is Booted.TEST


def test_an_image_without_a_counter_and_one_with_another_than_its_release_states(lab):
    assert code_of(lab.installer.verify, mcu_image(lab.folder, "2.0.0"), mcu(svn=0)) == "installer.security_counter"
    made = mcu_image(lab.folder, "2.1.0", svn=8)
    assert code_of(lab.installer.verify, made, mcu(svn=3)) == "installer.security_counter"
    assert code_of(lab.installer.verify, made, mcu(svn=8)) == ""


def test_an_image_for_another_board(lab):
    made = mcu_image(lab.folder, "2.0.0", svn=3)
    assert code_of(lab.installer.verify, made, mcu(hardware=("board-9",))) == "installer.compatible"


def test_an_image_that_would_reach_into_the_trailer(lab):
    made = mcu_image(lab.folder, "2.0.0", svn=3, size=0xF300, more=("--slot-size", "0x20000"))
    assert code_of(lab.installer.verify, made, mcu()) == "installer.too_large"


def test_the_image_that_runs_already(lab):
    made = lab.folder / "running.bin"
    made.write_bytes(Path(lab.layout.path).read_bytes()[: SLOT // 2])
    assert code_of(lab.installer.verify, made, offer("1.0.0", 2, PayloadKind.MCUBOOT, svn=3)) == "installer.same_image"


def test_a_slot_that_was_changed_after_it_was_written(lab):
    made, offered = mcu_image(lab.folder, "2.0.0", svn=3), mcu()
    stated = payload(made, offered.kind)
    lab.installer.write(made, offered, stated, quiet)
    lab.installer.read_back(made, offered, stated)  # control
    changed(Path(lab.layout.path), SLOT + 3000)
    assert code_of(lab.installer.read_back, made, offered, stated) == "installer.slot_corrupt"
    assert code_of(lab.installer.arm, offered) == "installer.slot_corrupt"
