"""Romfs: a chain of headers for each directory. It has no owners: the kernel shows all of it as root's.

Source: the kernel's Documentation/filesystems/romfs.rst.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

import msgspec

from holdfast_probe.images.archives import Stretch
from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Paged, Source
from holdfast_probe.images.tree import Node, Tree

MAGIC = b"-rom1fs-"
_MODES = (
    0, stat.S_IFDIR | 0o644, stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777,
    stat.S_IFBLK | 0o600, stat.S_IFCHR | 0o600, stat.S_IFSOCK | 0o644, stat.S_IFIFO | 0o644,
)  # fmt: skip
"""As the kernel has them; a bit in the header adds the right to execute."""
_HARD_LINK = 0
_MASK = ~15
_MOST = 1024 * 1024
"""Entries of one directory."""


class _Header(msgspec.Struct, frozen=True):
    following: int
    kind: int
    executable: bool
    spec: int
    size: int
    name: bytes
    data: int


class Romfs:
    """One romfs; an inode's key is its place."""

    kind = "romfs"

    def __init__(self, source: Source) -> None:
        self.source = Paged(source)
        if source.whole(0, 8) != MAGIC:
            raise Damaged("Its superblock makes no sense")
        self.size = int.from_bytes(source.whole(8, 4), "big")
        summed = source.whole(0, min(512, self.size // 4 * 4))
        if sum(struct.unpack(f">{len(summed) // 4}I", summed)) & 0xFFFFFFFF:
            raise Damaged("The checksum of its superblock is wrong")
        self.root = _after(16, self._name(16))

    def inode(self, key: int) -> _Header:
        """See `Volume`."""
        following, spec, size, _ = struct.unpack(">4I", self.source.whole(key, 16))
        name = self._name(key + 16)
        kind = following & 7
        return _Header(following & _MASK, kind, bool(following & 8), spec, size, name, _after(key + 16, name))

    def entries(self, inode: _Header) -> Iterator[tuple[bytes, int]]:
        """See `Volume`."""
        place = inode.spec & _MASK
        seen: set[int] = set()
        while place:
            if place in seen or len(seen) > _MOST:
                raise Damaged("A directory is a circle")
            seen.add(place)
            header = self.inode(place)
            if header.name not in (b".", b".."):
                yield header.name, header.spec & _MASK if header.kind == _HARD_LINK else place
            place = header.following

    def node(self, tree: Tree, inode: _Header) -> Node:
        """See `Volume`."""
        if inode.kind == _HARD_LINK:
            raise Damaged("A link leads to no file")
        node = tree.node(_MODES[inode.kind] | 0o111 * inode.executable, 0, 0)
        if stat.S_ISREG(node.mode):
            node.size, node.content = inode.size, Stretch(self.source, inode.data)
        elif stat.S_ISLNK(node.mode):
            raw = self.source.whole(inode.data, min(inode.size, tree.meter.limits.link_bytes))
            node.link, node.size = raw.decode("utf-8", "surrogateescape"), len(raw)
        return node

    def _name(self, place: int) -> bytes:
        name = b""
        while b"\0" not in name:
            if len(name) > 256:  # noqa: PLR2004  (longer than a name)
                raise Damaged("A name has no end")
            name += self.source.whole(place + len(name), 16)
        return name.split(b"\0", 1)[0]


def _after(place: int, name: bytes) -> int:
    """Where what follows a name begins."""
    return place + len(name) // 16 * 16 + 16
