"""Squashfs 4.0: the superblock, its tables, inodes and directories; contents block by block when they are read.

1. Metadata is read through a bounded cache of unpacked blocks; what a table states is held against the image's size.
2. A block unpacks to at most a block's size; of a file only its list of block sizes is kept, and that only while read.

Sources: the kernel's Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h (the layout only).
"""

from __future__ import annotations

import stat
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from holdfast_probe.images.codecs import Unpack, unlz4, unlzma, unlzo, unxz, unzlib, unzstd
from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Source
from holdfast_probe.images.tree import Node, Tree

METADATA = 8192
MAX_BLOCK = 1024 * 1024
CACHED_BYTES = 6 * 1024 * 1024
"""Unpacked blocks that are kept."""
MAX_BLOCKS = 1024 * 1024
"""Of one file."""
MAX_DIRECTORY = 64 * 1024 * 1024
NO_FRAGMENT = 0xFFFFFFFF
_SUPERBLOCK = struct.Struct("<5I6H8Q")
_CODECS: Mapping[int, tuple[Unpack, str]] = {
    1: (unzlib, "gzip"), 2: (unlzma, "LZMA"), 3: (unlzo, "LZO"),
    4: (unxz, "xz"), 5: (unlz4, "LZ4"), 6: (unzstd, "zstd"),
}  # fmt: skip
KINDS = (
    0, stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK,
    stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK,
)  # fmt: skip
"""What the numbers of inode types mean; from the eighth on they are the longer forms."""
LONG = 7


class Inode(msgspec.Struct):
    """What one inode says, whichever version wrote it."""

    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int = 0
    links: int = 1
    size: int = 0
    start: int = 0
    offset: int = 0
    fragment: int = NO_FRAGMENT
    blocks: tuple[int, int] = (0, 0)
    """Where a file's list of block sizes is in the metadata."""
    link: bytes = b""


class Blocks:
    """Metadata and data blocks of one file system, unpacked, the last ones kept.

    Args:
        source: the file system.
        unpack: its compression.
        order: ``<`` or ``>``.
        checked: whether a mark stands behind every length of a metadata block (an option of version 3).
    """

    def __init__(self, source: Source, unpack: Unpack, *, order: str = "<", checked: bool = False) -> None:
        self.source = source
        self.unpack = unpack
        self._short = struct.Struct(order + "H")
        self._head = 3 if checked else 2
        self._kept: OrderedDict[tuple[int, int], tuple[bytes, int]] = OrderedDict()
        self._bytes = 0

    def metadata(self, position: int) -> tuple[bytes, int]:
        """The metadata block at `position`, and where the next one begins. Raises `Damaged`."""
        found = self._kept.get((position, 0))
        if found is None:
            (word,) = self._short.unpack(self.source.whole(position, 2))
            size = word & 0x7FFF or 0x8000
            packed = self.source.whole(position + self._head, size)
            data = packed if word & 0x8000 else self.unpack(packed, METADATA)
            found = self._keep((position, 0), (data[:METADATA], position + self._head + size))
        return found

    def data(self, position: int, word: int, limit: int) -> bytes:
        """The data block at `position`, whose packed size and kind `word` tells. Raises `Damaged`."""
        size = word & 0xFFFFFF
        found = self._kept.get((position, size))
        if found is None:
            if size > limit:
                raise Damaged("A block is longer than a block")
            packed = self.source.whole(position, size)
            found = self._keep((position, size), (packed if word & 0x1000000 else self.unpack(packed, limit), 0))
        return found[0]

    def _keep(self, key: tuple[int, int], value: tuple[bytes, int]) -> tuple[bytes, int]:
        self._kept[key] = value
        self._bytes += len(value[0])
        while self._bytes > CACHED_BYTES and len(self._kept) > 1:
            _, (dropped, _) = self._kept.popitem(last=False)
            self._bytes -= len(dropped)
        return value

    def reader(self, position: int, offset: int) -> Reader:
        """Reads on from `offset` in the metadata block at `position`."""
        return Reader(self, position, offset)


