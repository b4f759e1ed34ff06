"""The hardware around a device: what a model demands, what is only shown, and what could not be seen."""

from __future__ import annotations

import pytest

from attest_builders import policy
from holdfast_core.attestation.hardware import HardwareReading, read_hardware
from holdfast_core.attestation.model import (
    APPROVED_CONFIG,
    CONTRAINDICATED_HARDWARE,
    GENUINE_HARDWARE,
    UNKNOWN_CONFIG,
    UNSAFE_CONFIG,
    UNSAFE_HARDWARE,
    UNSUPPORTABLE_CONFIG,
    Expected,
)
from holdfast_core.wire.attestation import Claims, Component, Debug, DebugPort, Tamper

MODEM = Component("usb:1-1", "0bda:8153")
EXPECTED = (Expected("usb:1-1", "0bda:8153"),)
EVERYTHING = Claims(
    tampers=(Tamper("case", open=True, opened=2),),
    debug_ports=(DebugPort("jtag", Debug.ENABLED),),
    lifecycle="debug",
    components=(Component("usb:9", "evil"),),
)


def read(claims, *, state="", **asked):
    reading = read_hardware(claims, policy(**asked), lifecycle=state)
    return reading.configuration, reading.hardware, [each.code.removeprefix("attestation.") for each in reading.reasons]


def test_what_a_model_does_not_speak_of_is_no_finding():
    assert read_hardware(EVERYTHING, policy()) == HardwareReading()


@pytest.mark.parametrize(
    ("tampers", "worth", "codes"),
    [
        ((), UNSAFE_HARDWARE, ["tamper_unseen"]),
        ((Tamper("case"),), GENUINE_HARDWARE, []),
        ((Tamper("case", open=True),), CONTRAINDICATED_HARDWARE, ["tamper"]),
        ((Tamper("case", opened=1), Tamper("lid")), CONTRAINDICATED_HARDWARE, ["tamper"]),
    ],
)
def test_a_case_that_was_ever_opened_counts_as_open(tampers, worth, codes):
    assert read(Claims(tampers=tampers), tamper_proof=True) == (0, worth, codes)


@pytest.mark.parametrize(
    ("ports", "worth", "codes"),
    [
        ((), UNKNOWN_CONFIG, ["debug_unseen"]),
        ((DebugPort("jtag", Debug.DISABLED), DebugPort("swd", Debug.LOCKED)), APPROVED_CONFIG, []),
        ((DebugPort("jtag", Debug.ENABLED), DebugPort("swd", Debug.LOCKED)), UNSAFE_CONFIG, ["debug_enabled"]),
    ],
)
def test_debug_ports_must_be_closed_where_a_model_says_so(ports, worth, codes):
    assert read(Claims(debug_ports=ports), debug_off=True) == (worth, 0, codes)


@pytest.mark.parametrize(
    ("said", "token", "worth", "codes"),
    [
        ("", "", UNKNOWN_CONFIG, ["lifecycle_unseen"]),
        ("secured", "", APPROVED_CONFIG, []),
        ("debug", "", UNSUPPORTABLE_CONFIG, ["lifecycle"]),
        ("secured", "debug", UNSUPPORTABLE_CONFIG, ["lifecycle"]),
        ("debug", "secured", APPROVED_CONFIG, []),
    ],
)
def test_a_tokens_word_for_its_lifecycle_counts_more_than_the_agents(said, token, worth, codes):
    assert read(Claims(lifecycle=said), state=token, lifecycle=("secured",)) == (worth, 0, codes)


@pytest.mark.parametrize(
    ("components", "worth", "codes"),
    [
        (None, UNSAFE_HARDWARE, ["parts_unseen"]),
        ((MODEM,), GENUINE_HARDWARE, []),
        ((MODEM, MODEM), GENUINE_HARDWARE, []),
        ((), UNSAFE_HARDWARE, ["hardware_missing"]),
        ((MODEM, Component("usb:1-2", "dead:beef")), UNSAFE_HARDWARE, ["hardware_unexpected"]),
        ((Component("usb:1-2", MODEM.identity),), UNSAFE_HARDWARE, ["hardware_unexpected", "hardware_missing"]),
    ],
)
def test_parts_are_those_that_a_model_names(components, worth, codes):
    assert read(Claims(components=components), components=EXPECTED) == (0, worth, codes)


def test_a_model_that_names_no_part_at_all_expects_none():
    assert read(Claims(components=()), components=()) == (0, GENUINE_HARDWARE, [])


def test_the_worst_of_all_counts_and_all_are_told():
    asked = {"tamper_proof": True, "debug_off": True, "lifecycle": ("secured",), "components": EXPECTED}
    configuration, hardware, codes = read(EVERYTHING, **asked)
    assert (configuration, hardware) == (UNSUPPORTABLE_CONFIG, CONTRAINDICATED_HARDWARE)
    assert codes == ["tamper", "hardware_unexpected", "hardware_missing", "debug_enabled", "lifecycle"]


def test_so_many_are_named_and_as_they_can_be_shown():
    many = tuple(Tamper(f"switch-{number}\x1b", opened=1) for number in range(7))
    (reason,) = read_hardware(Claims(tampers=many), policy(tamper_proof=True)).reasons
    assert reason.sentence.endswith("switch-3\\x1b and 3 more.")
