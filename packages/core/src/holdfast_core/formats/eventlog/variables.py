"""UEFI variables that were measured (UEFI_VARIABLE_DATA), and what the ones of the boot say.

1. A variable is its GUID and its name; only the pairs named here are read further. The rest stays bytes.
2. Data beyond the lengths it states is counted (`trailing`): an old shim measured some with its certificates.

Source: PFP 1.06, sections 10.2.6 and 10.4.4; UEFI Specification 2.10, sections 3.1.3 and 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.formats.eventlog.paths import DevicePath, parse_device_path
from holdfast_core.formats.eventlog.reader import Reader, Unread, odd, utf16
from holdfast_core.formats.eventlog.signatures import Signature, parse_authority, parse_signature_lists
from holdfast_core.kernel.errors import HostileData

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""EFI_GLOBAL_VARIABLE."""
SECURITY_DATABASE = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
"""EFI_IMAGE_SECURITY_DATABASE_GUID."""
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
"""SHIM_LOCK_GUID."""
LONGEST_NAME = 1024
"""Characters."""
_BOOT_OPTION = re.compile(r"Boot[0-9A-Fa-f]{4}")
_ACTIVE = 1
"""LOAD_OPTION_ACTIVE."""
_U16 = 2


class Switch(msgspec.Struct, frozen=True, tag="switch"):
    """A variable of one byte: on or off. One without data does not exist on that machine, which is off."""

    on: bool


class Signatures(msgspec.Struct, frozen=True, tag="signatures"):
    """A signature database."""

    entries: tuple[Signature, ...]


class Authority(msgspec.Struct, frozen=True, tag="authority"):
    """The entry of a database by which an image was allowed to run."""

    entry: Signature


class BootOrder(msgspec.Struct, frozen=True, tag="boot_order"):
    """The boot options in the order they are tried."""

    options: tuple[int, ...]


class BootOption(msgspec.Struct, frozen=True, tag="boot_option"):
    """An EFI_LOAD_OPTION."""

    active: bool
    description: str
    path: DevicePath
    arguments: bytes


class Words(msgspec.Struct, frozen=True, tag="words"):
    """A variable that is text."""

    text: str


Reading = Switch | Signatures | Authority | BootOrder | BootOption | Words


class Variable(msgspec.Struct, frozen=True, tag="variable"):
    """A measured variable. `reading` is what it says, None where that is not known; `trailing` bytes follow it."""

    guid: str
    name: str
    data: bytes
    reading: Reading | Unread | None = None
    trailing: int = 0


def parse_variable(data: bytes, *, authority: bool) -> Variable:
    """The UEFI_VARIABLE_DATA that `data` begins with.

    Args:
        data: an event's data.
        authority: whether the event is an EV_EFI_VARIABLE_AUTHORITY, which holds one entry of a database.

    Raises:
        HostileData: ``eventlog.content`` when it is no variable. A value that is odd is left unread.
    """
    reader = Reader(data)
    guid, signs, size = reader.guid(), reader.number(8), reader.number(8)
    if signs > LONGEST_NAME:
        raise odd(f"its name has {signs} characters")
    name = utf16(reader.take(signs * 2)).rstrip("\0")
    value = reader.take(size)
    return Variable(guid, name, value, _reading(guid, name, value, authority=authority), reader.left)


def _reading(guid: str, name: str, value: bytes, *, authority: bool) -> Reading | Unread | None:
    read = _READINGS.get((guid, name))
    if authority and read in (None, _signatures):
        read = _authority
    if read is None and guid == GLOBAL and _BOOT_OPTION.fullmatch(name):
        read = _boot_option
    if read is None:
        return None
    try:
        return read(value)
    except HostileData as error:
        return Unread(error.sentence)


def _switch(value: bytes) -> Switch:
    if len(value) > 1:
        raise odd(f"a switch has {len(value)} bytes")
    return Switch(value not in (b"", b"\0"))


def _signatures(value: bytes) -> Signatures:
    return Signatures(parse_signature_lists(value))


def _authority(value: bytes) -> Authority:
    return Authority(parse_authority(value))


def _boot_order(value: bytes) -> BootOrder:
    if len(value) % _U16:
        raise odd("half a boot option is left over")
    reader = Reader(value)
    return BootOrder(tuple(reader.number(_U16) for _ in range(len(value) // _U16)))


def _boot_option(value: bytes) -> BootOption:
    reader = Reader(value)
    attributes, size = reader.number(4), reader.number(2)
    description = reader.wide()
    path = parse_device_path(reader.take(size))
    return BootOption(bool(attributes & _ACTIVE), description, path, reader.rest())


def _words(value: bytes) -> Words:
    return Words(value.rstrip(b"\0").decode("utf-8", "replace"))


_READINGS: Mapping[tuple[str, str], Callable[[bytes], Reading]] = MappingProxyType(
    {
        **{(GLOBAL, name): _switch for name in ("SecureBoot", "SetupMode", "AuditMode", "DeployedMode")},
        (GLOBAL, "PK"): _signatures,
        (GLOBAL, "KEK"): _signatures,
        (GLOBAL, "BootOrder"): _boot_order,
        **{(SECURITY_DATABASE, name): _signatures for name in ("db", "dbx", "dbt", "dbr")},
        **{(SHIM, name): _switch for name in ("MokListTrusted", "MokSBState", "MokDBState", "MokIgnoreDB")},
        **{(SHIM, name): _words for name in ("SbatLevel", "MokPolicy")},
        **{(SHIM, name): _signatures for name in ("MokList", "MokListX")},
    }
)
