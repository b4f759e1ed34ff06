"""Flattened device trees: the kernel's command line in them, and the FIT images that carry kernels with signatures.

1. Read token by token; values longer than `_VALUE` are kept as their place only.
2. Bounded in nodes and depth; what makes no sense is `Damaged`.

Source: the Devicetree Specification, chapter 5; U-Boot's doc/uImage.FIT/source_file_format.
"""

from __future__ import annotations

import struct

import msgspec

from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Paged, Source

MAGIC = b"\xd0\x0d\xfe\xed"
_HEADER = struct.Struct(">10I")
_BEGIN, _END, _PROPERTY, _NOP, _STOP = 1, 2, 3, 4, 9
_VALUE = 4096
_TOKENS = 1_000_000
_DEPTH = 64


class DeviceTree(msgspec.Struct, frozen=True):
    """What a device tree says, as far as it is asked."""

    size: int
    bootargs: str
    fit: bool
    """Whether it is a FIT image: a container for kernels."""
    signed: bool
    """Whether a FIT has a signature for a configuration or an image."""
    model: str


def read_device_tree(source: Source, offset: int = 0) -> DeviceTree:
    """The device tree at `offset`. Raises `Damaged`."""
    magic, size, structure, strings, _, version, _, _, strings_size, structure_size = _HEADER.unpack(
        source.whole(offset, _HEADER.size)
    )
    if magic != 0xD00DFEED or not 16 <= version <= 17 or size < _HEADER.size or structure >= size or strings >= size:  # noqa: PLR2004  (the format)
        raise Damaged("A device tree makes no sense")
    if version == 16:  # noqa: PLR2004  (had no size of the structure)
        structure_size = size - structure
    names = source.whole(offset + strings, min(strings_size, 1024 * 1024))
    reading = _Reading(Paged(source), offset + structure, offset + structure + structure_size, names)
    reading.run()
    return DeviceTree(size, reading.bootargs, reading.fit, reading.signed, reading.model)


class _Reading:
    def __init__(self, source: Source, start: int, end: int, names: bytes) -> None:
        self._source = source
        self._position = start
        self._end = end
        self._names = names
        self._way: list[bytes] = []
        self.bootargs = ""
        self.model = ""
        self.fit = self.signed = False

    def run(self) -> None:
        """Token by token, to the end mark."""
        for _ in range(_TOKENS):
            token = self._number()
            if token == _STOP:
                return
            if token == _BEGIN:
                self._begin()
            elif token == _END:
                if not self._way:
                    break
                self._way.pop()
            elif token == _PROPERTY:
                self._property()
            elif token != _NOP:
                break
        raise Damaged("A device tree makes no sense")

    def _number(self) -> int:
        if self._position + 4 > self._end:
            raise Damaged("A device tree ends too early")
        self._position += 4
        return int.from_bytes(self._source.whole(self._position - 4, 4), "big")

    def _begin(self) -> None:
        name, mark, _ = self._source.read_at(self._position, 256).partition(b"\0")
        if not mark or len(self._way) >= _DEPTH:
            raise Damaged("A device tree makes no sense")
        self._position += -(-(len(name) + 1) // 4) * 4
        self._way.append(name)
        if self._way[1:2] == [b"images"]:
            self.fit = True
        if len(self._way) == 4 and self._way[1] in (b"configurations", b"images") and name.startswith(b"signature"):  # noqa: PLR2004  (root, list, image, its signature)
            self.signed = True

    def _property(self) -> None:
        size, name_at = self._number(), self._number()
        place = self._position
        if place + size > self._end:
            raise Damaged("A device tree ends too early")
        self._position += -(-size // 4) * 4
        name = self._names[name_at : name_at + 64].split(b"\0")[0]
        if size > _VALUE or (name, len(self._way)) not in ((b"bootargs", 2), (b"model", 1)):
            return
        text = self._source.whole(place, size).rstrip(b"\0").decode("utf-8", "replace")
        if name == b"model":
            self.model = text
        elif self._way[1] == b"chosen":
            self.bootargs = text
