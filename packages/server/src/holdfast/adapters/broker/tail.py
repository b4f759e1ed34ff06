"""Reading a broker's log from a mark on, without ever holding much of it.

1. A mark is the log's inode and an offset: a log that was put aside and begun anew is told from one that grew.
2. One reading takes at most `READ_BYTES`; the rest comes with the next. A line that is not finished waits.
3. A log past `KEPT_BYTES` is put aside (one generation is kept, and read to its end), so that it never fills a disk.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.adapters.broker.files import open_plain

READ_BYTES = 4 * 1024 * 1024
KEPT_BYTES = 64 * 1024 * 1024
LINE_BYTES = 8 * 1024


class Lines(msgspec.Struct, frozen=True):
    """Whole lines since a mark; `missed` says that some before them are lost, `more` that others follow."""

    mark: str
    lines: tuple[str, ...]
    missed: bool
    more: bool


def lines_since(path: Path, mark: str) -> Lines:
    """The lines of the log since `mark`; an empty mark is the oldest line that is kept."""
    inodes = {inode: place for place in (aside(path), path) if (inode := _inode(place))}
    known, _, offset = mark.partition(":")
    found = known in inodes and offset.isdecimal()
    order = list(inodes)
    start = int(offset) if found else 0
    for inode in order[order.index(known) if found else 0 :]:
        read = _read(inodes[inode], start)
        if read is None:  # shorter than it was: begun anew, and what was between is lost
            start, found = 0, False
            read = _read(inodes[inode], start) or (b"", False)
        data, more = read
        last = inode == order[-1]
        if data or last:
            lines = tuple(line.decode(errors="replace") for line in data.split(b"\n") if 0 < len(line) <= LINE_BYTES)
            missed = bool(mark) and not found
            return Lines(f"{inode}:{start + len(data)}", lines, missed=missed, more=more or not last)
        start = 0
    return Lines(mark, (), missed=False, more=False)


def aside(path: Path) -> Path:
    """Where a log is put that has grown too large."""
    return path.with_name(path.name + ".1")


def put_aside(path: Path) -> bool:
    """Rename a log that has grown too large; whether the broker must be told to begin a new one."""
    try:
        if path.stat().st_size <= KEPT_BYTES:
            return False
        path.replace(aside(path))
    except OSError:
        return False
    return True


def _read(path: Path, start: int) -> tuple[bytes, bool] | None:
    """Whole lines from `start` on, and whether there are more; `None` where the file is shorter or away."""
    try:
        with open_plain(path) as file:
            size = file.seek(0, 2)
            if start > size:
                return None
            file.seek(start)
            data = file.read(READ_BYTES)
    except OSError:
        return None
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) > LINE_BYTES:
        whole = len(data)  # no line of ours is so long: it is passed over
    return data[:whole], start + whole < size and len(data) == READ_BYTES


def _inode(path: Path) -> str:
    try:
        return str(path.stat().st_ino)
    except OSError:
        return ""
