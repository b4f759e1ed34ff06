"""From a model file to what its devices must show; the models are those that are shipped."""

from __future__ import annotations

import msgspec
import pytest

from holdfast.inventory.model_file import load_examples
from holdfast_core.attestation.model import Expected, Method, Policy
from holdfast_core.attestation.policy import FIRMWARE_REGISTERS, asks, policy_of
from holdfast_core.inventory.model import Attestation, Bank, Boot, HardwarePart, Need, RootOfTrust

EXAMPLES = load_examples()
GATEWAY = EXAMPLES["site-gateway"]


def changed(name="site-gateway", **more):
    return msgspec.structs.replace(EXAMPLES[name], **more)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_root_of_trust_decides_by_what_a_device_attests(name):
    model = EXAMPLES[name]
    wanted = {RootOfTrust.TPM: Method.TPM, RootOfTrust.PSA: Method.TOKEN}
    method = wanted.get(model.constraints.root_of_trust, Method.NONE) if asks(model) else Method.NONE
    assert policy_of(model).method is method


def test_there_are_examples_of_every_method():
    assert {policy_of(model).method for model in EXAMPLES.values()} == set(Method)


def test_registers_that_nobody_named_are_the_firmwares():
    made = policy_of(changed(attestation=Attestation()))
    assert (made.registers, made.bank, made.secure_boot) == (FIRMWARE_REGISTERS, "sha256", GATEWAY.boot.secure_boot)


def test_what_a_model_says_is_what_is_asked():
    parts = (HardwarePart("usb:2", "b"), HardwarePart("usb:1", "a"))
    asked = Attestation(
        registers=(9, 4, 4), bank=Bank.SHA384, ima=True, lifecycle=("secured",), debug_off=True, tamper_proof=True,
        components=parts,
    )  # fmt: skip
    assert policy_of(changed(attestation=asked)) == Policy(
        method=Method.TPM, bank="sha384", registers=(4, 9), ima=True, secure_boot=True, lifecycle=("secured",),
        debug_off=True, tamper_proof=True, components=(Expected("usb:1", "a"), Expected("usb:2", "b")),
    )  # fmt: skip


def test_a_device_without_measured_boot_is_asked_only_where_its_verdict_needs_it():
    quiet = changed(boot=Boot(secure_boot=True, measured_boot=False), needs=())
    assert policy_of(quiet) == Policy(Method.NONE)
    assert policy_of(msgspec.structs.replace(quiet, needs=(Need("attestation", 3600),))).method is Method.TPM


def test_secure_boot_is_asked_of_firmware_with_a_log_and_not_of_a_token():
    assert not policy_of(EXAMPLES["soil-sensor"]).secure_boot
    plain = changed(boot=msgspec.structs.replace(GATEWAY.boot, secure_boot=False))
    assert not policy_of(plain).secure_boot


def test_a_device_without_a_root_of_trust_is_never_asked():
    made = changed("pump-controller", needs=(Need("attestation", 3600),))
    assert policy_of(made) == Policy(Method.NONE)