class Reader:
    """Reads metadata on and on, across its blocks."""

    def __init__(self, blocks: Blocks, position: int, offset: int) -> None:
        self._blocks = blocks
        self._position = position
        self._offset = offset

    @property
    def place(self) -> tuple[int, int]:
        """Where it is, to be continued by another reader."""
        return self._position, self._offset

    def take(self, size: int) -> bytes:
        """The next bytes. Raises `Damaged`."""
        pieces = []
        while size:
            block, following = self._blocks.metadata(self._position)
            piece = block[self._offset : self._offset + size]
            if not piece and len(block) < METADATA:
                raise Damaged("Its metadata ends too early")
            pieces.append(piece)
            size -= len(piece)
            self._offset += len(piece)
            if self._offset >= METADATA:
                self._position, self._offset = following, self._offset - METADATA
        return b"".join(pieces)

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """The next bytes as numbers. Raises `Damaged`."""
        return layout.unpack(self.take(layout.size))


class FileContent:
    """A regular file: blocks, and perhaps a tail in a fragment that it shares."""

    __slots__ = ("_fragment", "_inode", "_volume")

    def __init__(self, volume: Volume, inode: Inode) -> None:
        self._volume = volume
        self._inode = inode
        self._fragment = inode.fragment != NO_FRAGMENT

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        volume, inode, block = self._volume, self._inode, self._volume.block_size
        count = inode.size // block if self._fragment else -(-inode.size // block)
        sizes = volume.sizes_of(inode, min(count, -(-(offset + size) // block)))
        pieces = []
        position = inode.start
        low, high = offset // block, (offset + size - 1) // block
        for number, word in enumerate(sizes):
            if number >= low:
                pieces.append(volume.block(position, word, min(block, inode.size - number * block)))
            position += word & 0xFFFFFF
        if high >= count:
            pieces.append(volume.tail(inode, inode.size - count * block))
            low = min(low, count)
        start = offset - low * block
        return b"".join(pieces)[start : start + size]


class Volume:
    """One squashfs of any version: what the versions share.

    Args:
        blocks: its blocks.
        block_size: of a data block.
    """

    kind = "squashfs"
    order = "<"
    size: int
    root: int

    def __init__(self, blocks: Blocks, block_size: int) -> None:
        self.blocks = blocks
        self.block_size = block_size
        self._last: tuple[object, list[int]] = (None, [])

    def sizes_of(self, inode: Inode, count: int) -> list[int]:
        """The first block sizes of a file; those of the file read last are kept. Raises `Damaged`."""
        if count > MAX_BLOCKS:
            raise Damaged("A file has more blocks than any has")
        kept, sizes = self._last
        if kept is not inode or len(sizes) < count:
            raw = self.blocks.reader(*inode.blocks).take(4 * count)
            sizes = list(struct.unpack(f"{self.order}{count}I", raw))
            self._last = (inode, sizes)
        return sizes[:count]

    def block(self, position: int, word: int, size: int) -> bytes:
        """One block of a file, `size` bytes long. Raises `Damaged`."""
        if not word & 0xFFFFFF:
            return bytes(size)
        found = self.blocks.data(position, word, self.block_size)
        if len(found) < size:
            raise Damaged("A block is shorter than it should be")
        return found[:size]

    def tail(self, inode: Inode, size: int) -> bytes:
        """The end of a file, from its fragment. Raises `Damaged`."""
        start, word = self.fragment(inode.fragment)
        found = self.blocks.data(start, word, self.block_size)[inode.offset : inode.offset + size]
        if len(found) != size:
            raise Damaged("A fragment is shorter than it should be")
        return found

    def fragment(self, number: int) -> tuple[int, int]:
        """Where fragment `number` is, and its size. Raises `Damaged`."""
        raise NotImplementedError

    def inode(self, reference: int) -> Inode:
        """The inode that a directory entry refers to. Raises `Damaged`."""
        raise NotImplementedError

    def entries(self, inode: Inode) -> list[tuple[bytes, int]]:
        """Names and references of a directory's entries. Raises `Damaged`."""
        raise NotImplementedError

    def node(self, tree: Tree, inode: Inode) -> Node:
        """The node of an inode."""
        kind = KINDS[inode.kind]
        node = tree.node(kind | (inode.mode & 0o7777), inode.uid, inode.gid, inode.mtime)
        if stat.S_ISDIR(kind):
            return node
        node.links = inode.links
        if stat.S_ISREG(kind):
            node.size, node.content = inode.size, FileContent(self, inode)
        elif stat.S_ISLNK(kind):
            node.link, node.size = inode.link.decode("utf-8", "surrogateescape"), len(inode.link)
        return node


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
