"""Tar: old, ustar, GNU and pax, from a source that may end anywhere.

1. A header whose checksum is wrong ends the archive, and so does an end that comes without its mark; the tree is then
   incomplete and says so.
2. Sparse files are listed, but not read: nobody ships a root in them.

Source: tar(5) of libarchive's description of the formats; POSIX.1-2017 pax.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

import msgspec

from holdfast_probe.images.archives import Archive, stretched
from holdfast_probe.images.limits import Damaged, Exceeded, Meter
from holdfast_probe.images.source import Source

BLOCK = 512
_EXTRA_BYTES = 64 * 1024
"""Of one long name or one set of pax fields."""
_KINDS: Mapping[bytes, int] = {
    b"0": stat.S_IFREG, b"\0": stat.S_IFREG, b"7": stat.S_IFREG, b"S": stat.S_IFREG, b"2": stat.S_IFLNK,
    b"3": stat.S_IFCHR, b"4": stat.S_IFBLK, b"5": stat.S_IFDIR, b"6": stat.S_IFIFO,
}  # fmt: skip


class _Extra(msgspec.Struct):
    """What stands before a header about it."""

    name: bytes = b""
    link: bytes = b""
    size: int = -1
    uid: int = -1
    gid: int = -1
    sparse: bool = False


def is_tar(head: bytes) -> bool:
    """Whether a tar begins with this block."""
    return len(head) >= BLOCK and _checked(head[:BLOCK]) and any(head[:100])


def read_tar(source: Source, meter: Meter) -> Archive:
    """The tree of a tar; what is wrong with it is said by the tree."""
    tree = Archive("tar", meter)
    try:
        tree.size = _read(source, tree)
    except (Damaged, Exceeded) as error:
        tree.spoil(error)
        tree.size = source.size
    return tree


def _read(source: Source, tree: Archive) -> int:
    position = 0
    extra = _Extra()
    while True:
        head = source.whole(position, BLOCK)
        position += BLOCK
        if not any(head):
            return position + BLOCK
        if not _checked(head):
            raise Damaged(f"A header of the tar at {position - BLOCK:#x} is damaged")
        kind = head[156:157]
        size = _number(head[124:136]) if kind not in b"123456" or kind == b"" else 0
        if kind in (b"L", b"K", b"x", b"g", b"X"):
            if size > _EXTRA_BYTES:
                raise Damaged("A name in the tar is too long")
            _read_extra(kind, source.whole(position, size), extra)
        else:
            size = extra.size if extra.size >= 0 and kind not in b"123456" else size
            if kind == b"S":
                position = _past_sparse_map(source, head, position)
            _plant(tree, source, head, extra, position=position, size=size)
            extra = _Extra()
        position += -(-size // BLOCK) * BLOCK


def _plant(tree: Archive, source: Source, head: bytes, extra: _Extra, *, position: int, size: int) -> None:
    kind = head[156:157]
    name = extra.name or _name(head)
    target = extra.link or head[157:257].split(b"\0")[0]
    if kind == b"1":
        tree.same(name, target)
        return
    if kind in b"DMNVA" and kind:
        return  # GNU's own records: no entries
    mode = stat.S_IFDIR if name.endswith(b"/") and kind in (b"0", b"\0") else _KINDS.get(kind, stat.S_IFREG)
    uid = extra.uid if extra.uid >= 0 else _number(head[108:116])
    gid = extra.gid if extra.gid >= 0 else _number(head[116:124])
    node = tree.node(mode | (_number(head[100:108]) & 0o7777), uid, gid, _number(head[136:148]))
    if stat.S_ISREG(mode):
        if kind == b"S" or extra.sparse:
            node.size = max(size, 1)  # no content: reading it says that it is damaged
        else:
            stretched(tree, source, position, size, node)
    elif stat.S_ISLNK(mode):
        node.link = target[: tree.meter.limits.link_bytes].decode("utf-8", "surrogateescape")
        node.size = len(target)
    tree.plant(name, node)


def _name(head: bytes) -> bytes:
    name = head[:100].split(b"\0")[0]
    prefix = head[345:500].split(b"\0")[0] if head[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _checked(head: bytes) -> bool:
    try:
        stated = _number(head[148:156])
    except Damaged:
        return False
    return stated == sum(head) - sum(head[148:156]) + 8 * 32


def _number(field: bytes) -> int:
    """Octal, or base 256 where the first bit is set. Raises `Damaged`."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ~(0x80 << (8 * (len(field) - 1)))
        if value >= 1 << 62:
            raise Damaged("A number in the tar makes no sense")
        return value
    digits = field.split(b"\0")[0].strip(b" ")
    if any(digit not in b"01234567" for digit in digits):
        raise Damaged("A number in the tar makes no sense")
    return int(digits or b"0", 8)


def _read_extra(kind: bytes, data: bytes, extra: _Extra) -> None:
    if kind == b"L":
        extra.name = data.rstrip(b"\0")
    elif kind == b"K":
        extra.link = data.rstrip(b"\0")
    elif kind != b"g":
        for key, value in _pax(data):
            _set(extra, key, value)


def _pax(data: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    while data:
        length, blank, _ = data[:20].partition(b" ")
        if not blank or not length.isdigit() or not len(length) + 1 < int(length) <= len(data):
            raise Damaged("The pax fields of a tar make no sense")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        found.append((key, value))
        data = data[int(length) :]
    return found


def _set(extra: _Extra, key: bytes, value: bytes) -> None:
    if key == b"path":
        extra.name = value
    elif key == b"linkpath":
        extra.link = value
    elif key in (b"size", b"uid", b"gid"):
        if not value.isdigit() or len(value) > 18:  # noqa: PLR2004  (below 2**60)
            raise Damaged("The pax fields of a tar make no sense")
        setattr(extra, key.decode(), int(value))
    elif key.startswith(b"GNU.sparse."):
        extra.sparse = True


def _past_sparse_map(source: Source, head: bytes, position: int) -> int:
    more = head[482]
    while more:
        more = source.whole(position, BLOCK)[504]
        position += BLOCK
    return position
