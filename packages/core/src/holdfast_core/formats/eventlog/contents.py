"""What the data of an event says, in values.

1. `content_of` never raises: data that cannot be read is an `Unread` with the reason, and the event stands with its
   digest. Firmware writes odd data, and one odd event must not hide the others.
2. A content is the firmware's word. Whether the event's digest is of it is `preimage.digest_matches`; nothing is
   decided on a content whose digest is of something else.

Source: PFP 1.06, section 10.4, table 27.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.firmware import (
    Blob,
    Image,
    PartitionTable,
    Tables,
    parse_blob,
    parse_blob2,
    parse_image,
    parse_partitions,
    parse_tables,
    parse_tables2,
)
from holdfast_core.formats.eventlog.log import AGILE, Event
from holdfast_core.formats.eventlog.reader import GUID_BYTES, Reader, Unread, guid_text, odd
from holdfast_core.formats.eventlog.replay import STARTUP_LOCALITY
from holdfast_core.formats.eventlog.texts import Opaque, Tagged, Text, parse_tagged, parse_text, plain_text
from holdfast_core.formats.eventlog.variables import Variable, parse_variable
from holdfast_core.kernel.errors import HostileData

NORMAL_SEPARATORS = frozenset({b"\0\0\0\0", b"\xff\xff\xff\xff"})
ERROR_SEPARATOR = b"\x01\0\0\0"
_SPEC_ID = b"Spec ID Event"
_SIGNATURE = 16
_BLOB_BYTES = 16


class Separator(msgspec.Struct, frozen=True, tag="separator"):
    """The line between the firmware and what it starts; `normal` unless the firmware failed before it."""

    normal: bool


class Specification(msgspec.Struct, frozen=True, tag="specification"):
    """What a log's header says of itself: its signature, the platform's class, the specification's version."""

    signature: str
    platform: int
    version: str


class StartupLocality(msgspec.Struct, frozen=True, tag="startup_locality"):
    """The locality that the TPM was started from."""

    locality: int


Content = (
    Blob
    | Image
    | Opaque
    | PartitionTable
    | Separator
    | Specification
    | StartupLocality
    | Tables
    | Tagged
    | Text
    | Unread
    | Variable
)


def content_of(event: Event) -> Content:
    """What the data of `event` says."""
    if not event.data:
        return Text("")
    try:
        return _READERS.get(event.kind, parse_text)(event.data)
    except HostileData as error:
        return Unread(error.sentence)


def _separator(data: bytes) -> Separator:
    if len(data) != len(ERROR_SEPARATOR):
        raise odd(f"a separator has {len(data)} bytes")
    return Separator(data in NORMAL_SEPARATORS)


def _no_action(data: bytes) -> Specification | StartupLocality | Text | Opaque:
    if data.startswith(STARTUP_LOCALITY) and len(data) == len(STARTUP_LOCALITY) + 1:
        return StartupLocality(data[-1])
    if not data.startswith(_SPEC_ID):
        return parse_text(data)
    reader = Reader(data)
    signature = reader.take(_SIGNATURE)
    platform, minor, major, errata = reader.number(4), reader.number(1), reader.number(1), reader.number(1)
    # The crypto-agile header has kept its signature while the last field turned from errata into a revision.
    version = f"{major}.{minor}" + (f" revision {errata}" if signature == AGILE and errata else f".{errata}")
    return Specification(signature.rstrip(b"\0").decode("ascii", "replace"), platform, version)


def _version(data: bytes) -> Text | Opaque:
    return Text(guid_text(data)) if plain_text(data) is None and len(data) == GUID_BYTES else parse_text(data)


def _blob_or_text(data: bytes) -> Blob | Text | Opaque:
    if plain_text(data) is None and len(data) == _BLOB_BYTES:
        return parse_blob(data)
    return parse_text(data)


def _blob2_or_text(data: bytes) -> Blob | Text | Opaque:
    try:
        return parse_blob2(data)
    except HostileData:
        return _blob_or_text(data)


_READERS: Mapping[int, Callable[[bytes], Content]] = MappingProxyType(
    {
        kinds.NO_ACTION: _no_action,
        kinds.SEPARATOR: _separator,
        kinds.EVENT_TAG: parse_tagged,
        kinds.POST_CODE: _blob_or_text,
        kinds.POST_CODE2: _blob2_or_text,
        kinds.S_CRTM_VERSION: _version,
        kinds.S_CRTM_CONTENTS: _blob2_or_text,
        kinds.EFI_PLATFORM_FIRMWARE_BLOB: parse_blob,
        kinds.EFI_PLATFORM_FIRMWARE_BLOB2: parse_blob2,
        kinds.EFI_HANDOFF_TABLES: parse_tables,
        kinds.EFI_HANDOFF_TABLES2: parse_tables2,
        kinds.EFI_BOOT_SERVICES_APPLICATION: parse_image,
        kinds.EFI_BOOT_SERVICES_DRIVER: parse_image,
        kinds.EFI_RUNTIME_SERVICES_DRIVER: parse_image,
        kinds.EFI_GPT_EVENT: parse_partitions,
        kinds.EFI_GPT_EVENT2: parse_partitions,
        kinds.EFI_VARIABLE_DRIVER_CONFIG: lambda data: parse_variable(data, authority=False),
        kinds.EFI_VARIABLE_BOOT: lambda data: parse_variable(data, authority=False),
        kinds.EFI_VARIABLE_BOOT2: lambda data: parse_variable(data, authority=False),
        kinds.EFI_VARIABLE_AUTHORITY: lambda data: parse_variable(data, authority=True),
    }
)
"""Every other kind is read as text: EV_IPL, EV_EFI_ACTION, EV_CPU_MICROCODE, EV_COMPACT_HASH, EV_NONHOST_*, ..."""
