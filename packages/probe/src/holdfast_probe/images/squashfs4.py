"""Squashfs 4.0: the superblock, its tables, inodes and directories."""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Mapping

from holdfast_probe.images.codecs import Unpack, unlz4, unlzma, unlzo, unxz, unzlib, unzstd
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

_SUPERBLOCK = struct.Struct("<5I6H8Q")
_CODECS: Mapping[int, tuple[Unpack, str]] = {
    1: (unzlib, "gzip"), 2: (unlzma, "LZMA"), 3: (unlzo, "LZO"),
    4: (unxz, "xz"), 5: (unlz4, "LZ4"), 6: (unzstd, "zstd"),
}  # fmt: skip
_BASE = struct.Struct("<4H2I")
_DIRECTORY = struct.Struct("<2I2HI")
_LONG_DIRECTORY = struct.Struct("<4I2HI")
_FILE = struct.Struct("<4I")
_LONG_FILE = struct.Struct("<3Q4I")
_PAIR = struct.Struct("<2I")
_NUMBER = struct.Struct("<I")
_HEADER = struct.Struct("<3I")
_ENTRY = struct.Struct("<HhHH")


class Volume4(Volume):
    """Version 4.0."""

    def __init__(self, source: Source, codec: Unpack | None = None) -> None:
        numbers = _SUPERBLOCK.unpack(source.whole(0, _SUPERBLOCK.size))
        _, _, self.made, block_size, self._fragments = numbers[:5]
        compression, log, _, self._ids, major, _ = numbers[5:11]
        self.root, self.size, ids, _, self._inodes, self._directories, fragments, _ = numbers[11:]
        if major != 4 or block_size > MAX_BLOCK or block_size != 1 << log or block_size < 4096:  # noqa: PLR2004  (the format)
            raise Damaged("Its superblock makes no sense")
        if compression not in _CODECS:
            raise Damaged(f"It is packed in a way that is not known ({compression})")
        unpack, self.packing = _CODECS[compression]
        super().__init__(Blocks(source, codec or unpack), block_size)
        self._owners = self._table(ids, 4 * self._ids, "<I")
        self._fragment_table = fragments

    def _table(self, position: int, size: int, layout: str) -> tuple[int, ...]:
        """A table that a list of pointers to metadata blocks leads to. Raises `Damaged`."""
        count = -(-size // METADATA)
        pointers = struct.unpack(f"<{count}Q", self.blocks.source.whole(position, 8 * count))
        raw = b"".join(self.blocks.metadata(pointer)[0] for pointer in pointers)[:size]
        if len(raw) != size:
            raise Damaged("A table is shorter than it should be")
        return tuple(number for (number,) in struct.iter_unpack(layout, raw))

    def fragment(self, number: int) -> tuple[int, int]:
        """See `Volume`."""
        if number >= self._fragments:
            raise Damaged("It names a fragment that is not there")
        block, place = divmod(number, METADATA // 16)
        pointer = int.from_bytes(self.blocks.source.whole(self._fragment_table + 8 * block, 8), "little")
        entry = self.blocks.metadata(pointer)[0][16 * place : 16 * place + 12]
        if len(entry) != 12:  # noqa: PLR2004  (the entry)
            raise Damaged("Its table of fragments is too short")
        start, word = struct.unpack("<QI", entry)
        return start, word

    def inode(self, reference: int) -> Inode:
        """See `Volume`."""
        reader = self.blocks.reader(self._inodes + (reference >> 16), reference & 0xFFFF)
        kind, mode, uid, gid, mtime, _ = reader.unpack(_BASE)
        if not 1 <= kind < len(KINDS):
            raise Damaged("An inode is of no known kind")
        if max(uid, gid) >= len(self._owners):
            raise Damaged("An inode has an owner that is not in the table")
        inode = Inode(kind, mode, self._owners[uid], self._owners[gid], mtime)
        _FILL[KINDS[kind]](inode, reader)
        return inode

    def entries(self, inode: Inode) -> list[tuple[bytes, int]]:
        """See `Volume`."""
        left = inode.size - 3  # what the format counts for . and ..
        if left > MAX_DIRECTORY:
            raise Damaged("A directory is too large")
        reader = self.blocks.reader(self._directories + inode.start, inode.offset)
        found: list[tuple[bytes, int]] = []
        while left > 0:
            count, start, _ = reader.unpack(_HEADER)
            left -= _HEADER.size
            if count >= 256:  # noqa: PLR2004  (the format)
                raise Damaged("A directory counts more entries than it may")
            for _ in range(count + 1):
                offset, _, _, length = reader.unpack(_ENTRY)
                found.append((reader.take(length + 1), start << 16 | offset))
                left -= _ENTRY.size + length + 1
        if left:
            raise Damaged("A directory ends too early")
        return found


def _directory(inode: Inode, reader: Reader) -> None:
    if inode.kind > LONG:
        inode.links, inode.size, inode.start, _, _, inode.offset, _ = reader.unpack(_LONG_DIRECTORY)
    else:
        inode.start, inode.links, inode.size, inode.offset, _ = reader.unpack(_DIRECTORY)


def _file(inode: Inode, reader: Reader) -> None:
    if inode.kind > LONG:
        inode.start, inode.size, _, inode.links, inode.fragment, inode.offset, _ = reader.unpack(_LONG_FILE)
    else:
        inode.start, inode.fragment, inode.offset, inode.size = reader.unpack(_FILE)
    inode.blocks = reader.place


def _link(inode: Inode, reader: Reader) -> None:
    inode.links, size = reader.unpack(_PAIR)
    if size > 4096:  # noqa: PLR2004  (PATH_MAX)
        raise Damaged("A link is too long")
    inode.link = reader.take(size)


def _other(inode: Inode, reader: Reader) -> None:
    (inode.links,) = reader.unpack(_NUMBER)


_FILL: Mapping[int, Callable[[Inode, Reader], None]] = {
    stat.S_IFDIR: _directory, stat.S_IFREG: _file, stat.S_IFLNK: _link,
    stat.S_IFBLK: _other, stat.S_IFCHR: _other, stat.S_IFIFO: _other, stat.S_IFSOCK: _other,
}  # fmt: skip
