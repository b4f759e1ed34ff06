"""Flattened device trees: the container of U-Boot's FIT images, read whole and without doubt about what it says.

1. One tree, one reading: what another reader could take otherwise (two properties or two nodes of one name, a property
   after a child, blocks that overlap, a second root, anything after the end mark) is refused.
2. Tokens keep their place, because a FIT signature is over ranges of the very bytes.
3. Bounded in bytes, tokens, depth and the length of names; the time is linear in the bytes.
4. Every refusal is ``devicetree.malformed``, or ``devicetree.too_large`` over a limit.

Source: Devicetree Specification v0.4, chapter 5 (flattened format, version 17).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from holdfast_core.formats.devicetree_blocks import Kind, Token, blocks_of, malformed, printable, tokens_of, too_large

DEEPEST = 32
LARGEST_READ = 64 * 1024
"""Bytes of a property that is read as strings or numbers; an image's data is read as bytes and may be longer."""


class Node(msgspec.Struct, frozen=True):
    """One node. Properties by name, as bytes; where in the tree their values begin; children by name, in order."""

    name: str
    properties: dict[str, bytes]
    places: dict[str, int]
    children: dict[str, Node]

    def text(self, name: str) -> str:
        """The string property `name`; empty where there is none.

        Raises:
            HostileData: ``devicetree.malformed`` when it is not one string of printable ASCII.
        """
        texts = self.texts(name)
        if len(texts) > 1:
            raise malformed(f"the property {name!r} is more than one string")
        return texts[0] if texts else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """The strings of the property `name`; none where there is none.

        Raises:
            HostileData: ``devicetree.malformed`` when they are not strings of printable ASCII.
        """
        value = self._read(name)
        if not value:
            return ()
        if value[-1] != 0:
            raise malformed(f"the property {name!r} does not end as a string does")
        return tuple(printable(part, f"the property {name!r}") for part in value[:-1].split(b"\0"))

    def cells(self, name: str) -> tuple[int, ...]:
        """The 32-bit numbers of the property `name`; none where there is none.

        Raises:
            HostileData: ``devicetree.malformed`` when its length is no multiple of four.
        """
        value = self._read(name)
        if len(value) % 4:
            raise malformed(f"the property {name!r} does not consist of cells")
        return struct.unpack(f">{len(value) // 4}I", value)

    def _read(self, name: str) -> bytes:
        value = self.properties.get(name, b"")
        if len(value) > LARGEST_READ:
            raise too_large(f"the property {name!r} has {len(value)} bytes")
        return value


class DeviceTree(msgspec.Struct, frozen=True):
    """A tree, its tokens in order, and where its strings block lies (offset and size in bytes)."""

    root: Node
    tokens: tuple[Token, ...]
    size: int
    strings: tuple[int, int]


def parse_device_tree(data: bytes) -> DeviceTree:
    """The tree at the start of `data`; what follows its stated size is not looked at.

    Raises:
        LimitExceeded: ``devicetree.too_large``.
        HostileData: ``devicetree.malformed``.
    """
    blocks = blocks_of(data)
    tokens = tokens_of(data, blocks)
    return DeviceTree(_tree(data, tokens), tokens, blocks.size, blocks.strings)


def _tree(data: bytes, tokens: Sequence[Token]) -> Node:
    """The nodes from their tokens, without recursion."""
    above = Node("", {}, {}, {})
    open_nodes = [above]
    for token in tokens:
        node = open_nodes[-1]
        if token.kind is Kind.BEGIN:
            open_nodes.append(_begun(node, token.name, len(open_nodes)))
        elif token.kind is Kind.END:
            if node is above:
                raise malformed("more nodes end than begin")
            open_nodes.pop()
        elif token.kind is Kind.PROPERTY:
            if node is above or node.children or token.name in node.properties:
                raise malformed(f"the property {token.name!r} stands where it may not, or twice")
            place, size = token.start + 12, int.from_bytes(data[token.start + 4 : token.start + 8], "big")
            node.properties[token.name], node.places[token.name] = data[place : place + size], place
    if len(open_nodes) > 1 or not above.children:
        raise malformed("it ends within a node, or has none")
    return above.children[""]


def _begun(parent: Node, name: str, depth: int) -> Node:
    if depth > DEEPEST:
        raise too_large(f"it nests deeper than {DEEPEST}")
    is_root = depth == 1
    if is_root is bool(name) or "/" in name or name in parent.children or (is_root and parent.children):
        raise malformed(f"the node {name!r} stands where it may not, or twice")
    node = Node(name, {}, {}, {})
    parent.children[name] = node
    return node
