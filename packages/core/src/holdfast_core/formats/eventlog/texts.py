"""Texts and tags in events: actions, versions, what GRUB and systemd write of commands and command lines.

1. Whether a text is UTF-16 or UTF-8 is told by its first character; bytes that are neither stay bytes.
2. GRUB writes what it measured behind a word that says what it is ("grub_cmd: ", "kernel_cmdline: "); the digest is of
   what stands behind the word, without the NUL that ends it.
3. EV_EVENT_TAG holds a number and data. systemd and the kernel's EFI stub write the description of what they measured
   there and not the thing itself.

Source: PFP 1.06, section 10.4.2; GRUB manual, "Measured Boot"; systemd TPM2 PCR measurements; Linux EFI stub.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from holdfast_core.formats.eventlog.reader import Reader, odd

GRUB_WORDS = ("grub_cmd: ", "grub_cmd ", "kernel_cmdline: ", "grub_kernel_cmdline ", "module_cmdline: ")
"""The words of GRUB 2.06 and later, and those of the patches that distributions carried before."""
_SIGN = 2
TAGS: Mapping[int, str] = MappingProxyType(
    {
        0x8F3B22EC: "initrd (Linux)",
        0x8F3B22ED: "load options (Linux)",
        0xF5BC582A: "loader.conf (systemd-boot)",
        0x6C46F751: "devicetree add-on (systemd-stub)",
        0x49DFFE0F: "initrd add-on (systemd-stub)",
        0xDAC08E1A: "microcode add-on (systemd-stub)",
        0x40010001: "trust boundary (Windows)",
        0x40010002: "early launch drivers (Windows)",
        0x40010003: "loaded modules (Windows)",
        0xC0010004: "trust point (Windows)",
    }
)
"""What the numbers of tagged events stand for, as far as it is published."""


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A text. `word` is what GRUB says it is, ``kernel_cmdline`` for one."""

    text: str
    word: str = ""


class Tagged(msgspec.Struct, frozen=True, tag="tagged"):
    """A TCG_PCClientTaggedEvent. `text` is its data where that is text."""

    number: int
    name: str
    data: bytes
    text: str = ""


class Opaque(msgspec.Struct, frozen=True, tag="opaque"):
    """Bytes that have no structure, or none that is published."""

    size: int


def parse_text(data: bytes) -> Text | Opaque:
    """The text that `data` is, its ending NULs left out."""
    told = plain_text(data)
    if told is None:
        return Opaque(len(data))
    for word in GRUB_WORDS:
        if told.startswith(word):
            return Text(told[len(word) :], word.rstrip(": "))
    return Text(told)


def plain_text(data: bytes) -> str | None:
    """`data` as text, None where it is none."""
    wide = len(data) >= _SIGN and len(data) % _SIGN == 0 and data[0] != 0 and data[1] == 0
    try:
        told = data.decode("utf-16-le" if wide else "utf-8").rstrip("\0")
    except UnicodeDecodeError:
        return None
    shown = told.replace("\n", "").replace("\t", "").replace("\r", "")
    return told if shown.isprintable() else None


def parse_tagged(data: bytes) -> Tagged:
    """The first tagged event in `data`. Raises HostileData ``eventlog.content``."""
    reader = Reader(data)
    number, size = reader.number(4), reader.number(4)
    if size > reader.left:
        raise odd(f"it has {reader.left} bytes and states {size}")
    inner = reader.take(size)
    return Tagged(number, TAGS.get(number, ""), inner, plain_text(inner) or "")
