"""Zip: around an image, or around a tree that lost its owners.

1. The list of its members is bounded before it is read; a member that does not unpack is damaged, no more.
"""

from __future__ import annotations

import io
import lzma
import stat
import struct
import zipfile
import zlib
from typing import IO

from holdfast_probe.images.archives import Archive
from holdfast_probe.images.limits import Damaged, Exceeded, Meter
from holdfast_probe.images.source import Source

MAGIC = b"PK\3\4"
_DIRECTORY_BYTES = 4 * 1024 * 1024
_END = 65_557
_SKIP = 256 * 1024
_KEPT = 64 * 1024
_TROUBLE = (
    zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, EOFError, OSError,
    struct.error, zlib.error, lzma.LZMAError, IndexError, KeyError,
)  # fmt: skip


class _File(io.RawIOBase):
    """A source as the file that the library wants."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        wanted = self._source.size - self._position if size < 0 else size
        found = self._source.read_at(self._position, wanted)
        self._position += len(found)
        return found


class _Content:
    """A member; reading on is cheap, reading back further than its last bytes begins anew."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._info = info
        self._open: IO[bytes] | None = None
        self._position = 0
        self._last = b""
        """What was read last, up to the position: windows that overlap ask for some of it again."""

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Content`."""
        try:
            if self._open is None or offset < self._position - len(self._last):
                self._open, self._position, self._last = self._archive.open(self._info), 0, b""
            while self._position < offset and self._read(min(offset - self._position, _SKIP)):
                pass
            again = self._last[len(self._last) - (self._position - offset) :] if offset < self._position else b""
            return again[:size] + (self._read(size - len(again)) if len(again) < size else b"")
        except _TROUBLE:
            raise Damaged("A member of the zip does not unpack") from None

    def _read(self, size: int) -> bytes:
        found = self._open.read(size) if self._open is not None else b""
        self._position += len(found)
        self._last = (self._last + found)[-_KEPT:]
        return found


def read_zip(source: Source, meter: Meter) -> Archive:
    """The tree of a zip. Raises `Damaged` when its list of members does not read."""
    tail = source.read_at(max(0, source.size - _END), _END)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        raise Damaged("A zip ends too early")
    if struct.unpack("<I", tail[at + 12 : at + 16])[0] > _DIRECTORY_BYTES:
        raise Damaged("A zip has more members than are read")
    try:
        archive = zipfile.ZipFile(_File(source))
    except _TROUBLE:
        raise Damaged("The list of members of a zip does not read") from None
    tree = Archive("zip", meter)
    tree.owners_told = False
    tree.size = source.size
    try:
        for info in archive.infolist():
            _plant(tree, archive, info)
    except Exceeded as error:
        tree.spoil(error)
    return tree


def _plant(tree: Archive, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    mode = info.external_attr >> 16
    if not stat.S_IFMT(mode):
        mode = stat.S_IFDIR | 0o755 if info.is_dir() else stat.S_IFREG | 0o644
    node = tree.node(mode, 0, 0)
    content = _Content(archive, info)
    if stat.S_ISLNK(mode):
        try:
            node.link = content.read_at(0, tree.meter.limits.link_bytes).decode("utf-8", "surrogateescape")
        except Damaged as error:
            tree.spoil(error)
            return
    elif stat.S_ISREG(mode):
        node.size, node.content = info.file_size, content
    tree.plant(info.filename.encode("utf-8", "surrogateescape"), node)
