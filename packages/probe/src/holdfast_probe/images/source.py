"""Where the bytes of an image come from: a file, a part of another source, a compressed stream once unpacked.

1. Read by position, never mapped: a file that shrinks meanwhile gives an error, not a signal.
2. A compressed stream is unpacked once into an anonymous file without a name, zeros left as holes; no name, no link and
   no mode of the image ever reaches a disk.
3. Holes are told, so that ten gigabytes of nothing cost nothing.
"""

from __future__ import annotations

import errno
import os
import tempfile
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from holdfast_probe.images.limits import Damaged, Meter

_PAGE = 64 * 1024
_PAGES = 16


class Source(ABC):
    """Bytes that can be read at any place."""

    size: int

    @abstractmethod
    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer only at the end. Raises OSError."""

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretches between `start` and `end` that may hold more than zeros."""
        yield start, min(end, self.size)

    def whole(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes. Raises `Damaged` where it ends earlier."""
        found = self.read_at(offset, size) if offset >= 0 else b""
        if len(found) != size:
            raise Damaged(f"It ends before the {size} bytes at {offset:#x}")
        return found


class FileSource(Source):
    """An open file; `close` ends it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.lseek(fd, 0, os.SEEK_END)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        if offset < 0 or size <= 0 or offset >= self.size:
            return b""
        found = os.pread(self._fd, size, offset)
        while len(found) < size and (more := os.pread(self._fd, size - len(found), offset + len(found))):
            found += more
        return found

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """See `Source`."""
        end = min(end, self.size)
        while start < end:
            try:
                start = os.lseek(self._fd, start, os.SEEK_DATA)
                hole = os.lseek(self._fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno != errno.ENXIO:  # a file system that cannot tell
                    yield start, end
                return
            if start < end:
                yield start, min(hole, end)
            start = hole

    def append(self, chunk: bytes) -> None:
        """Write behind the end; zeros become a hole."""
        if chunk.count(0) != len(chunk):
            os.pwrite(self._fd, chunk, self.size)
        self.size += len(chunk)

    def end(self) -> None:
        """Let the file be as long as what was written."""
        os.ftruncate(self._fd, self.size)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            os.close(self._fd)


class Slice(Source):
    """A part of another source."""

    def __init__(self, source: Source, start: int, size: int | None = None) -> None:
        self._source = source
        self._start = max(0, start)
        left = max(0, source.size - self._start)
        self.size = left if size is None else max(0, min(size, left))

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        if offset < 0 or size <= 0:
            return b""
        return self._source.read_at(self._start + offset, min(size, self.size - offset))

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """See `Source`."""
        for low, high in self._source.data(self._start + start, self._start + min(end, self.size)):
            yield low - self._start, high - self._start


class Paged(Source):
    """Another source for many small reads: a few pages are kept."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.size = source.size
        self._pages: OrderedDict[int, bytes] = OrderedDict()

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Source`."""
        if offset < 0 or size <= 0:
            return b""
        page, skip = divmod(offset, _PAGE)
        if skip + size > _PAGE:
            return self._source.read_at(offset, size)
        found = self._pages.get(page)
        if found is None:
            found = self._pages[page] = self._source.read_at(page * _PAGE, _PAGE)
            if len(self._pages) > _PAGES:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(page)
        return found[skip : skip + size]

    def data(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """See `Source`."""
        return self._source.data(start, end)


def anonymous() -> FileSource:
    """A new file without a name, empty."""
    with tempfile.TemporaryFile() as file:
        return FileSource(os.dup(file.fileno()))


def spool(chunks: Iterable[bytes], source: FileSource, meter: Meter, *, packed: Callable[[], int]) -> None:
    """Write chunks into an anonymous file, zeros as holes. Raises what the chunks raise, and `Exceeded`.

    What came before is in the file then. `packed` tells what was read for it so far.
    """
    try:
        for chunk in chunks:
            meter.unpacked(len(chunk))
            meter.stretched(packed(), source.size)
            meter.look()
            source.append(chunk)
    finally:
        source.end()
