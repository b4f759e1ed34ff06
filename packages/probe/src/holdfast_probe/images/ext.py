"""Ext2, ext3 and ext4: superblock, group descriptors, inodes, extents and block maps, directories read linearly.

1. A directory's blocks are read within its size.
2. Nothing is replayed: a journal that holds changes is said, for what is read may be behind it.
3. Encrypted files and directories are not read and say so.

Source: the kernel's Documentation/filesystems/ext4 (the on-disk layout).
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

import msgspec

from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Paged, Source
from holdfast_probe.images.tree import Node, Tree

SUPERBLOCK = 1024
MAGIC = 0xEF53
_SMALLEST_INODE = 128
_EXTENTS, _INLINE, _ENCRYPTED = 0x80000, 0x10000000, 0x800
_RECOVER, _META_BG, _WIDE = 0x4, 0x10, 0x80
_KNOWN = 0x3F7D6
"""Incompatible features that are read, or do not matter to reading."""
_MAX_DIRECTORY = 64 * 1024 * 1024
_MAX_DEPTH = 5
_EXTENT_MAGIC = 0xF30A


class Super(msgspec.Struct, frozen=True):
    """What the superblock says."""

    block: int
    inodes: int
    blocks: int
    per_group: int
    groups_at: int
    inode_size: int
    incompatible: int
    descriptor: int
    first_meta: int
    group_blocks: int
    label: str
    uuid: str
    compatible: int

    @property
    def kind(self) -> str:
        """Which of the three it is."""
        if self.incompatible & 0x40:
            return "ext4"
        return "ext3" if self.compatible & 0x4 else "ext2"


def superblock(source: Source) -> Super:
    """The superblock at its place. Raises `Damaged`."""
    raw = source.whole(SUPERBLOCK, 1024)
    inodes, blocks, _, _, _, first, log = struct.unpack("<7I", raw[:28])
    group_blocks, _, per_group = struct.unpack("<3I", raw[32:44])
    magic, _, _, _ = struct.unpack("<4H", raw[56:64])
    (revision,) = struct.unpack("<I", raw[76:80])
    inode_size = struct.unpack("<H", raw[88:90])[0] if revision else 128
    compatible, incompatible = struct.unpack("<2I", raw[92:100]) if revision else (0, 0)
    if magic != MAGIC or log > 6 or not per_group or not group_blocks:  # noqa: PLR2004  (64 KiB is the largest block)
        raise Damaged("Its superblock makes no sense")
    if not _SMALLEST_INODE <= inode_size <= 1024 << log or inode_size & (inode_size - 1):
        raise Damaged("Its superblock makes no sense")
    if incompatible & ~_KNOWN:
        raise Damaged(f"It uses features that are not known ({incompatible & ~_KNOWN:#x})")
    wide = bool(incompatible & _WIDE)
    descriptor = max(32, struct.unpack("<H", raw[254:256])[0]) if wide else 32
    if wide:
        blocks |= struct.unpack("<I", raw[336:340])[0] << 32
    return Super(
        1024 << log, inodes, blocks, per_group, first + 1, inode_size, incompatible, descriptor,
        struct.unpack("<I", raw[260:264])[0], group_blocks,
        raw[120:136].split(b"\0")[0].decode("utf-8", "replace"), raw[104:120].hex(), compatible,
    )  # fmt: skip


class Inode(msgspec.Struct, frozen=True):
    """What one inode says."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    links: int
    flags: int
    map: bytes


