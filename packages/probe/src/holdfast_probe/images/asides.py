"""What an image holds beside its root, put where the one walk comes by: a key is a key wherever it lies.

1. A tree that nothing mounts becomes a directory at the top, named as the part that it is.
2. What lies between the parts and is no padding becomes a file there, so that keys in it are found.
3. No name of the root's own is ever covered; a tree without a single file is left out.
"""

from __future__ import annotations

import stat

from holdfast_probe.images.source import Source
from holdfast_probe.images.tree import Node, Tree

SEPARATOR = " at 0x"
"""What every such name holds."""


def put_aside(tree: Tree, name: str, other: Tree) -> bool:
    """Put another tree's top at the top of `tree`; no: there is no file in it."""
    if not _holds_files(other.top):
        return False
    other.top.damage = other.top.damage or other.damage
    _put(tree, name, other.top)
    tree.count += other.count
    return True


def put_remains(tree: Tree, name: str, source: Source) -> None:
    """Put a stretch of bytes at the top of `tree`, as a file of root's."""
    node = tree.node(stat.S_IFREG | 0o600, 0, 0)
    node.size = source.size
    node.content = source
    _put(tree, name, node)
    tree.count += 1


def _holds_files(top: Node) -> bool:
    todo = [top]
    while todo:
        node = todo.pop()
        if stat.S_ISREG(node.mode):
            return True
        todo += (node.children or {}).values()
    return False


def _put(tree: Tree, name: str, node: Node) -> None:
    children = tree.top.children
    if children is not None:
        plain = name.replace("/", "|")[-200:]
        while plain in children:
            plain += "'"
        children[plain] = node
