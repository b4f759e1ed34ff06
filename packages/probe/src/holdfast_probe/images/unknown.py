"""What is known by name only, and how bytes look that nothing knows."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from holdfast_probe.images.source import Source

NAMED: Mapping[str, tuple[str, str]] = {
    "jffs2": ("jffs2", "The writable layer of a router; its files are not read."),
    "ubifs": ("ubifs", "A flash file system; its files are not read."),
    "yaffs2": ("yaffs2", "A flash file system; its files are not read."),
    "lvm": ("LVM", "A group of volumes that is not read; give the volume that holds the root."),
    "luks": ("LUKS", "It is encrypted, and nothing in it was read."),
    "openssl": ("encrypted", "It is encrypted with a password, and nothing in it was read."),
    "sparse": ("Android sparse image", "It is not unpacked here; simg2img makes a plain image of it."),
    "erofs": ("erofs", "A read-only file system that is not read."),
    "f2fs": ("f2fs", "A flash file system that is not read."),
    "btrfs": ("btrfs", "A file system that is not read."),
    "iso9660": ("ISO 9660", "A disc's file system that is not read."),
    "sevenzip": ("7z", "An archive that is not read; unpack it first."),
}  # fmt: skip
"""By the name of the suspicion: what it is, and what to say."""
ENCRYPTED = ("luks", "openssl")
_SAMPLE = 64 * 1024
_SAMPLES = 4
_PIECE = 4096
"""A sample shorter than this says nothing of how it was packed."""
_RANDOM = 64 * 1024
"""Fewer bytes than this may look random and be nothing: a signature, a table."""


def only_padding(source: Source, start: int, end: int) -> bool:
    """Whether the samples of a stretch hold nothing but zeros or erased flash."""
    return all(_is_padding(piece) for piece in _samples(source, start, end))


def looks_random(source: Source, start: int, end: int) -> bool:
    """Whether a stretch looks packed or encrypted: most of it does not get shorter."""
    if end - start < _RANDOM:
        return False
    pieces = [piece for piece in _samples(source, start, end) if len(piece) >= _PIECE and not _is_padding(piece)]
    random = sum(len(zlib.compress(piece, 1)) > 0.97 * len(piece) for piece in pieces)
    return bool(pieces) and 2 * random >= len(pieces)


def _samples(source: Source, start: int, end: int) -> list[bytes]:
    step = max(_SAMPLE, (end - start) // _SAMPLES)
    return [source.read_at(at, min(_SAMPLE, end - at)) for at in range(start, end, step)]


def _is_padding(piece: bytes) -> bool:
    return piece.count(0) + piece.count(0xFF) == len(piece)
