"""An image as a root: the same questions, answered from its nodes, nothing ever unpacked into a tree on a disk.

1. No link leads out, since there is nothing outside; no device node exists, no FIFO blocks, no privilege is needed.
2. A content that does not read is `Unreadable`, and counted by the walk; what is not understood in the image is a gap.
3. An image is never a running system: it has no sockets and no ``/proc`` of its own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from holdfast_probe.gaze import TICK, WINDOW, Gaze, Opened
from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.tree import Node, Tree, lowered
from holdfast_probe.roots import FILE_BYTES, MAX_ENTRIES, Missing, Paths, Told, Unreadable

_REMEDY = "Take the image anew from where it was built; a part of it is damaged or not understood."


class ImageRoot(Paths):
    """The tree of an image.

    Args:
        tree: its nodes.
        told: what the image tells beside its files.
    """

    live = False

    def __init__(self, tree: Tree, told: Told | None = None) -> None:
        self.tree = tree
        self.told = told or Told(filesystem=tree.kind if tree.is_filesystem else "")
        self.owners_kept = tree.owners_kept

    def walk(self, gaze: Gaze, *, skip: frozenset[str], devices: frozenset[int]) -> None:  # noqa: ARG002  (the protocol's shape)
        """See `Root`."""
        NodeWalk(gaze, self.tree).run()

    def status(self, path: str) -> os.stat_result:
        """See `Root`."""
        return status_of(self.tree.find(path))

    def read(self, path: str, *, limit: int = FILE_BYTES) -> bytes:
        """See `Root`."""
        node = self.tree.find(path)
        if not stat.S_ISREG(node.mode):
            raise Unreadable(path, "it is not a regular file")
        if node.size > limit:
            raise Unreadable(path, f"it is larger than {limit} bytes")
        try:
            found = content_of(node, 0, node.size)
        except OSError as error:
            raise Unreadable(path, _why(error), remedy=_REMEDY) from None
        if len(found) != node.size:
            raise Unreadable(path, "it ends too early", remedy=_REMEDY)
        return found

    def link(self, path: str) -> str:
        """See `Root`."""
        try:
            folder, name = self.tree.parent(path)
            return self.tree.child(folder, name, path).link if name and name not in (".", "..") else ""
        except Missing:
            return ""

    def listing(self, path: str) -> tuple[str, ...]:
        """See `Root`."""
        node = self.tree.folder(path)
        if damage := node.damage or self.tree.damage:
            raise Unreadable(path, lowered(damage), remedy=_REMEDY)
        names = node.children or ()
        if len(names) > MAX_ENTRIES:
            raise Unreadable(path, f"it holds more than {MAX_ENTRIES} entries")
        return tuple(sorted(names))

    def proc_lines(self, name: str) -> Iterator[bytes]:
        """See `Root`."""
        raise Missing(f"/proc/{name}")


class _OpenedNode(Opened):
    """A file of an image."""

    __slots__ = ("_node",)

    def __init__(self, node: Node, head: memoryview) -> None:
        super().__init__(head, node.size)
        self._node = node

    def read_at(self, offset: int, size: int) -> bytes:
        return content_of(self._node, offset, size)


class NodeWalk:
    """One pass over the nodes of a tree."""

    def __init__(self, gaze: Gaze, tree: Tree) -> None:
        self._gaze = gaze
        self._tree = tree

    def run(self) -> None:
        """Depth first; every directory that was not read whole counts as one that did not open."""
        gaze = self._gaze
        gaze.unread += bool(self._tree.damage)
        levels = [("/", self._directory("/", self._tree.top))]
        while levels and not gaze.cut:
            prefix, directories = levels[-1]
            found = next(directories, None)
            if found is None:
                levels.pop()
            elif not gaze.too_deep(len(levels)):
                name, node = found
                below = f"{prefix}{name}/"
                levels.append((below, self._directory(below, node)))

    def _directory(self, prefix: str, folder: Node) -> Iterator[tuple[str, Node]]:
        """Look at every entry of one directory; yield the directories to enter."""
        gaze = self._gaze
        bits, names, prefixes, strange = gaze.bits, gaze.names, gaze.prefixes, gaze.strangers
        gaze.unread += bool(folder.damage)
        for name, node in (folder.children or {}).items():
            gaze.entries += 1
            if not gaze.entries % TICK and gaze.tick():
                return
            mode = node.mode
            if stat.S_ISLNK(mode):
                continue
            if mode & bits or name in names or name.startswith(prefixes) or strange:
                self._show(prefix + name, node, name)
            if node.children is not None:
                yield name, node
            elif gaze.reads and node.size and stat.S_ISREG(mode):
                self._read(name, prefix, node)
                if gaze.cut:
                    return

    def _show(self, path: str, node: Node, name: str) -> None:
        self._gaze.show(path, status_of(node), name)

    def _read(self, name: str, prefix: str, node: Node) -> None:
        gaze = self._gaze
        readers = gaze.readers(name, node.mode, node.size)
        if not readers:
            return
        try:
            head = content_of(node, 0, WINDOW)
            gaze.window[: len(head)] = head
            gaze.give(prefix + name, _OpenedNode(node, gaze.window[: len(head)]), readers)
        except OSError:
            gaze.unread += 1
        gaze.spent()


def status_of(node: Node) -> os.stat_result:
    """What `stat` would say of a node; the device is always 0, the inode its number in the image."""
    times = (node.mtime, node.mtime, node.mtime)
    return os.stat_result((node.mode, node.serial, 0, node.links, node.uid, node.gid, node.size, *times))


def content_of(node: Node, offset: int, size: int) -> bytes:
    """At most `size` bytes of a regular file, fewer only at its end. Raises OSError."""
    size = min(size, node.size - offset)
    if size <= 0 or offset < 0:
        return b""
    if node.content is None:
        raise Damaged("Its content was not found")
    found = node.content.read_at(offset, size)
    if len(found) != size:
        raise Damaged("Its content ends too early")
    return found


def _why(error: OSError) -> str:
    return lowered(error.sentence) if isinstance(error, Damaged) else error.strerror or "it does not read"
