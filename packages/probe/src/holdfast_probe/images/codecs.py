"""Unpacking one block of a file system, bounded by what a block may hold.

1. Whatever is wrong with a block is `Damaged`; no library's own error leaves this module.
2. Output is bounded while it is made, never only measured afterwards. The one library that cannot (LZO) is given no
   more than `LZO_BYTES`, which bounds what it can make.
3. zstd, LZ4 and LZO are optional libraries: without one, the block is `Damaged` and the sentence names it.

Routers use LZMA without saying so, in several shapes; `vendor_codecs` are all of them, and a reader tries which fits.
"""

from __future__ import annotations

import importlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeAlias

from holdfast_probe.images.limits import Damaged

Unpack: TypeAlias = Callable[[bytes, int], bytes]
"""At most so many bytes from a packed block. Raises `Damaged`."""
LZO_BYTES = 256 * 1024
"""Packed bytes that are given to LZO at once; a byte unpacks to at most 255."""
LZMA_MEMORY = 256 * 1024 * 1024
"""That the dictionary of one LZMA stream may take."""
_LIBRARIES = {"zstandard": "zstd", "lz4.block": "LZ4", "lzallright": "LZO"}


class NoLibrary(Damaged):
    """A compression that is known, for which this machine has no library."""


@cache
def library(name: str) -> Any:
    """An optional library. Raises `NoLibrary`."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise NoLibrary(
            f"It is packed with {_LIBRARIES[name]}, which needs the Python package {name.partition('.')[0]}"
        ) from None


def unzlib(data: bytes, limit: int) -> bytes:
    """Zlib."""
    reader = zlib.decompressobj()
    try:
        return reader.decompress(data, limit)
    except zlib.error:
        raise Damaged("A block does not unpack (zlib)") from None


def unxz(data: bytes, limit: int) -> bytes:
    """A whole xz stream."""
    return _lzma(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY), data, limit)


def unlzma(data: bytes, limit: int) -> bytes:
    """LZMA with the header of thirteen bytes; a length in it may be wrong or missing."""
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY)
    except lzma.LZMAError:
        raise Damaged("A block does not unpack (LZMA)") from None
    return _lzma(reader, data[:5] + b"\xff" * 8 + data[13:], limit)


def unzstd(data: bytes, limit: int) -> bytes:
    """Zstandard."""
    zstd = library("zstandard")
    try:
        with zstd.ZstdDecompressor(max_window_size=128 * 1024 * 1024).stream_reader(data) as reader:
            found: bytes = reader.read(limit)
    except zstd.ZstdError:
        raise Damaged("A block does not unpack (zstd)") from None
    return found


def unlz4(data: bytes, limit: int) -> bytes:
    """One LZ4 block without a frame."""
    lz4 = library("lz4.block")
    try:
        found: bytes = lz4.decompress(data, uncompressed_size=limit)
    except (lz4.LZ4BlockError, ValueError, MemoryError, OverflowError):
        raise Damaged("A block does not unpack (LZ4)") from None
    return found


def unlzo(data: bytes, limit: int) -> bytes:
    """One LZO1X block."""
    lzo = library("lzallright")
    if len(data) > LZO_BYTES:
        raise Damaged("A block is larger than LZO is trusted with")
    try:
        found = bytes(lzo.LZOCompressor.decompress(data, limit))
    except (lzo.LZOError, ValueError, TypeError, MemoryError):
        raise Damaged("A block does not unpack (LZO)") from None
    if len(found) > limit:
        raise Damaged("A block unpacks to more than a block holds")
    return found


def vendor_codecs() -> Iterator[Unpack]:
    """What vendors pack squashfs with, whatever its superblock says; the likeliest first."""
    yield unzlib
    yield unlzma
    yield unxz
    yield _lzma_after_properties
    for lp, lc, pb in ((0, 3, 2), (2, 0, 2), (0, 3, 0), (0, 4, 2), (0, 0, 2), (1, 1, 2), (0, 0, 0), (2, 2, 2)):
        yield _raw_lzma(lc, lp, pb)
    for number in range(225):
        lc, rest = number % 9, number // 9
        if lc + rest % 5 <= 4:  # noqa: PLR2004  (the library's own bound)
            yield _raw_lzma(lc, rest % 5, rest // 5)


def _lzma_after_properties(data: bytes, limit: int) -> bytes:
    """LZMA after its five bytes of properties, without a length."""
    return unlzma(data[:5] + b"\xff" * 8 + data[5:], limit)


def _raw_lzma(lc: int, lp: int, pb: int) -> Unpack:
    options = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": 1024 * 1024}

    def unpack(data: bytes, limit: int) -> bytes:
        return _lzma(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options]), data, limit)

    return unpack


def _lzma(reader: lzma.LZMADecompressor, data: bytes, limit: int) -> bytes:
    found = b""
    try:
        # A stream without an end mark gives its last bytes only when asked again.
        while len(found) < limit and not reader.eof:
            more = reader.decompress(data, limit - len(found))
            data = b""
            if not more:
                break
            found += more
    except (lzma.LZMAError, ValueError, EOFError):
        if not found:
            raise Damaged("A block does not unpack (LZMA)") from None
    return found
