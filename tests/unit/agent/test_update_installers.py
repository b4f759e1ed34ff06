"""The parts of installers that need no tool: which one a device has, what it remembers, what programs may do."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_agent.update.installers.chosen import LARGEST, chosen
from holdfast_agent.update.installers.memory import Memory
from holdfast_agent.update.installers.programs import Options, run, writing
from holdfast_agent.update.installers.rauc import RaucInstaller
from holdfast_agent.update.installers.rauc_bus import Bus
from holdfast_core.kernel.errors import HoldfastError, WorldError
from update_tools import code_of, mcu_key, rauc

SWUPDATE = {
    "kind": "swupdate",
    "swupdate": {
        "slots": [{"name": "A", "device": "/dev/a", "selection": "stable,1"}] * 2,
        "key": "/k",
        "hardware": "b:1",
        "boot": ["/bin/boot"],
        "folder": "/tmp/x",  # noqa: S108  (nothing is written there)
    },
}
FLASH = {"path": "/dev/mtdblock0", "primary": 0, "secondary": 65536, "size": 65536}


def written(tmp_path, value, mode=0o644):
    path = tmp_path / "installer.json"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    path.chmod(mode)
    return path


def test_each_kind_is_chosen_by_the_file(tmp_path):
    key = str(mcu_key(tmp_path))
    for value in (
        {"kind": "rauc"},
        SWUPDATE,
        {"kind": "mcuboot", "flash": FLASH, "keys": [key], "hardware": ["board-1"]},
    ):
        assert chosen(written(tmp_path, value), tmp_path).kind == value["kind"]


@pytest.mark.parametrize(
    "value",
    [
        {}, {"kind": "file"}, {"kind": "rauc", "more": 1}, {"kind": "rauc", "mount": 1}, [], b"", b"\xff", b"[" * 9000,
        b" " * (LARGEST + 1), {"kind": "mcuboot", "flash": FLASH, "keys": ["/nowhere"], "hardware": []},
        {"kind": "mcuboot", "flash": FLASH, "keys": [__file__], "hardware": []},
    ],
)  # fmt: skip
def test_a_file_that_describes_none_is_told(tmp_path, value):
    assert code_of(chosen, written(tmp_path, value), tmp_path) == "installer.setup"


def test_a_file_that_others_may_write_is_not_believed(tmp_path):
    path = written(tmp_path, {"kind": "rauc"}, 0o666)
    assert code_of(chosen, path, tmp_path) == "installer.setup"
    assert code_of(chosen, tmp_path / "nowhere", tmp_path) == "installer.setup"
    if os.geteuid() == 0:
        path.chmod(0o644)
        os.chown(path, 12345, 0)
        assert code_of(chosen, path, tmp_path) == "installer.setup"


def test_a_flash_layout_that_cannot_be_right_is_told(tmp_path):
    value = {"kind": "mcuboot", "flash": {**FLASH, "secondary": 5}, "keys": [], "hardware": []}
    assert code_of(chosen, written(tmp_path, value), tmp_path) == "installer.layout"


def test_what_is_remembered_survives_and_is_forgotten_before_a_write(tmp_path):
    path = tmp_path / "slots.json"
    memory = Memory(path)
    memory.keep("B", rauc("2.0", 2), "mark")
    memory.arm("B")
    again = Memory(path)
    assert (again.armed, again.written("B").release, again.written("B").counter) == ("B", "gw:2.0", 2)
    assert (again.slot_of("mark"), again.slot_of("other")) == ("B", "")
    again.confirm(rauc("2.0", 2))
    assert Memory(path).armed == ""
    again.arm("B")
    again.forget("B")
    assert (Memory(path).armed, Memory(path).written("B")) == ("", None)
    again.arm("A")
    again.forget("B")
    assert Memory(path).armed == "A"


@given(st.binary(max_size=80))
def test_a_memory_that_is_damaged_counts_as_empty(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(data)
    memory = Memory(path)
    assert (memory.armed, memory.svn, memory.written("A")) == ("", 0, None)


def test_a_memory_that_nests_without_end_counts_as_empty(tmp_path):
    (tmp_path / "slots.json").write_text('{"x":' + "[" * 100_000)
    assert Memory(tmp_path / "slots.json").armed == ""


def test_a_memory_that_cannot_be_kept_is_told(tmp_path):
    memory = Memory(tmp_path / "nowhere" / "slots.json")
    assert code_of(memory.arm, "A") == "installer.memory"
    assert memory.armed == ""


def test_a_program_is_bounded_and_its_session_ends_with_it(tmp_path):
    ended = run(("sh", "-c", "echo out; echo err >&2; exit 3"), 10.0)
    assert (ended.code, ended.out, ended.err) == (3, "out\n", "err\n")
    marker = tmp_path / "marker"
    run(("sh", "-c", f"(sleep 1; touch {marker}) & exit 0"), 10.0)
    for argv in (("yes",), ("sleep", "60"), ("sh", "-c", "exec >&- 2>&-; sleep 60")):
        assert code_of(run, argv, 0.3) == "installer.tool"
    assert code_of(run, ("/nowhere/x",), 1.0) == "installer.no_tool"
    seen = []
    run(("sleep", "0.6"), 10.0, Options({"X": "1"}, (), seen.append))
    assert len(set(seen)) == 1
    run(("sleep", "1"), 10.0)
    assert not marker.exists()
    assert run(("sh", "-c", "echo $X$HOME"), 10.0, Options({"X": "1"})).out == "1\n"


def test_two_do_not_write_at_once(tmp_path):
    with writing(tmp_path / "lock"), pytest.raises(WorldError) as error, writing(tmp_path / "lock"):
        pass
    assert error.value.code == "installer.busy"
    with writing(tmp_path / "lock"):
        pass


def test_a_failure_within_the_lock_is_not_taken_for_the_lock(tmp_path):
    with pytest.raises(HoldfastError, match="inner"), writing(tmp_path / "lock"):
        raise WorldError("x.y", "inner", remedy="none")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for lock in (tmp_path / "file" / "lock", tmp_path):
        with pytest.raises(WorldError) as error, writing(lock):
            pass
        assert error.value.code == "installer.folder"


def bus_of(tmp_path, **answers):
    """A bus whose ``busctl`` is a script: it prints what is given for the last member that is asked for."""
    lines = "".join(f"*' {member}'*) cat <<'EOF'\n{text}\nEOF\n;;\n" for member, text in answers.items())
    program = tmp_path / "busctl"
    program.write_text(f'#!/bin/sh\ncase "$*" in\n{lines}*) exit 1 ;;\nesac\n')
    program.chmod(0o755)
    return Bus(program=str(program))


SLOTS = json.dumps(
    {
        "data": [
            [
                ["rootfs.0", {"bootname": {"data": "A"}, "state": {"data": "booted"}, "type": {"data": "raw"}}],
                ["rootfs.1", {"bootname": {"data": "B"}, "state": {"data": "inactive"}, "type": {"data": "raw"}}],
                ["app.1", {"parent": {"data": "rootfs.1"}, "type": {"data": "ubifs"}, "size": {"data": "x"}}],
                ["app.0", {"parent": {"data": "rootfs.0"}, "type": {"data": "raw"}, "class": {"data": 7}}],
            ]
        ]
    }
)
GOOD = {
    "GetSlotStatus": SLOTS,
    "Info": '{"data":["lab-board","2.0"]}',
    "Compatible": '{"data":"lab-board"}',
    "BootSlot": '{"data":"A"}',
    "Operation": '{"data":"idle"}',
}


def test_a_slot_whose_file_system_rauc_makes_itself_is_refused_before_it_is_written(tmp_path):
    installer = RaucInstaller(bus_of(tmp_path, **GOOD), Memory(tmp_path / "slots.json"))
    assert code_of(installer.verify, tmp_path / "x.raucb", rauc("2.0", 2)) == "installer.slot_kind"
    raw = {**GOOD, "GetSlotStatus": SLOTS.replace("ubifs", "ext4")}
    control = RaucInstaller(bus_of(tmp_path, **raw), Memory(tmp_path / "slots.json"))
    assert code_of(control.verify, tmp_path / "x.raucb", rauc("2.0", 2)) == ""


@pytest.mark.parametrize("answer", ["", "{}", "null", "[]", '{"data":5}', '{"data":[5]}', '{"data":' + "[" * 90_000])
@pytest.mark.parametrize("member", ["GetSlotStatus", "BootSlot", "Compatible", "Info"])
def test_what_is_no_answer_of_rauc_is_told(tmp_path, answer, member):
    installer = RaucInstaller(bus_of(tmp_path, **{**GOOD, member: answer}), Memory(tmp_path / "slots.json"))
    assert code_of(installer.verify, tmp_path / "x.raucb", rauc("2.0", 2)) == "installer.rauc"


def test_a_device_with_three_boot_slots_is_told(tmp_path):
    three = SLOTS.replace('"parent": {"data": "rootfs.0"}', '"bootname": {"data": "C"}')
    installer = RaucInstaller(bus_of(tmp_path, **{**GOOD, "GetSlotStatus": three}), Memory(tmp_path / "slots.json"))
    assert code_of(installer.verify, tmp_path / "x.raucb", rauc("2.0", 2)) == "installer.rauc"
