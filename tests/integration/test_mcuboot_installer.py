"""MCUboot images by the real imgtool on a flash file: installed, tried, confirmed, reverted, and what is refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from holdfast_agent.update.installers.mcuboot import McubootInstaller
from holdfast_agent.update.installers.mcuboot_flash import Layout, flash
from holdfast_agent.update.installers.memory import Memory
from holdfast_core.supply.model import PayloadKind
from holdfast_sim.updating.mcuboot_flash import Booted, boot
from update_tools import code_of, imgtool, installed, mcu_image, mcu_key, offer, payload, quiet

SLOT = 0x10000


def mcu(version, counter, svn, hardware=("board-1",)):
    return offer(version, counter, PayloadKind.MCUBOOT, svn=svn, hardware=hardware)


class Lab:
    def __init__(self, folder, align=8):
        self.folder = folder
        self.keys = (load_pem_public_key(mcu_key(folder).read_bytes()),)
        chip = folder / "flash.bin"
        chip.write_bytes(b"\xff" * (0x8000 + 2 * SLOT))
        self.layout = Layout(str(chip), 0x8000, 0x8000 + SLOT, SLOT, align)
        factory = mcu_image(folder, "1.0.0", svn=3).read_bytes()
        with chip.open("r+b") as file:
            file.seek(0x8000)
            file.write(factory)
        self.installer = self.started()

    def started(self):
        self.memory = Memory(self.folder / "memory.json")
        return McubootInstaller(self.layout, self.keys, ("board-1",), self.memory)

    def boot(self, floor=0):
        done = boot(self.layout, self.keys, floor=floor)
        self.installer = self.started()
        return done


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def test_an_image_is_installed_tried_and_confirmed_again_and_again(lab):
    assert lab.installer.running().slot == "a"
    for number, (version, slot) in enumerate((("2.0.0", "b"), ("3.0.0", "a"), ("4.0.0", "b")), 2):
        made, offered, told = mcu_image(lab.folder, version, svn=3), mcu(version, number, 3), []
        assert installed(lab, made, offered, told.append) == slot
        assert told[-1] == 100
        assert not lab.installer.on_trial()
        assert lab.boot() is Booted.TEST
        running = lab.installer.running()
        assert (running.slot, running.release, running.counter) == (slot, f"gw:{version}", number)
        assert lab.installer.on_trial()
        lab.installer.confirm(offered)
        assert not lab.installer.on_trial()
        assert lab.boot() is Booted.AS_BEFORE
        assert lab.installer.running() == running
    assert [(each.name, each.release, each.good) for each in lab.installer.slots()] == [
        ("a", "gw:3.0.0", True),
        ("b", "gw:4.0.0", True),
    ]


def test_an_image_that_nobody_confirms_is_swapped_back(lab):
    made, offered = mcu_image(lab.folder, "2.0.0", svn=3), mcu("2.0.0", 2, 3)
    installed(lab, made, offered)
    lab.boot()
    assert lab.installer.running().slot == "b"
    lab.installer.revert()
    assert lab.boot() is Booted.REVERT
    assert (lab.installer.running().slot, lab.installer.on_trial()) == ("a", False)
    assert lab.boot() is Booted.AS_BEFORE
    assert installed(lab, made, offered) == "b"
    assert lab.boot() is Booted.TEST


def test_nothing_is_tried_before_it_is_armed_nor_after_it_was_called_off(lab):
    made, offered = mcu_image(lab.folder, "2.0.0", svn=3), mcu("2.0.0", 2, 3)
    lab.installer.write(made, offered, payload(made, offered.kind), quiet)
    assert lab.boot() is Booted.AS_BEFORE
    lab.installer.arm(offered)
    lab.installer.arm(offered)
    lab.installer.revert()
    assert lab.boot() is Booted.AS_BEFORE
    lab.installer.arm(offered)
    assert lab.boot() is Booted.TEST


@pytest.mark.parametrize("padding", [("--pad",), ("--pad", "--confirm"), ("--pad", "--test")])
def test_a_padded_image_neither_arms_nor_confirms_itself(lab, padding):
    made, offered = mcu_image(lab.folder, "2.0.0", svn=3, more=padding), mcu("2.0.0", 2, 3)
    lab.installer.write(made, offered, payload(made, offered.kind), quiet)
    lab.installer.read_back(made, offered, payload(made, offered.kind))
    assert lab.boot() is Booted.AS_BEFORE
    # Control: written as it is, it arms itself.
    with Path(lab.layout.path).open("r+b") as file:
        file.seek(lab.layout.secondary)
        file.write(made.read_bytes())
    assert lab.boot() is (Booted.PERMANENT if "--confirm" in padding else Booted.TEST)


@pytest.mark.parametrize("align", [8, 16, 32])
@pytest.mark.parametrize("how", ["--test", "--confirm"])
def test_our_trailers_are_those_that_imgtool_writes(tmp_path, align, how):
    lab = Lab(tmp_path, align)
    made = tmp_path / "padded.bin"
    subprocess.run(
        [imgtool(), "sign", "-k", "mcu.key.pem", "--align", str(align), "--header-size", "0x100", "--pad-header",
         "--slot-size", "0x10000", "-v", "2.0.0", "--security-counter", "3", "--pad", how, "app", made],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    data = made.read_bytes()
    with flash(lab.layout) as chip:
        for _ in chip.write(lab.layout.secondary, data[: lab.layout.room]):
            pass
        chip.set_magic(lab.layout.secondary)
        if how == "--confirm":
            chip.set_flag(lab.layout.secondary, lab.layout.image_ok)
    start = lab.layout.secondary
    assert Path(lab.layout.path).read_bytes()[start : start + SLOT] == data


def test_imgtool_verifies_what_lies_in_the_slot(lab):
    made, offered = mcu_image(lab.folder, "2.0.0", svn=3), mcu("2.0.0", 2, 3)
    installed(lab, made, offered)
    with flash(lab.layout) as chip:
        (lab.folder / "slot.bin").write_bytes(chip.content(lab.layout.secondary))
    for key, code in (("mcu.pub.pem", 0), ("other.pub.pem", 1)):
        mcu_key(lab.folder, "other")
        done = subprocess.run([imgtool(), "verify", "-k", key, "slot.bin"], cwd=lab.folder, check=False)
        assert bool(done.returncode) is bool(code)


def test_the_security_counter_rises_with_the_confirmation_alone(lab):
    made, offered = mcu_image(lab.folder, "2.0.0", svn=9), mcu("2.0.0", 2, 9)
    installed(lab, made, offered)
    lab.boot()
    assert lab.memory.svn == 0
    assert lab.boot() is Booted.REVERT
    older = mcu_image(lab.folder, "1.1.0", svn=4)
    lab.installer.verify(older, mcu("1.1.0", 3, 4))
    installed(lab, made, offered)
    lab.boot()
    lab.installer.confirm(offered)
    assert lab.memory.svn == 9
    assert code_of(lab.installer.verify, older, mcu("1.1.0", 3, 4)) == "installer.security_counter"


def test_a_write_that_was_cut_at_any_point_leaves_what_runs_and_is_repeated(lab, monkeypatch):
    made, offered = mcu_image(lab.folder, "2.0.0", svn=3), mcu("2.0.0", 2, 3)
    stated = payload(made, offered.kind)
    monkeypatch.setattr("holdfast_agent.update.installers.mcuboot_flash.PIECE", 4096)
    writes = iter(())

    class Cut(BaseException):
        pass

    def pwrite(handle, data, at, write=os.pwrite):
        if next(writes, None) is None:
            write(handle, bytes(data)[: len(data) // 2], at)
            raise Cut
        return write(handle, data, at)

    for number in range(60):
        writes = iter(range(number))
        monkeypatch.setattr("os.pwrite", pwrite)
        try:
            installed(lab, made, offered)
        except Cut:
            monkeypatch.setattr("os.pwrite", os.pwrite)
        else:
            break
        monkeypatch.undo()
        monkeypatch.setattr("holdfast_agent.update.installers.mcuboot_flash.PIECE", 4096)
        assert lab.boot() is Booted.AS_BEFORE
        assert (lab.installer.running().slot, lab.installer.on_trial()) == ("a", False)
    assert number > 10
    monkeypatch.undo()
    lab.installer.read_back(made, offered, stated)
    assert lab.boot() is Booted.TEST


@pytest.mark.parametrize(
    "changes", [{"secondary": 0x8000}, {"size": 0x800}, {"primary": -1}, {"align": 7}, {"size": 2**40}]
)
def test_a_layout_that_cannot_be_right_is_told(lab, changes):
    assert code_of(lambda: msgspec.structs.replace(lab.layout, **changes)) == "installer.layout"


def test_a_flash_that_ends_early_or_is_missing_is_told(lab):
    os.truncate(lab.layout.path, SLOT)
    assert code_of(lab.installer.running) == "installer.layout"
    Path(lab.layout.path).unlink()
    assert code_of(lab.installer.on_trial) == "installer.medium"


def test_an_empty_flash_runs_nothing_that_is_known(lab):
    Path(lab.layout.path).write_bytes(b"\xff" * (0x8000 + 2 * SLOT))
    running = lab.installer.running()
    assert (running.slot, running.release) == ("a", "")
    assert lab.boot() is Booted.NOTHING
    lab.installer.verify(mcu_image(lab.folder, "2.0.0", svn=1), mcu("2.0.0", 2, 1))
