"""What is new in the kernel's IMA list: whole entries from the one that the server asked for, as many as fit.

1. The list only grows, and may be large: where entries begin is remembered, so that what was sent is not read again.
2. It is read after the quote was made, so it is never shorter than what was quoted.
3. Where a place is not known any more, entries are counted once from the beginning.
4. A new boot has a new list: places of another boot are forgotten, and the first slice begins at entry 0.
5. The binary list is sent: in the text, a file's name with a line break reads as two entries, so whoever may name a
   file could have the whole list refused.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import BinaryIO

import msgspec

from holdfast_agent.state import Config, ImaPlaces
from holdfast_core.wire.attestation import LARGEST_LOG, ImaSlice, pack

LIST = "kernel/security/ima/binary_runtime_measurements"
CHUNK = 64 * 1024
RATIO = 4
"""How much smaller a list gets at best: two digests of each entry do not shrink at all."""
LARGEST_ENTRY = 128 * 1024
MOST_ENTRIES = 16_384
"""Of one slice, as the server takes them."""
LAST_REGISTER, LONGEST_TEMPLATE = 23, 16
_HEAD, _SIZE = Struct("<I20xI"), Struct("<I")
"""Register, template digest and the length of the template's name; and the length of what follows it."""
_LEGACY_DIGEST = 20
KEPT_PLACES = 8
SHRINK = 0.8


class Taken(msgspec.Struct, frozen=True):
    """A slice, and the places that are known after it."""

    part: ImaSlice
    places: ImaPlaces


def take(config: Config, start: int, known: ImaPlaces, boot: str, room: int) -> Taken | None:
    """The slice from entry `start` on.

    Args:
        config: where sysfs is.
        start: the entry that the server asked for.
        known: places that are remembered.
        boot: the boot's id.
        room: bytes that the packed slice may have.

    Returns:
        `None` where the list cannot be read.
    """
    if known.boot != boot:
        start, known = (0 if known.boot else start), ImaPlaces(boot)
    try:
        with Path(config.sys, LIST).open("rb") as file:
            start, offset = _find(file, start, known)
            return _taken(file, start, offset, known, room)
    except OSError:
        return None


def _find(file: BinaryIO, start: int, known: ImaPlaces) -> tuple[int, int]:
    """The entry to begin with and where it is: `start`, or the first one where the list has less than that."""
    entry, offset = max((place for place in known.places if place[0] <= start), default=(0, 0))
    if not _begins(file, offset):
        entry, offset = 0, 0  # not the list that it was
    found = _skip(file, offset, start - entry)
    return (0, 0) if found is None else (start, found)


def _begins(file: BinaryIO, offset: int) -> bool:
    """Whether an entry begins there, or the list ends."""
    file.seek(offset)
    data = file.read(_HEAD.size + LONGEST_TEMPLATE)
    if len(data) < _HEAD.size:
        return not data
    register, size = _HEAD.unpack_from(data)
    return register <= LAST_REGISTER and size <= LONGEST_TEMPLATE and data[_HEAD.size :].startswith(b"ima"[:size])


def _skip(file: BinaryIO, offset: int, entries: int) -> int | None:
    """Where the list goes on after so many entries; `None` where it has less."""
    file.seek(offset)
    data = b""
    while entries:
        chunk = file.read(CHUNK)
        if not chunk:
            return None
        data += chunk
        ends = _ends(data, entries)
        entries -= len(ends)
        passed = ends[-1] if ends else 0
        offset, data = offset + passed, data[passed:]
        if not ends and len(data) > LARGEST_ENTRY:
            return None
    return offset


def _ends(data: bytes, most: int) -> list[int]:
    """Where the entries that `data` begins with end; a last one that is not whole is left out, as is what is none."""
    ends: list[int] = []
    at = 0
    while len(ends) < most:
        end = _end(data, at)
        if end is None:
            break
        ends.append(end)
        at = end
    return ends


def _end(data: bytes, at: int) -> int | None:
    """Where the entry at `at` ends (ima_measurements_show in the kernel's ima_fs.c)."""
    if len(data) < at + _HEAD.size:
        return None
    register, name_size = _HEAD.unpack_from(data, at)
    name_end = at + _HEAD.size + name_size
    if register > LAST_REGISTER or name_size > LONGEST_TEMPLATE:
        return None
    # The oldest template has no length of its own: a digest, and a name with one.
    size_at = name_end + (_LEGACY_DIGEST if data[at + _HEAD.size : name_end] == b"ima" else 0)
    if len(data) < size_at + _SIZE.size:
        return None
    end: int = size_at + _SIZE.size + _SIZE.unpack_from(data, size_at)[0]
    return end if end <= len(data) else None


def _taken(file: BinaryIO, start: int, offset: int, known: ImaPlaces, room: int) -> Taken:
    largest = min(max(room, 0) * RATIO, LARGEST_LOG)
    file.seek(offset)
    data = file.read(largest + 1)
    ends = _ends(data[:largest], MOST_ENTRIES)
    packed = pack(data[: ends[-1] if ends else 0])
    while ends and len(packed) > room:
        del ends[int(len(ends) * room / len(packed) * SHRINK) :]
        packed = pack(data[: ends[-1] if ends else 0])
    size = ends[-1] if ends else 0
    places = {*known.places, (start, offset), (start + len(ends), offset + size)}
    kept = tuple(sorted(places)[-KEPT_PLACES:])
    return Taken(ImaSlice(start, packed, more=size < len(data)), ImaPlaces(known.boot, kept))
