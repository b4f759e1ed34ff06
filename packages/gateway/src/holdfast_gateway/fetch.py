"""One artefact fetched from the control plane: resumed wherever it broke off, bounded, verified as a whole.

1. A connection that breaks is followed by another, after a pause, from the byte where it broke. What counts is
   progress: so many connections in a row that bring nothing new, and the fetch is given up. Its bytes stay, and the
   next fetch goes on from them, also in another process.
2. A server that will not resume starts the file anew; that alone is no progress.
3. A control plane slower than `window_bytes` in `window_s` counts as one that broke off.
4. The digest decides in the end. A file that is wrong is thrown away. Only where its first bytes were an earlier
   fetch's, which a power cut may have spoilt, is it fetched once more, from its first byte.
"""

from __future__ import annotations

import threading
import time

from holdfast_core.kernel.errors import WorldError
from holdfast_gateway import troubles
from holdfast_gateway.allowance import Allowance
from holdfast_gateway.bounds import Bounds
from holdfast_gateway.meters import Fetching, Meters
from holdfast_gateway.part import Note, Part
from holdfast_gateway.request import Target
from holdfast_gateway.shelf import Shelf
from holdfast_gateway.upstream import Body, Source

READ = 64 * 1024
BROKEN_OFF = "gateway.upstream"
"""The one trouble after which it is worth to connect again at once."""


class Fetch:
    """The fetch of `target` into `shelf`; `run` blocks, the rest may be called from other threads."""

    def __init__(
        self, target: Target, shelf: Shelf, source: Source, *, bounds: Bounds, meters: Meters, daily: Allowance
    ) -> None:
        self.target = target
        self._shelf, self._source, self._bounds, self._meters, self._daily = shelf, source, bounds, meters, daily
        self._stopped = threading.Event()
        self._part: Part | None = None
        self._began, self._came = time.monotonic(), 0

    def stop(self) -> None:
        """End `run` soon; the bytes stay."""
        self._stopped.set()

    def progress(self) -> Fetching:
        """How far it is."""
        part = self._part
        length = part.note.length if part and part.note else 0
        return Fetching(self.target.path, part.have if part else 0, length)

    def left_s(self) -> int:
        """Seconds until it is here, at the pace of so far; 0 where nobody can say."""
        at, passed = self.progress(), time.monotonic() - self._began
        return int((at.length - at.have) * passed / self._came) + 1 if self._came and at.length else 0

    def run(self) -> None:
        """Fetch it.

        Raises:
            WorldError: ``gateway.*``, and what the gateway's own identity has to say.
        """
        part = self._part = self._shelf.begin(self.target.digest, sync_bytes=self._bounds.sync_bytes)
        try:
            self._fill(part)
            if self._shelf.finish(self.target.digest, part):
                self._meters.add("fetches")
                return
            if not part.inherited:
                raise troubles.wrong(self.target.path)
        finally:
            self._shelf.put_down(self.target.digest, part)
        self.run()

    def _fill(self, part: Part) -> None:
        """Get the bytes that are missing."""
        idle, pause, best = 0, self._bounds.first_pause_s, part.have
        while (trouble := self._try(part)) is not None:
            if part.have >= best + self._bounds.progress:
                idle, pause, best = 0, self._bounds.first_pause_s, part.have
            else:
                idle += 1
            if idle >= self._bounds.tries:
                raise trouble
            self._wait(max(pause, trouble.retry_after_s))
            pause = min(pause * 2, self._bounds.longest_pause_s)

    def _try(self, part: Part) -> WorldError | None:
        """Connect, unless every byte is here; why some are still missing, if it is worth to connect again."""
        trouble = troubles.unreachable("it broke off early")
        if not part.whole:
            try:
                self._connect(part)
            except WorldError as error:
                if error.code != BROKEN_OFF:
                    raise
                trouble = error
        return None if part.whole else trouble

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise troubles.stopping()

    def _connect(self, part: Part) -> None:
        """One connection: as many bytes as it brings."""
        if self._daily.spent:
            raise troubles.spent()
        body = self._source.open(self.target.path, part.have, part.note.etag if part.note else "")
        try:
            if body is None:  # the file ends before the length that it was said to have
                part.restart()
                raise troubles.wrong(self.target.path)
            self._take_head(part, body)
            self._take(part, body)
        except OSError as error:
            raise troubles.disk(error.strerror or "writing failed") from error
        finally:
            if body is not None:
                body.close()

    def _take_head(self, part: Part, body: Body) -> None:
        if part.note is not None and part.have and body.start and body.total != part.note.length:
            part.restart()
            raise troubles.unreachable("the file has another length than before")
        if not body.start and part.have:
            part.restart()
        self._shelf.reserve(self.target.digest, part, body.total)
        part.expect(Note(body.total, body.etag))

    def _take(self, part: Part, body: Body) -> None:
        window, came = time.monotonic() + self._bounds.window_s, 0
        while not part.whole:
            if self._stopped.is_set():
                raise troubles.stopping()
            data = body.read(min(READ, body.total - part.have))
            if not data:
                return
            part.append(data)
            came += len(data)
            self._came += len(data)
            self._meters.add("fetched_bytes", len(data))
            self._daily.charge(len(data))
            if self._daily.spent and not part.whole:
                raise troubles.spent()
            if time.monotonic() >= window:
                if came < self._bounds.window_bytes:
                    raise troubles.unreachable("it sends too slowly")
                window, came = time.monotonic() + self._bounds.window_s, 0
