"""Payloads as files of a folder: ``sha256/ab/abcdef…``, and ``incoming/`` for those under way.

1. An upload is written to ``incoming``, synced, and renamed to its digest; folder and name are synced before it counts.
2. What a server that ended left in ``incoming`` is removed when the next begins: one server has the folder alone.
3. An upload stops while `reserve` bytes of the disk are still free: the store beside it must go on writing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from holdfast.adapters.durable import sync_folder
from holdfast.ports.artefacts import (
    LONGEST_READ,
    Stored,
    corrupt,
    disk_full,
    empty,
    missing,
    other_digest,
    too_large,
)
from holdfast_core.kernel.digests import Digest, parse_digest
from holdfast_core.kernel.errors import Bug, HostileData, WorldError
from holdfast_core.supply.model import LARGEST_PAYLOAD

RESERVE = 256 * 1024 * 1024
"""Bytes of the disk that uploads leave free."""
_LOOK_EVERY = 16 * 1024 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FolderArtefacts:
    """Implements `holdfast.ports.artefacts.ArtefactStore`.

    Args:
        path: the folder; made if it is missing.
        reserve: bytes of its disk that uploads leave free.
        largest: bytes of one payload.
    """

    def __init__(self, path: Path, *, reserve: int = RESERVE, largest: int = LARGEST_PAYLOAD) -> None:
        self._path, self._reserve, self._largest = path, reserve, largest
        self._incoming = path / "incoming"
        with _told(path):
            for each in (path, self._incoming, path / "sha256"):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._incoming.iterdir():
                left.unlink()

    def begin(self) -> FolderUpload:
        """See the port."""
        return FolderUpload(self._incoming, self._file, self._reserve, self._largest)

    def open(self, digest: Digest) -> OpenedFile:
        """See the port."""
        with _told(self._path):
            try:
                handle = os.open(self._file(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                raise missing(digest) from None
            return OpenedFile(handle, digest)

    def read(self, digest: Digest, start: int, length: int) -> bytes:
        """See the port."""
        with contextlib.closing(self.open(digest)) as opened:
            return opened.read(start, length)

    def listed(self) -> Sequence[Stored]:
        """See the port."""
        found = []
        with _told(self._path):
            for folder in (self._path / "sha256").iterdir():
                for file in folder.iterdir():
                    with contextlib.suppress(HostileData, FileNotFoundError):  # none of ours; deleted meanwhile
                        found.append(Stored(parse_digest(f"sha256:{file.name}"), file.stat().st_size))
        return sorted(found, key=lambda each: each.digest)

    def holds(self, digest: Digest) -> bool:
        """See the port."""
        return self._file(digest).is_file()

    def size(self, digest: Digest) -> int:
        """See the port."""
        with contextlib.closing(self.open(digest)) as opened:
            return opened.size

    def check(self, digest: Digest) -> None:
        """See the port."""
        hashed = hashlib.sha256()
        with contextlib.closing(self.open(digest)) as opened:
            for at in range(0, opened.size, LONGEST_READ):
                hashed.update(opened.read(at, LONGEST_READ))
        if hashed.hexdigest() != digest.partition(":")[2]:
            raise corrupt(digest)

    @contextlib.contextmanager
    def local(self, digest: Digest) -> Iterator[Path]:
        """See the port."""
        if not self.holds(digest):
            raise missing(digest)
        yield self._file(digest)

    def delete(self, digest: Digest) -> None:
        """See the port."""
        with _told(self._path):
            self._file(digest).unlink(missing_ok=True)

    def _file(self, digest: Digest) -> Path:
        text = parse_digest(digest).partition(":")[2]
        return self._path / "sha256" / text[:2] / text


class OpenedFile:
    """Implements `holdfast.ports.artefacts.Opened`."""

    def __init__(self, handle: int, digest: Digest) -> None:
        self._handle, self._digest = handle, digest
        self.size = os.fstat(handle).st_size

    def read(self, start: int, length: int) -> bytes:
        """See the port."""
        if start < 0 or not 0 <= length <= LONGEST_READ:
            raise Bug("artefact.range", f"Read {length} bytes from {start}.", remedy="Ask for less at once.")
        wanted = max(0, min(length, self.size - start))
        pieces = []
        with _told(Path(self._digest)):
            while wanted:
                piece = os.pread(self._handle, wanted, start)
                if not piece:
                    raise corrupt(self._digest)
                pieces.append(piece)
                wanted, start = wanted - len(piece), start + len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """See the port."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


class FolderUpload:
    """Implements `holdfast.ports.artefacts.Upload`."""

    def __init__(self, incoming: Path, place: Callable[[Digest], Path], reserve: int, largest: int) -> None:
        self._place, self._reserve, self._largest = place, reserve, largest
        self._hash, self._looked = hashlib.sha256(), 0
        self.size = 0
        with _told(incoming):
            self._handle, name = tempfile.mkstemp(dir=incoming)
        self._path = Path(name)
        try:
            self._look()
        except WorldError:
            self.abandon()
            raise

    def write(self, piece: bytes) -> None:
        """See the port."""
        if self._handle < 0:
            raise Bug("artefact.ended", "The upload has ended.", remedy="Begin another.")
        if self.size + len(piece) > self._largest:
            raise too_large(self.size + len(piece), self._largest)
        if self.size + len(piece) - self._looked > _LOOK_EVERY:
            self._look()
        view = memoryview(piece)
        with _told(self._path):
            while view:
                view = view[os.write(self._handle, view) :]
        self._hash.update(piece)
        self.size += len(piece)

    def finish(self, expected: Digest | None = None) -> Stored:
        """See the port."""
        if self._handle < 0:
            raise Bug("artefact.ended", "The upload has ended.", remedy="Begin another.")
        digest = Digest("sha256:" + self._hash.hexdigest())
        try:
            if not self.size:
                raise empty()
            if expected is not None and expected != digest:
                raise other_digest(digest, expected)
            self._put(self._place(digest))
        finally:
            self.abandon()
        return Stored(digest, self.size)

    def abandon(self) -> None:
        """See the port."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            with contextlib.suppress(OSError):  # finished, or removed at the next start
                self._path.unlink()

    def _put(self, final: Path) -> None:
        with _told(final):
            os.fsync(self._handle)
            made = not final.parent.is_dir()
            final.parent.mkdir(mode=0o700, exist_ok=True)
            self._path.replace(final)
            sync_folder(final.parent)
            if made:
                sync_folder(final.parent.parent)

    def _look(self) -> None:
        """Whether the disk has room for the next pieces."""
        self._looked = self.size
        with _told(self._path):
            disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < self._reserve + _LOOK_EVERY:
            raise disk_full(f"{disk.f_bavail * disk.f_frsize} bytes are free, {self._reserve} of them are kept so")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Failures of the disk as errors of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise disk_full(error.strerror or "the disk is full") from error
        raise WorldError(
            "artefact.store",
            f"{path} could not be read or written: {error.strerror}.",
            remedy="Check the owner of the data folder, and the disk.",
        ) from error
