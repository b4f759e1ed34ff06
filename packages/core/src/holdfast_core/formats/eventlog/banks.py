"""Banks of a TPM: the hash algorithms of its registers (TPM_ALG_ID), their sizes and names.

1. SHA-1 is here only so that old logs can be replayed and shown; no policy accepts a SHA-1 bank.
2. An algorithm that is not in the table, or that the library at hand cannot compute, can be read but not replayed.

Source: TCG Algorithm Registry, section 6.10; TCG PC Client Platform Firmware Profile (PFP) 1.06, section 10.4.5.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.kernel.errors import HostileData

SHA1, SHA256, SHA384, SHA512, SM3_256 = 0x0004, 0x000B, 0x000C, 0x000D, 0x0012
SHA3_256, SHA3_384, SHA3_512 = 0x0027, 0x0028, 0x0029
LARGEST_DIGEST = 128
"""Bytes of one digest of an algorithm that is not known here; twice the longest that is."""


class Bank(msgspec.Struct, frozen=True):
    """One algorithm: its name in files and on the command line, its digest's bytes, its name in `hashlib`."""

    name: str
    size: int
    hashed: str


BANKS: Mapping[int, Bank] = MappingProxyType(
    {
        SHA1: Bank("sha1", 20, "sha1"),
        SHA256: Bank("sha256", 32, "sha256"),
        SHA384: Bank("sha384", 48, "sha384"),
        SHA512: Bank("sha512", 64, "sha512"),
        SM3_256: Bank("sm3_256", 32, "sm3"),
        SHA3_256: Bank("sha3_256", 32, "sha3_256"),
        SHA3_384: Bank("sha3_384", 48, "sha3_384"),
        SHA3_512: Bank("sha3_512", 64, "sha3_512"),
    }
)


def bank_name(bank: int) -> str:
    """The name of an algorithm, ``0x0099`` where it has none here."""
    return BANKS[bank].name if bank in BANKS else f"0x{bank:04x}"


def computable(bank: int) -> bool:
    """Whether this algorithm's digests can be computed here."""
    return bank in BANKS and BANKS[bank].hashed in hashlib.algorithms_available


def hasher(bank: int) -> Callable[[bytes], bytes]:
    """A function from bytes to their digest.

    Raises:
        HostileData: ``eventlog.bank`` for an algorithm that cannot be computed.
    """
    if not computable(bank):
        raise HostileData(
            "eventlog.bank",
            f"Digests of the bank {bank_name(bank)} cannot be computed here.",
            remedy="Use a bank that can be: sha256 or sha384.",
        )
    name = BANKS[bank].hashed
    if name in hashlib.algorithms_guaranteed:
        make: Callable[[bytes], hashlib._Hash] = getattr(hashlib, name)
        return lambda data: make(data).digest()
    return lambda data: hashlib.new(name, data).digest()
