"""What a model file may ask of evidence."""

from __future__ import annotations

import msgspec
import pytest

from builders import example_bytes
from holdfast.inventory.model_file import load
from holdfast_core.inventory.model import Attestation, HardwarePart
from holdfast_core.inventory.validation import problems


def found(**asked):
    model = load(example_bytes("site-gateway"))
    return [(p.code, p.path) for p in problems(msgspec.structs.replace(model, attestation=Attestation(**asked)))]


def test_what_a_gateway_asks_is_possible():
    part = HardwarePart("usb:1-1", "0bda:8153")
    assert found(registers=(0, 4, 7, 22), ima=True, components=(part,), lifecycle=("secured",)) == []


@pytest.mark.parametrize("register", [-1, 10, 24])
def test_a_register_that_cannot_be_asked_for_is_refused(register):
    assert found(registers=(7, register)) == [("model.register", "$.attestation.registers[1]")]


@pytest.mark.parametrize("register", [16, 23])
def test_a_register_that_a_running_system_resets_is_refused_and_it_is_said_why(register):
    model = load(example_bytes("site-gateway"))
    (told,) = problems(msgspec.structs.replace(model, attestation=Attestation(registers=(0, register))))
    assert (told.code, told.path) == ("model.register", "$.attestation.registers[1]")
    assert "can be reset by the running system" in told.sentence


def test_what_is_named_twice_is_refused():
    assert found(registers=(7, 7)) == [("model.duplicate", "$.attestation.registers[1]")]
    twice = (HardwarePart("usb:1-1", "0bda:8153"), HardwarePart("usb:1-1", "0bda:8154"))
    assert found(components=twice) == [("model.duplicate", "$.attestation.components[1].place")]


@pytest.mark.parametrize("part", [HardwarePart("", "a"), HardwarePart("a", ""), HardwarePart("a", "b" * 121)])
def test_a_part_without_a_name_is_refused(part):
    assert found(components=(part,)) == [("model.part", "$.attestation.components[0]")]


def test_more_parts_than_an_agent_tells_are_refused():
    parts = tuple(HardwarePart(f"usb:{number}", "0bda:8153") for number in range(65))
    assert found(components=parts) == [("model.too_many", "$.attestation.components")]
