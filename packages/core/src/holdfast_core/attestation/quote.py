"""A quote: whose it is, what was signed, and whether it answers this nonce for this device.

In this order, the first that fails names the refusal:

1. The signature is this device's attestation key's, over exactly these bytes.
2. What was signed begins as only a TPM's own structures do, and is a quote.
3. It is of one bank, the policy's, and of exactly the policy's registers. The selection that counts is the signed one:
   whatever travels beside it may be relabelled.
4. The nonce is the one last given to this device, unused and in time; the signed qualifying data is `wire.binding`.

Source: TPM 2.0 Library, Part 1, section 34; Part 2, section 10.12; CVE-2024-29039 for rule 3.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.attestation.model import Policy
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.tpm.attest import Attestation, Quoted, parse_attestation, parse_signature
from holdfast_core.formats.tpm.keys import verifies
from holdfast_core.formats.tpm.public import HASHES, Public
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.wire.attestation import TokenEvidence, TpmEvidence, binding

IMA_REGISTER = 10
BANK_NAMES: Mapping[int, str] = MappingProxyType({0x0004: "sha1", 0x000B: "sha256", 0x000C: "sha384", 0x000D: "sha512"})
BANK_NUMBERS: Mapping[str, int] = MappingProxyType({name: number for number, name in BANK_NAMES.items()})
_CODES = {"tpm.not_generated": "not_generated", "tpm.attest_type": "not_a_quote"}


class Nonce(msgspec.Struct, frozen=True):
    """The nonce last given to a device, until when it is taken, and the one that its last evidence used up."""

    given: str
    until: Instant
    used: str


class Signed(msgspec.Struct, frozen=True):
    """What a TPM signed, and the hash its digest over registers is made with."""

    attestation: Attestation
    quoted: Quoted
    hash: str

    def is_of(self, values: Iterable[bytes]) -> bool:
        """Whether these values, in the order of their registers, are what was signed."""
        return hmac.compare_digest(hashlib.new(self.hash, b"".join(values)).digest(), self.quoted.digest)


def registers_of(policy: Policy) -> tuple[int, ...]:
    """The registers that a quote is asked for, in rising order."""
    return tuple(sorted({*policy.registers, *((IMA_REGISTER,) if policy.ima else ())}))


def check_quote(
    evidence: TpmEvidence, public: Public, *, device: str, policy: Policy, nonce: Nonce, now: Instant
) -> Signed:
    """What the device's TPM signed.

    Args:
        evidence: as it came.
        public: the device's attestation key.
        device: the device's id.
        policy: what is asked.
        nonce: what was given.
        now: for the nonce's time.

    Raises:
        Refused: ``malformed``, ``signature``, ``not_generated``, ``not_a_quote``, ``bank``, ``selection``,
            ``nonce_*``, ``binding``.
    """
    signed = _signed(evidence, public)
    _check_selection(signed.quoted, policy)
    if not signed.attestation.nonce:
        raise Refused("nonce_missing")
    check_nonce(evidence, nonce, now)
    expected = binding(evidence.nonce, device, evidence.claims)
    if not hmac.compare_digest(signed.attestation.nonce, expected):
        raise Refused("binding")
    return signed


def check_nonce(evidence: TpmEvidence | TokenEvidence, nonce: Nonce, now: Instant) -> None:
    """Refuse a nonce that is not the one last given, or too old. Raises `Refused` ``nonce_*``."""
    if not nonce.given or not hmac.compare_digest(evidence.nonce.encode(), nonce.given.encode()):
        raise Refused("nonce_used" if nonce.used and evidence.nonce == nonce.used else "nonce_foreign")
    if now > nonce.until:
        raise Refused("nonce_expired")


def _signed(evidence: TpmEvidence, public: Public) -> Signed:
    try:
        signature = parse_signature(evidence.signature)
        if not verifies(public, signature, evidence.quote):
            raise Refused("signature")
        attestation = parse_attestation(evidence.quote)
    except HostileData as error:
        raise Refused(_CODES.get(error.code, "malformed"), detail=error.sentence) from None
    if not isinstance(attestation.attested, Quoted):
        raise Refused("not_a_quote")
    return Signed(attestation, attestation.attested, HASHES[signature.hash])


def _check_selection(quoted: Quoted, policy: Policy) -> None:
    chosen = [selection for selection in quoted.selections if selection.registers]
    banks = {selection.bank for selection in chosen}
    if banks != {BANK_NUMBERS[policy.bank]}:
        raise Refused(
            "bank", detail=", ".join(BANK_NAMES.get(bank, f"{bank:#06x}") for bank in sorted(banks)) or "none"
        )
    registers = tuple(sorted(register for selection in chosen for register in selection.registers))
    if len(chosen) != 1 or registers != registers_of(policy):
        raise Refused("selection", detail=", ".join(map(str, registers)))
