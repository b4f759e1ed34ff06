"""The beginnings of what may lie anywhere in a firmware, found in one pass.

1. Literal bytes are looked for in large windows, all of them before the next window is read; holes of a sparse file are
   not looked at.
2. A find is only a suspicion: whoever asked tries to read it and says how far it reached, and the search goes on there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from holdfast_probe.images.limits import Meter
from holdfast_probe.images.source import Source

_CHUNK = 1024 * 1024
_OVERLAP = 256
_ORDERS: tuple[Literal["little"], Literal["big"]] = ("little", "big")
_LITERALS: tuple[tuple[str, tuple[bytes, ...], bytes], ...] = (
    ("squashfs", (b"hsqs", b"sqsh", b"shsq", b"qshs", b"tqsh", b"hsqt", b"sqlz", b"zlqs"), b""),
    ("gzip", (b"\x1f\x8b\x08",), rb"[\x00-\x1f]"),
    ("xz", (b"\xfd7zXZ\x00",), b""),
    ("bzip2", (b"1AY&SY",), b""),
    ("zstd", (b"\x28\xb5\x2f\xfd",), b""),
    ("lz4", (b"\x04\x22\x4d\x18",), rb"[\x40-\x7f][\x40-\x70]"),
    ("lz4k", (b"\x02\x21\x4c\x18",), b""),
    ("lzop", (b"\x89LZO\x00\r\n\x1a\n",), b""),
    (
        "lzma",
        (b"\x5d\x00\x00", b"\x6c\x00\x00", b"\x6d\x00\x00", b"\x6e\x00\x00"),
        rb"[\x00-\x80][\x00-\x08](?:\xff{8}|[\x00-\xff]{4}\x00{4})",
    ),
    ("cpio", (b"070701", b"070702"), rb"[0-9A-Fa-f]{8}"),
    ("uimage", (b"\x27\x05\x19\x56",), b""),
    ("trx", (b"HDR0",), b""),
    ("android", (b"ANDROID!",), b""),
    ("device_tree", (b"\xd0\x0d\xfe\xed\x00",), b""),
    ("cramfs", (b"\x45\x3d\xcd\x28", b"\x28\xcd\x3d\x45"), b""),
    ("romfs", (b"-rom1fs-",), b""),
    ("ext", (b"\x53\xef",), rb"[\x00-\x07]\x00[\x00-\x07]\x00"),
    ("tar", (b"ustar\x0000", b"ustar  \x00"), b""),
    ("config", (b"IKCFG_ST\x1f\x8b\x08",), b""),
    ("banner", (b"Linux version ",), rb"[1-9][0-9.]{2,12}[!-~]{0,64} \("),
    ("environment", (b"bootcmd=", b"bootdelay=", b"baudrate=", b"bootargs=", b"ethaddr="), b""),
    ("ubi", (b"UBI#\x01",), b""),
    ("ubifs", (b"\x31\x18\x10\x06",), rb"[\x00-\xff]{16}[\x06-\x08]"),
    ("jffs2", (b"\x85\x19", b"\x19\x85"), rb"(?:[\x01\x02]\xe0[\x00-\xff]{2}\x00\x00|\xe0[\x01\x02]\x00\x00)"),
    (
        "yaffs2",
        tuple(kind.to_bytes(4, order) + (1).to_bytes(4, order) + b"\xff\xff" for kind in (1, 3) for order in _ORDERS),
        rb"[ -~]+\x00",
    ),
    ("lvm", (b"LABELONE",), b""),
    ("luks", (b"LUKS\xba\xbe\x00",), b""),
    ("sparse", (b"\x3a\xff\x26\xed\x01\x00",), b""),
    ("openssl", (b"Salted__",), b""),
    ("erofs", (b"\xe2\xe1\xf5\xe0",), rb"[\x00-\xff]{8}[\x09-\x10]"),
    ("f2fs", (b"\x10\x20\xf5\xf2\x01\x00",), b""),
    ("btrfs", (b"_BHRfS_M",), b""),
    ("iso9660", (b"CD001\x01\x00",), b""),
    ("sevenzip", (b"7z\xbc\xaf\x27\x1c",), b""),
)
"""What may begin, by which bytes it is found, and what has to follow them."""
_FOUND_BY = tuple((literal, kind, re.compile(after)) for kind, literals, after in _LITERALS for literal in literals)
_MOST = 4096
"""Suspicions of one kind in one window; more are none of ours, and said."""
_INSIDE: Mapping[str, int] = {
    "ext": 1080,
    "tar": 257,
    "erofs": 1024,
    "f2fs": 1024,
    "btrfs": 65_600,
    "iso9660": 32_769,
    "bzip2": 4,
    "lvm": 512,
}
"""How far behind the beginning the mark stands."""


class Search:
    """One pass over a source.

    Args:
        source: what to search.
        meter: what it may cost.
        start: where to begin.
    """

    def __init__(self, source: Source, meter: Meter, start: int = 0) -> None:
        self._source = source
        self._meter = meter
        self.position = start
        """What lies before it is settled; whoever settles more moves it on."""
        self.cut = ""
        """Why not everything was searched; empty: it was."""

    def suspects(self) -> Iterator[tuple[str, int]]:
        """What may begin where, in order of the marks."""
        searched = 0
        for low, high in self._source.data(self.position, self._source.size):
            at = low
            while at < high:
                at = max(at, self.position)
                if searched > self._meter.limits.scanned_bytes:
                    self.cut = f"Only the first {self._meter.limits.scanned_bytes} bytes of it were searched"
                    return
                self._meter.look()
                window = self._source.read_at(at, min(_CHUNK, high - at) + _OVERLAP)
                searched += _CHUNK
                yield from self._in(window, at)
                at += _CHUNK

    def _in(self, window: bytes, at: int) -> Iterator[tuple[str, int]]:
        found = sorted(place for literal in _FOUND_BY for place in self._places(window, *literal))
        for place, kind in found:
            offset = at + place - _INSIDE.get(kind, 0)
            if offset >= self.position:
                yield kind, offset

    def _places(self, window: bytes, literal: bytes, kind: str, after: re.Pattern[bytes]) -> Iterator[tuple[int, str]]:
        count = 0
        place = window.find(literal)
        while 0 <= place < _CHUNK:
            if after.match(window, place + len(literal)):
                count += 1
                if count > _MOST:
                    self.cut = "It is full of what begins like a part and is none"
                    return
                yield place, kind
            place = window.find(literal, place + 1)
