"""One command to the chip, and what it answers: a quote that the core verifies, or a refusal that is told."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest_agent_builders import HANDLE, PCR_READ, QUOTE, QuotingDevice, verified
from holdfast_agent import quoting
from holdfast_agent.means import Way, way_here
from holdfast_agent.quoting import quote, registers_of
from holdfast_agent.tpm_commands import read_quote, read_registers
from holdfast_core.formats.tpm.attest import Selection
from holdfast_core.formats.tpm.public import Algorithm
from holdfast_core.kernel.errors import HostileData, WorldError

NONCE = bytes(range(32))
SHA256 = 0x000B


@pytest.fixture
def device(monkeypatch):
    monkeypatch.setattr(quoting, "PAUSE_S", 0)
    return QuotingDevice()


def test_a_quote_is_one_command_and_the_core_verifies_it(device):
    made = quote(device.send, HANDLE, NONCE, SHA256, (0, 7, 23))
    attestation = verified(made.quote, made.signature, device.public, NONCE)
    assert attestation.attested.selections == (Selection(Algorithm.SHA256, (0, 7, 23)),)
    values = b"".join(device.registers[number] for number in (0, 7, 23))
    assert attestation.attested.digest == hashlib.sha256(values).digest()
    assert device.commands == [QUOTE]


def test_a_busy_chip_is_asked_again(device):
    device.busy = 2
    quote(device.send, HANDLE, NONCE, SHA256, (0,))
    assert device.commands == [QUOTE] * 3


def test_a_chip_that_stays_busy_is_given_up(device):
    device.busy = 1000
    with pytest.raises(WorldError) as raised:
        quote(device.send, HANDLE, NONCE, SHA256, (0,))
    assert raised.value.code == "agent.tpm"
    assert "0x922" in raised.value.sentence
    assert len(device.commands) == quoting.TRIES


def test_a_key_that_is_gone_is_told_apart(device):
    device.response = 0x18B
    with pytest.raises(WorldError) as raised:
        quote(device.send, HANDLE, NONCE, SHA256, (0,))
    assert raised.value.code == "agent.tpm_key_gone"
    assert "Enroll" in raised.value.remedy


def test_all_registers_are_read_eight_to_a_command(device):
    assert registers_of(device.send, SHA256, range(24)) == device.registers
    assert device.commands == [PCR_READ] * 3


def test_a_chip_that_answers_with_other_registers_ends_the_reading(device):
    answer = device.send(quoting.read_command(SHA256, (1, 2)))
    assert registers_of(lambda _: answer, SHA256, (5,)) == {}


@pytest.mark.parametrize("read", [read_quote, read_registers])
def test_an_answer_cut_at_any_byte_is_refused(device, read):
    command = quoting.quote_command(HANDLE, NONCE, SHA256, (0,))
    answer = device.send(command if read is read_quote else quoting.read_command(SHA256, (0, 1)))
    read(answer)
    for size in range(len(answer)):
        with pytest.raises(HostileData) as raised:
            read(answer[:size])
        assert raised.value.code == "tpm.malformed"


@pytest.mark.parametrize("read", [read_quote, read_registers])
@given(st.data())
def test_no_answer_raises_anything_but_a_refusal(read, data):
    device = QuotingDevice()
    command = quoting.quote_command(HANDLE, NONCE, SHA256, (0,))
    good = device.send(command if read is read_quote else quoting.read_command(SHA256, (0, 1)))
    at = data.draw(st.integers(6, len(good) - 1))
    changed = good[:at] + data.draw(st.binary(min_size=1, max_size=8)) + good[at + 1 :]
    changed = changed[:2] + len(changed).to_bytes(4, "big") + changed[6:]
    for answer in (changed, data.draw(st.binary(max_size=200))):
        try:
            read(answer)
        except (HostileData, WorldError) as error:
            assert error.code in {"tpm.malformed", "agent.tpm", "agent.tpm_key_gone"}  # noqa: PT017  (both are fine)


def test_the_tools_are_preferred_and_without_both_there_is_no_way(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert way_here() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert way_here() is Way.PYTSS
    (tmp_path / "tpm2_send").write_text("")
    (tmp_path / "tpm2_send").chmod(0o755)
    assert way_here() is Way.TOOLS


def test_a_binding_that_cannot_be_imported_is_told(monkeypatch, tmp_path):
    (tmp_path / "tpm2_pytss.py").write_text("raise TypeError('not an acceptable base type')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorldError) as raised:
        quoting.sender(Way.PYTSS, "device:/dev/tpmrm0")(b"")
    assert raised.value.code == "agent.tpm"
    assert "acceptable base" in raised.value.sentence


def test_a_device_without_a_chip_loads_nothing_that_speaks_to_one():
    code = "import sys, holdfast_agent.loop; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "holdfast_agent.attest" in told
    assert not {"holdfast_agent.quoting", "holdfast_agent.token_command", "holdfast_agent.tpm", "cryptography"} & set(
        told
    )
