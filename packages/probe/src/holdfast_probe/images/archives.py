"""Trees from archives, where every entry brings its whole path: what tar and cpio share.

1. An absolute name is seen from the root; one with ``..`` in it is refused, and then something is missing.
2. Of two entries with one name the last counts, but a directory keeps what is in it.
3. A link in the middle of a path is followed inside the tree, as unpacking would follow it.
4. What does not fit is lost; the tree says so once, and anything may then be missing anywhere.
"""

from __future__ import annotations

import stat

from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Source
from holdfast_probe.images.tree import Node, Tree
from holdfast_probe.roots import Missing, Unreadable

_OUT = "An archive holds names that lead out of it"
_LOST = "An archive holds entries that fit nowhere"


class Stretch:
    """A content that lies in one piece in a source."""

    __slots__ = ("_offset", "_source")

    def __init__(self, source: Source, offset: int) -> None:
        self._source = source
        self._offset = offset

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        return self._source.read_at(self._offset + offset, size)


class Archive(Tree):
    """A tree that is planted path by path."""

    is_filesystem = False

    def plant(self, path: bytes, node: Node) -> None:
        """Put a node where its path says."""
        names = self._names(path)
        if names is None:
            return
        if not names:
            if node.children is not None:
                self._describe(self.top, node)
            return
        folder = self._down(names[:-1], node.uid, node.gid)
        if folder is None or folder.children is None:
            self.damage = self.damage or _LOST
            return
        before = folder.children.get(names[-1].decode("utf-8", "surrogateescape"))
        if before is not None and before.children is not None and node.children is not None:
            self._describe(before, node)
        else:
            self.put(folder, names[-1], node)

    def same(self, path: bytes, target: bytes) -> None:
        """Put a second name of what `target` names."""
        try:
            folder, name = self.parent("/" + target.decode("utf-8", "surrogateescape"))
            node = self.child(folder, name, "/") if name else self.top
        except (Missing, Unreadable):
            self.damage = self.damage or _LOST
            return
        if stat.S_ISDIR(node.mode):
            self.damage = self.damage or _LOST
            return
        node.links += 1
        self.plant(path, node)

    def _names(self, path: bytes) -> list[bytes] | None:
        names = [name for name in path.split(b"/") if name not in (b"", b".")]
        if b".." in names:
            self.damage = self.damage or _OUT
            return None
        if len(names) > self.meter.limits.depth or len(path) > self.meter.limits.link_bytes:
            self.damage = self.damage or _LOST
            return None
        return names

    def _down(self, names: list[bytes], uid: int, gid: int) -> Node | None:
        """The directory of these names; what is not there yet is made, as unpacking would."""
        node, walked = self.top, ""
        for name in names:
            text = name.decode("utf-8", "surrogateescape")
            below = (node.children or {}).get(text)
            if below is None:
                below = self.node(stat.S_IFDIR | 0o755, uid, gid)
                if not self.put(node, name, below):
                    return None
            elif stat.S_ISLNK(below.mode):
                try:
                    below = self.find(f"{walked}/{text}")
                except (Missing, Unreadable):
                    return None
            node, walked = below, f"{walked}/{text}"
        return node

    @staticmethod
    def _describe(node: Node, other: Node) -> None:
        node.mode, node.uid, node.gid, node.mtime = other.mode, other.uid, other.gid, other.mtime


def stretched(tree: Tree, source: Source, offset: int, size: int, node: Node) -> None:
    """Say where a regular file's content is."""
    node.size = size
    node.content = Stretch(source, offset)
    if offset + size > source.size:
        tree.spoil(Damaged("An archive ends in the middle of a file"))
