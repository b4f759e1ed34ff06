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
from enum import IntEnum
from itertools import pairwise

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded

MAGIC = 0xD00DFEED
LARGEST = 256 * 1024 * 1024
"""Bytes of one tree; a FIT with a kernel and a root file system is within it."""
LARGEST_STRUCTURE_TOKENS = 50_000
"""Nodes count twice, properties once; a large board has about 10,000."""
DEEPEST = 32
LONGEST_NAME = 255
"""Characters of a name. The specification says 31; mkimage and dtc write longer ones."""
LARGEST_READ = 64 * 1024
"""Bytes of a property that is read as strings or numbers; an image's data is read as bytes and may be longer."""

_HEADER = struct.Struct(">10I")
_VERSION = 17
_RESERVED = 16
"""Bytes of one entry of the memory reservation block; the last is zero."""
_LARGEST_RESERVATIONS = 256


class Kind(IntEnum):
    """What a token is (section 5.4.1)."""

    BEGIN = 1
    END = 2
    PROPERTY = 3
    NOP = 4
    STOP = 9


class Token(msgspec.Struct, frozen=True):
    """One token: the bytes ``start`` to ``end`` of the tree, padding included.

    `name` is the node's or the property's; a property's stands at `name_offset` in the strings block.
    """

    kind: Kind
    start: int
    end: int
    name: str = ""
    name_offset: int = 0


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
        return tuple(_text(part, f"the property {name!r}") for part in value[:-1].split(b"\0"))

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
            raise _too_large(f"the property {name!r} has {len(value)} bytes")
        return value


class DeviceTree(msgspec.Struct, frozen=True):
    """A tree, its tokens in order, and where its strings block lies (offset and size in bytes)."""

    root: Node
    tokens: tuple[Token, ...]
    size: int
    strings: tuple[int, int]


class _Blocks(msgspec.Struct, frozen=True):
    """Where the header says that things are."""

    size: int
    structure: tuple[int, int]
    strings: tuple[int, int]


def parse_device_tree(data: bytes) -> DeviceTree:
    """The tree at the start of `data`; what follows its stated size is not looked at.

    Raises:
        LimitExceeded: ``devicetree.too_large``.
        HostileData: ``devicetree.malformed``.
    """
    blocks = _blocks(data)
    tokens: list[Token] = []
    position, end = blocks.structure[0], sum(blocks.structure)
    while not tokens or tokens[-1].kind is not Kind.STOP:
        if len(tokens) == LARGEST_STRUCTURE_TOKENS:
            raise _too_large(f"it has more than {LARGEST_STRUCTURE_TOKENS} tokens")
        token = _token(data, position, end, blocks)
        tokens.append(token)
        position = token.end
    if position != end:
        raise malformed("something follows its end mark")
    return DeviceTree(_tree(data, tokens), tuple(tokens), blocks.size, blocks.strings)


def _blocks(data: bytes) -> _Blocks:
    if len(data) < _HEADER.size:
        raise malformed("it ends within its header")
    magic, size, structure, strings, reserved, version, compatible, _, strings_size, structure_size = (
        _HEADER.unpack_from(data)
    )
    if magic != MAGIC:
        raise malformed("it does not begin as one")
    if version < _VERSION or compatible > _VERSION:
        raise malformed(f"its version {version} is not {_VERSION}")
    if size > LARGEST:
        raise _too_large(f"it says that it has {size} bytes")
    if size > len(data):
        raise malformed(f"it has {len(data)} bytes and says {size}")
    if structure % 4 or structure_size % 4:
        raise malformed("its structure is not aligned")
    spans = sorted(
        [
            (0, _HEADER.size),
            (reserved, reserved + _reservation_bytes(data, reserved, size)),
            (structure, structure + structure_size),
            (strings, strings + strings_size),
        ]
    )
    if any(one[1] > other[0] for one, other in pairwise(spans)) or spans[-1][1] > size:
        raise malformed("its blocks overlap or lie outside")
    return _Blocks(size, (structure, structure_size), (strings, strings_size))


def _reservation_bytes(data: bytes, start: int, size: int) -> int:
    """How long the memory reservation block is: entries of two 64-bit numbers up to the one of zeros."""
    for number in range(_LARGEST_RESERVATIONS):
        entry = start + number * _RESERVED
        if entry + _RESERVED > size:
            break
        if not any(data[entry : entry + _RESERVED]):
            return (number + 1) * _RESERVED
    raise malformed("its memory reservations do not end")


def _token(data: bytes, start: int, end: int, blocks: _Blocks) -> Token:
    """The token at `start` of a structure that ends at `end`."""
    kind, after = _number(data, start, end), start + 4
    if kind == Kind.BEGIN:
        raw = _terminated(data, after, end)
        return Token(Kind.BEGIN, start, _padded(data, after + len(raw) + 1, end), _text(raw, "a node's name"))
    if kind == Kind.PROPERTY:
        size, offset = _number(data, after, end), _number(data, after + 4, end)
        if size > end - after - 8:
            raise malformed("a property is longer than the tree")
        name = _property_name(data, offset, blocks)
        return Token(Kind.PROPERTY, start, _padded(data, after + 8 + size, end), name, offset)
    if kind in (Kind.END, Kind.NOP, Kind.STOP):
        return Token(Kind(kind), start, after)
    raise malformed(f"{kind:#x} is no token")


def _property_name(data: bytes, offset: int, blocks: _Blocks) -> str:
    start, size = blocks.strings
    if offset >= size:
        raise malformed("the name of a property lies outside the strings")
    name = _text(_terminated(data, start + offset, start + size), "the name of a property")
    if not name:
        raise malformed("a property has no name")
    return name


def _number(data: bytes, start: int, end: int) -> int:
    if start + 4 > end:
        raise malformed("it ends within a token")
    return int.from_bytes(data[start : start + 4], "big")


def _terminated(data: bytes, start: int, end: int) -> bytes:
    """The bytes from `start` to a zero, which comes within a name's length and before `end`."""
    raw, zero, _ = data[start : min(end, start + LONGEST_NAME + 1)].partition(b"\0")
    if not zero:
        raise malformed("a name does not end")
    return raw


def _padded(data: bytes, after: int, end: int) -> int:
    """The next place that is a multiple of four; what is between is zeros, or two trees could differ in it."""
    aligned = after + -after % 4
    if aligned > end or any(data[after:aligned]):
        raise malformed("it is not padded with zeros")
    return aligned


def _text(raw: bytes, what: str) -> str:
    text = raw.decode("ascii", "replace")
    if not (text.isascii() and text.isprintable()):
        raise malformed(f"{what} is not printable")
    return text


def _tree(data: bytes, tokens: list[Token]) -> Node:
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
        raise _too_large(f"it nests deeper than {DEEPEST}")
    is_root = depth == 1
    if is_root is bool(name) or "/" in name or name in parent.children or (is_root and parent.children):
        raise malformed(f"the node {name!r} stands where it may not, or twice")
    node = Node(name, {}, {}, {})
    parent.children[name] = node
    return node


def malformed(why: str) -> HostileData:
    """The refusal of a tree that cannot be read, or could be read in two ways."""
    return HostileData(
        "devicetree.malformed",
        f"The device tree could not be read: {why}.",
        remedy="Send it as dtc or mkimage wrote it (flattened device tree, version 17), and nothing else.",
    )


def _too_large(why: str) -> LimitExceeded:
    return LimitExceeded(
        "devicetree.too_large",
        f"The device tree is over a limit: {why}.",
        remedy="Keep large images as external data of a FIT (mkimage -E), or make the tree smaller.",
    )
