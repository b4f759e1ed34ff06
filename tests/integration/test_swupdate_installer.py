"""SWUpdate archives on the real SWUpdate: installed, tried, confirmed, fallen back from, killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.swupdate import SwupdateInstaller
from update_tools import MIB, SwLab, archive, code_of, installed, payload, quiet, swupdate


@pytest.fixture
def lab(tmp_path):
    return SwLab(tmp_path)


def test_an_archive_is_installed_tried_and_confirmed(lab):
    made, offered, told = archive(lab.folder, "2.0"), swupdate("2.0", 2), []
    assert installed(lab, made, offered, told.append) == "B"
    assert lab.holds("B", "2.0")
    assert lab.holds("A", "factory")
    assert told[-1] == 100
    assert not lab.installer.on_trial()
    lab.reboot()
    running = lab.installer.running()
    assert (running.slot, running.release, running.counter) == ("B", "gw:2.0", 2)
    assert lab.installer.on_trial()
    lab.installer.confirm(offered)
    lab.reboot()
    assert (lab.installer.running().slot, lab.installer.on_trial()) == ("B", False)
    # The next goes to the other slot.
    assert installed(lab, archive(lab.folder, "3.0"), swupdate("3.0", 3)) == "A"
    assert lab.holds("A", "3.0")


def test_nothing_is_tried_before_it_is_armed(lab):
    made, offered = archive(lab.folder, "2.0"), swupdate("2.0", 2)
    lab.installer.write(made, offered, payload(made, offered.kind), quiet)
    assert lab.boot.next() == "A"
    assert [(slot.name, slot.release, slot.good) for slot in lab.installer.slots()] == [
        ("A", "", True),
        ("B", "gw:2.0", False),
    ]


def test_a_release_on_trial_is_reverted_and_an_armed_one_called_off(lab):
    made, offered = archive(lab.folder, "2.0"), swupdate("2.0", 2)
    installed(lab, made, offered)
    lab.installer.revert()
    assert (lab.boot.next(), lab.memory.armed) == ("A", "")
    installed(lab, made, offered)
    lab.reboot()
    assert lab.installer.on_trial()
    lab.installer.booted()
    lab.installer.revert()
    lab.reboot()
    assert (lab.installer.running().slot, lab.installer.on_trial(), lab.memory.armed) == ("A", False, "B")


WRITER = """
import sys
from pathlib import Path
import msgspec
from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.swupdate import SwConfig, SwupdateInstaller
from holdfast_core.supply.model import Offer, Payload
kinds = zip(sys.argv[1:4], (SwConfig, Offer, Payload))
config, offer, stated = (msgspec.json.decode(each, type=kind) for each, kind in kinds)
SwupdateInstaller(config, Memory(Path(sys.argv[4]))).write(Path(sys.argv[5]), offer, stated, lambda percent: None)
"""


def begun(lab, made, offered):
    """An agent's process in the middle of a write."""
    words = [msgspec.json.encode(each).decode() for each in (lab.config, offered, payload(made, offered.kind))]
    before = lab.slots["B"].read_bytes()[:16]
    agent = subprocess.Popen([sys.executable, "-c", WRITER, *words, lab.folder / "memory.json", made])
    with lab.slots["B"].open("rb", buffering=0) as file:
        while os.pread(file.fileno(), 16, 0) == before:
            assert agent.poll() is None
    return agent


def writers(lab):
    """Process ids of SWUpdate that have this device's slot open."""
    found = []
    for each in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if each.readlink() == lab.slots["B"] and "swupdate" in (each.parents[1] / "comm").read_text():
                found.append(int(each.parents[1].name))
        except OSError:
            continue
    return found


def test_a_kill_in_the_middle_of_the_write_leaves_the_running_slot_and_the_next_try_installs(tmp_path):
    size = 64 * MIB
    lab = SwLab(tmp_path, slot_size=size)
    made, offered = archive(tmp_path, "2.0", size=size), swupdate("2.0", 2)
    agent = begun(lab, made, offered)
    for process in writers(lab):
        os.kill(process, signal.SIGKILL)
    assert agent.wait() != 0
    lab.reboot()
    assert lab.installer.running().slot == "A"
    assert lab.boot.get("state.B") == "bad"
    assert code_of(lab.installer.arm, offered) == "installer.slot_corrupt"
    assert not lab.holds("B", "2.0", size)
    assert installed(lab, made, offered) == "B"
    assert lab.holds("B", "2.0", size)


def test_an_agent_that_was_killed_does_not_write_beside_the_swupdate_that_it_left(tmp_path):
    size = 64 * MIB
    lab = SwLab(tmp_path, slot_size=size)
    made, offered = archive(tmp_path, "2.0", size=size), swupdate("2.0", 2)
    agent = begun(lab, made, offered)
    left = writers(lab)
    for process in left:
        os.kill(process, signal.SIGSTOP)
    agent.kill()
    agent.wait()
    assert left
    again = SwupdateInstaller(lab.config, Memory(lab.folder / "memory.json"))
    assert code_of(again.write, made, offered, payload(made, offered.kind), quiet) == "installer.busy"
    for process in left:
        os.kill(process, signal.SIGCONT)
    code = "installer.busy"
    while code == "installer.busy":
        time.sleep(0.1)
        code = code_of(again.write, made, offered, payload(made, offered.kind), quiet)
    assert code == ""
    assert lab.holds("B", "2.0", size)


def test_a_swupdate_that_is_missing_or_says_nothing_useful_is_told(tmp_path):
    lab = SwLab(tmp_path)
    made = archive(tmp_path, "2.0")
    for command, code in (
        (("/nowhere/swupdate",), "installer.no_tool"),
        (("/bin/false",), "installer.bundle"),
        (("/bin/true",), "installer.unread"),
        (("sh", "-c", "yes"), "installer.tool"),
    ):
        broken = SwupdateInstaller(msgspec.structs.replace(lab.config, command=command), lab.memory)
        assert code_of(broken.verify, made, swupdate("2.0", 2)) == code


def test_a_swupdate_that_hangs_is_ended(tmp_path):
    lab = SwLab(tmp_path)
    made = archive(tmp_path, "2.0")
    config = msgspec.structs.replace(lab.config, command=("sh", "-c", "sleep 600"), longest_s=0.5)
    assert code_of(SwupdateInstaller(config, lab.memory).verify, made, swupdate("2.0", 2)) == "installer.tool"


@pytest.mark.parametrize("answer", ["", "A B", "../x", "x" * 70, "a\tb"])
def test_a_boot_program_that_answers_no_slot_is_told(lab, answer):
    lab.boot.set("current", answer)
    assert code_of(lab.installer.running) == "installer.boot_environment"


def test_a_boot_program_that_fails_or_names_another_slot_is_told(lab):
    (lab.boot.folder / "primary").unlink()
    assert code_of(lab.installer.confirm, swupdate("2.0", 2)) == ""  # set-primary makes it anew
    lab.boot.set("current", "C")
    assert code_of(lab.installer.verify, archive(lab.folder, "2.0"), swupdate("2.0", 2)) == "installer.boot_environment"
    lab.boot.program.write_text("#!/bin/sh\nexit 3\n")
    assert code_of(lab.installer.running) == "installer.boot_environment"
