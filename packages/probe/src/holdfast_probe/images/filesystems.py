"""File systems and archives: what is found of them at a place, and what lies in the members of an archive.

Each reader is given a suspicion's place and returns how far it reaches; its own place says that it is none.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from holdfast_probe.images import ext
from holdfast_probe.images.archives import Archive
from holdfast_probe.images.cpio import read_cpio
from holdfast_probe.images.finds import Finds
from holdfast_probe.images.growing import Volume, grown
from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Slice, Source, anonymous, spool
from holdfast_probe.images.squashfs_old import opened, plausible
from holdfast_probe.images.survey import Found, rooted
from holdfast_probe.images.tar import is_tar, read_tar
from holdfast_probe.images.tree import Content, Node, Tree
from holdfast_probe.images.zipped import read_zip

MEMBER_BYTES = 4 * 1024
"""Members of an archive smaller than this are no images."""
_MEMBERS = 64
_PIECE = 256 * 1024


class NodeSource(Source):
    """A file of an archive, as a source."""

    def __init__(self, node: Node) -> None:
        self._content: Content | None = node.content
        self.size = node.size

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        size = min(size, self.size - offset)
        return self._content.read_at(offset, size) if self._content is not None and size > 0 <= offset else b""


def _found(finds: Finds, tree: Tree, offset: int, label: str = "", uuid: str = "") -> None:
    """Keep a tree, and look into the members of an archive that is no root."""
    found = Found(
        tree=tree, name=finds.place.name(tree.kind, offset), source=Slice(finds.source, offset, tree.size or None),
        label=label, uuid=uuid, partition=finds.place.partition, partuuid=finds.place.partuuid,
    )  # fmt: skip
    rooted(found)
    finds.survey.trees.append(found)
    whole = "" if not tree.damage else f" It is damaged: {tree.damage.rstrip('.')}."
    finds.survey.truncated |= "ends" in tree.damage
    finds.survey.limited |= "more than" in tree.damage or "longer than" in tree.damage
    sentence = f"{tree.count} files and directories.{whole}"
    finds.named = ""
    finds.survey.part(
        finds.part(tree.kind, offset, tree.size, sentence, understood=not tree.damage), gap=bool(tree.damage)
    )
    if isinstance(tree, Archive) and not found.rank[0]:
        _members(finds, tree, offset)


def _members(finds: Finds, tree: Archive, offset: int) -> None:
    place = finds.place.inside(f"{tree.kind} at {offset:#x}")
    opened = False
    for path, node in _large_files(tree):
        before = len(finds.survey.trees)
        finds.survey.meter.look()
        source: Source = NodeSource(node)
        if tree.kind == "zip":  # reading back in it would unpack it again and again
            source = _unpacked(finds, source, path)
        finds.explore(source, place.inside(path))
        if len(finds.survey.trees) > before:  # its own trees stand for it; what lies beside it is still to be seen
            opened = True
            node.size = 0
    if opened and not any(True for _ in _files(tree)):
        finds.survey.trees.remove(next(found for found in finds.survey.trees if found.tree is tree))


def squashfs(finds: Finds, offset: int) -> int:
    """A squashfs of any version."""
    source = Slice(finds.source, offset)
    if not plausible(source):
        return offset
    try:
        volume = opened(source)
        finds.too_long("squashfs", offset, offset + volume.size)
        tree = grown(volume, finds.survey.meter)
    except Damaged as error:
        finds.damaged("squashfs", offset, 0, error)
        return offset + 4
    _found(finds, tree, offset)
    return offset + max(96, volume.size)


def any_volume(finds: Finds, make: Callable[[Source], Volume[Any]], kind: str, offset: int) -> int:
    """A file system that says how long it is."""
    source = Slice(finds.source, offset)
    volume = make(source)
    finds.too_long(kind, offset, offset + volume.size)
    try:
        tree = grown(volume, finds.survey.meter)
    except Damaged as error:  # what it says of its size may be as wrong
        finds.damaged(kind, offset, volume.size, error)
        return offset + 4
    else:
        label, uuid = getattr(volume, "label", ""), getattr(volume, "uuid", "")
        _found(finds, tree, offset, label, uuid)
    return offset + volume.size


def ext_(finds: Finds, offset: int) -> int:
    """Ext2, ext3 or ext4."""
    if offset < 0:
        return offset
    volume = ext.Volume(Slice(finds.source, offset))
    if volume.journal_pending:
        finds.survey.gap(f"{finds.place.name(volume.kind, offset)}: its journal holds changes that were not read.")
    return any_volume(finds, ext.Volume, volume.kind, offset)


def cpio(finds: Finds, offset: int) -> int:
    """A cpio archive."""
    tree = read_cpio(Slice(finds.source, offset), finds.survey.meter)
    if not tree.count and tree.damage:
        return offset
    _found(finds, tree, offset)
    return offset + tree.size


def tar(finds: Finds, offset: int) -> int:
    """A tar archive."""
    source = Slice(finds.source, offset)
    if offset < 0 or not is_tar(source.read_at(0, 512)):
        return offset
    tree = read_tar(source, finds.survey.meter)
    _found(finds, tree, offset)
    return offset + tree.size


def zip_(finds: Finds) -> None:
    """A zip around something."""
    try:
        tree = read_zip(finds.source, finds.survey.meter)
    except Damaged as error:
        finds.damaged("zip", 0, finds.source.size, error)
    else:
        _found(finds, tree, 0)


def _unpacked(finds: Finds, member: Source, path: str) -> Source:
    """A member of a zip, unpacked once."""
    source = anonymous()
    finds.survey.kept.append(source)
    try:
        spool(_pieces(member), source, finds.survey.meter, packed=lambda: finds.source.size)
    except Damaged as error:
        finds.survey.gap(f"{path}: {error.sentence}.")
    return source


def _pieces(source: Source) -> Iterator[bytes]:
    for at in range(0, source.size, _PIECE):
        yield source.read_at(at, _PIECE)


def _large_files(tree: Archive) -> list[tuple[str, Node]]:
    return list(islice((each for each in _files(tree) if each[1].size >= MEMBER_BYTES), _MEMBERS))


def _files(tree: Archive) -> Iterator[tuple[str, Node]]:
    """The regular files that hold anything."""
    todo = [("", tree.top)]
    while todo:
        path, folder = todo.pop()
        for name, node in (folder.children or {}).items():
            if node.children is not None:
                todo.append((f"{path}{name}/", node))
            elif stat.S_ISREG(node.mode) and node.size:
                yield path + name, node
