"""RAUC bundles on a real RAUC service: installed, tried, confirmed, fallen back from, and what it refuses."""

from __future__ import annotations

import os
import threading

import pytest

from holdfast_agent.update.installers.rauc import RaucInstaller
from holdfast_agent.update.installers.rauc_bus import Bus
from update_tools import MIB, bundle, code_of, installed, payload, quiet, rauc, rauc_lab

pytestmark = pytest.mark.root


@pytest.fixture
def lab(tmp_path):
    with rauc_lab(tmp_path) as made:
        yield made


def test_a_bundle_is_installed_tried_and_confirmed(lab):
    made, offered, told = bundle(lab.folder, "2.0"), rauc("2.0", 2), []
    assert lab.installer.running().slot == "A"
    assert installed(lab, made, offered, told.append) == "B"
    assert lab.holds("B", "2.0")
    assert lab.holds("A", "factory")
    assert not lab.installer.on_trial()
    assert all(0 <= percent <= 100 for percent in told)

    lab.reboot()
    assert lab.installer.running().slot == "B"
    assert (lab.installer.running().release, lab.installer.running().counter) == ("gw:2.0", 2)
    assert lab.installer.on_trial()
    lab.installer.confirm(offered)
    assert not lab.installer.on_trial()
    assert lab.boot.get("primary") == "B"
    lab.reboot()
    assert (lab.installer.running().slot, lab.installer.on_trial()) == ("B", False)


def test_nothing_is_tried_before_it_is_armed(lab):
    made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
    lab.installer.write(made, offered, payload(made, offered.kind), quiet)
    assert lab.boot.next() == "A"
    lab.reboot()
    assert (lab.installer.running().slot, lab.installer.on_trial()) == ("A", False)
    assert {slot.name: (slot.release, slot.good) for slot in lab.installer.slots()} == {
        "A": ("", True),
        "B": ("gw:2.0", False),
    }


def test_a_rauc_that_activates_by_itself_is_set_back_until_the_release_is_armed(tmp_path):
    with rauc_lab(tmp_path, activates=True) as lab:
        made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
        lab.installer.write(made, offered, payload(made, offered.kind), quiet)
        assert "set-primary B" in lab.boot.get("log")
        assert lab.boot.get("primary") == "A"
        lab.installer.read_back(made, offered, payload(made, offered.kind))
        lab.installer.arm(offered)
        assert lab.boot.next() == "B"


def test_a_release_on_trial_is_reverted(lab):
    made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
    installed(lab, made, offered)
    lab.reboot()
    lab.installer.booted()  # on trial: no attempts are given back
    lab.installer.revert()
    assert lab.boot.next() == "A"
    assert lab.boot.get("state.B") == "bad"
    lab.reboot()
    assert (lab.installer.running().slot, lab.installer.on_trial()) == ("A", False)
    assert lab.memory.armed == "B"  # what was tried is still known
    assert installed(lab, made, offered) == "B"


def test_an_armed_release_is_called_off_before_the_boot(lab):
    made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
    installed(lab, made, offered)
    assert lab.boot.next() == "B"
    lab.installer.revert()
    assert lab.boot.next() == "A"
    assert lab.memory.armed == ""
    lab.installer.revert()  # twice is as good as once
    assert lab.boot.next() == "A"


def test_the_boot_loader_falls_back_by_itself_and_it_shows(lab):
    made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
    installed(lab, made, offered)
    lab.boot.set("state.B", "bad")  # its attempts ran out
    lab.reboot()
    assert (lab.installer.running().slot, lab.installer.on_trial()) == ("A", False)
    assert lab.memory.armed == "B"


def test_a_slot_that_is_confirmed_gets_its_attempts_back_at_each_boot(lab):
    lab.boot.set("state.A", "bad")
    lab.installer.booted()
    assert lab.boot.get("state.A") == "good"


def test_a_verity_bundle_is_read_by_the_service(lab):
    made = bundle(lab.folder, "2.0", form="verity")
    lab.installer.verify(made, rauc("2.0", 2))
    assert lab.bus.inspect(str(made)) == ("lab-board", "2.0")


def test_a_kill_in_the_middle_of_the_write_leaves_the_running_slot_and_the_next_try_installs(tmp_path):
    size = 64 * MIB
    with rauc_lab(tmp_path, slot_size=size) as lab:
        made, offered = bundle(lab.folder, "2.0", size=size), rauc("2.0", 2)
        lab.kill_while_writing(made)
        assert lab.boot.next() == "A"
        assert lab.boot.get("state.B") == "bad"
        assert not lab.holds("B", "2.0", size)
        assert len(lab.mounts()) == 1  # the stale bundle
        lab.start()
        assert lab.installer.running().slot == "A"
        assert code_of(lab.installer.arm, offered) == "installer.slot_corrupt"
        assert code_of(lab.installer.read_back, made, offered, payload(made, offered.kind)) == "installer.slot_corrupt"
        assert installed(lab, made, offered) == "B"
        assert lab.holds("B", "2.0", size)
        assert lab.mounts() == []


def test_a_stale_bundle_that_is_another_is_unmounted_before_the_next_is_installed(tmp_path):
    size = 64 * MIB
    with rauc_lab(tmp_path, slot_size=size) as lab:
        first, second = bundle(lab.folder, "2.0", size=size), bundle(lab.folder, "3.0")
        lab.kill_while_writing(first)
        first.unlink()
        assert len(lab.mounts()) == 1
        lab.start()
        assert installed(lab, second, rauc("3.0", 3)) == "B"
        assert lab.holds("B", "3.0")
        assert lab.mounts() == []


def test_an_agent_that_was_killed_waits_for_the_installation_it_began(lab):
    made, offered = bundle(lab.folder, "2.0"), rauc("2.0", 2)
    lab.bus.install(str(made))  # and nobody waits
    assert installed(lab, made, offered) == "B"
    assert lab.holds("B", "2.0")


def test_a_service_that_is_not_there_is_no_fault_of_the_bundle(lab):
    made = bundle(lab.folder, "2.0")
    lab.stop()
    assert code_of(lab.installer.verify, made, rauc("2.0", 2)) == "installer.rauc"
    assert code_of(lab.installer.running) == "installer.rauc"
    lost = RaucInstaller(Bus(f"unix:path={lab.folder}/nowhere"), lab.memory)
    assert code_of(lost.running) == "installer.rauc"
    none = RaucInstaller(Bus(program=f"{lab.folder}/busctl"), lab.memory)
    assert code_of(none.running) == "installer.no_tool"
    lab.start()


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_service_that_is_killed_while_the_agent_waits_is_no_success(tmp_path, comes_back):
    size = 64 * MIB
    with rauc_lab(tmp_path, slot_size=size) as lab:
        made, offered = bundle(lab.folder, "2.0", size=size), rauc("2.0", 2)
        installer = lab.installer

        def kill():
            with lab.slots["B"].open("rb", buffering=0) as file:
                while os.pread(file.fileno(), 16, 0) == bytes(16):
                    pass
            lab.stop()
            if comes_back:
                lab.start()

        killing = threading.Thread(target=kill)
        killing.start()
        code = code_of(installer.write, made, offered, payload(made, offered.kind), quiet)
        killing.join()
        assert code in ({"installer.failed", "installer.rauc"} if comes_back else {"installer.rauc"})
        assert lab.boot.next() == "A"
        assert lab.memory.written("B") is None
