"""Payloads that may leave the disk: which these are, why, and letting them go.

1. A payload goes once no release names it, or once each release that does was withdrawn by its signers, waits for no
   signature again, and no device is directed to it.
2. Releases stay, with what was decided of them: only the bytes go, and can be uploaded again.
3. What another scope's release names, what is coming, and what came just now (`Uploads.is_awaited`) stays.
4. The record tells of it before the first byte goes; what was interrupted is done by doing it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from holdfast.ports.artefacts import ArtefactStore, Stored
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Event, Noted
from holdfast.ports.store import Change, Removed, Store
from holdfast.update.image_repository import ImageRepository, target_of
from holdfast.update.release_index import ReleaseIndex
from holdfast.update.uploads import Uploads
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import Scope
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release
from holdfast_core.update.repository import Direction, Withdrawal

TOLD = 250
"""Payloads that go at once: the record's entry of it is bounded, and so is the answer."""


class Prunable(msgspec.Struct, frozen=True):
    """A payload that may go: its digest, its size in bytes, and the withdrawn releases that name it."""

    digest: Digest
    size: int
    releases: tuple[str, ...]


class Pruning:
    """Finds payloads that nobody needs, and takes them off the disk.

    Args:
        store: where withdrawals and directions are read.
        clock: the server's time.
        emit: who hears of it.
        artefacts: where payloads lie.
        index: which release names which payload.
        uploads: knows what is on its way.
        images: what is published, and what waits to be.
        changing: held by whoever adds a release.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        emit: Emit,
        artefacts: ArtefactStore,
        index: ReleaseIndex,
        uploads: Uploads,
        images: ImageRepository,
        changing: asyncio.Lock,
    ) -> None:
        self._store, self._clock, self._emit, self._artefacts = store, clock, emit, artefacts
        self._index, self._uploads, self._images, self._changing = index, uploads, images, changing

    async def prunable(self, scope: Scope) -> list[Prunable]:
        """What may go now, the first `TOLD` of it.

        Raises:
            HoldfastError: why the scope's repositories are not served; WorldError: ``artefact.store``.
        """
        here = await asyncio.to_thread(self._artefacts.listed)
        directed = {each.release for each in self._store.all_kept(Direction, scope)}
        waiting = {path for each in self._images.proposals(scope) for path in each.file.targets.targets}
        found = (self._judged(scope, each, directed, waiting) for each in here)
        return [each for each in found if each is not None][:TOLD]

    async def prune(self, scope: Scope, *, actor: str) -> list[Prunable]:
        """Take what may go off the disk; what that was.

        Raises:
            HoldfastError: as `prunable`.
        """
        async with self._changing:
            found = await self.prunable(scope)
            if found:
                told = {"payloads": [each.digest for each in found], "bytes": sum(each.size for each in found)}
                noted = Noted(Kind.RELEASE_PRUNED, actor, None, scope, told, self._clock.now())
                await self._store.commit(self._emit(noted))
            for each in found:
                # An upload of the same may have begun since.
                if not self._uploads.is_awaited(scope, each.digest):
                    await asyncio.to_thread(self._artefacts.delete, each.digest)
        return found

    def _judged(self, scope: Scope, stored: Stored, directed: set[str], waiting: set[str]) -> Prunable | None:
        releases = self._index.of_payload(stored.digest)
        if self._uploads.is_awaited(scope, stored.digest):
            return None
        if any(
            each.scope != scope or each.id in directed or not self._is_withdrawn(each, waiting) for each in releases
        ):
            return None
        return Prunable(stored.digest, stored.size, tuple(each.id for each in releases))

    def _is_withdrawn(self, release: Release, waiting: set[str]) -> bool:
        """Whether its signers took a release out, and are not asked for it again."""
        is_out = self._store.kept(Withdrawal, release.scope, release.id) is not None
        return is_out and target_of(release).path not in waiting


class WithdrawalListener:
    """Remembers which releases their signers took out of the image repository."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, event: Event) -> Sequence[Change]:
        """The changes that `event` sets off."""
        match event:
            case Noted(
                Kind.RELEASE_PUBLISHED, scope=scope, data={"release": str(name), "in_force": bool(is_in)}, at=at
            ):
                if not is_in:
                    return (Withdrawal(scope, name, at=at),)
                if self._store.kept(Withdrawal, scope, name) is not None:
                    return (Removed(Withdrawal, scope, name),)
        return ()
