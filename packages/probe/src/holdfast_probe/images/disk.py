"""Partition tables: MBR with its chain of logical partitions, and GPT.

1. A table counts only if its partitions lie inside the image; the chain of an extended partition is bounded.

Source: the UEFI specification, chapter 5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Source

_SECTOR = 512
_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_MOST = 128


class Partition(msgspec.Struct, frozen=True):
    """One partition."""

    number: int
    start: int
    size: int
    uuid: str
    """As ``PARTUUID=`` names it."""


def partitions(source: Source) -> tuple[Partition, ...]:
    """The partitions of a disk image; none when there is no table that makes sense."""
    head = source.read_at(0, _SECTOR)
    if len(head) != _SECTOR or head[510:] != b"\x55\xaa":
        return ()
    try:
        primary = list(_mbr(head))
        if any(kind == _PROTECTIVE for kind, _, _ in primary):
            return tuple(_gpt(source))
        found = _numbered(source, head, primary)
    except Damaged:
        return ()
    # A boot sector of FAT ends in the same two bytes, with text or code where the table would be.
    sane = all(0 < p.start < source.size and p.size for p in found) and all(head[i] in (0, 0x80) for i in _FLAGS)
    return tuple(found) if sane else ()


_FLAGS = (446, 462, 478, 494)


def _mbr(sector: bytes) -> Iterator[tuple[int, int, int]]:
    for at in _FLAGS:
        start, size = struct.unpack("<2I", sector[at + 8 : at + 16])
        yield sector[at + 4], start, size


def _numbered(source: Source, head: bytes, primary: list[tuple[int, int, int]]) -> list[Partition]:
    disk = head[440:444][::-1].hex()
    found = []
    for number, (kind, start, size) in enumerate(primary, 1):
        if kind in _EXTENDED:
            found += _logical(source, start, disk)
        elif kind:
            found.append(_partition(number, start, size, disk))
    return found


def _partition(number: int, start: int, size: int, disk: str) -> Partition:
    return Partition(number, start * _SECTOR, size * _SECTOR, f"{disk}-{number:02x}")


def _logical(source: Source, extended: int, disk: str) -> list[Partition]:
    found: list[Partition] = []
    at = extended
    while len(found) < _MOST:
        sector = source.whole(at * _SECTOR, _SECTOR)
        (kind, start, size), (_, following, _), *_ = _mbr(sector)
        if sector[510:] != b"\x55\xaa" or not kind:
            break
        found.append(_partition(5 + len(found), at + start, size, disk))
        if not following:
            break
        at = extended + following
    return found


def _gpt(source: Source) -> Iterator[Partition]:
    for sector in (_SECTOR, 4096):
        head = source.read_at(sector, 92)
        if head[:8] == b"EFI PART" and len(head) == 92:  # noqa: PLR2004  (the header)
            break
    else:
        return
    at, count, width = struct.unpack("<Q2I", head[72:88])
    if width < 128 or width > 4096:  # noqa: PLR2004  (the format; a block)
        return
    for number in range(1, min(count, _MOST) + 1):
        entry = source.read_at(at * sector + (number - 1) * width, 128)
        if len(entry) == 128 and any(entry[:16]):  # noqa: PLR2004  (an entry)
            first, last = struct.unpack("<2Q", entry[32:48])
            if first <= last < 1 << 50:
                yield Partition(number, first * sector, (last - first + 1) * sector, _guid(entry[16:32]))


def _guid(raw: bytes) -> str:
    first, second, third = struct.unpack("<I2H", raw[:8])
    return f"{first:08x}-{second:04x}-{third:04x}-{raw[8:10].hex()}-{raw[10:].hex()}"
