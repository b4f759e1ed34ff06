"""Members of an SWUpdate archive: a cpio archive in the portable "new ASCII" form, read without unpacking it.

1. Members are bounded in number and name; each is a regular file with a plain name; none stands twice.
2. The archive ends with its trailer and at most `MOST_PADDING` zeros.

Source: cpio(5), "New ASCII Format"; SWUpdate, doc/source/overview.rst.
"""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO

import msgspec

from holdfast.adapters.artefacts.tool import malformed
from holdfast_core.kernel.digests import Digest

MOST_MEMBERS = 64
LONGEST_NAME = 128
MOST_PADDING = 64 * 1024
_HEADER = 110
_HEAD = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_END = "TRAILER!!!"
_KIND, _REGULAR = 0o170000, 0o100000
_PIECE = 1024 * 1024


class Member(msgspec.Struct, frozen=True):
    """A file of an archive: where its bytes begin, and how many they are."""

    name: str
    start: int
    size: int


def members(file: BinaryIO, name: str) -> tuple[Member, ...]:
    """The files of the archive, in their order.

    Args:
        file: the archive, seekable.
        name: what to call it in a refusal.

    Raises:
        HostileData: ``artefact.malformed``.
    """
    end = file.seek(0, 2)
    found: list[Member] = []
    at = 0
    while True:
        member, mode = _member(file, at, name)
        if member.start + member.size > end:
            raise malformed(name, "a member ends outside the archive")
        at = _aligned(member.start + member.size)
        if member.name == _END:
            break
        if mode & _KIND != _REGULAR or not _NAME.fullmatch(member.name):
            raise malformed(name, "a member is no regular file, or has no plain name")
        if len(found) == MOST_MEMBERS or any(member.name == each.name for each in found):
            raise malformed(name, f"it has more than {MOST_MEMBERS} members, or one twice")
        found.append(member)
    file.seek(min(at, end))
    if file.read(MOST_PADDING + 1).strip(b"\0") or end - at > MOST_PADDING:
        raise malformed(name, "something follows its end")
    return tuple(found)


def read(file: BinaryIO, member: Member, largest: int, name: str) -> bytes:
    """A small member's bytes.

    Raises:
        HostileData: ``artefact.malformed``.
    """
    if member.size > largest:
        raise malformed(name, f"its {member.name} has {member.size} bytes; {largest} are allowed")
    file.seek(member.start)
    return file.read(member.size)


def digest(file: BinaryIO, member: Member) -> Digest:
    """SHA-256 of a member."""
    hashed, left = hashlib.sha256(), member.size
    file.seek(member.start)
    while left:
        piece = file.read(min(_PIECE, left))
        if not piece:
            break
        hashed.update(piece)
        left -= len(piece)
    return Digest("sha256:" + hashed.hexdigest())


def _member(file: BinaryIO, at: int, name: str) -> tuple[Member, int]:
    file.seek(at)
    header = file.read(_HEADER)
    if not _HEAD.fullmatch(header):
        raise malformed(name, "a member's header is none, or it ends early")
    mode, size, length = (int(header[place : place + 8], 16) for place in (14, 54, 94))
    if not 1 < length <= LONGEST_NAME:
        raise malformed(name, f"a member's name has {length} bytes")
    text = file.read(length)
    if len(text) != length or text[-1:] != b"\0":
        raise malformed(name, "a member's name does not end")
    return Member(text[:-1].decode("ascii", "replace"), _aligned(at + _HEADER + length), size), mode


def _aligned(at: int) -> int:
    return (at + 3) // 4 * 4
