"""What firmware measures beside variables: its own volumes, handed-over tables, loaded images, the partition table.

Source: PFP 1.06, sections 10.2.3 to 10.2.8; UEFI Specification 2.10, sections 5.3 and 7.4.
"""

from __future__ import annotations

import msgspec

from holdfast_core.formats.eventlog.paths import DevicePath, parse_device_path
from holdfast_core.formats.eventlog.reader import Reader, odd, utf16
from holdfast_core.kernel.errors import HostileData

MOST_TABLES = 256
MOST_PARTITIONS = 1024
_GPT_SIGNATURE = b"EFI PART"
_GPT_HEADER = 92
_GPT_ENTRY = 128
_WORDS = (8, 4)
"""Bytes of a UINTN in firmware of 64 and of 32 bits."""


class Blob(msgspec.Struct, frozen=True, tag="blob"):
    """A range of memory that was measured: where, how long, and what it is called where that is said."""

    address: int
    size: int
    description: str = ""


class Table(msgspec.Struct, frozen=True):
    """An EFI_CONFIGURATION_TABLE: its GUID and address."""

    guid: str
    address: int


class Tables(msgspec.Struct, frozen=True, tag="tables"):
    """Tables that the firmware hands over (SMBIOS, ACPI)."""

    tables: tuple[Table, ...]
    description: str = ""


class Image(msgspec.Struct, frozen=True, tag="image"):
    """An image that was loaded: an application, a driver, an option ROM. The digest is the image's (Authenticode)."""

    address: int
    size: int
    path: DevicePath


class Partition(msgspec.Struct, frozen=True):
    """One entry of the partition table; `first` and `last` are logical blocks."""

    type: str
    unique: str
    first: int
    last: int
    attributes: int
    name: str


class PartitionTable(msgspec.Struct, frozen=True, tag="partition_table"):
    """The GUID partition table that was booted from."""

    disk: str
    partitions: tuple[Partition, ...]


def parse_blob(data: bytes) -> Blob:
    """A UEFI_PLATFORM_FIRMWARE_BLOB. Raises HostileData ``eventlog.content``."""
    reader = Reader(data)
    blob = Blob(reader.number(8), reader.number(8))
    _end(reader)
    return blob


def parse_blob2(data: bytes) -> Blob:
    """A UEFI_PLATFORM_FIRMWARE_BLOB2, which has a description. Raises HostileData ``eventlog.content``."""
    reader = Reader(data)
    description = _description(reader)
    blob = Blob(reader.number(8), reader.number(8), description)
    _end(reader)
    return blob


def parse_tables(data: bytes) -> Tables:
    """A UEFI_HANDOFF_TABLE_POINTERS. Raises HostileData ``eventlog.content``."""
    return _tables(Reader(data), "")


def parse_tables2(data: bytes) -> Tables:
    """A UEFI_HANDOFF_TABLE_POINTERS2, which has a description. Raises HostileData ``eventlog.content``."""
    reader = Reader(data)
    return _tables(reader, _description(reader))


def parse_image(data: bytes) -> Image:
    """A UEFI_IMAGE_LOAD_EVENT, of firmware of 64 or 32 bits.

    Raises:
        HostileData: ``eventlog.content``.
    """
    for word in _WORDS:
        reader = Reader(data)
        try:
            place, size, _linked, length = (
                reader.number(8),
                reader.number(word),
                reader.number(word),
                reader.number(word),
            )
            path = reader.take(length)
        except HostileData:
            continue
        if word == _WORDS[0] or not reader.left:
            return Image(place, size, parse_device_path(path))
    raise odd("it describes no loaded image")


def parse_partitions(data: bytes) -> PartitionTable:
    """A UEFI_GPT_DATA: the table's header and its entries in use.

    Raises:
        HostileData: ``eventlog.content``.
    """
    reader = Reader(data)
    header = Reader(reader.take(_GPT_HEADER))
    if header.take(len(_GPT_SIGNATURE)) != _GPT_SIGNATURE:
        raise odd("it is no partition table")
    header.take(48)  # revision, sizes, checksums, and where on the disk it lies
    disk = header.guid()
    header.take(8 + 4)  # where the entries lie, and how many there are in all
    entry, count = header.number(4), reader.number(8)
    if entry < _GPT_ENTRY or count > MOST_PARTITIONS:
        raise odd(f"it has {count} partitions of {entry} bytes")
    return PartitionTable(disk, tuple(_partition(reader.take(entry)) for _ in range(count)))


def _partition(data: bytes) -> Partition:
    reader = Reader(data)
    kind, unique = reader.guid(), reader.guid()
    first, last, attributes = reader.number(8), reader.number(8), reader.number(8)
    return Partition(kind, unique, first, last, attributes, utf16(reader.take(72)).split("\0", 1)[0])


def _description(reader: Reader) -> str:
    return reader.take(reader.number(1)).rstrip(b"\0").decode("utf-8", "replace")


def _tables(reader: Reader, description: str) -> Tables:
    count = reader.number(8)
    if count > MOST_TABLES:
        raise odd(f"it has {count} tables")
    tables = tuple(Table(reader.guid(), reader.number(8)) for _ in range(count))
    return Tables(tables, description)


def _end(reader: Reader) -> None:
    if reader.left:
        raise odd(f"{reader.left} bytes are left over")
