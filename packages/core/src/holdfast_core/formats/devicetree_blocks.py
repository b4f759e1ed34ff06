"""The byte form of a flattened device tree: where its blocks lie, and its tokens, each with its place.

1. Blocks that overlap, lie outside or do not end are refused.
2. Every refusal is ``devicetree.malformed``, or ``devicetree.too_large`` over a limit.

Source: Devicetree Specification v0.4, sections 5.2 (header), 5.3 (reservations), 5.4 (structure) and 5.5 (strings).
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
MOST_TOKENS = 50_000
"""Nodes count twice, properties once; a large board has about 10,000."""
LONGEST_NAME = 255
"""Characters of a name. The specification says 31; mkimage and dtc write longer ones."""
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


class Blocks(msgspec.Struct, frozen=True):
    """Where the header says that things are."""

    size: int
    structure: tuple[int, int]
    strings: tuple[int, int]


def tokens_of(data: bytes, blocks: Blocks) -> tuple[Token, ...]:
    """The tokens of the structure, the end mark last.

    Raises:
        LimitExceeded: ``devicetree.too_large``.
        HostileData: ``devicetree.malformed``.
    """
    tokens: list[Token] = []
    position, end = blocks.structure[0], sum(blocks.structure)
    while not tokens or tokens[-1].kind is not Kind.STOP:
        if len(tokens) == MOST_TOKENS:
            raise too_large(f"it has more than {MOST_TOKENS} tokens")
        token = _token(data, position, end, blocks)
        tokens.append(token)
        position = token.end
    if position != end:
        raise malformed("something follows its end mark")
    return tuple(tokens)


def blocks_of(data: bytes) -> Blocks:
    """What the header of `data` says, once it makes sense.

    Raises:
        LimitExceeded: ``devicetree.too_large``.
        HostileData: ``devicetree.malformed``.
    """
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
        raise too_large(f"it says that it has {size} bytes")
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
    return Blocks(size, (structure, structure_size), (strings, strings_size))


def _reservation_bytes(data: bytes, start: int, size: int) -> int:
    """How long the memory reservation block is: entries of two 64-bit numbers up to the one of zeros."""
    for number in range(_LARGEST_RESERVATIONS):
        entry = start + number * _RESERVED
        if entry + _RESERVED > size:
            break
        if not any(data[entry : entry + _RESERVED]):
            return (number + 1) * _RESERVED
    raise malformed("its memory reservations do not end")


def _token(data: bytes, start: int, end: int, blocks: Blocks) -> Token:
    """The token at `start` of a structure that ends at `end`."""
    kind, after = _number(data, start, end), start + 4
    if kind == Kind.BEGIN:
        raw = _terminated(data, after, end)
        return Token(Kind.BEGIN, start, _padded(after + len(raw) + 1, end), printable(raw, "a node's name"))
    if kind == Kind.PROPERTY:
        size, offset = _number(data, after, end), _number(data, after + 4, end)
        if size > end - after - 8:
            raise malformed("a property is longer than the tree")
        name = _property_name(data, offset, blocks)
        return Token(Kind.PROPERTY, start, _padded(after + 8 + size, end), name, offset)
    if kind in (Kind.END, Kind.NOP, Kind.STOP):
        return Token(Kind(kind), start, after)
    raise malformed(f"{kind:#x} is no token")


def _property_name(data: bytes, offset: int, blocks: Blocks) -> str:
    start, size = blocks.strings
    if offset >= size:
        raise malformed("the name of a property lies outside the strings")
    name = printable(_terminated(data, start + offset, start + size), "the name of a property")
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


def _padded(after: int, end: int) -> int:
    """The next place that is a multiple of four. What is between may be anything: libfdt leaves what was there."""
    aligned = after + -after % 4
    if aligned > end:
        raise malformed("it ends within a token")
    return aligned


def printable(raw: bytes, what: str) -> str:
    """`raw` as printable ASCII, or the refusal of `what`. Raises HostileData ``devicetree.malformed``."""
    text = raw.decode("ascii", "replace")
    if not (text.isascii() and text.isprintable()):
        raise malformed(f"{what} is not printable")
    return text


def malformed(why: str) -> HostileData:
    """The refusal of a tree that cannot be read, or could be read in two ways."""
    return HostileData(
        "devicetree.malformed",
        f"The device tree could not be read: {why}.",
        remedy="Send it as dtc or mkimage wrote it (flattened device tree, version 17), and nothing else.",
    )


def too_large(why: str) -> LimitExceeded:
    """The refusal of a tree over a limit."""
    return LimitExceeded(
        "devicetree.too_large",
        f"The device tree is over a limit: {why}.",
        remedy="Keep large images as external data of a FIT (mkimage -E), or make the tree smaller.",
    )
