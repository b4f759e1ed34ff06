"""Cpio in the forms that a kernel reads as its first root: ``070701`` (newc) and ``070702`` (with checksums).

1. A header that is none ends the archive and leaves the tree incomplete, and so does an end without a trailer.
2. Names of one inode are one node; its content stands with the last of them.

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import re
import stat

from holdfast_probe.images.archives import Archive, stretched
from holdfast_probe.images.limits import Damaged, Exceeded, Meter
from holdfast_probe.images.source import Source
from holdfast_probe.images.tree import Node

MAGICS = (b"070701", b"070702")
_HEADER = 110
_DIGITS = re.compile(rb"[0-9A-Fa-f]*")
_TRAILER = b"TRAILER!!!"


def read_cpio(source: Source, meter: Meter) -> Archive:
    """The tree of one archive; what is wrong with it is said by the tree."""
    tree = Archive("cpio", meter)
    try:
        _read(source, tree)
    except (Damaged, Exceeded) as error:
        tree.spoil(error)
        tree.size = tree.size or source.size
    return tree


def _read(source: Source, tree: Archive) -> None:
    position = 0
    linked: dict[tuple[int, int, int], Node] = {}
    while True:
        head = source.whole(position, _HEADER)
        if head[:6] not in MAGICS or not _DIGITS.fullmatch(head, 6):
            tree.size = position
            raise Damaged(f"A header of the cpio at {position:#x} is damaged")
        fields = [int(head[i : i + 8], 16) for i in range(6, _HEADER, 8)]
        length = fields[11]
        if not 1 <= length <= tree.meter.limits.link_bytes:
            raise Damaged(f"A name of the cpio at {position:#x} is too long")
        name = source.whole(position + _HEADER, length).rstrip(b"\0")
        start = _aligned(position + _HEADER + length)
        position = _aligned(start + fields[6])
        if name == _TRAILER:
            tree.size = position
            return
        _plant(tree, source, fields, name, start=start, linked=linked)


def _plant(
    tree: Archive,
    source: Source,
    fields: list[int],
    name: bytes,
    *,
    start: int,
    linked: dict[tuple[int, int, int], Node],
) -> None:
    inode, mode, uid, gid, links, mtime, size, major, minor = fields[:9]
    key = (major, minor, inode)
    node = linked.get(key) if links > 1 else None
    if node is None:
        node = tree.node(mode, uid, gid, mtime)
        node.links = links
        if links > 1 and not stat.S_ISDIR(mode):
            linked[key] = node
    if stat.S_ISREG(mode) and size:
        stretched(tree, source, start, size, node)
    elif stat.S_ISLNK(mode):
        target = source.whole(start, min(size, tree.meter.limits.link_bytes))
        node.link = target.decode("utf-8", "surrogateescape")
        node.size = len(target)
    tree.plant(name, node)


def _aligned(position: int) -> int:
    return -(-position // 4) * 4
