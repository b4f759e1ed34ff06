"""What is new in the kernel's IMA list: whole lines from the entry that the server asked for, as many as fit.

1. The list only grows, and may be large: where entries begin is remembered, so that what was sent is not read again.
2. It is read after the quote was made, so it is never shorter than what was quoted.
3. Where a place is not known any more, lines are counted once from the beginning.
4. A new boot has a new list: places of another boot are forgotten, and the first slice begins at entry 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import msgspec

from holdfast_agent.state import Config, ImaPlaces
from holdfast_core.wire.attestation import LARGEST_LOG, ImaSlice, pack

LIST = "kernel/security/ima/ascii_runtime_measurements"
CHUNK = 64 * 1024
RATIO = 4
"""How much smaller a list gets at best: two digests of each line do not shrink below half."""
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
    if offset:
        file.seek(offset - 1)
        if file.read(1) != b"\n":
            entry, offset = 0, 0  # not the list that it was
    file.seek(offset)
    found = _skip(file, offset, start - entry)
    if found is None:
        file.seek(0)
        return 0, 0
    file.seek(found)
    return start, found


def _skip(file: BinaryIO, offset: int, lines: int) -> int | None:
    """Where the list goes on after so many lines; `None` where it has less."""
    while lines:
        chunk = file.read(CHUNK)
        if not chunk:
            return None
        count = chunk.count(b"\n")
        if count < lines:
            lines -= count
            offset += len(chunk)
            continue
        return offset + _after(chunk, lines)
    return offset


def _after(chunk: bytes, lines: int) -> int:
    """Where the line after so many begins."""
    at = 0
    for _ in range(lines):
        at = chunk.index(b"\n", at) + 1
    return at


def _taken(file: BinaryIO, start: int, offset: int, known: ImaPlaces, room: int) -> Taken:
    largest = min(max(room, 0) * RATIO, LARGEST_LOG)
    data = file.read(largest + 1)
    read = len(data)
    data = data[: data.rfind(b"\n", 0, largest) + 1]
    packed = pack(data)
    while data and len(packed) > room:
        fitting = int(len(data) * room / len(packed) * SHRINK)
        data = data[: data.rfind(b"\n", 0, fitting) + 1]
        packed = pack(data)
    end = start + data.count(b"\n")
    places = {*known.places, (start, offset), (end, offset + len(data))}
    kept = tuple(sorted(places)[-KEPT_PLACES:])
    return Taken(ImaSlice(start, packed, more=len(data) < read), ImaPlaces(known.boot, kept))
