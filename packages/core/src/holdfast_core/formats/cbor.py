"""CBOR as tokens use it: a reader of one data item from hostile bytes, and what is written to verify a signature.

A general decoder gives tags a meaning (dates, regular expressions, big numbers, shared references), lets true and 1
meet as one key of a map and leaves what follows the item unread. None of this may happen to a signed token, so the
subset is read here, and the tests hold it against a general decoder.

1. Read are integers, byte and text strings, arrays, maps, simple values and floats, all of definite length, in any of
   their lengths: devices need not send the shortest (RFC 9783 section 5.1.1).
2. Refused are: a tag, an indefinite length, a map key that is no integer, text or byte string, a key that comes twice,
   text that is not UTF-8, what is reserved, and bytes that are left over.
3. Size, depth and number of items are bounded before anything is allocated for them; a count cannot exceed the bytes
   that are left.

Source: RFC 8949, sections 3 (the encoding), 5.3 (validity) and 5.6 (keys of maps).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from holdfast_core.kernel.errors import HostileData, LimitExceeded

LARGEST_ITEM = 64 * 1024
"""Bytes of one encoded item; a PSA token has about 500, one with a manifest inside some thousand."""
DEEPEST = 12
"""Arrays and maps within each other; an EAT with submodules and measurements needs 6."""
MOST_ITEMS = 4096
"""Of one encoded item, keys and values each counted."""
MOST_ENTRIES = 256
"""Of any one map, so that keys chosen to collide cost nothing that counts."""


class Simple(msgspec.Struct, frozen=True):
    """A simple value that is none of false, true and null: ``undefined`` is 23 (RFC 8949, section 3.3)."""

    number: int


Key: TypeAlias = int | str | bytes
Value: TypeAlias = "int | float | bool | bytes | str | Simple | tuple[Value, ...] | Mapping[Key, Value] | None"

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_ONE_BYTE, _EIGHT_BYTES, _INDEFINITE = 24, 27, 31
_FALSE, _TRUE, _NULL, _UNDEFINED = range(20, 24)
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_FIRST_LONG_SIMPLE = 32


def read_cbor(data: bytes, what: str) -> Value:
    """The one data item that `data` is.

    Args:
        data: its encoding, all of it.
        what: the item's name, for the error.

    Raises:
        HostileData: ``cbor.malformed``, ``cbor.trailing``, ``cbor.tag``, ``cbor.indefinite``, ``cbor.key``,
            ``cbor.duplicate_key``, ``cbor.text``.
        LimitExceeded: ``cbor.too_large``, ``cbor.too_deep``, ``cbor.too_many``.
    """
    _bounded(data, what)
    reader = _Reader(data, what)
    value = reader.item(0)
    reader.end()
    return value


def split_tag(data: bytes, what: str) -> tuple[int | None, bytes]:
    """The tag that `data` begins with, None without one, and the bytes behind it.

    Raises:
        HostileData: ``cbor.malformed``.
        LimitExceeded: ``cbor.too_large``.
    """
    _bounded(data, what)
    if not data or data[0] >> 5 != _TAG:
        return None, data
    reader = _Reader(data, what)
    _, number = reader.head()
    return number, reader.rest()


def write_bytes(data: bytes) -> bytes:
    """`data` as a byte string in its shortest form."""
    return _written_head(_BYTES, len(data)) + data


def write_text(text: str) -> bytes:
    """`text` as a text string in its shortest form."""
    data = text.encode()
    return _written_head(_TEXT, len(data)) + data


def write_array(*items: bytes) -> bytes:
    """An array of `items`, each encoded already."""
    return _written_head(_ARRAY, len(items)) + b"".join(items)


def _written_head(major: int, number: int) -> bytes:
    if number < _ONE_BYTE:
        return bytes([major << 5 | number])
    power = next(power for power in range(4) if number < 1 << (8 << power))
    return bytes([major << 5 | _ONE_BYTE + power]) + number.to_bytes(1 << power, "big")


def _bounded(data: bytes, what: str) -> None:
    if len(data) > LARGEST_ITEM:
        raise LimitExceeded(
            "cbor.too_large",
            f"The {what} has {len(data)} bytes; {LARGEST_ITEM} are taken.",
            remedy="Send what the device made, and manifests by their digest.",
        )


class _Reader:
    """A position in an encoded item, and how many items were met up to it."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._met = 0
        self._what = what

    def item(self, depth: int) -> Value:
        self._met += 1
        if self._met > MOST_ITEMS:
            raise _limit("cbor.too_many", f"The {self._what} holds more than {MOST_ITEMS} CBOR items.")
        start = self._at
        major, number = self.head()
        if major <= _NEGATIVE:
            return number if major == _UNSIGNED else -1 - number
        if major == _BYTES:
            return self._take(number)
        if major == _TEXT:
            return self._text(number)
        if major in (_ARRAY, _MAP):
            return self._container(major, number, depth + 1)
        if major == _TAG:
            raise self._refused("cbor.tag", f"holds the tag {number} where none is known")
        return self._simple(self._data[start] & 31, number)

    def head(self) -> tuple[int, int]:
        """The major type and the argument (RFC 8949, section 3)."""
        first = self._take(1)[0]
        major, info = first >> 5, first & 31
        if info < _ONE_BYTE:
            return major, info
        if info <= _EIGHT_BYTES:
            return major, int.from_bytes(self._take(1 << (info - _ONE_BYTE)), "big")
        if info == _INDEFINITE:
            raise self._refused("cbor.indefinite", "holds an item of indefinite length")
        raise self._malformed("it has a reserved length")

    def rest(self) -> bytes:
        return self._data[self._at :]

    def end(self) -> None:
        left = len(self._data) - self._at
        if left:
            raise self._refused("cbor.trailing", f"is followed by {left} bytes that belong to nothing")

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise self._malformed("it ends too early")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            raise self._refused("cbor.text", "holds text that is not UTF-8") from None

    def _container(self, major: int, count: int, depth: int) -> Value:
        if depth > DEEPEST:
            raise _limit("cbor.too_deep", f"The {self._what} nests more than {DEEPEST} arrays and maps.")
        if count * (major - _ARRAY + 1) > len(self._data) - self._at:
            raise self._malformed("it ends too early")
        if major == _ARRAY:
            return tuple([self.item(depth) for _ in range(count)])
        if count > MOST_ENTRIES:
            raise _limit("cbor.too_many", f"The {self._what} holds a map of {count} entries; {MOST_ENTRIES} are taken.")
        return self._map(count, depth)

    def _map(self, count: int, depth: int) -> Mapping[Key, Value]:
        entries: dict[Key, Value] = {}
        for _ in range(count):
            key = self.item(depth)
            if isinstance(key, bool) or not isinstance(key, int | str | bytes):
                raise self._refused("cbor.key", "holds a map with a key that is no integer, text or byte string")
            if key in entries:
                raise self._refused("cbor.duplicate_key", f"holds a map with the key {str(key)[:40]!r} twice")
            entries[key] = self.item(depth)
        return entries

    def _simple(self, info: int, number: int) -> Value:
        if info in _FLOATS:
            decoded: float = struct.unpack(_FLOATS[info], number.to_bytes(1 << (info - _ONE_BYTE), "big"))[0]
            return decoded
        if info == _ONE_BYTE and number < _FIRST_LONG_SIMPLE:
            raise self._malformed("it has a simple value in two bytes that fits into one")
        if number in (_FALSE, _TRUE):
            return number == _TRUE
        return None if number == _NULL else Simple(number)

    def _malformed(self, why: str) -> HostileData:
        return HostileData(
            "cbor.malformed",
            f"The {self._what} could not be read as CBOR: {why}.",
            remedy="Send the bytes as the device made them, whole.",
        )

    def _refused(self, code: str, why: str) -> HostileData:
        return HostileData(
            code,
            f"The {self._what} {why}.",
            remedy="Encode it as RFC 9783 section 5.1.1 asks: definite lengths, each key once, nothing behind it.",
        )


def _limit(code: str, sentence: str) -> LimitExceeded:
    return LimitExceeded(code, sentence, remedy="Send a token with fewer claims, and manifests by their digest.")
