"""What the agent says of the hardware, and the token of a security processor."""

from __future__ import annotations

import os
import sys
import time

import pytest

from attest_agent_builders import Sysfs
from holdfast_agent.claims import MOST_COMPONENTS, claims
from holdfast_agent.state import Config
from holdfast_agent.token_command import token_for
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.attestation import LARGEST_TOKEN, Claims, Component, Debug, DebugPort, Tamper

BOUND = bytes(range(32))


@pytest.fixture
def sysfs(tmp_path):
    return Sysfs(tmp_path)


def config(sysfs, claims_file=""):
    return Config("https://x", "cam-1", sys=str(sysfs.path), claims_file=str(claims_file))


def test_components_of_both_buses_are_listed_in_order(sysfs):
    sysfs.pci("0000:00:1f.2", "0x8086", "0x2922")
    sysfs.usb("1-2", "0BDA", "8153")
    sysfs.usb("1-1", "046d", "c31c")
    sysfs.write("bus/usb/devices/1-1:1.0/bInterfaceClass", b"03\n")
    sysfs.usb("1-3", "no", "hex")
    said, why = claims(config(sysfs))
    assert said.components == (
        Component("usb:1-1", "046d:c31c"),
        Component("usb:1-2", "0bda:8153"),
        Component("pci:0000:00:1f.2", "8086:2922"),
    )
    assert not why


def test_without_buses_nothing_is_said_of_components_and_with_an_empty_one_there_are_none(sysfs):
    assert claims(config(sysfs)) == (Claims(), "")
    (sysfs.path / "bus/usb/devices").mkdir(parents=True)
    assert claims(config(sysfs))[0].components == ()


def test_components_are_bounded(sysfs):
    for number in range(MOST_COMPONENTS + 9):
        sysfs.pci(f"0000:00:{number:02x}.0", "0x8086", "0x2922")
    assert len(claims(config(sysfs))[0].components) == MOST_COMPONENTS


def test_the_makers_claims_come_first(sysfs, tmp_path):
    sysfs.usb("1-1", "046d", "c31c")
    board = Component("i2c:0-50", "eeprom")
    told = Claims((Tamper("lid", opened=2),), (DebugPort("jtag", Debug.LOCKED),), "secured", (board,))
    (tmp_path / "claims.json").write_bytes(canonical(told))
    said, why = claims(config(sysfs, tmp_path / "claims.json"))
    assert (said.tampers, said.debug_ports, said.lifecycle) == (told.tampers, told.debug_ports, "secured")
    assert said.components == (board, Component("usb:1-1", "046d:c31c"))
    assert not why


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"\xff", b"[" * 5000, b'{"tampers": 1}', b'{"lifecycle":"%s"}' % (b"x" * 200)]
)
def test_a_claims_file_that_cannot_be_read_is_left_out_and_said_so(sysfs, tmp_path, content):
    path = tmp_path / "claims.json"
    if content is not None:
        path.write_bytes(content)
    said, why = claims(config(sysfs, path))
    assert said == Claims()
    assert str(path) in why


def program(tmp_path, body):
    path = tmp_path / "token"
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{body}\n")
    path.chmod(0o755)
    return (str(path), "--one argument; not two")


def test_a_token_is_what_the_program_prints_for_the_binding(tmp_path):
    command = program(tmp_path, "sys.stdout.write('|'.join([*sys.argv[1:], str(sorted(os.environ))]))")
    words = token_for(command, BOUND).decode().split("|")
    assert words[:2] == ["--one argument; not two", BOUND.hex()]
    assert "HOME" not in words[2], "it learns nothing of the agent's surroundings"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("sys.exit(3)", "ended with 3"),
        ("pass", "printed nothing"),
        (f"sys.stdout.write('x' * {LARGEST_TOKEN + 1})", "more than"),
        ("while True: os.write(1, b'x' * 4096)", "more than"),
        ("print('x', flush=True); time.sleep(60)", "too long"),
        ("os.close(1); time.sleep(60)", "too long"),
    ],
)
def test_a_program_that_fails_is_told_and_ended(tmp_path, body, why):
    with pytest.raises(WorldError) as raised:
        token_for(program(tmp_path, body), BOUND, seconds=2.0)
    assert raised.value.code == "agent.attest_token"
    assert why in raised.value.sentence


@pytest.mark.parametrize("after", ["time.sleep(60)", "sys.exit(0)"])
def test_what_the_program_started_ends_with_it(tmp_path, after):
    mark = tmp_path / "pid"
    body = f"pid = os.fork()\nif not pid: time.sleep(60)\nopen({str(mark)!r}, 'w').write(str(pid))\n{after}"
    with pytest.raises(WorldError):
        token_for(program(tmp_path, body), BOUND, seconds=2.0)
    assert not _runs(int(mark.read_text()))


def _runs(number):
    for _ in range(200):
        try:
            with open(f"/proc/{number}/stat", encoding="ascii") as file:  # noqa: PTH123  (procfs)
                if file.read().split()[2] == "Z":
                    return False
        except OSError:
            return False
        time.sleep(0.02)
    os.kill(number, 9)
    return True


def test_a_program_that_is_not_there_is_told():
    with pytest.raises(WorldError) as raised:
        token_for(("/nonexistent/token",), BOUND)
    assert "cannot be started" in raised.value.sentence
