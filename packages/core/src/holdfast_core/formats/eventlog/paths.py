r"""UEFI device paths, in words: ``PciRoot(0x0)/Pci(0x1,0x1)/HD(1,GPT,...)/\EFI\BOOT\BOOTX64.EFI``.

1. A node that has no words here is shown by its numbers and bytes; none is left out.

Source: UEFI Specification 2.10, sections 10.3 and 10.6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.formats.eventlog.reader import Reader, guid_text, odd, utf16

MOST_NODES = 256
_END = 0x7F
_END_ALL = 0xFF
_FILE = (4, 4)
_PCI_ROOTS = frozenset({0x0A0341D0, 0x0A0841D0})
"""PNP0A03 and PNP0A08 as compressed EISA identifiers."""
_GPT = 2


class DevicePath(msgspec.Struct, frozen=True):
    """A path: all of it in words, the files it names, and its bytes."""

    text: str
    file: str
    data: bytes


def parse_device_path(data: bytes) -> DevicePath:
    """The path that `data` is.

    Raises:
        HostileData: ``eventlog.content``.
    """
    reader = Reader(data)
    words: list[str] = []
    files: list[str] = []
    while reader.left:
        kind, sub, size = reader.number(1), reader.number(1), reader.number(2)
        if size < _HEAD or len(words) == MOST_NODES:
            raise odd("its device path has no end")
        body = reader.take(size - _HEAD)
        if kind == _END:
            if sub == _END_ALL:
                break
            words.append(",")
            continue
        words.append(_node(kind, sub, body))
        if (kind, sub) == _FILE:
            files.append(words[-1])
    return DevicePath("/".join(words).replace("/,/", ","), "".join(files), data)


_HEAD = 4


def _node(kind: int, sub: int, body: bytes) -> str:
    say = _NODES.get((kind, sub))
    told = say(Reader(body)) if say else ""
    return told or f"Path({kind},{sub},{body.hex()})"


def _pci(node: Reader) -> str:
    function, device = node.number(1), node.number(1)
    return f"Pci({device:#x},{function:#x})"


def _acpi(node: Reader) -> str:
    name, number = node.number(4), node.number(4)
    return f"PciRoot({number:#x})" if name in _PCI_ROOTS else f"Acpi({name:#010x},{number:#x})"


def _usb(node: Reader) -> str:
    return f"USB({node.number(1):#x},{node.number(1):#x})"


def _sata(node: Reader) -> str:
    return f"Sata({node.number(2):#x},{node.number(2):#x},{node.number(2):#x})"


def _scsi(node: Reader) -> str:
    return f"Scsi({node.number(2):#x},{node.number(2):#x})"


def _nvme(node: Reader) -> str:
    return f"NVMe({node.number(4):#x},{node.take(8)[::-1].hex('-')})"


def _mac(node: Reader) -> str:
    address, kind = node.take(32), node.number(1)
    return f"MAC({address[:6].hex() if kind <= 1 else address.hex()},{kind:#x})"


def _uri(node: Reader) -> str:
    return f"Uri({node.rest().decode('utf-8', 'replace')})"


def _disk(node: Reader) -> str:
    number, start, size = node.number(4), node.number(8), node.number(8)
    signature, _, kind = node.take(16), node.number(1), node.number(1)
    named = f"GPT,{guid_text(signature)}" if kind == _GPT else f"MBR,{signature[3::-1].hex()}"
    return f"HD({number},{named},{start:#x},{size:#x})"


def _cdrom(node: Reader) -> str:
    return f"CDROM({node.number(4):#x})"


def _file(node: Reader) -> str:
    return utf16(node.rest()).split("\0", 1)[0]


def _range(node: Reader) -> str:
    node.take(4)
    return f"Offset({node.number(8):#x},{node.number(8):#x})"


_NODES: Mapping[tuple[int, int], Callable[[Reader], str]] = MappingProxyType(
    {
        (1, 1): _pci,
        (1, 4): lambda node: f"VenHw({node.guid()})",
        (2, 1): _acpi,
        (3, 2): _scsi,
        (3, 5): _usb,
        (3, 10): lambda node: f"VenMsg({node.guid()})",
        (3, 11): _mac,
        (3, 12): lambda _: "IPv4",
        (3, 13): lambda _: "IPv6",
        (3, 18): _sata,
        (3, 23): _nvme,
        (3, 24): _uri,
        (4, 1): _disk,
        (4, 2): _cdrom,
        (4, 3): lambda node: f"VenMedia({node.guid()})",
        _FILE: _file,
        (4, 6): lambda node: f"FvFile({node.guid()})",
        (4, 7): lambda node: f"Fv({node.guid()})",
        (4, 8): _range,
    }
)
