"""What a TPM attests (TPMS_ATTEST, Part 2 section 10.12) and how it signs it (TPMT_SIGNATURE, section 11.3.4).

1. An attestation begins with TPM_GENERATED: a restricted key signs no outside data that begins so, and this value is
   the whole reason why its signature proves anything.
2. Read are: ``certify`` and ``creation``, which speak of a key, and ``quote``, which speaks of what was booted.
3. A signature says its own algorithm; whether that fits the key is decided where it is verified.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from holdfast_core.formats.tpm.public import HASHES, Algorithm
from holdfast_core.formats.tpm.reader import Reader, malformed
from holdfast_core.kernel.errors import HostileData

GENERATED = 0xFF544347
"""TPM_GENERATED_VALUE (Part 2, section 6.2): ``\\xffTCG``."""
LARGEST_ATTESTATION = 1024
LARGEST_SIGNATURE = 1024
_LARGEST_NAME = 66
_LARGEST_NONCE = 66
_SELECTIONS = 16
_WHAT = "attestation"


class Tag(IntEnum):
    """TPM_ST, as far as it is read here (Part 2, section 6.9)."""

    CERTIFY = 0x8017
    QUOTE = 0x8018
    CREATION = 0x801A


class Clock(msgspec.Struct, frozen=True):
    """TPMS_CLOCK_INFO: milliseconds of running, and how often the TPM was reset and restarted."""

    clock: int
    resets: int
    restarts: int
    safe: bool


class Certified(msgspec.Struct, frozen=True):
    """TPMS_CERTIFY_INFO: a key that is loaded in the TPM beside the signing one, by its names."""

    name: bytes
    qualified: bytes


class Created(msgspec.Struct, frozen=True):
    """TPMS_CREATION_INFO: a key that is loaded in the TPM and was created by it."""

    name: bytes
    creation: bytes


class Selection(msgspec.Struct, frozen=True):
    """TPMS_PCR_SELECTION: the bank's hash (a TPM_ALG_ID) and which of its registers."""

    bank: int
    registers: tuple[int, ...]


class Quoted(msgspec.Struct, frozen=True):
    """TPMS_QUOTE_INFO: registers, and the digest over their values."""

    selections: tuple[Selection, ...]
    digest: bytes


class Attestation(msgspec.Struct, frozen=True):
    """TPMS_ATTEST. `nonce` is what the caller gave (qualifying data), `signer` the signing key's qualified name."""

    signer: bytes
    nonce: bytes
    clock: Clock
    firmware: int
    attested: Certified | Created | Quoted


class Signature(msgspec.Struct, frozen=True):
    """TPMT_SIGNATURE: of ECDSA the two numbers as bytes, of RSA the one."""

    algorithm: Algorithm
    hash: Algorithm
    parts: tuple[bytes, ...]


def parse_attestation(data: bytes) -> Attestation:
    """The attestation that `data` is.

    Raises:
        HostileData: ``tpm.malformed``, ``tpm.not_generated`` when no TPM can have made it, ``tpm.attest_type``.
    """
    if len(data) > LARGEST_ATTESTATION:
        raise malformed(_WHAT, f"it has {len(data)} bytes")
    reader = Reader(data, _WHAT)
    if reader.number(4) != GENERATED:
        raise HostileData(
            "tpm.not_generated",
            "The attestation was not made inside a TPM.",
            remedy="Send what TPM2_Certify or TPM2_CertifyCreation returned, unchanged.",
            http_status=403,
        )
    tag = reader.number(2)
    signer, nonce = reader.sized(_LARGEST_NAME), reader.sized(_LARGEST_NONCE)
    clock = Clock(reader.number(8), reader.number(4), reader.number(4), _yes(reader))
    firmware = reader.number(8)
    attested = _attested(tag, reader)
    reader.end()
    return Attestation(signer, nonce, clock, firmware, attested)


def _attested(tag: int, reader: Reader) -> Certified | Created | Quoted:
    if tag == Tag.CERTIFY:
        return Certified(reader.sized(_LARGEST_NAME), reader.sized(_LARGEST_NAME))
    if tag == Tag.CREATION:
        return Created(reader.sized(_LARGEST_NAME), reader.sized(_LARGEST_NAME))
    if tag == Tag.QUOTE:
        count = reader.number(4)
        if count > _SELECTIONS:
            raise malformed(_WHAT, f"it selects from {count} banks")
        return Quoted(tuple(_selection(reader) for _ in range(count)), reader.sized(_LARGEST_NAME))
    raise HostileData(
        "tpm.attest_type",
        f"The attestation is of the type {tag:#06x}, which proves nothing here.",
        remedy="Certify the key with TPM2_Certify or TPM2_CertifyCreation.",
    )


def _selection(reader: Reader) -> Selection:
    bank = reader.number(2)
    bits = int.from_bytes(reader.take(reader.number(1)), "little")
    return Selection(bank, tuple(number for number in range(bits.bit_length()) if bits >> number & 1))


def _yes(reader: Reader) -> bool:
    value = reader.number(1)
    if value > 1:
        raise malformed(_WHAT, "a yes or no is neither")
    return value == 1


def parse_signature(data: bytes) -> Signature:
    """The signature that `data` is.

    Raises:
        HostileData: ``tpm.malformed``, ``tpm.attest_signature`` for an algorithm that is not taken.
    """
    if len(data) > LARGEST_SIGNATURE:
        raise malformed("signature", f"it has {len(data)} bytes")
    reader = Reader(data, "signature")
    algorithm, hashed = reader.number(2), reader.number(2)
    parts = {Algorithm.ECDSA: 2, Algorithm.RSASSA: 1, Algorithm.RSAPSS: 1}
    if algorithm not in parts or hashed not in HASHES:
        raise HostileData(
            "tpm.attest_signature",
            "The attestation is signed with an algorithm that is not taken.",
            remedy="Sign with ECDSA, RSASSA or RSAPSS, and SHA-256 or longer.",
        )
    signature = Signature(
        Algorithm(algorithm), Algorithm(hashed), tuple(reader.sized() for _ in range(parts[Algorithm(algorithm)]))
    )
    reader.end()
    return signature
