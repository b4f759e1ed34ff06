"""MCUboot images: firmware of microcontrollers with a header before it and type-length-value records behind it.

1. Reading judges nothing: `holdfast_core.formats.mcuboot_verify` says who signed an image.
2. The security counter, the boot record and the dependencies count only from the protected area, which is hashed and
   signed; elsewhere they are refused, as MCUboot refuses them.
3. What may stand only once is refused when it stands twice.
4. The slot's padding and the swap trailer behind the records are no part of the image and are not read.
5. Every refusal is ``mcuboot.malformed``, or ``mcuboot.too_large`` over a limit.

Source: MCUboot 2.x, docs/design.md (image format) and boot/bootutil/include/bootutil/image.h; little-endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded

MAGIC = 0x96F3B83D
PROTECTED = 0x6908
UNPROTECTED = 0x6907
LARGEST = 64 * 1024 * 1024
"""Bytes of one file; flash of microcontrollers has a few MiB."""
MOST_RECORDS = 64
MOST_DEPENDENCIES = 8
_HEADER = struct.Struct("<IIHHIIBBHII")
_RECORD = struct.Struct("<HH")
_DEPENDENCY = struct.Struct("<B3xBBHI")
_COUNTER_BYTES = 4


class Flag(IntFlag):
    """Flags of the header that change what the image is."""

    ENCRYPTED_AES128 = 0x4
    ENCRYPTED_AES256 = 0x8
    NON_BOOTABLE = 0x10
    COMPRESSED_LZMA1 = 0x200
    COMPRESSED_LZMA2 = 0x400


class Record(IntEnum):
    """Types of records that are read."""

    KEY_HASH = 0x01
    PUBLIC_KEY = 0x02
    SHA256 = 0x10
    SHA384 = 0x11
    SHA512 = 0x12
    RSA2048 = 0x20
    ECDSA = 0x22
    RSA3072 = 0x23
    ED25519 = 0x24
    PURE = 0x25
    DEPENDENCY = 0x40
    SECURITY_COUNTER = 0x50
    BOOT_RECORD = 0x60


_PROTECTED_ONLY = frozenset({Record.DEPENDENCY, Record.SECURITY_COUNTER, Record.BOOT_RECORD})
_ONCE = frozenset({Record.SHA256, Record.SHA384, Record.SHA512, Record.SECURITY_COUNTER, Record.BOOT_RECORD})


class Version(msgspec.Struct, frozen=True, order=True):
    """major.minor.revision+build; greater is newer."""

    major: int
    minor: int
    revision: int
    build: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}" + (f"+{self.build}" if self.build else "")


class Dependency(msgspec.Struct, frozen=True):
    """Another image of the same device, by its number, and the least version of it."""

    image: int
    least: Version


class McubootImage(msgspec.Struct, frozen=True):
    """One image, unverified.

    `signed` is how many bytes from the start are hashed: header, firmware and protected records. `size` is where the
    records end. `records` are the unprotected ones in order, as pairs of type and value; unknown types stay numbers.
    """

    version: Version
    flags: int
    load_address: int
    payload: tuple[int, int]
    signed: int
    size: int
    security_counter: int | None
    boot_record: bytes
    dependencies: tuple[Dependency, ...]
    records: tuple[tuple[int, bytes], ...]


def parse_mcuboot(data: bytes) -> McubootImage:
    """The image at the start of `data`; padding and a swap trailer may follow it.

    Raises:
        HostileData: ``mcuboot.malformed``.
        LimitExceeded: ``mcuboot.too_large``.
    """
    if len(data) > LARGEST:
        raise LimitExceeded(
            "mcuboot.too_large",
            f"The MCUboot image has {len(data)} bytes; {LARGEST} are allowed.",
            remedy="Send the image that imgtool signed, without the rest of the flash.",
        )
    if len(data) < _HEADER.size:
        raise malformed("it ends within its header")
    magic, load, header, protected_size, payload, flags, *version, _ = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise malformed("it does not begin as one")
    if header < _HEADER.size:
        raise malformed(f"its header has {header} bytes")
    start = header + payload
    protected: tuple[tuple[int, bytes], ...] = ()
    if protected_size:
        protected, end = _area(data, start, PROTECTED)
        if end - start != protected_size:
            raise malformed("the header and the protected records differ in their size")
    records, size = _area(data, start + protected_size, UNPROTECTED)
    _well_placed(protected, records)
    return McubootImage(
        Version(*version),
        flags,
        load,
        (header, payload),
        start + protected_size,
        size,
        _counter(protected),
        next((value for kind, value in protected if kind == Record.BOOT_RECORD), b""),
        _dependencies(protected),
        records,
    )


def _area(data: bytes, start: int, magic: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    """The records of the area at `start`, and where it ends."""
    if start + _RECORD.size > len(data):
        raise malformed("it ends before its records")
    found, total = _RECORD.unpack_from(data, start)
    end = start + total
    if found != magic or total < _RECORD.size or end > len(data):
        raise malformed("its records do not begin where the header says, or end outside")
    records: list[tuple[int, bytes]] = []
    at = start + _RECORD.size
    while at < end:
        if len(records) == MOST_RECORDS:
            raise malformed(f"it has more than {MOST_RECORDS} records")
        if at + _RECORD.size > end:
            raise malformed("a record ends outside its area")
        kind, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + size > end:
            raise malformed("a record ends outside its area")
        records.append((kind, data[at : at + size]))
        at += size
    return tuple(records), end


def _well_placed(protected: tuple[tuple[int, bytes], ...], records: tuple[tuple[int, bytes], ...]) -> None:
    """Refuse what only the signed area may say, and what stands twice."""
    if any(kind in _PROTECTED_ONLY for kind, _ in records):
        raise malformed("a security counter, boot record or dependency stands outside the protected records")
    kinds = [kind for kind, _ in (*protected, *records) if kind in _ONCE]
    if len(kinds) != len(set(kinds)):
        raise malformed("a record that may stand once stands twice")


def _counter(protected: tuple[tuple[int, bytes], ...]) -> int | None:
    for kind, value in protected:
        if kind == Record.SECURITY_COUNTER:
            if len(value) != _COUNTER_BYTES:
                raise malformed("its security counter does not have four bytes")
            return int.from_bytes(value, "little")
    return None


def _dependencies(protected: tuple[tuple[int, bytes], ...]) -> tuple[Dependency, ...]:
    raw = [value for kind, value in protected if kind == Record.DEPENDENCY]
    if len(raw) > MOST_DEPENDENCIES or any(len(value) != _DEPENDENCY.size for value in raw):
        raise malformed(f"it has more than {MOST_DEPENDENCIES} dependencies, or one of another length")
    return tuple(_dependency(value) for value in raw)


def _dependency(value: bytes) -> Dependency:
    image, *version = _DEPENDENCY.unpack(value)
    return Dependency(image, Version(*version))


def malformed(why: str) -> HostileData:
    """The refusal of an image that cannot be read."""
    return HostileData(
        "mcuboot.malformed",
        f"The MCUboot image could not be read: {why}.",
        remedy="Send the image as imgtool signed it, in little-endian form.",
    )
