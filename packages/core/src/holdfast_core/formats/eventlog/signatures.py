"""Signature databases of Secure Boot (PK, KEK, db, dbx and the like): EFI_SIGNATURE_LIST.

1. A list holds entries of one type and one size. An entry is its owner's GUID and a certificate, a hash, or a key.
2. A certificate is DER that is not looked into here; who trusts one compares its bytes or parses it.

Source: UEFI Specification 2.10, section 32.4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.formats.eventlog.reader import GUID_BYTES, Reader, guid_text, odd

MOST_SIGNATURES = 16_384
"""Of one variable. The longest public dbx has under 500."""
X509, SHA256_HASH = "x509", "sha256"
UNKNOWN = "unknown"
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "a5c059a1-94e4-4aa7-87b5-ab155c2bf072": X509,
        "c1c41626-504c-4092-aca9-41f936934328": SHA256_HASH,
        "826ca512-cf10-4ac9-b187-be01496631bd": "sha1",
        "0b6e5233-a65c-44c9-9407-d9ab83bfc8bd": "sha224",
        "ff3e5307-9fd0-48c9-85f1-8ad56c701e01": "sha384",
        "093e0fae-a6c4-4f50-9f1b-d41e2b89c19a": "sha512",
        "3c5766e8-269c-4e34-aa14-ed776e85b3b6": "rsa2048",
        "e2b36190-879b-4a3d-ad8d-f2e7bba32784": "rsa2048_sha256",
        "67f8444f-8743-48f1-a328-1eaab8736080": "rsa2048_sha1",
        "3bd2a492-96c0-4079-b420-fcf98ef103ed": "x509_sha256",
        "7076876e-80c2-4ee6-aad2-28b349a6865b": "x509_sha384",
        "446dbf63-2502-4cda-bcfa-2465d2b0fe9d": "x509_sha512",
    }
)
_LIST_HEAD = 28
_DER_SEQUENCE = 0x30
_SHA256_BYTES = 32


class Signature(msgspec.Struct, frozen=True):
    """One entry. `type` is ``x509``, ``sha256``, ...; `owner` a GUID, empty where there is none."""

    type: str
    owner: str
    data: bytes


def parse_signature_lists(data: bytes) -> tuple[Signature, ...]:
    """The entries of all EFI_SIGNATURE_LISTs in `data`.

    Raises:
        HostileData: ``eventlog.content``.
    """
    reader = Reader(data)
    found: list[Signature] = []
    owners: dict[bytes, str] = {}  # a dbx names one owner hundreds of times
    while reader.left:
        name = reader.guid()
        size, header, each = reader.number(4), reader.number(4), reader.number(4)
        body = size - _LIST_HEAD - header
        if body < 0 or each <= GUID_BYTES or body % each:
            raise odd("a signature list's sizes do not fit each other")
        if len(found) + body // each > MOST_SIGNATURES:
            raise odd(f"it has over {MOST_SIGNATURES} signatures")
        reader.take(header)
        entries = reader.take(body)
        kind = _TYPES.get(name, UNKNOWN)
        for at in range(0, body, each):
            owner, entry = entries[at : at + GUID_BYTES], entries[at + GUID_BYTES : at + each]
            found.append(Signature(kind, owners.get(owner) or owners.setdefault(owner, guid_text(owner)), entry))
    return tuple(found)


def parse_authority(data: bytes) -> Signature:
    """The one entry by which an image was allowed: an EFI_SIGNATURE_DATA, whose type is not said.

    Some versions of shim leave out the owner and write the certificate alone.

    Raises:
        HostileData: ``eventlog.content``.
    """
    if len(data) > 1 and data[0] == _DER_SEQUENCE and data[1] & 0x80:
        return Signature(X509, "", data)
    reader = Reader(data)
    owner, rest = reader.guid(), reader.rest()
    if rest[:1] == bytes([_DER_SEQUENCE]):
        return Signature(X509, owner, rest)
    return Signature(SHA256_HASH if len(rest) == _SHA256_BYTES else UNKNOWN, owner, rest)
