"""Event logs made byte by byte: legacy and crypto-agile, good and odd."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from struct import pack

from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA1, SHA256
from holdfast_core.formats.eventlog.variables import GLOBAL

HASHES: Mapping[int, Callable[[bytes], bytes]] = {
    SHA1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    SHA256: lambda data: hashlib.sha256(data).digest(),
    0x000C: lambda data: hashlib.sha384(data).digest(),
    0x000D: lambda data: hashlib.sha512(data).digest(),
    0x0027: lambda data: hashlib.sha3_256(data).digest(),
}
SIZES = {bank: len(make(b"")) for bank, make in HASHES.items()}
BOTH = (SHA1, SHA256)


def legacy_event(register: int, kind: int, data: bytes, digest: bytes | None = None) -> bytes:
    """A TCG_PCClientPCREvent; its digest is the data's unless another is given."""
    digest = HASHES[SHA1](data) if digest is None else digest
    return pack("<II20sI", register, kind, digest, len(data)) + data


def spec_id(
    banks: Sequence[tuple[int, int]] | None = None,
    *,
    vendor: bytes = b"",
    count: int | None = None,
    signature: bytes = b"Spec ID Event03\0",
    tail: bytes = b"",
) -> bytes:
    """The data of a crypto-agile header."""
    banks = [(bank, SIZES[bank]) for bank in BOTH] if banks is None else banks
    head = signature + pack("<IBBBBI", 0, 0, 2, 0, 2, len(banks) if count is None else count)
    return head + b"".join(pack("<HH", *each) for each in banks) + bytes([len(vendor)]) + vendor + tail


def header(data: bytes | None = None) -> bytes:
    """The first event of a crypto-agile log."""
    return legacy_event(0, kinds.NO_ACTION, spec_id() if data is None else data, bytes(20))


def event(
    register: int,
    kind: int,
    data: bytes,
    *,
    of: bytes | None = None,
    banks: Sequence[int] = BOTH,
    digests: Sequence[tuple[int, bytes]] | None = None,
) -> bytes:
    """A TCG_PCR_EVENT2 whose digests are of its data, of `of`, or as given."""
    if digests is None:
        digests = [(bank, HASHES[bank](data if of is None else of)) for bank in banks]
    listed = b"".join(pack("<H", bank) + digest for bank, digest in digests)
    return pack("<III", register, kind, len(digests)) + listed + pack("<I", len(data)) + data


def no_action(register: int, data: bytes, banks: Sequence[int] = BOTH) -> bytes:
    """An event that extends nothing; its digests are zeros."""
    digests = [(bank, bytes(SIZES[bank])) for bank in banks]
    return event(register, kinds.NO_ACTION, data, digests=digests)


def locality(number: int) -> bytes:
    """A StartupLocality event."""
    return no_action(0, b"StartupLocality\0" + bytes([number]))


def separator(register: int) -> bytes:
    """A normal EV_SEPARATOR."""
    return event(register, kinds.SEPARATOR, bytes(4))


def guid(text: str) -> bytes:
    """An EFI_GUID from its text."""
    plain = bytes.fromhex(text.replace("-", ""))
    return plain[3::-1] + plain[5:3:-1] + plain[7:5:-1] + plain[8:]


def variable(name: str, value: bytes, owner: str = GLOBAL) -> bytes:
    """A UEFI_VARIABLE_DATA."""
    return guid(owner) + pack("<QQ", len(name), len(value)) + name.encode("utf-16-le") + value


def signature_list(kind: str, entries: Sequence[tuple[str, bytes]]) -> bytes:
    """An EFI_SIGNATURE_LIST."""
    body = b"".join(guid(owner) + data for owner, data in entries)
    each = 16 + len(entries[0][1])
    return guid(kind) + pack("<III", 28 + len(body), 0, each) + body


def setting(name: str, value: bytes, owner: str = GLOBAL) -> bytes:
    """A variable of Secure Boot, measured into PCR 7."""
    return event(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, variable(name, value, owner))


def file_path(name: str) -> bytes:
    """A device path of one file."""
    text = (name + "\0").encode("utf-16-le")
    return pack("<BBH", 4, 4, 4 + len(text)) + text + b"\x7f\xff\x04\x00"


def image(name: str, digest_of: bytes, register: int = 4, kind: int = kinds.EFI_BOOT_SERVICES_APPLICATION) -> bytes:
    """A loaded image; its digests are of `digest_of`, as Authenticode's would be of the file."""
    path = file_path(name)
    return event(register, kind, pack("<QQQQ", 0x1000, 0x2000, 0, len(path)) + path, of=digest_of)


def agile_log(*events: bytes) -> bytes:
    """A crypto-agile log of SHA-1 and SHA-256."""
    return header() + b"".join(events)


def a_boot() -> bytes:
    """A small whole boot with Secure Boot on, crypto-agile."""
    return agile_log(
        event(0, kinds.S_CRTM_VERSION, "1.2\0".encode("utf-16-le")),
        setting("SecureBoot", b"\1"),
        setting("PK", b""),
        *(separator(register) for register in range(8)),
        image("\\EFI\\BOOT\\BOOTX64.EFI", b"the loader"),
        event(8, kinds.IPL, b"kernel_cmdline: quiet\0", of=b"quiet"),
        event(9, kinds.IPL, b"/vmlinuz\0", of=b"the kernel"),
    )


def an_old_boot() -> bytes:
    """A small whole boot of SHA-1 only."""
    return b"".join(
        (
            legacy_event(0, kinds.S_CRTM_VERSION, b"1\0"),
            legacy_event(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\1")),
            *(legacy_event(register, kinds.SEPARATOR, bytes(4)) for register in range(8)),
            legacy_event(4, kinds.IPL, b"the loader"),
        )
    )
