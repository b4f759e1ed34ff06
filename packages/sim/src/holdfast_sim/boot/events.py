"""Measuring: the TPM is extended and the event is written down, in one step and in this order.

1. The log is crypto-agile with one bank, SHA-256. The TPM's other banks stay as the reset left them, for anybody to
   extend, so no policy may accept another bank of these machines.
2. Where an event names a thing that was measured, its digest is that thing's; where it tells something, its digest is
   of the telling itself.

Source: TCG PC Client Platform Firmware Profile 1.06, sections 10.2 and 10.4; UEFI Specification 2.10, section 32.4.1.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Sequence
from typing import Protocol

from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.variables import GLOBAL, SECURITY_DATABASE

OWNER = "3e6b1f52-61a5-4d3c-9f0e-8d7c5a4b2e10"
"""Who put an entry into a signature database: this boot chain."""
_X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
_SHA256_HASH = "c1c41626-504c-4092-aca9-41f936934328"
_BANK, _DIGEST_BYTES = 0x000B, 32
_SEPARATOR = bytes(4)
_GUID_BYTES = 16


class Extends(Protocol):
    """What can extend a register: a link to a TPM."""

    def extend(self, register: int, digest: bytes) -> None:
        """Extend `register` with a SHA-256 digest."""
        ...


class Measuring:
    """The log of one boot.

    Args:
        tpm: what is extended with every event.
    """

    def __init__(self, tpm: Extends) -> None:
        self._tpm = tpm
        self._log = [_header()]

    @property
    def log(self) -> bytes:
        """The log so far, as firmware hands it over."""
        return b"".join(self._log)

    def thing(self, register: int, kind: int, name: bytes, digest: bytes) -> None:
        """Measure a thing by its digest, named by `name`."""
        self._tpm.extend(register, digest)
        head = struct.pack("<IIIH", register, kind, 1, _BANK)
        self._log.append(head + digest + struct.pack("<I", len(name)) + name)

    def telling(self, register: int, kind: int, data: bytes) -> None:
        """Measure what the event itself says."""
        self.thing(register, kind, data, hashlib.sha256(data).digest())

    def separators(self) -> None:
        """The line between firmware and what it starts: an event in each of the registers 0 to 7."""
        for register in range(8):
            self.telling(register, kinds.SEPARATOR, _SEPARATOR)


def version_text(version: str) -> bytes:
    """The data of EV_S_CRTM_VERSION: UTF-16 with its end."""
    return (version + "\0").encode("utf-16-le")


def secure_boot_variables(certificates: Sequence[bytes], revoked: Sequence[bytes]) -> tuple[bytes, ...]:
    """The data of the five EV_EFI_VARIABLE_DRIVER_CONFIG events that say whom the firmware trusts.

    Args:
        certificates: DER; the first is the one that the ROM knows, and it is PK. All of them are db.
        revoked: SHA-256 digests of images that no key's signature helps: dbx.
    """
    return (
        _variable(GLOBAL, "SecureBoot", b"\1"),
        _variable(GLOBAL, "PK", _list(_X509, certificates[0])),
        _variable(GLOBAL, "KEK", b""),
        _variable(SECURITY_DATABASE, "db", b"".join(_list(_X509, each) for each in certificates)),
        _variable(SECURITY_DATABASE, "dbx", b"".join(_list(_SHA256_HASH, each) for each in revoked)),
    )


def authority(certificate: bytes) -> bytes:
    """The data of EV_EFI_VARIABLE_AUTHORITY: the entry of db by which something was allowed to run."""
    return _variable(SECURITY_DATABASE, "db", uuid.UUID(OWNER).bytes_le + certificate)


def _variable(guid: str, name: str, data: bytes) -> bytes:
    """UEFI_VARIABLE_DATA."""
    head = uuid.UUID(guid).bytes_le + struct.pack("<QQ", len(name), len(data))
    return head + name.encode("utf-16-le") + data


def _list(kind: str, entry: bytes) -> bytes:
    """An EFI_SIGNATURE_LIST of one entry; certificates differ in length, so each has its own list."""
    size = _GUID_BYTES + len(entry)
    head = uuid.UUID(kind).bytes_le + struct.pack("<III", 28 + size, 0, size)
    return head + uuid.UUID(OWNER).bytes_le + entry


def _header() -> bytes:
    """TCG_EfiSpecIDEvent: a client's platform, version 2.0 of the structure, one algorithm, 64-bit numbers."""
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, 0, 2, 106, 2)
    data = spec + struct.pack("<IHH", 1, _BANK, _DIGEST_BYTES) + b"\0"
    return struct.pack("<II20sI", 0, kinds.NO_ACTION, bytes(20), len(data)) + data
