"""Squashfs 2.x and 3.x, in both byte orders and with the magics of vendors: what routers shipped for fifteen years.

1. The layout is that of version 4 with narrower fields, some of them bit fields, whose order follows the byte order.
2. Vendors packed it with LZMA in shapes of their own and said nothing of it: the first shape with which the root
   directory reads is taken; none fitting, the file system is named and not understood.

Sources: the layout in the kernel patches of squashfs 2.2 and 3.4 (structures only).
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

from holdfast_probe.images.codecs import Unpack, vendor_codecs
from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Source
from holdfast_probe.images.squashfs import (
    KINDS,
    LONG,
    MAX_BLOCK,
    MAX_DIRECTORY,
    METADATA,
    Blocks,
    Inode,
    Reader,
    Volume,
)
from holdfast_probe.images.squashfs4 import Volume4

ORDERS = {
    b"hsqs": "<", b"sqsh": ">", b"shsq": "<", b"qshs": ">", b"tqsh": ">", b"hsqt": "<", b"sqlz": ">", b"zlqs": "<",
}  # fmt: skip
"""The magics that were seen, and the byte order that goes with each; where it does not fit, the other is tried."""
_SAME_GROUP = 255
_CHECKED = 1 << 2
_KINDS_KNOWN = 9
_CHECKED_ENTRIES = 16
_SMALLEST_BLOCK = 4096
_BLOCK_SIZES = frozenset(1 << n for n in range(12, 21))


def plausible(source: Source) -> bool:
    """Whether what follows the magic could be a superblock: drivers have the magic in them, too."""
    head = source.read_at(0, 96)
    if len(head) < 96:  # noqa: PLR2004  (the shortest that is read whole)
        return False
    for order in "<>":
        major = struct.unpack(order + "H", head[28:30])[0]
        at = {2: 51, 3: 51, 4: 12}.get(major)
        if at is not None and struct.unpack(order + "I", head[at : at + 4])[0] in _BLOCK_SIZES:
            return True
    return False


def opened(source: Source) -> Volume4 | OldVolume:
    """The squashfs at the beginning of `source`, of any version and packing. Raises `Damaged`."""
    magic = source.whole(0, 4)
    order = ORDERS.get(magic, "<")
    for each in (order, "><"[order == ">"]):
        major = struct.unpack(each + "H", source.whole(28, 2))[0]
        if major == 4 and each == "<":  # noqa: PLR2004  (the version)
            return _newer(source)
        if major in (2, 3):
            return _older(source, each, major)
    raise Damaged("It is a squashfs of a version that is not known")


def _newer(source: Source) -> Volume4:
    try:
        volume = Volume4(source)
        _check(volume)
    except Damaged as error:
        # What the superblock says may be a vendor's lie; what does not read with any codec is damaged as it said.
        for codec in vendor_codecs():
            try:
                volume = Volume4(source, codec)
                _check(volume)
            except Damaged:
                continue
            volume.packing = "a vendor's LZMA"
            return volume
        raise error from None
    return volume


def _older(source: Source, order: str, major: int) -> OldVolume:
    for codec in vendor_codecs():
        try:
            volume = OldVolume(source, order, major, codec)
            _check(volume)
        except Damaged:
            continue
        return volume
    raise Damaged("It is a squashfs whose packing is not known")


def _check(volume: Volume4 | OldVolume) -> None:
    """Read the root directory and what is in it: a wrong packing gives nonsense. Raises `Damaged`."""
    for _, reference in volume.entries(volume.inode(volume.root))[:_CHECKED_ENTRIES]:
        volume.inode(reference)


class OldVolume(Volume):
    """Version 2 or 3."""

    def __init__(self, source: Source, order: str, major: int, codec: Unpack) -> None:
        self.order = order
        self._major = major
        head = source.whole(0, 63 if major == 2 else 119)  # noqa: PLR2004  (the version)
        number = struct.Struct(order + "I")
        self._number = number
        # As version 2 has them; version 3 has the same places, and wider ones at its end that count.
        size, users, groups, inodes, directories = struct.unpack(order + "5I", head[8:28])
        flags, user_count, group_count = head[36:39]
        (self.made,) = number.unpack(head[39:43])
        (self.root,) = struct.unpack(order + "Q", head[43:51])
        block_size, self._fragments, fragments = struct.unpack(order + "3I", head[51:63])
        if major == 3:  # noqa: PLR2004  (the version)
            size, users, groups, inodes, directories, fragments = struct.unpack(order + "6Q", head[63:111])
        if not _SMALLEST_BLOCK <= block_size <= MAX_BLOCK or block_size & (block_size - 1):
            raise Damaged("Its superblock makes no sense")
        self.size, self._inodes, self._directories, self._fragment_table = size, inodes, directories, fragments
        super().__init__(Blocks(source, codec, order=order, checked=bool(flags & _CHECKED)), block_size)
        self._users = struct.unpack(f"{order}{user_count}I", source.whole(users, 4 * user_count))
        self._groups = struct.unpack(f"{order}{group_count}I", source.whole(groups, 4 * group_count))

    def fragment(self, number: int) -> tuple[int, int]:
        """See `Volume`."""
        if number >= self._fragments:
            raise Damaged("It names a fragment that is not there")
        pointer, entry = (4, "II") if self._major == 2 else (8, "QI")  # noqa: PLR2004  (the version)
        width = 8 if self._major == 2 else 16  # noqa: PLR2004  (the version)
        block, place = divmod(number, METADATA // width)
        raw = self.blocks.source.whole(self._fragment_table + pointer * block, pointer)
        data = self.blocks.metadata(self._from(raw))[0]
        layout = struct.Struct(self.order + entry)
        found = data[width * place : width * place + layout.size]
        if len(found) != layout.size:
            raise Damaged("Its table of fragments is too short")
        start, word = layout.unpack(found)
        return start, word

    def _from(self, raw: bytes) -> int:
        return int.from_bytes(raw, "little" if self.order == "<" else "big")

    def _fields(self, raw: bytes, *widths: int) -> Iterator[int]:
        """Bit fields: from the low end in little endian, from the high end in big endian."""
        value, left = self._from(raw), 8 * len(raw)
        for width in widths:
            left -= width
            if self.order == "<":
                yield value & ((1 << width) - 1)
                value >>= width
            else:
                yield (value >> left) & ((1 << width) - 1)

    def inode(self, reference: int) -> Inode:
        """See `Volume`."""
        reader = self.blocks.reader(self._inodes + (reference >> 16), reference & 0xFFFF)
        raw = reader.take(4)
        kind, mode = self._fields(raw[:2], 4, 12)
        if not 1 <= kind <= _KINDS_KNOWN:
            raise Damaged("An inode is of no known kind")
        inode = Inode(kind, mode, *self._owner(raw[2], raw[3]))
        if self._major == 3:  # noqa: PLR2004  (the version)
            inode.mtime, _ = self._take(reader, "II")
        fill = {stat.S_IFDIR: self._directory, stat.S_IFREG: self._file, stat.S_IFLNK: self._link}.get(KINDS[kind])
        if fill is not None:
            fill(inode, reader)
        elif self._major == 3:  # noqa: PLR2004  (the version)
            (inode.links,) = self._take(reader, "I")
        return inode

    def _owner(self, user: int, group: int) -> tuple[int, int]:
        if user >= len(self._users) or (group != _SAME_GROUP and group >= len(self._groups)):
            raise Damaged("An inode has an owner that is not in the table")
        uid = self._users[user]
        return uid, uid if group == _SAME_GROUP else self._groups[group]

    def _take(self, reader: Reader, layout: str) -> tuple[int, ...]:
        return reader.unpack(struct.Struct(self.order + layout))

    def _directory(self, inode: Inode, reader: Reader) -> None:
        long = inode.kind > LONG
        newer = self._major == 3  # noqa: PLR2004  (the version)
        if newer:
            (inode.links,) = self._take(reader, "I")
        inode.size, inode.offset = self._fields(reader.take(5 if long else 4), 27 if long else 19, 13)
        if newer:
            (inode.start,) = self._take(reader, "I")
        else:
            (inode.mtime,) = self._take(reader, "I")
            inode.start = self._from(reader.take(3))

    def _file(self, inode: Inode, reader: Reader) -> None:
        if self._major == 2:  # noqa: PLR2004  (the version)
            inode.mtime, inode.start, inode.fragment, inode.offset, inode.size = self._take(reader, "5I")
        elif inode.kind > LONG:
            inode.links, inode.start, inode.fragment, inode.offset, inode.size = self._take(reader, "IQIIQ")
        else:
            inode.start, inode.fragment, inode.offset, inode.size = self._take(reader, "QIII")
        inode.blocks = reader.place

    def _link(self, inode: Inode, reader: Reader) -> None:
        if self._major == 3:  # noqa: PLR2004  (the version)
            (inode.links,) = self._take(reader, "I")
        (size,) = self._take(reader, "H")
        if size > 4096:  # noqa: PLR2004  (PATH_MAX)
            raise Damaged("A link is too long")
        inode.link = reader.take(size)

    def entries(self, inode: Inode) -> list[tuple[bytes, int]]:
        """See `Volume`."""
        newer = self._major == 3  # noqa: PLR2004  (the version)
        left = inode.size - 3 * newer
        if left > MAX_DIRECTORY:
            raise Damaged("A directory is too large")
        reader = self.blocks.reader(self._directories + inode.start, inode.offset)
        found: list[tuple[bytes, int]] = []
        while left > 0:
            count = reader.take(1)[0]
            start = self._from(reader.take(4 if newer else 3))
            if newer:
                reader.take(4)
            left -= 9 if newer else 4
            for _ in range(count + 1):
                raw = reader.take(5 if newer else 3)
                offset, _ = self._fields(raw[:2], 13, 3)
                found.append((reader.take(raw[2] + 1), start << 16 | offset))
                left -= len(raw) + raw[2] + 1
        if left:
            raise Damaged("A directory ends too early")
        return found
