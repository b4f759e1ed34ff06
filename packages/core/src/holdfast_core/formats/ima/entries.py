"""One entry of a measurement list: which file (or buffer) the kernel saw, and the bytes that it extended a register by.

1. An entry is of a template that the kernel has built in; each says which fields follow, and in which order.
2. The template data is kept as it was hashed. Name and digest are read from it, so both readings are of one text.
3. The template column must be the hash of these bytes. The exception are violations: the kernel extends the register
   by all ones, writes zeros into the column, and so vouches for nothing that such an entry says of itself.
4. A name is bytes: Linux has no other. Kernels since 3.13 write underscores for its spaces.
5. Whether a hash is good enough is not decided here; which one it is must be known, or its length could not be checked.

Source: Linux, security/integrity/ima/ima_template.c and ima_template_lib.c, Documentation/security/IMA-templates.rst.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from holdfast_core.kernel.errors import HostileData

SLICE_BYTES = 1024 * 1024
SLICE_ENTRIES = 16_384
LARGEST_NAME = 4096 + 1
"""PATH_MAX and the zero behind it."""
LARGEST_SIGNATURE = 2048
"""One of RSA 4096 has 521 bytes with its header."""
LARGEST_APPENDED = 16 * 1024
"""A PKCS #7 message behind a kernel module; signer certificates included."""
LARGEST_BUFFER = 64 * 1024
LARGEST_DATA = LARGEST_BUFFER + LARGEST_NAME + 256
SHOWN = 80
"""So many bytes of something refused are repeated in the refusal."""

_Hash = Callable[[bytes], Any]

FILE_HASHES: Mapping[str, int] = MappingProxyType(
    {"md5": 16, "sha1": 20, "rmd160": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}
    | {"sm3": 32, "sm3_256": 32, "sha3-256": 32, "sha3-384": 48, "sha3-512": 64}
)
"""What files may be hashed with, as the kernel spells it (`sm3_256`: as other verifiers spell it), and the length."""


def _sha1(data: bytes) -> Any:
    """The column's hash: it finds damage, while the register's own hash is what proves anything."""
    return hashlib.sha1(data, usedforsecurity=False)


BANKS: Mapping[str, tuple[int, _Hash]] = MappingProxyType(
    {
        "sha1": (20, _sha1),
        "sha256": (32, hashlib.sha256),
        "sha384": (48, hashlib.sha384),
        "sha512": (64, hashlib.sha512),
    }
)
"""The banks of a TPM that a list can be replayed into: length and hash."""
COLUMNS: Mapping[int, _Hash] = MappingProxyType(dict(BANKS.values()))
"""The column's hash by its length: SHA-1, or the bank's in the kernel's lists for one bank (since 6.10)."""
ZEROS = frozenset(bytes(size) for size in COLUMNS)


class Template(msgspec.Struct, frozen=True):
    """What follows in an entry.

    Args:
        name: as the kernel writes it.
        extra: the fields behind digest and name.
        heads: the digest's spelling up to its bytes: what was digested, the hash and its length.
    """

    name: str
    extra: tuple[str, ...]
    heads: Mapping[bytes, tuple[str, str, int]]


_NG = MappingProxyType({f"{name}:".encode(): ("ima", name, size) for name, size in FILE_HASHES.items()})
_NG2 = MappingProxyType(
    {f"{kind}:{name}:".encode(): (kind, name, size) for kind in ("ima", "verity") for name, size in FILE_HASHES.items()}
)
LEGACY = Template("ima", (), MappingProxyType({}))
"""Twenty bytes of digest and a name padded to 256, neither with a length: the template of kernels before 3.13."""
TEMPLATES: Mapping[bytes, Template] = MappingProxyType(
    {
        each.name.encode(): each
        for each in (
            LEGACY,
            Template("ima-ng", (), _NG),
            Template("ima-ngv2", (), _NG2),
            Template("ima-sig", ("signature",), _NG),
            Template("ima-sigv2", ("signature",), _NG2),
            Template("ima-buf", ("buffer",), _NG),
            Template("ima-modsig", ("signature", "appended_digest", "appended"), _NG),
        )
    }
)
EXTRA_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "signature": LARGEST_SIGNATURE,
        "buffer": LARGEST_BUFFER,
        "appended_digest": max(FILE_HASHES.values()) + 16,
        "appended": LARGEST_APPENDED,
    }
)


class ImaEntry(msgspec.Struct, frozen=True, gc=False):
    """One measurement.

    Args:
        register: the platform configuration register (PCR) that was extended.
        template: the template's name.
        column: the template digest as the list has it; all zeros in a violation.
        data: the template data as hashed into the register.
        kind: ``ima`` for the digest of a file's bytes, ``verity`` for an fs-verity digest.
        algorithm: the hash of `digest`.
        digest: of the file or buffer.
        name: the file's path, or what the kernel calls the event or buffer; without a zero at its end.
        signature: the file's ``security.ima`` attribute, header included; empty where there is none.
        buffer: what was measured, where that was no file (a command line, a key, a device-mapper table).
        appended_digest: hash and digest of a file without the signature behind it, as the kernel spells it.
        appended: the PKCS #7 message behind a file.
    """

    register: int
    template: str
    column: bytes
    data: bytes
    kind: str
    algorithm: str
    digest: bytes
    name: bytes
    signature: bytes = b""
    buffer: bytes = b""
    appended_digest: bytes = b""
    appended: bytes = b""

    @property
    def violation(self) -> bool:
        """Whether the kernel only says that it could not know: the file was written to while it was measured."""
        return self.column in ZEROS

    @property
    def text(self) -> str:
        """The name for a person; bytes that are no UTF-8 are written in hexadecimal, with a backslash and an x."""
        return self.name.decode("utf-8", "backslashreplace")


def malformed(at: int, why: str) -> HostileData:
    """The refusal of an entry, which is the `at`-th of its slice, counted from zero."""
    return HostileData(
        "ima.malformed",
        f"Entry {at + 1} of the measurement list could not be read: {why}.",
        remedy="Send whole entries of the kernel's runtime measurement list, unchanged.",
    )
