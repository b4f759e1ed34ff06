"""Squashfs of any version: blocks of metadata and data, inodes as values, contents block by block when they are read.

1. Metadata is read through a bounded cache of unpacked blocks; what a table states is held against the image's size.
2. A block unpacks to at most a block's size; of a file only its list of block sizes is kept, and that only while read.

Sources: the kernel's Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h (the layout only).
"""

from __future__ import annotations

import stat
import struct
from collections import OrderedDict

import msgspec

from holdfast_probe.images.codecs import Unpack
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
