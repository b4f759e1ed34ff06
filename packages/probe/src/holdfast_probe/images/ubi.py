"""UBI: the volumes of a NAND flash, put together from its erase blocks.

1. Every erase block says which volume and which place of it it holds; of two for one place the later one counts.
2. A block that is missing reads as erased, as the kernel would show it.

Source: the kernel's drivers/mtd/ubi/ubi-media.h (the layout only).
"""

from __future__ import annotations

import struct

from holdfast_probe.images.limits import Damaged, Meter
from holdfast_probe.images.source import Source

MAGIC = b"UBI#"
_ERASE_SIZES = tuple(1 << n for n in range(14, 23))
_HEADER = struct.Struct(">4sB3xQ2I")
_BLOCK = struct.Struct(">4s4B2I4x4I4xQ")
_INTERNAL = 0x7FFFEFFF
_MOST = 128


class VolumeSource(Source):
    """One volume, as it would be read."""

    def __init__(self, source: Source, block: int, places: dict[int, int]) -> None:
        self._source = source
        self._block = block
        self._places = places
        self.size = (max(places) + 1) * block

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        pieces = []
        size = min(size, self.size - offset) if offset >= 0 else 0
        while size > 0:
            number, skip = divmod(offset, self._block)
            take = min(size, self._block - skip)
            place = self._places.get(number)
            pieces.append(b"\xff" * take if place is None else self._source.whole(place + skip, take))
            offset += take
            size -= take
        return b"".join(pieces)


def read_ubi(source: Source, start: int, meter: Meter) -> tuple[dict[int, VolumeSource], int]:
    """The volumes that begin at `start`, by their number, and where they end. Raises `Damaged`."""
    size = _erase_size(source, start)
    volumes: dict[int, dict[int, tuple[int, int]]] = {}
    data = 0
    at = start
    while source.read_at(at, 4) == MAGIC:
        meter.look()
        _, _, _, header_at, data = _HEADER.unpack(source.whole(at, _HEADER.size))
        if not _HEADER.size <= header_at < data < size:
            raise Damaged("A block of its flash makes no sense")
        raw = source.read_at(at + header_at, _BLOCK.size)
        if len(raw) == _BLOCK.size and raw[:4] == b"UBI!":
            _, _, _, _, _, volume, number, *_, sequence = _BLOCK.unpack(raw)
            if volume < _MOST and number < source.size // size:
                places = volumes.setdefault(volume, {})
                if number not in places or places[number][0] < sequence:
                    places[number] = sequence, at + data
        at += size
    return {
        number: VolumeSource(source, size - data, {key: place for key, (_, place) in places.items()})
        for number, places in sorted(volumes.items())
    }, at


def _erase_size(source: Source, start: int) -> int:
    """The distance of two blocks."""
    for size in _ERASE_SIZES:
        if source.read_at(start + size, 4) == MAGIC:
            return size
    raise Damaged("A single block of a flash was found")
