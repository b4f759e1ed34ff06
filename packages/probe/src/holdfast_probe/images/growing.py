"""How the nodes of a file system are gathered, whichever format it is.

1. Depth first with a list of what is still to do: recursion would put its depth in the hands of the image.
2. A directory that does not read is damaged, and so is one that holds what does not read; the others are judged.
3. What has two names is one node; a directory has one name, so that a circle ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from holdfast_probe.images.limits import Damaged, Exceeded, Meter
from holdfast_probe.images.tree import Node, Tree

I = TypeVar("I")  # noqa: E741  (an inode, of a format's own)


class Volume(Protocol[I]):
    """One file system, opened."""

    kind: str
    size: int
    """Bytes that it takes."""
    root: int
    """The key of its root directory."""

    def inode(self, key: int) -> I:
        """What `key` names. Raises `Damaged`."""

    def entries(self, inode: I) -> Iterable[tuple[bytes, int]]:
        """Names and keys of a directory's entries. Raises `Damaged`."""

    def node(self, tree: Tree, inode: I) -> Node:
        """The node of an inode. Raises `Damaged`."""


class _Task(msgspec.Struct, frozen=True):
    """A directory to read."""

    folder: Node
    inode: object
    depth: int


def grown(volume: Volume[I], meter: Meter) -> Tree:
    """All nodes of a volume. Raises `Damaged` when not even its root directory reads."""
    tree = Tree(volume.kind, meter)
    tree.size = volume.size
    inode = volume.inode(volume.root)
    tree.top = volume.node(tree, inode)
    if tree.top.children is None:
        raise Damaged("Its root is not a directory")
    _Growth(tree, volume).run(inode)
    return tree


class _Growth:
    """The work of `grown`."""

    def __init__(self, tree: Tree, volume: Volume[I]) -> None:
        self._tree = tree
        self._volume: Volume[object] = volume  # type: ignore[assignment]  # an inode goes back to the volume it is from
        self._seen = {volume.root: tree.top}
        self._todo: list[_Task] = []

    def run(self, root: object) -> None:
        self._todo.append(_Task(self._tree.top, root, 1))
        try:
            while self._todo:
                self._read(self._todo.pop())
        except Exceeded as error:
            self._tree.spoil(error)

    def _read(self, task: _Task) -> None:
        folder = task.folder
        self._tree.meter.look()
        if task.depth > self._tree.meter.limits.depth:
            folder.damage = "It is nested too deeply"
            return
        try:
            for name, key in self._volume.entries(task.inode):
                self._enter(task, name, key)
        except Damaged as error:
            folder.damage = folder.damage or error.sentence

    def _enter(self, task: _Task, name: bytes, key: int) -> None:
        folder = task.folder
        node = self._seen.get(key)
        if node is not None:
            if node.children is None:
                self._tree.put(folder, name, node)
            else:
                folder.damage = folder.damage or "It holds a directory that is linked twice"
            return
        try:
            inode = self._volume.inode(key)
            node = self._seen[key] = self._volume.node(self._tree, inode)
        except Damaged as error:
            folder.damage = folder.damage or error.sentence
            return
        if self._tree.put(folder, name, node) and node.children is not None:
            self._todo.append(_Task(node, inode, task.depth + 1))
