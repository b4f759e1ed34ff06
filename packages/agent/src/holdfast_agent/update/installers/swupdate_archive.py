"""Finding a member of an SWUpdate archive: a cpio archive in the portable "new ASCII" form.

1. Only headers are read, and bounded: `MOST_MEMBERS` of them, names of `LONGEST_NAME` bytes.
2. The first member of a name counts, as it does for SWUpdate.

Source: cpio(5), "New ASCII Format"; SWUpdate, doc/source/sw-description.rst (``070702`` with checksums, ``070701``).
"""

from __future__ import annotations

import os

from holdfast_core.kernel.errors import HostileData

MOST_MEMBERS = 64
LONGEST_NAME = 256
_HEADER = 110
_MAGICS = frozenset({b"070701", b"070702"})
_END = b"TRAILER!!!"
_DIGITS = frozenset(b"0123456789abcdefABCDEF")


def member(handle: int, name: str) -> tuple[int, int]:
    """Where a member's bytes begin in the file, and how many they are.

    Raises:
        HostileData: ``installer.archive``.
    """
    at, end = 0, os.fstat(handle).st_size
    for _ in range(MOST_MEMBERS):
        found, start, size = _member(handle, at)
        if start + size > end:
            raise _malformed("a member ends outside it")
        if found == _END:
            break
        if found == name.encode():
            return start, size
        at = _aligned(start + size)
    raise _malformed(f"there is no {name} among its members")


def _member(handle: int, at: int) -> tuple[bytes, int, int]:
    header = os.pread(handle, _HEADER, at)
    if len(header) != _HEADER or header[:6] not in _MAGICS or not _DIGITS.issuperset(header[6:]):
        raise _malformed("a member's header is none")
    size, length = int(header[54:62], 16), int(header[94:102], 16)
    if not 1 < length <= LONGEST_NAME:
        raise _malformed(f"a member's name has {length} bytes")
    name = os.pread(handle, length, at + _HEADER)
    return name.rstrip(b"\0"), _aligned(at + _HEADER + length), size


def _aligned(at: int) -> int:
    return (at + 3) // 4 * 4


def _malformed(why: str) -> HostileData:
    return HostileData(
        "installer.archive",
        f"The archive could not be read: {why}.",
        remedy="Build it with cpio -o -H crc, as SWUpdate's documentation says.",
    )
