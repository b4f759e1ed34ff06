"""The cache's folder: artefacts that are whole, and parts of those that are not.

::

    CACHE/lock         held by the one cache that uses the folder
    CACHE/whole/HEX    an artefact under its digest; verified before it got this name
    CACHE/parts/HEX    the bytes of one that are here so far
    CACHE/parts/HEX.json   what the control plane said of it: its length and entity tag
    CACHE/status.json  what the cache did, for 'holdfast-gateway status'

1. Nothing is lent that this process has not verified: what an earlier one left is hashed again first.
2. Room is made before bytes come: for the whole length, under `size` and with `keep_free` bytes left on the disk.
   First go parts that nobody fetches, then the artefacts whose last use is longest ago; never one that is being sent.
3. A file becomes whole by fsync, rename, fsync of the folder.
4. Safe to use from several threads; nothing long is done under the lock.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from holdfast_agent.durable import sync_folder
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import WorldError
from holdfast_gateway import troubles
from holdfast_gateway.part import NOTE, Part, is_hex, sha256_of

LOCK, WHOLE, PARTS = "lock", "whole", "parts"
TOUCH_S = 3600.0
"""The order of use is written to the disk so often at most: flash wears."""


class Held(msgspec.Struct):
    """A whole artefact: its size, how many read it, when it was verified and its use written (`None`: not yet)."""

    size: int
    users: int = 0
    verified: float | None = None
    touched: float | None = None


class Counts(msgspec.Struct, frozen=True):
    """What is in the folder: files and bytes of whole artefacts and of parts, and what was thrown away for room."""

    files: int
    bytes: int
    parts: int
    part_bytes: int
    evicted: int


class Shelf:
    """The folder at `path`; made if it is missing.

    Args:
        path: the cache's own folder; nothing else may be in its subfolders.
        size: bytes that all files together may have.
        keep_free: bytes that stay free on the disk.
        recheck_s: seconds after which a verified artefact is hashed again.
        free: bytes that are free on the disk of a path.

    Raises:
        WorldError: ``gateway.disk``, ``gateway.folder_busy``.
    """

    def __init__(
        self, path: Path, *, size: int, keep_free: int, recheck_s: float, free: Callable[[Path], int] | None = None
    ) -> None:
        self.path, self.size = path, size
        self._keep_free, self._recheck_s, self._free = keep_free, recheck_s, free or _free
        self._guard = threading.RLock()
        self._whole: OrderedDict[str, Held] = OrderedDict()
        self._parts: OrderedDict[str, int] = OrderedDict()
        """Bytes that a part has or will have."""
        self._active: set[str] = set()
        self._evicted = 0
        try:
            for folder in (path, path / WHOLE, path / PARTS):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._take()
            self._read()
        except OSError as error:
            raise troubles.disk(error.strerror or str(error)) from error

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise WorldError(
                "gateway.folder_busy",
                f"Another cache is using {self.path}.",
                remedy="Stop it, or give this one a folder of its own.",
            ) from error

    def _read(self) -> None:
        """Take stock of what an earlier process left, in the order of its use."""
        for folder in (WHOLE, PARTS):
            files = [entry for entry in os.scandir(self.path / folder) if entry.is_file(follow_symlinks=False)]
            for entry in sorted(files, key=lambda each: each.stat(follow_symlinks=False).st_mtime):
                if not is_hex(entry.name):
                    continue
                size = entry.stat(follow_symlinks=False).st_size
                if folder == WHOLE:
                    self._whole[entry.name] = Held(size)
                else:
                    self._parts[entry.name] = size

    def close(self) -> None:
        """Let another cache use the folder."""
        os.close(self._lock)

    def counts(self) -> Counts:
        """What is here."""
        with self._guard:
            whole = sum(held.size for held in self._whole.values())
            return Counts(len(self._whole), whole, len(self._parts), sum(self._parts.values()), self._evicted)

    def has(self, digest: Digest) -> bool:
        """Whether the artefact is here whole, verified or not."""
        with self._guard:
            return _hex(digest) in self._whole

    def ready(self, digest: Digest) -> bool:
        """Whether the artefact may be lent."""
        with self._guard:
            held = self._whole.get(_hex(digest))
            return held is not None and self._fresh(held)

    def _fresh(self, held: Held) -> bool:
        return held.verified is not None and time.monotonic() - held.verified < self._recheck_s

    @contextmanager
    def lend(self, digest: Digest) -> Iterator[tuple[BinaryIO, int] | None]:
        """The artefact's file and size, which stay while the context lasts; `None` where it is not ready."""
        with self._guard:
            held = self._whole.get(_hex(digest))
            if held is not None and self._fresh(held):
                held.users += 1
                self._whole.move_to_end(_hex(digest))
            else:
                held = None
        if held is None:
            yield None
            return
        try:
            with self._opened(_hex(digest), held) as file:
                yield file, held.size
        finally:
            with self._guard:
                held.users -= 1

    def _opened(self, name: str, held: Held) -> BinaryIO:
        try:
            descriptor = os.open(self.path / WHOLE / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            with self._guard:
                self._whole.pop(name, None)
            raise troubles.disk(error.strerror or "a file is gone") from error
        now = time.monotonic()
        if held.touched is None or now - held.touched > TOUCH_S:
            held.touched = now
            os.utime(descriptor)
        return os.fdopen(descriptor, "rb", buffering=0)

    def check(self, digest: Digest) -> bool:
        """Hash a whole artefact; whether it is what it should be. One that is not is thrown away."""
        name = _hex(digest)
        with self._guard:
            held = self._whole.get(name)
            if held is None:
                return False
            held.users += 1
        try:
            right = sha256_of(self.path / WHOLE / name) == name
        except OSError:
            right = False
        with self._guard:
            held.users -= 1
            if right:
                held.verified = time.monotonic()
            else:
                self._whole.pop(name, None)
                with suppress(OSError):  # what cannot be removed is not served either
                    (self.path / WHOLE / name).unlink(missing_ok=True)
        return right

    def begin(self, digest: Digest, *, sync_bytes: int) -> Part:
        """The part of an artefact, to go on with; nobody else may have it. Raises WorldError ``gateway.disk``."""
        name = _hex(digest)
        try:
            part = Part(self.path / PARTS / name, sync_bytes=sync_bytes)
        except OSError as error:
            raise troubles.disk(error.strerror or "a part cannot be used") from error
        with self._guard:
            self._active.add(name)
            self._parts[name] = part.have
        return part

    def reserve(self, digest: Digest, part: Part, length: int) -> None:
        """Make room for an artefact of `length` bytes. Raises WorldError ``gateway.no_room``."""
        name = _hex(digest)
        with self._guard:
            self._parts[name] = part.have
            while not self._fits(length - part.have):
                if not self._evict():
                    raise troubles.no_room(length)
            self._parts[name] = length

    def _fits(self, more: int) -> bool:
        held = sum(each.size for each in self._whole.values()) + sum(self._parts.values())
        # What the other parts will have is not on the disk yet.
        coming = sum(self._parts[name] - self._have(name) for name in self._active)
        return held + more <= self.size and self._free(self.path) - coming - more >= self._keep_free

    def _have(self, name: str) -> int:
        try:
            return min((self.path / PARTS / name).stat().st_size, self._parts[name])
        except OSError:
            return 0

    def _evict(self) -> bool:
        """Throw away what is wanted least; whether there was anything."""
        for name in self._parts:
            if name not in self._active:
                self._drop_part(name)
                return True
        for name, held in self._whole.items():
            if not held.users:
                del self._whole[name]
                (self.path / WHOLE / name).unlink(missing_ok=True)
                self._evicted += 1
                return True
        return False

    def _drop_part(self, name: str) -> None:
        self._parts.pop(name, None)
        for suffix in ("", NOTE):
            (self.path / PARTS / (name + suffix)).unlink(missing_ok=True)

    def finish(self, digest: Digest, part: Part) -> bool:
        """Verify a part whose bytes are all here, and make it whole; whether it was right.

        Raises:
            WorldError: ``gateway.disk``.
        """
        name = _hex(digest)
        source, target = self.path / PARTS / name, self.path / WHOLE / name
        try:
            part.sync()
            right = sha256_of(source) == name
            if right:
                source.replace(target)
                sync_folder(target.parent)
            with self._guard:
                if right:
                    self._whole[name] = Held(part.have, verified=time.monotonic())
                self._drop_part(name)
        except OSError as error:
            raise troubles.disk(error.strerror or "an artefact could not be kept") from error
        return right

    def put_down(self, digest: Digest, part: Part) -> None:
        """End the use of a part, whatever became of it."""
        name = _hex(digest)
        part.close()
        with self._guard:
            self._active.discard(name)
            if name in self._parts:
                self._parts[name] = part.have
                self._parts.move_to_end(name)
                if not part.have:
                    self._drop_part(name)


def _hex(digest: Digest) -> str:
    return digest.partition(":")[2]


def _free(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize
