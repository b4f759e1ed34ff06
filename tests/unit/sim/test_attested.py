"""What a soak counts, and a chip that is driven by hand: its keys are what a server takes, its quotes verify."""

from __future__ import annotations

import os
import time

import pytest

from boot_builders import boot_release, powered_tpm
from holdfast_core.formats.tpm.attest import parse_attestation, parse_signature
from holdfast_core.formats.tpm.keys import verifies
from holdfast_core.formats.tpm.public import parse_public
from holdfast_core.identity.devid import (
    check_attestation_key,
    check_certified,
    check_device_key,
    check_endorsement_key,
)
from holdfast_core.kernel.errors import WorldError
from holdfast_sim.attested.chip import AK, HANDLE, KEY, Chip
from holdfast_sim.attested.command import is_good
from holdfast_sim.attested.counting import Counts, Memory, Told, Watch, share, slope
from holdfast_sim.attested.device import Contact
from holdfast_sim.boot.machine import Machine
from tpm_builders import wrapped

NONCE = bytes(range(32))
GOOD = Told(
    devices=2, seconds=10.0, contacts=4, quotes=4, quotes_per_s=0.4,
    exchange_p50=5.0, exchange_p99=9.0, contact_p50=6.0, contact_p99=10.0,
    reboots={"orderly": 1}, unreached=3, wrong={}, memory=(Memory(100.0, 101.0, 102.0, 0.5),),
    kept={"affirming fresh": 4, "affirming pending": 1}, silent=0,
)  # fmt: skip


@pytest.fixture
def chip():
    with powered_tpm() as tpm:
        Machine.of(boot_release(), tpm).boot()
        yield Chip(tpm.socket)


def test_the_keys_are_what_a_server_takes_and_lie_in_one_chip(chip):
    ek, ak, key = chip.endorsement(), chip.make(AK), chip.make(KEY)
    check_endorsement_key(parse_public(ek.public))
    attestation, device = check_attestation_key(parse_public(ak.public)), check_device_key(parse_public(key.public))
    proof = chip.certify(key, ak, NONCE)
    check_certified(attestation, device, proof.quote, proof.signature, NONCE)
    challenge = wrapped(ek.public, attestation.name, b"s" * 32)
    assert chip.activate(ak, ek, challenge.blob, challenge.secret) == b"s" * 32


def test_a_key_that_is_kept_quotes_after_a_boot(chip):
    ak = chip.make(AK)
    chip.keep(ak)
    chip.flush(ak.handle)
    quote = chip.quote(NONCE, "sha256", (0, 7))
    assert verifies(parse_public(ak.public), parse_signature(quote.signature), quote.quote)
    assert parse_attestation(quote.quote).nonce == NONCE


def test_a_refusal_of_the_chip_and_a_chip_that_is_gone_are_told(chip, tmp_path):
    with pytest.raises(WorldError, match="0x") as caught:
        chip.flush(HANDLE)
    assert caught.value.code == "sim.tpm"
    with pytest.raises(WorldError, match="does not answer") as caught:
        Chip(tmp_path / "nothing").endorsement()
    assert caught.value.code == "sim.tpm"


def test_contacts_are_counted_and_a_doubted_one_by_its_reasons():
    counts = Counts()
    counts.answered(Contact("trusted", ("trust.affirmed",), 1, 0.02, (0.01,)))
    counts.answered(Contact("quarantined", ("attestation.signature",), 2, 0.04, (0.03, 0.02)))
    counts.failed()
    counts.rebooted("abrupt")
    assert (counts.contacts, counts.quotes, counts.unreached) == (2, 3, 1)
    assert counts.wrong == {"attestation.signature": 1}
    assert counts.reboots == {"abrupt": 1}
    assert counts.times() == (20.0, 30.0, 40.0, 40.0)


def test_a_share_of_nothing_is_nothing_and_of_much_a_rank():
    assert share([], 0.5) == 0.0
    assert share([n / 1000 for n in range(100)], 0.99) == 99.0


def test_a_slope_is_that_of_the_line_through_the_points():
    assert slope([]) == slope([(1.0, 5.0)]) == slope([(1.0, 5.0), (1.0, 7.0)]) == 0.0
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == 2.0


def test_memory_is_looked_at_while_the_process_lives():
    watch, gone = Watch(os.getpid()), Watch(2**22 + 1)
    for _ in range(3):
        watch.look()
        gone.look()
        time.sleep(0.001)
    assert watch.memory().start > 10
    assert gone.memory() == Memory(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "fault",
    [
        {"wrong": {"attestation.signature": 1}},
        {"silent": 1},
        {"kept": {"affirming fresh": 4, "contraindicated fresh": 1}},
        {"kept": {"refused attestation.nonce_used": 1}},
    ],
)
def test_one_fault_is_enough(fault):
    fields = {name: getattr(GOOD, name) for name in GOOD.__struct_fields__}
    assert is_good(GOOD)
    assert not is_good(Told(**{**fields, **fault}))