class Volume:
    """One file system."""

    root = 2

    def __init__(self, source: Source) -> None:
        self.source = Paged(source)
        self.super = superblock(source)
        self.kind = self.super.kind
        self.size = self.super.blocks * self.super.block
        self.label, self.uuid = self.super.label, self.super.uuid
        self.journal_pending = bool(self.super.incompatible & _RECOVER)

    def inode(self, number: int) -> Inode:
        """Inode `number`. Raises `Damaged`."""
        info = self.super
        if not 1 <= number <= info.inodes:
            raise Damaged("An entry names an inode that is not there")
        group, place = divmod(number - 1, info.per_group)
        at = self._descriptor(group)
        table = int.from_bytes(self.source.whole(at + 8, 4), "little")
        if info.descriptor >= 64:  # noqa: PLR2004  (the wide descriptor)
            table |= int.from_bytes(self.source.whole(at + 40, 4), "little") << 32
        raw = self.source.whole(table * info.block + place * info.inode_size, 128)
        mode, uid, low, _, _, mtime, _, gid, links, _, flags = struct.unpack("<2H5I2H2I", raw[:36])
        high_uid, high_gid = struct.unpack("<2H", raw[120:124])
        size = low
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            size |= struct.unpack("<I", raw[108:112])[0] << 32
        return Inode(mode, uid | high_uid << 16, gid | high_gid << 16, size, mtime, links, flags, raw[40:100])

    def _descriptor(self, group: int) -> int:
        info = self.super
        per_block = info.block // info.descriptor
        if info.incompatible & _META_BG and group // per_block >= info.first_meta:
            first = group // per_block * per_block
            block = first * info.group_blocks + (info.groups_at - 1)
            has_super = _has_super(first)
            return (block + has_super) * info.block + group % per_block * info.descriptor
        return info.groups_at * info.block + group * info.descriptor

    def block_of(self, inode: Inode, number: int) -> tuple[int, int]:
        """Where block `number` of a file is (0: a hole), and how many follow it in one piece. Raises `Damaged`."""
        if inode.flags & _EXTENTS:
            return self._extent(inode.map, number)
        return self._mapped(inode.map, number), 1

    def _extent(self, node: bytes, number: int) -> tuple[int, int]:
        for _ in range(_MAX_DEPTH + 1):
            magic, count, _, depth = struct.unpack("<4H", node[:8])
            if magic != _EXTENT_MAGIC or 12 * (count + 1) > len(node):
                raise Damaged("A file's list of extents makes no sense")
            entries = list(struct.iter_unpack("<IHHI", node[12 : 12 * (count + 1)]))
            if not depth:
                return _leaf(entries, number)
            below = [(low | high << 32) for first, low, high, _ in _indexes(node, count) if first <= number]
            if not below:
                return 0, 1
            node = self.source.whole(below[-1] * self.super.block, self.super.block)
        raise Damaged("A file's list of extents is too deep")

    def _mapped(self, block_map: bytes, number: int) -> int:
        pointers: tuple[int, ...] = struct.unpack("<15I", block_map)
        if number < 12:  # noqa: PLR2004  (direct blocks)
            return pointers[number]
        per: int = self.super.block // 4
        number -= 12
        for level in (1, 2, 3):
            if number < per**level:
                block = pointers[11 + level]
                for step in range(level - 1, -1, -1):
                    if not block:
                        return 0
                    at = block * self.super.block + 4 * (number // per**step % per)
                    block = int.from_bytes(self.source.whole(at, 4), "little")
                return block
            number -= per**level
        raise Damaged("A file is larger than its blocks can tell")

    def read(self, inode: Inode, offset: int, size: int) -> bytes:
        """Bytes of a file or directory, inside its size. Raises `Damaged`."""
        if inode.flags & _ENCRYPTED:
            raise Damaged("It is encrypted")
        if inode.flags & _INLINE:
            if offset + size > len(inode.map):
                raise Damaged("Its content is kept in a way that is not known")
            return inode.map[offset : offset + size]
        pieces = []
        step = self.super.block
        while size > 0:
            number, skip = divmod(offset, step)
            where, run = self.block_of(inode, number)
            take = min(size, run * step - skip)
            pieces.append(self.source.whole(where * step + skip, take) if where else bytes(take))
            offset += take
            size -= take
        return b"".join(pieces)

    def entries(self, inode: Inode) -> Iterator[tuple[bytes, int]]:
        """Names and inode numbers of a directory. Raises `Damaged`."""
        if inode.size > _MAX_DIRECTORY:
            raise Damaged("A directory is too large")
        if inode.flags & (_ENCRYPTED | _INLINE):
            raise Damaged("It is a directory that is encrypted or kept in a way that is not known")
        for start in range(0, inode.size, self.super.block):
            for name, number in _entries(self.read(inode, start, min(self.super.block, inode.size - start))):
                if name not in (b".", b".."):
                    yield name, number

    def node(self, tree: Tree, inode: Inode) -> Node:
        """The node of an inode. Raises `Damaged`."""
        if not stat.S_IFMT(inode.mode):
            raise Damaged("It holds an inode that is of no kind")
        node = tree.node(inode.mode, inode.uid, inode.gid, inode.mtime)
        if stat.S_ISREG(inode.mode):
            node.links, node.size, node.content = inode.links, inode.size, FileContent(self, inode)
        elif stat.S_ISLNK(inode.mode):
            size = min(inode.size, tree.meter.limits.link_bytes)
            fast = inode.size < len(inode.map) and not inode.flags & _EXTENTS
            raw = inode.map[:size] if fast else self.read(inode, 0, size)
            node.link, node.size = raw.decode("utf-8", "surrogateescape"), inode.size
        return node


def _has_super(group: int) -> bool:
    """Whether a copy of the superblock stands in front, of the sparse kind."""
    if group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def _indexes(node: bytes, count: int) -> Iterator[tuple[int, ...]]:
    return struct.iter_unpack("<IIHH", node[12 : 12 * (count + 1)])


def _leaf(entries: list[tuple[int, ...]], number: int) -> tuple[int, int]:
    following = number + 1
    for first, length, high, low in entries:
        unwritten = length > 0x8000  # noqa: PLR2004  (the format's mark: allocated, still zeros)
        length = length - 0x8000 if unwritten else length  # noqa: PLW2901  (the mark taken off)
        if first <= number < first + length:
            run = first + length - number
            return (0 if unwritten else (low | high << 32) + number - first), run
        if first > number:
            following = first
            break
    return 0, max(1, following - number)


def _entries(block: bytes) -> Iterator[tuple[bytes, int]]:
    place = 0
    while place + 8 <= len(block):
        number, length, name, _ = struct.unpack("<IHBB", block[place : place + 8])
        length = length or 65536  # how the format says it of the largest blocks
        if length < 8 or place + length > len(block) or name > length - 8:  # noqa: PLR2004  (an entry's own head)
            raise Damaged("A directory makes no sense")
        if number and name:
            yield block[place + 8 : place + 8 + name], number
        place += length


class FileContent:
    """A regular file."""

    __slots__ = ("_inode", "_volume")

    def __init__(self, volume: Volume, inode: Inode) -> None:
        self._volume = volume
        self._inode = inode

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        return self._volume.read(self._inode, offset, size)
