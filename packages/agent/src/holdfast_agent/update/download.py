"""A payload from the server to the disk: in slices, resumed at any byte, never more than was signed.

1. What is on the disk is what counts: the next slice asks for what comes after it (``Range``), if the payload is
   still the same (``If-Range``; its entity tag is its digest). A server that sends all of it again starts it anew.
2. A slice ends after `Rate.slice_s`, so that check-ins go on; it is no failure. A read that brings nothing for
   `STALL_S`, or less than `LEAST` bytes within `WINDOW_S`, ends it with one.
3. Whoever announces or sends another length than was signed is refused at once; not one byte beyond is written.
4. The digest is over all of it, read back where this process did not write it. What is wrong is thrown away.
5. It is flushed every `FLUSHED` bytes. What a power cut leaves of the rest may be anything: the digest tells.

Source: RFC 9110, 13.1.5 (If-Range), 14.2 (Range), 14.4 (Content-Range).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from holdfast_agent.update.line import Line
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.update.agreement import Target

PREFIX = "/v1/update/targets/"
CHUNK = 64 * 1024
SMALLEST_CHUNK = 1024
FLUSHED = 4 * 1024 * 1024
STALL_S = 30.0
WINDOW_S = 60.0
LEAST = 8 * 1024
"""Bytes within a window: about 1 kbit/s, which the slowest radio does."""
_OK, _PARTIAL, _UNSATISFIABLE, _UNAVAILABLE = 200, 206, 416, 503
_LATER = frozenset({404, 408, 425, 429})
"""With 5xx: what may be answered otherwise later. A payload that is not there may be published in a moment."""
_RANGE = re.compile(r"bytes (\d{1,16})-(\d{1,16})/(\d{1,16})")


class Rate(msgspec.Struct, frozen=True):
    """How fast a slice may go: kilobits in a second (0: no bound), and for how long (seconds)."""

    kbit_s: int = 0
    slice_s: float = 45.0


class Slice(msgspec.Struct, frozen=True):
    """What a slice brought: bytes over the network, and how many there are now; `whole`: all, with the right digest."""

    came: int
    held: int
    whole: bool


class Wrong(HostileData):
    """The payload is not what was signed; `resumed`: some of it was here before this process."""

    def __init__(self, code: str, sentence: str, *, resumed: bool) -> None:
        super().__init__(code, sentence, remedy="Publish the artefact anew: holdfast release show.")
        self.resumed = resumed


class Interrupted(WorldError):
    """The slice ended early; what came is kept."""

    def __init__(self, code: str, sentence: str, came: int) -> None:
        super().__init__(code, sentence, remedy="It is resumed by itself. Look at the network if it never ends.")
        self.came = came


class Download:
    """The payload of `target`, in the file at `path`.

    Args:
        path: where it lies while it comes, and until it is written to a slot.
        target: what both repositories say of it.
        now: rising seconds.
        sleep: how to wait.
    """

    def __init__(
        self,
        path: Path,
        target: Target,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path, self.target = path, target
        self._now, self._sleep = now, sleep
        self._hash: hashlib._Hash | None = None
        self._held = 0
        self._resumed = False
        self._came = 0

    def slice(self, line: Line, rate: Rate) -> Slice:
        """Fetch some of it.

        Raises:
            Wrong: ``update.wrong_length``, ``update.digest``.
            Interrupted: ``update.stalled``, ``update.too_slow``, ``update.cut_off``, ``update.not_served``,
                ``update.later``.
            WorldError: ``update.payload_disk``.
        """
        self._came = 0
        with self._opened() as handle:
            try:
                self._take_up(handle)
                if self._held < self.target.length:
                    self._stream(handle, line, rate)
            finally:
                line.close()
            return self._ended(handle)

    def verify(self) -> None:
        """Whether what lies on the disk is the payload.

        Raises:
            Wrong: ``update.digest``, ``update.payload_gone``.
            WorldError: ``update.payload_disk``.
        """
        if self._hash is not None and self._held == self.target.length == _size(self.path):
            return  # this process wrote it, and found it right
        self._hash = None
        with self._opened() as handle:
            self._take_up(handle)
            if not self._ended(handle).whole:
                raise Wrong("update.payload_gone", "The payload is not here whole any more.", resumed=True)

    @property
    def held(self) -> int:
        """Bytes that are here."""
        return self._held

    # The disk

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                yield handle
            finally:
                os.close(handle)
        except OSError as error:
            raise WorldError(
                "update.payload_disk",
                f"{self.path} could not be written: {error.strerror}.",
                remedy="Make room on the file system of the agent's state folder.",
            ) from error

    def _take_up(self, handle: int) -> None:
        """Know what is here already."""
        if self._hash is not None:
            return
        self._hash, self._held = hashlib.sha256(), 0
        size = os.fstat(handle).st_size
        if size > self.target.length:
            os.ftruncate(handle, 0)
            return
        while piece := os.pread(handle, 16 * CHUNK, self._held):
            self._hash.update(piece)
            self._held += len(piece)
        self._resumed = self._held > 0

    def _begin_anew(self, handle: int) -> None:
        os.ftruncate(handle, 0)
        self._hash, self._held, self._resumed = hashlib.sha256(), 0, False

    def _ended(self, handle: int) -> Slice:
        os.fsync(handle)
        if self._held < self.target.length:
            return Slice(self._came, self._held, whole=False)
        assert self._hash is not None  # noqa: S101  (taken up before)
        if f"sha256:{self._hash.hexdigest()}" != self.target.digest:
            resumed = self._resumed
            self._begin_anew(handle)
            raise Wrong("update.digest", f"{self.target.path} came whole, with another digest.", resumed=resumed)
        return Slice(self._came, self._held, whole=True)

    # The network

    def _stream(self, handle: int, line: Line, rate: Rate) -> None:
        headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        if self._held:
            headers |= {"Range": f"bytes={self._held}-", "If-Range": entity_tag(self.target)}
        try:
            answer = line.stream(PREFIX + quote(stored_path(self.target)), headers)
            self._check_head(handle, answer)
            self._pour(handle, line, answer, rate)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, _DiskError):
                raise
            raise self._interrupted(error) from error

    def _check_head(self, handle: int, answer: http.client.HTTPResponse) -> None:
        if answer.status == _PARTIAL and self._held:
            match = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            start, end, total = (int(part) for part in match.groups()) if match else (-1, -1, -1)
            if (start, end, total) != (self._held, self.target.length - 1, self.target.length):
                raise self._wrong_length(f"a part of {total} bytes from byte {start} to byte {end}")
        elif answer.status == _OK:
            self._begin_anew(handle)
        elif answer.status == _UNSATISFIABLE:
            raise self._wrong_length(f"nothing after byte {self._held}")
        else:
            raise self._not_served(answer)
        announced = answer.headers.get("Content-Length")
        if announced is not None and announced != str(self.target.length - self._held):
            raise self._wrong_length(f"{announced[:20]} bytes where {self.target.length - self._held} are missing")

    def _pour(self, handle: int, line: Line, answer: http.client.HTTPResponse, rate: Rate) -> None:
        """Write what comes, until all of it is here or the time is over."""
        begun = window = self._now()
        in_window = unflushed = 0
        a_second = rate.kbit_s * 125
        least = min(LEAST, a_second * WINDOW_S / 4) if a_second else LEAST
        most = min(CHUNK, max(SMALLEST_CHUNK, a_second)) if a_second else CHUNK
        while self._held < self.target.length:
            line.wait(STALL_S)
            piece = answer.read1(min(most, self.target.length - self._held))
            if not piece:
                raise ConnectionError("the answer ended early")
            self._write(handle, piece)
            in_window, unflushed = in_window + len(piece), unflushed + len(piece)
            if unflushed >= FLUSHED:
                _flush(handle)
                unflushed = 0
            now = self._now()
            if now - window >= WINDOW_S:
                if in_window < least:
                    sentence = f"{in_window} bytes came within {now - window:.0f} seconds."
                    raise Interrupted("update.too_slow", sentence, self._came)
                window, in_window = now, 0
            if now - begun >= rate.slice_s:
                return
            if a_second:
                self._sleep(max(0.0, self._came / a_second - (now - begun)))
        line.wait(STALL_S)
        if answer.read1(1):
            raise self._wrong_length("more than was announced")

    def _write(self, handle: int, piece: bytes) -> None:
        assert self._hash is not None  # noqa: S101  (taken up before)
        try:
            done = 0
            while done < len(piece):
                done += os.pwrite(handle, piece[done:], self._held + done)
        except OSError as error:
            raise _DiskError(error.errno, error.strerror) from error
        self._hash.update(piece)
        self._held += len(piece)
        self._came += len(piece)

    # Words

    def _wrong_length(self, what: str) -> Wrong:
        sentence = f"{self.target.path} has {self.target.length} bytes by its signatures; the server sends {what}."
        return Wrong("update.wrong_length", sentence, resumed=False)

    def _not_served(self, answer: http.client.HTTPResponse) -> HostileData | Interrupted:
        status = answer.status
        if status == _UNAVAILABLE and "Retry-After" in answer.headers:
            return Interrupted("update.later", "The server asks to be asked again later.", self._came)
        sentence = f"The server answered {status} when {self.target.path} was asked for."
        if status in _LATER or status >= 500:  # noqa: PLR2004  (RFC 9110, 15.6)
            return Interrupted("update.not_served", sentence, self._came)
        return HostileData("update.not_served", sentence, remedy="Look at the release: holdfast release show.")

    def _interrupted(self, error: Exception) -> Interrupted:
        if isinstance(error, TimeoutError):
            return Interrupted("update.stalled", f"Nothing came for {STALL_S:.0f} seconds.", self._came)
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Interrupted("update.cut_off", f"The connection was lost: {why[:200]}.", self._came)


class _DiskError(OSError):
    """It was the disk that failed, not the network."""


def stored_path(target: Target) -> str:
    """Where a target's content lies, under the prefix of consistent snapshots: ``MODEL/VERSION/HEX.FILE``."""
    folder, _, name = target.path.rpartition("/")
    return f"{folder}/{target.digest.removeprefix('sha256:')}.{name}"


def entity_tag(target: Target) -> str:
    """The entity tag of a target's content: its SHA-256 in hexadecimal digits, quoted (RFC 9110, 8.8.3)."""
    return f'"{target.digest.removeprefix("sha256:")}"'


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _flush(handle: int) -> None:
    try:
        os.fdatasync(handle)
        # It is read again only when it is written to the slot; until then others need the memory more.
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as error:
        raise _DiskError(error.errno, error.strerror) from error
