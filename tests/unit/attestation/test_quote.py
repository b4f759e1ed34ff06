"""What a TPM signed: whose it is, what it is of, and whether it answers this nonce."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import DEVICE, NONCE, NOW, REGISTERS, SHA256, SoftTpm, policy
from holdfast_core.attestation.quote import Nonce, check_nonce, check_quote, registers_of
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.tpm.attest import GENERATED, Tag
from holdfast_core.formats.tpm.reader import tpm2b, u16, u32
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.wire.attestation import Claims, TpmEvidence, binding

GIVEN = Nonce(NONCE, Instant(NOW + 10 * MINUTE), "the-nonce-before")
TPM = SoftTpm()
BOUND = binding(NONCE, DEVICE, Claims())


def checked(evidence, nonce=GIVEN, now=NOW, asked=None):
    return check_quote(evidence, TPM.public, device=DEVICE, policy=asked or policy(), nonce=nonce, now=now)


def refused(evidence, **more):
    with pytest.raises(Refused) as caught:
        checked(evidence, **more)
    return caught.value.reason


def selection(bank, *registers):
    return u16(bank) + bytes([3]) + sum(1 << each for each in registers).to_bytes(3, "little")


def quote_of(*selections, extra=BOUND):
    """Signed evidence with just these selections."""
    clock = bytes(8) + u32(1) + u32(0) + b"\1"
    body = u32(len(selections)) + b"".join(selections) + tpm2b(bytes(32))
    signed = u32(GENERATED) + u16(Tag.QUOTE) + tpm2b(TPM.public.name) + tpm2b(extra) + clock + bytes(8) + body
    return TpmEvidence(NONCE, signed, TPM.sign(signed))


def test_a_good_quote_gives_what_was_signed():
    signed = checked(TPM.evidence())
    assert signed.quoted.selections[0].registers == REGISTERS
    assert signed.is_of(bytes(32) for _ in REGISTERS)
    assert not signed.is_of(bytes(32) for _ in REGISTERS[1:])
    assert not signed.is_of([b"\1" * 32, *(bytes(32) for _ in REGISTERS[1:])])


def test_the_registers_asked_for_rise_and_hold_the_one_of_ima():
    assert registers_of(policy(registers=(9, 0))) == (0, 9)
    assert registers_of(policy(registers=(11, 0), ima=True)) == (0, 10, 11)


@pytest.mark.parametrize("signature", [b"", b"\0\x18", b"\xff\xff\0\x0b", bytes(1024)])
def test_a_signature_that_cannot_be_read(signature):
    assert refused(msgspec.structs.replace(TPM.evidence(), signature=signature)).code == "attestation.malformed"


def test_a_quote_with_more_behind_it_is_malformed_though_signed():
    longer = TPM.attest(BOUND) + b"\0"
    evidence = TpmEvidence(NONCE, longer, TPM.sign(longer))
    assert refused(evidence).code == "attestation.malformed"


@pytest.mark.parametrize("tag", [Tag.CERTIFY, Tag.CREATION, 0x8014, 0x0000])
def test_what_is_no_quote_is_named_so(tag):
    made = TPM.attest(BOUND, tag=tag)
    assert refused(TpmEvidence(NONCE, made, TPM.sign(made))).code == "attestation.not_a_quote"


def test_a_selection_of_no_registers_beside_the_right_one_is_none():
    checked(quote_of(selection(0x0004), selection(SHA256, *REGISTERS)))


@pytest.mark.parametrize(
    ("selections", "code", "named"),
    [
        ((), "bank", "none"),
        ((selection(0x0004, *REGISTERS),), "bank", "sha1"),
        ((selection(0x0004, 0), selection(SHA256, *REGISTERS)), "bank", "sha1, sha256"),
        ((selection(0x0012, *REGISTERS),), "bank", "0x0012"),
        ((selection(SHA256, *REGISTERS[1:]),), "selection", "4, 7, 8, 9"),
        ((selection(SHA256, *REGISTERS, 16),), "selection", "16"),
        ((selection(SHA256, *REGISTERS[:2]), selection(SHA256, *REGISTERS[2:])), "selection", "0, 4"),
    ],
)
def test_only_the_policys_bank_and_exactly_its_registers_are_taken(selections, code, named):
    reason = refused(quote_of(*selections))
    assert reason.code == f"attestation.{code}"
    assert named in reason.sentence


def test_an_empty_nonce_is_told_before_any_other_fault_of_it():
    assert refused(quote_of(selection(SHA256, *REGISTERS), extra=b""), nonce=Nonce("", Instant(0), "")).code == (
        "attestation.nonce_missing"
    )


@pytest.mark.parametrize(
    ("said", "given_now", "now", "code"),
    [
        (NONCE, GIVEN, GIVEN.until, ""),
        (NONCE, GIVEN, GIVEN.until + 1, "nonce_expired"),
        ("the-nonce-before", GIVEN, NOW, "nonce_used"),
        ("another-nonce", GIVEN, NOW, "nonce_foreign"),
        (NONCE, Nonce("", Instant(NOW), ""), NOW, "nonce_foreign"),
        ("", Nonce("", Instant(NOW), ""), NOW, "nonce_foreign"),
        (NONCE, Nonce("", Instant(NOW), NONCE), NOW, "nonce_used"),
    ],
)
def test_a_nonce_counts_once_in_time_and_for_its_device(said, given_now, now, code):
    evidence = TpmEvidence(said, b"", b"")
    if not code:
        check_nonce(evidence, given_now, Instant(now))
        return
    with pytest.raises(Refused) as caught:
        check_nonce(evidence, given_now, Instant(now))
    assert caught.value.reason.code == f"attestation.{code}"


@pytest.mark.parametrize("extra", [NONCE.encode(), hashlib.sha256(NONCE.encode()).digest(), BOUND[:-1], BOUND + b"\0"])
def test_only_the_binding_itself_binds(extra):
    assert refused(quote_of(selection(SHA256, *REGISTERS), extra=extra)).code == "attestation.binding"


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_arbitrary_bytes_are_only_ever_refused(quote, signature):
    assert refused(TpmEvidence(NONCE, quote, signature)).code == "attestation.malformed"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_that_the_key_did_sign_are_only_ever_refused(quote):
    assert refused(TpmEvidence(NONCE, quote, TPM.sign(quote))).code in {
        "attestation.malformed",
        "attestation.not_generated",
    }


def test_a_quote_truncated_at_every_byte_is_refused():
    whole = TPM.attest(BOUND)
    for end in range(len(whole)):
        refused(TpmEvidence(NONCE, whole[:end], TPM.sign(whole[:end])))
