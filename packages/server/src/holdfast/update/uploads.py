"""Files on their way into the artefact store, piece after piece, and what a payload says of itself once it is there.

1. A piece is taken whole or not at all, and only where the one before it ended; who was interrupted asks how much is
   here and goes on from there.
2. A file has its digest from the first piece on. One that turns out to have another is thrown away.
3. Uploads under way are bounded in number; one that nobody went on with for `IDLE` gives way. They end with the server.
4. A scope has what it uploaded itself: that another one has the same file neither shows nor saves it the upload.
5. The disk is only touched from threads: the loop goes on serving devices.
"""

from __future__ import annotations

import asyncio

from holdfast.ports.artefacts import ArtefactStore, Inspected, Inspector, Upload, missing, too_large
from holdfast.ports.clock import Clock
from holdfast.update.release_index import ReleaseIndex
from holdfast_core.kernel.digests import Digest, parse_digest
from holdfast_core.kernel.errors import HoldfastError, HostileData, LimitExceeded
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.supply.model import LARGEST_PAYLOAD, PayloadKind

UNDER_WAY = 16
"""Uploads of one scope at a time."""
IDLE = HOUR
PIECE = 4 * 1024 * 1024
"""Bytes of one piece."""
REMEMBERED = 4_096
"""Whole files that no release names yet."""
_Name = tuple[Scope, Digest]


class _Incoming:
    """One upload, and who is writing to it."""

    def __init__(self, upload: Upload, total: int, at: Instant) -> None:
        self.upload, self.total, self.at = upload, total, at
        self.busy = asyncio.Lock()


