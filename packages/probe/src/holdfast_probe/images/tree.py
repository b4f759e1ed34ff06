"""The tree of an image: nodes that know their kind, owner and where their content is; never the content itself.

1. A name holds no slash and no NUL and is neither ``.`` nor ``..``; what is so named is lost, and the loss is kept.
2. A directory that was not read whole says why in `damage`; a name that is not in it is then unreadable, not missing.
   `Tree.damage` says so of every directory: of an archive that ends too early, anything may be missing anywhere.
3. A directory is entered through one name only, so that what a hostile image links in a circle still ends.
"""

from __future__ import annotations

import stat
from typing import Protocol

from holdfast_probe.images.limits import Damaged, Exceeded, Meter
from holdfast_probe.roots import Missing, Unreadable
from holdfast_probe.ways import Way

_REMEDY = "Take the image anew from where it was built; a part of it is damaged or not understood."


class Content(Protocol):
    """Where a regular file's bytes are."""

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`, which lies inside the file. Raises OSError."""


class Node:
    """One file, directory, link or other thing of an image."""

    __slots__ = ("children", "content", "damage", "gid", "link", "links", "mode", "mtime", "serial", "size", "uid")

    def __init__(self, mode: int, uid: int, gid: int, *, serial: int, mtime: int = 0) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.serial = serial
        self.mtime = mtime
        self.size = 0
        self.links = 1
        self.link = ""
        self.damage = ""
        """Why not everything in this directory is known; empty: all is."""
        self.content: Content | None = None
        self.children: dict[str, Node] | None = {} if stat.S_ISDIR(mode) else None


class Tree:
    """All nodes of one file system or archive.

    Args:
        kind: ``squashfs``, ``tar`` and so on.
        meter: what reading may cost.
    """

    owners_told = True
    """Whether the format has owners at all."""

    is_filesystem = True
    """Whether a kernel can mount it; an archive is unpacked into something else."""

    def __init__(self, kind: str, meter: Meter) -> None:
        self.kind = kind
        self.meter = meter
        self.damage = ""
        self.size = 0
        """Bytes of its source that it takes, where the format says so."""
        self.top = self.node(stat.S_IFDIR | 0o755, 0, 0)
        self.count = 0
        self.owners: set[int] = set()

    def node(self, mode: int, uid: int, gid: int, mtime: int = 0) -> Node:
        """A new node that is in no directory yet. Raises `Exceeded`."""
        return Node(mode, uid, gid, serial=self.meter.entry(), mtime=mtime)

    def put(self, parent: Node, name: bytes, node: Node) -> bool:
        """Put `node` into `parent`, unless its name is none: then `parent` is damaged and the answer is no."""
        if not name or name in (b".", b"..") or b"/" in name or b"\0" in name:
            parent.damage = parent.damage or "it holds an entry whose name is none"
            return False
        if len(name) > self.meter.limits.name_bytes or parent.children is None:
            parent.damage = parent.damage or "it holds an entry that cannot be there"
            return False
        parent.children[name.decode("utf-8", "surrogateescape")] = node
        self.count += 1
        if len(self.owners) < 64:  # noqa: PLR2004  (one or many is the question)
            self.owners.add(node.uid)
        return True

    def spoil(self, error: Damaged | Exceeded) -> None:
        """What could not be read may have been anywhere in this tree."""
        self.damage = self.damage or error.sentence

    @property
    def owners_kept(self) -> bool:
        """Whether owners are the device's own: an image that some user made without root has one owner, not root."""
        return self.owners_told and (len(self.owners) != 1 or 0 in self.owners)

    def find(self, path: str) -> Node:
        """What `path` leads to, links followed. Raises `Missing` or `Unreadable`."""
        return self._find(path)[0][-1]

    def folder(self, path: str) -> Node:
        """The directory that `path` leads to. Raises `Missing`, or `Unreadable` where what is in it is elsewhere."""
        nodes, way = self._find(path)
        children = nodes[-1].children
        if children is None:
            raise Missing(path)
        if not children and (trouble := way.void(whole=False)):
            raise trouble
        return nodes[-1]

    def parent(self, path: str) -> tuple[Node, str]:
        """The directory that the last name of `path` stands in, and that name; empty for the root itself."""
        folder, _, name = path.rstrip("/").rpartition("/")
        return self.find(folder), name

    def _find(self, path: str) -> tuple[list[Node], Way]:
        nodes = [self.top]
        way = Way(path)
        while part := way.step():
            if part == "..":
                del nodes[max(1, len(nodes) - 1) :]
                continue
            if nodes[-1].children is None:
                raise Missing(path)
            try:
                node = self.child(nodes[-1], part, path)
            except Missing:
                raise way.ended(whole=False, empty=lambda: not nodes[-1].children) from None
            if not stat.S_ISLNK(node.mode):
                nodes.append(node)
                way.enter()
                continue
            way.follow(node.link)
            if node.link.startswith("/"):
                del nodes[1:]
        return nodes, way

    def child(self, folder: Node, name: str, path: str) -> Node:
        """The entry `name` of `folder`. Raises `Missing`, or `Unreadable` where it may have been lost."""
        if folder.children is None:
            raise Missing(path)
        node = folder.children.get(name)
        if node is None:
            damage = folder.damage or self.damage
            if damage:
                raise Unreadable(path, lowered(damage), remedy=_REMEDY)
            raise Missing(path)
        return node


def lowered(sentence: str) -> str:
    """A sentence as the end of another one."""
    return (sentence[:1].lower() + sentence[1:]).rstrip(".")
