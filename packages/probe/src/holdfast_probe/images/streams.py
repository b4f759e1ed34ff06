"""Compressed streams, unpacked piece by piece.

1. A piece is at most `PIECE` bytes, whatever the stream wants; the caller counts them and stops.
2. What is wrong with a stream is `Damaged`, raised after everything before it was given.
3. Where a stream ends in its source is told in `end`, so that what follows it can be looked at.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from holdfast_probe.images.codecs import LZMA_MEMORY, library, unlz4, unlzo
from holdfast_probe.images.limits import Damaged
from holdfast_probe.images.source import Source

PIECE = 256 * 1024
_LZ4_BLOCK = 8 * 1024 * 1024
_TROUBLE = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
_LZ4_MAXIMA = {4: 64 * 1024, 5: 256 * 1024, 6: 1024 * 1024, 7: 4 * 1024 * 1024}


class Stream:
    """One compressed stream at a place of a source.

    Args:
        kind: a key of `KINDS`.
        source: where it is.
        start: its first byte.
    """

    def __init__(self, kind: str, source: Source, start: int = 0) -> None:
        self.source = source
        self.position = start
        self.start = start
        self._pieces = KINDS[kind]

    @property
    def end(self) -> int:
        """The place behind what was read of it."""
        return self.position

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces(self)

    def take(self, size: int) -> bytes:
        """The next packed bytes. Raises `Damaged` at the end."""
        found = self.source.whole(self.position, size)
        self.position += size
        return found


def _by_object(make: Callable[[], Any], magic: bytes) -> Callable[[Stream], Iterator[bytes]]:
    """Streams that the standard library unpacks; several in a row are one, as their tools have it."""

    def pieces(stream: Stream) -> Iterator[bytes]:
        while True:
            yield from _one(make(), stream)
            if not magic or stream.source.read_at(stream.position, len(magic)) != magic:
                return

    return pieces


def _one(reader: Any, stream: Stream) -> Iterator[bytes]:
    data = b""
    while not reader.eof:
        if not data and getattr(reader, "needs_input", True):
            data = stream.source.read_at(stream.position, PIECE)
            if not data:
                raise Damaged("A compressed stream ends too early")
            stream.position += len(data)
        try:
            piece = reader.decompress(data, PIECE)
        except _TROUBLE:
            raise Damaged("A compressed stream is damaged") from None
        data = getattr(reader, "unconsumed_tail", b"")
        if piece:
            yield piece
    stream.position -= len(reader.unused_data)


def _zstd(stream: Stream) -> Iterator[bytes]:
    zstd = library("zstandard")
    reader = zstd.ZstdDecompressor(max_window_size=128 * 1024 * 1024).stream_reader(
        _Feed(stream), read_size=4096, read_across_frames=False
    )
    try:
        while piece := reader.read(PIECE):
            yield piece
    except zstd.ZstdError:
        raise Damaged("A compressed stream is damaged") from None


class _Feed:
    """A stream's source as a file, for a library that reads one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        found = self._stream.source.read_at(self._stream.position, size)
        self._stream.position += len(found)
        return found


def _lz4_legacy(stream: Stream) -> Iterator[bytes]:
    """As the kernel packs itself: blocks of at most 8 MiB, each after its size, until something else comes."""
    stream.take(4)
    while len(raw := stream.source.read_at(stream.position, 4)) == 4:  # noqa: PLR2004  (a size)
        size = int.from_bytes(raw, "little")
        if not 0 < size <= _LZ4_BLOCK + _LZ4_BLOCK // 128:
            return
        packed = stream.source.read_at(stream.position + 4, size)
        if len(packed) != size:
            raise Damaged("A compressed stream ends too early")
        block = unlz4(packed, _LZ4_BLOCK)
        stream.position += 4 + size
        yield block
        if len(block) < _LZ4_BLOCK:
            return


def _lz4_frame(stream: Stream) -> Iterator[bytes]:
    stream.take(4)
    flags, maximum = stream.take(2)
    limit = _LZ4_MAXIMA.get(maximum >> 4)
    if flags >> 6 != 1 or limit is None:
        raise Damaged("A compressed stream is damaged")
    stream.take(8 * (flags >> 3 & 1) + 4 * (flags & 1) + 1)
    window = b""
    lz4 = library("lz4.block")
    while size := int.from_bytes(stream.take(4), "little"):
        packed = stream.take(min(size & 0x7FFFFFFF, limit + 1))
        try:
            block = packed if size >> 31 else lz4.decompress(packed, uncompressed_size=limit, dict=window)
        except (lz4.LZ4BlockError, ValueError, MemoryError):
            raise Damaged("A compressed stream is damaged") from None
        stream.take(4 * (flags >> 4 & 1))
        if not flags & 0x20:  # blocks that lean on those before them
            window = (window + block)[-64 * 1024 :]
        yield block
    stream.take(4 * (flags >> 2 & 1))


def _lzop(stream: Stream) -> Iterator[bytes]:
    stream.take(9)
    version, _, _ = (int.from_bytes(stream.take(2), "big") for _ in range(3))
    stream.take(1 + (version >= 0x940) * 1)  # noqa: PLR2004  (the version that added a level)
    flags = int.from_bytes(stream.take(4), "big")
    stream.take(4 * bool(flags & 0x800) + 12 - 4 * (version < 0x940))  # noqa: PLR2004  (filter; mode and times)
    stream.take(stream.take(1)[0] + 4)
    sums = (flags & 0x101).bit_count(), (flags & 0x202).bit_count()
    while size := int.from_bytes(stream.take(4), "big"):
        packed_size = int.from_bytes(stream.take(4), "big")
        stream.take(4 * sums[0] + 4 * sums[1] * (packed_size < size))
        if not packed_size <= size <= _LZ4_BLOCK:
            raise Damaged("A compressed stream is damaged")
        packed = stream.take(packed_size)
        yield packed if packed_size == size else unlzo(packed, size)


KINDS: Mapping[str, Callable[[Stream], Iterator[bytes]]] = {
    "gzip": _by_object(lambda: zlib.decompressobj(31), b"\x1f\x8b\x08"),
    "xz": _by_object(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY), b"\xfd7zXZ\0"),
    "lzma": _by_object(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY), b""),
    "bzip2": _by_object(bz2.BZ2Decompressor, b"BZh"),
    "zstd": _zstd,
    "lz4": _lz4_frame,
    "lz4 of a kernel": _lz4_legacy,
    "lzop": _lzop,
}
"""How each kind of stream is unpacked."""
EMPTY = 4096
"""What gives fewer bytes than this before it breaks was no stream."""