class Uploads:
    """The uploads of every scope.

    Args:
        artefacts: where whole files lie.
        inspector: what asks a payload's own tool.
        index: knows the releases, whose payloads are their scope's.
        clock: the server's time.
    """

    def __init__(self, artefacts: ArtefactStore, inspector: Inspector, index: ReleaseIndex, clock: Clock) -> None:
        self._artefacts = artefacts
        self._inspector = inspector
        self._index = index
        self._clock = clock
        self._incoming: dict[_Name, _Incoming] = {}
        self._whole: dict[_Name, Instant] = {}
        """What came whole and may not be of a release yet, and when, the oldest first."""
        self._beginning = asyncio.Lock()

    async def received(self, scope: Scope, digest: str) -> tuple[int, int | None, bool]:
        """How many bytes of a file are here, how many it has, and whether it is whole.

        Raises:
            HostileData: ``digest.invalid``.
        """
        name = parse_digest(digest)
        if self._has((scope, name)):
            size = await asyncio.to_thread(self._artefacts.size, name)
            return size, size, True
        incoming = self._incoming.get((scope, name))
        return (incoming.upload.size, incoming.total, False) if incoming is not None else (0, None, False)

    async def take(self, scope: Scope, digest: str, piece: bytes, *, start: int, total: int) -> int:
        """Take the piece that begins at byte `start` of a file of `total` bytes; how many are here then.

        Raises:
            HostileData: ``digest.invalid``, ``artefact.range``, ``artefact.offset`` (409), ``artefact.other_digest``.
            LimitExceeded: ``artefact.too_large``, ``artefact.uploads`` (429).
            WorldError: ``artefact.disk_full`` (507), ``artefact.store``; the upload begins anew then.
        """
        name = parse_digest(digest)
        if total > LARGEST_PAYLOAD:
            raise too_large(total)
        if not piece or start + len(piece) > total:
            raise HostileData(
                "artefact.range",
                f"A piece of {len(piece)} bytes from byte {start} is no part of a file of {total}.",
                remedy="Send 'Content-Range: bytes FIRST-LAST/TOTAL' with exactly these bytes.",
            )
        key = (scope, name)
        if self._has(key):
            return await asyncio.to_thread(self._artefacts.size, name)
        incoming = await self._begun(key, start, total)
        async with incoming.busy:
            here = incoming.upload.size if self._incoming.get(key) is incoming else 0
            if start != here or total != incoming.total or self._incoming.get(key) is not incoming:
                raise _offset(start, here, incoming.total)
            return await self._written(key, incoming, piece)

    def _has(self, key: _Name) -> bool:
        """Whether a file is whole, and came from this scope."""
        is_ours = key in self._whole or self._index.names(*key)
        return is_ours and self._artefacts.holds(key[1])

    def is_awaited(self, scope: Scope, digest: Digest) -> bool:
        """Whether a file without a release is somebody's: it is coming, came within `IDLE`, or is another scope's."""
        now = self._clock.now()
        if any(name == digest for _, name in self._incoming):
            return True
        return any(name == digest and (owner != scope or now - at <= IDLE) for (owner, name), at in self._whole.items())

    def require(self, scope: Scope, digest: str) -> None:
        """Refuse to name a file that this scope did not upload.

        Raises:
            HostileData: ``digest.invalid``.
            WorldError: ``artefact.missing`` (404).
        """
        name = parse_digest(digest)
        if not self._has((scope, name)):
            raise missing(name)

    async def _begun(self, key: _Name, start: int, total: int) -> _Incoming:
        async with self._beginning:
            known = self._incoming.get(key)
            if known is not None and (start or known.busy.locked()):
                return known
            if start:
                raise _offset(start, 0, total)
            await self._make_room(key)
            made = _Incoming(await asyncio.to_thread(self._artefacts.begin), total, self._clock.now())
            self._incoming[key] = made
            return made

    async def _make_room(self, key: _Name) -> None:
        """End what is begun anew or was forgotten; refuse one more than there may be."""
        now = self._clock.now()
        for other, incoming in list(self._incoming.items()):
            if other == key or (now - incoming.at > IDLE and not incoming.busy.locked()):
                del self._incoming[other]
                await asyncio.to_thread(incoming.upload.abandon)
        if sum(scope == key[0] for scope, _ in self._incoming) >= UNDER_WAY:
            raise LimitExceeded(
                "artefact.uploads",
                f"{UNDER_WAY} uploads are under way.",
                remedy="Finish one of them; one that nobody goes on with ends after an hour.",
                http_status=429,
            )

    async def _written(self, key: _Name, incoming: _Incoming, piece: bytes) -> int:
        upload, incoming.at = incoming.upload, self._clock.now()
        try:
            await asyncio.to_thread(upload.write, piece)
            size = upload.size
            if size == incoming.total:
                await asyncio.to_thread(upload.finish, key[1])
                self._incoming.pop(key, None)
                self._remember(key)
        except HoldfastError:
            # Half of a piece may be on disk; nothing of this file can be gone on with.
            self._incoming.pop(key, None)
            await asyncio.to_thread(upload.abandon)
            raise
        return size

    def _remember(self, key: _Name) -> None:
        self._whole[key] = self._clock.now()
        while len(self._whole) > REMEMBERED:
            del self._whole[next(iter(self._whole))]

    async def inspected(self, digest: str, kind: PayloadKind, name: str) -> Inspected:
        """What a payload that is here says of itself, by its own tool.

        Raises:
            HostileData: ``digest.invalid``, ``artefact.*``.
            WorldError: ``artefact.missing`` (404), ``artefact.no_tool``, ``artefact.tool``.
        """
        return await asyncio.to_thread(self._inspect, parse_digest(digest), kind, name)

    def _inspect(self, digest: Digest, kind: PayloadKind, name: str) -> Inspected:
        with self._artefacts.local(digest) as path:
            return self._inspector.inspect(path, kind, name=name)

    async def small(self, digest: str, largest: int) -> bytes:
        """A small file that was uploaded, whole.

        Raises:
            HostileData: ``digest.invalid``.
            LimitExceeded: ``artefact.too_large``.
            WorldError: ``artefact.missing`` (404), ``artefact.corrupt``.
        """
        return await asyncio.to_thread(self._small, parse_digest(digest), largest)

    def _small(self, digest: Digest, largest: int) -> bytes:
        size = self._artefacts.size(digest)
        if size > largest:
            raise too_large(size, largest)
        pieces = [self._artefacts.read(digest, at, PIECE) for at in range(0, size, PIECE)]
        return b"".join(pieces)


def _offset(start: int, here: int, total: int) -> HostileData:
    return HostileData(
        "artefact.offset",
        f"The piece begins at byte {start}, and {here} of {total} bytes are here.",
        remedy="Ask how many bytes are here (GET the same path), and go on from there.",
        http_status=409,
    )
