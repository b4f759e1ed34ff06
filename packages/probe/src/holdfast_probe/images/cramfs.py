"""Cramfs in both byte orders: directories are read within what they state, a block unpacks to at most a page.

Sources: the kernel's Documentation/filesystems/cramfs.rst and include/uapi/linux/cramfs_fs.h (the layout only).
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

import msgspec

from holdfast_probe.images.codecs import unzlib
from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Paged, Source
from holdfast_probe.images.tree import Node, Tree

MAGICS = {b"\x45\x3d\xcd\x28": "<", b"\x28\xcd\x3d\x45": ">"}
_PAGE = 4096
_EXTENDED, _STORED = 0x800, 1 << 31
_POINTER = (1 << 30) - 1


class _Inode(msgspec.Struct, frozen=True):
    mode: int
    uid: int
    size: int
    gid: int
    name: int
    offset: int


class Cramfs:
    """One cramfs; an inode's key is its place."""

    kind = "cramfs"
    root = 64

    def __init__(self, source: Source) -> None:
        self.source = Paged(source)
        magic = source.whole(0, 4)
        if magic not in MAGICS or source.whole(16, 16) != b"Compressed ROMFS":
            raise Damaged("Its superblock makes no sense")
        self.order = MAGICS[magic]
        self.size, self._flags = struct.unpack(self.order + "2I", source.whole(4, 8))

    def inode(self, offset: int) -> _Inode:
        """The inode at `offset`. Raises `Damaged`."""
        first, second, third = struct.unpack(self.order + "3I", self.source.whole(offset, 12))
        if self.order == "<":
            return _Inode(
                first & 0xFFFF, first >> 16, second & 0xFFFFFF, second >> 24, 4 * (third & 0x3F), 4 * (third >> 6)
            )
        return _Inode(
            first >> 16, first & 0xFFFF, second >> 8, second & 0xFF, 4 * (third >> 26), 4 * (third & 0x3FFFFFF)
        )

    def entries(self, folder: _Inode) -> Iterator[tuple[bytes, int]]:
        """See `Volume`."""
        place, end = folder.offset, folder.offset + folder.size
        while place < end:
            inode = self.inode(place)
            if not inode.name:
                raise Damaged("A directory makes no sense")
            yield self.source.whole(place + 12, inode.name).rstrip(b"\0"), place
            place += 12 + inode.name

    def node(self, tree: Tree, inode: _Inode) -> Node:
        """See `Volume`."""
        node = tree.node(inode.mode, inode.uid, inode.gid)
        if stat.S_ISREG(inode.mode):
            node.size, node.content = inode.size, FileContent(self, inode)
        elif stat.S_ISLNK(inode.mode):
            size = min(inode.size, tree.meter.limits.link_bytes)
            node.link = FileContent(self, inode).read_at(0, size).decode("utf-8", "surrogateescape")
            node.size = size
        return node

    def block(self, inode: _Inode, number: int) -> bytes:
        """Page `number` of a file. Raises `Damaged`."""
        count = -(-inode.size // _PAGE)
        size = min(_PAGE, inode.size - number * _PAGE)
        table = inode.offset + 4 * number
        end = self._pointer(table)
        if self._flags & _EXTENDED and end & (1 << 30):
            raise Damaged("Its blocks are kept in a way that is not known")
        start = self._pointer(table - 4) & _POINTER if number else inode.offset + 4 * count
        length = (end & _POINTER) - start if self._flags & _EXTENDED else end - start
        if length == 0:
            return bytes(size)
        if not 0 < length <= 2 * _PAGE:
            raise Damaged("A block is of no possible size")
        packed = self.source.whole(start, length)
        found = packed if self._flags & _EXTENDED and end & _STORED else unzlib(packed, _PAGE)
        if len(found) < size:
            raise Damaged("A block is shorter than it should be")
        return found[:size]

    def _pointer(self, offset: int) -> int:
        (pointer,) = struct.unpack(self.order + "I", self.source.whole(offset, 4))
        return int(pointer)


class FileContent:
    """A regular file of a cramfs."""

    __slots__ = ("_inode", "_volume")

    def __init__(self, volume: Cramfs, inode: _Inode) -> None:
        self._volume = volume
        self._inode = inode

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        first = offset // _PAGE
        pages = (self._volume.block(self._inode, n) for n in range(first, -(-(offset + size) // _PAGE)))
        return b"".join(pages)[offset - first * _PAGE :][:size]
