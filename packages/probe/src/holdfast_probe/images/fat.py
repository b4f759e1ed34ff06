"""FAT12, FAT16 and FAT32: the boot partition of most boards. It has no owners: the kernel shows what its mount says.

1. A chain of clusters is followed to at most the number of clusters that its file or the volume can have.

Source: Microsoft's FAT specification 1.03.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator

import msgspec

from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Paged, Source
from holdfast_probe.images.tree import Node, Tree

_ENTRY = 32
_FOLDER_BYTES = 2 * 1024 * 1024
"""The format's own bound of a directory."""
_CLUSTERS = 1024 * 1024
"""Of one file."""
_LONG_NAME, _VOLUME, _FOLDER = 0x0F, 0x08, 0x10


class _File(msgspec.Struct, frozen=True):
    cluster: int
    size: int
    folder: bool


def is_fat(head: bytes) -> bool:
    """Whether a FAT begins with this sector."""
    if len(head) < 512 or head[510:512] != b"\x55\xaa" or head[0] not in (0xEB, 0xE9):  # noqa: PLR2004  (a sector; a jump)
        return False
    sector, cluster, reserved, copies = struct.unpack("<HBHB", head[11:17])
    return sector in (512, 1024, 2048, 4096) and cluster in (1 << n for n in range(8)) and reserved > 0 < copies <= 2  # noqa: PLR2004  (the format)


class Fat:
    """One FAT; a file's key is the place of its directory entry."""

    kind = "vfat"
    root = 0

    def __init__(self, source: Source) -> None:
        self.source = Paged(source)
        head = source.whole(0, 512)
        if not is_fat(head):
            raise Damaged("Its first sector makes no sense")
        sector, cluster, reserved, copies, entries, small = struct.unpack("<HBHBHH", head[11:21])
        per_fat = struct.unpack("<H", head[22:24])[0] or struct.unpack("<I", head[36:40])[0]
        sectors = small or struct.unpack("<I", head[32:36])[0]
        self.size = sectors * sector
        self._cluster = cluster * sector
        self._table = reserved * sector
        self._fixed = (reserved + copies * per_fat) * sector
        self._data = self._fixed + -(-entries * _ENTRY // sector) * sector
        self._clusters: int = (self.size - self._data) // self._cluster
        if self._clusters <= 0:
            raise Damaged("Its first sector makes no sense")
        # The number of clusters alone decides which of the three it is.
        self._bits = 12 if self._clusters < 4085 else 16 if self._clusters < 65525 else 32  # noqa: PLR2004  (the format)
        self._entries = entries
        wide = self._bits == 32  # noqa: PLR2004  (the format)
        self._root_cluster = struct.unpack("<I", head[44:48])[0] if wide else 0
        tail = head[67:82] if wide else head[39:54]
        self._chain: list[int] = []
        """The clusters of the file that was read last."""
        self.uuid = tail[:4][::-1].hex()
        self.label = tail[4:15].decode("ascii", "replace").strip()

    def inode(self, key: int) -> _File:
        """See `Volume`."""
        if key == self.root:
            return _File(self._root_cluster, 0, folder=True)
        raw = self.source.whole(key, _ENTRY)
        high, low, size = struct.unpack("<H4xHI", raw[20:32])
        return _File(low | (high << 16 if self._bits == 32 else 0), size, bool(raw[11] & _FOLDER))  # noqa: PLR2004  (the format)

    def entries(self, inode: _File) -> Iterator[tuple[bytes, int]]:
        """See `Volume`."""
        long: dict[int, bytes] = {}
        for place in self._places(inode):
            raw = self.source.whole(place, _ENTRY)
            if raw[0] == 0:
                return
            if raw[11] == _LONG_NAME and raw[0] != 0xE5:  # noqa: PLR2004  (deleted)
                long[raw[0] & 0x1F] = raw[1:11] + raw[14:26] + raw[28:32]
                continue
            if raw[0] != 0xE5 and not raw[11] & _VOLUME and raw[:2] not in (b". ", b".."):  # noqa: PLR2004  (deleted)
                yield _name(raw, long), place
            long = {}

    def node(self, tree: Tree, inode: _File) -> Node:
        """See `Volume`."""
        node = tree.node((stat.S_IFDIR if inode.folder else stat.S_IFREG) | 0o755, 0, 0)
        if not inode.folder:
            node.size, node.content = inode.size, _Content(self, inode)
        return node

    def _places(self, inode: _File) -> Iterator[int]:
        if not inode.cluster:
            yield from range(self._fixed, self._fixed + self._entries * _ENTRY, _ENTRY)
            return
        for cluster in self.chain(inode.cluster, _FOLDER_BYTES // self._cluster + 1):
            start = self.place(cluster)
            yield from range(start, start + self._cluster, _ENTRY)

    def chain(self, cluster: int, most: int) -> list[int]:
        """The first clusters of a file, at most `most`. Raises `Damaged`."""
        if self._chain[:1] != [cluster]:
            self._chain = [cluster] if self._is_one(cluster) else []
        chain = self._chain
        while chain and len(chain) < min(most, self._clusters, _CLUSTERS):
            following = self._next(chain[-1])
            if not self._is_one(following):
                break
            chain.append(following)
        return chain[:most]

    def _is_one(self, cluster: int) -> bool:
        return 2 <= cluster < self._clusters + 2  # noqa: PLR2004  (the first two are none)

    def _next(self, cluster: int) -> int:
        if self._bits == 12:  # noqa: PLR2004  (the format)
            word = int.from_bytes(self.source.whole(self._table + cluster * 3 // 2, 2), "little")
            return word >> 4 if cluster & 1 else word & 0xFFF
        width: int = self._bits // 8
        return int.from_bytes(self.source.whole(self._table + cluster * width, width), "little") & 0xFFFFFFF

    def place(self, cluster: int) -> int:
        """Where a cluster is."""
        start: int = self._data + (cluster - 2) * self._cluster
        return start

    @property
    def cluster_bytes(self) -> int:
        """Of one cluster."""
        size: int = self._cluster
        return size


class _Content:
    """A regular file."""

    __slots__ = ("_inode", "_volume")

    def __init__(self, volume: Fat, inode: _File) -> None:
        self._volume = volume
        self._inode = inode

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        volume, step = self._volume, self._volume.cluster_bytes
        first, last = offset // step, (offset + size - 1) // step
        pieces = []
        for number, cluster in enumerate(volume.chain(self._inode.cluster, last + 1)):
            if number >= first:
                pieces.append(volume.source.whole(volume.place(cluster), step))
        return b"".join(pieces)[offset - first * step :][:size]


def _name(raw: bytes, long: dict[int, bytes]) -> bytes:
    if long:
        text = b"".join(long[number] for number in sorted(long)).decode("utf-16-le", "replace")
        return text.split("\0")[0].rstrip("\uffff").encode("utf-8", "replace")
    base, extension = raw[:8].rstrip(b" "), raw[8:11].rstrip(b" ")
    if raw[12] & 0x08:
        base = base.lower()
    if raw[12] & 0x10:
        extension = extension.lower()
    return base + b"." + extension if extension else base
