"""The image repository of every scope: what people signed, what waits for them, what the server signs around it.

1. Reads are answered from memory. A change is computed first, committed whole (files, record, proposals and the leaves
   that tell of it), and shows only then; one change at a time.
2. Snapshot and timestamp are issued with every change, and again when half of their life is over (`refresh_due`).
3. A scope whose files on disk do not verify serves nothing and says why (`trouble`); the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.keystore import KeyStore
from holdfast.ports.store import Blob, Change, Removed, Store
from holdfast.update.ceremony import Ceremony, CeremonyFile
from holdfast.update.issuing import issued, loaded, signers_of
from holdfast.update.making import PublicKey
from holdfast.update.online_files import OnlineSigner
from holdfast.update.proposals import Outcome, Progress, Waiting, proposed, signatures_of, standing, submitted
from holdfast.update.shelf import Shelf, image_file, image_newer, record_of, replaced, root_part
from holdfast.update.signing_keys import SigningKeys
from holdfast.update.state import State, small_targets
from holdfast.update.telling import fresh_blobs, told_of
from holdfast.update.tuf_files import assembled
from holdfast.update.tuf_types import Targets
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release, target_path
from holdfast_core.update.agreement import EXEMPTIONS
from holdfast_core.update.agreement import Target as AgreedTarget
from holdfast_core.update.repository import (
    PROPOSAL_LIFE,
    SNAPSHOT_LIFE,
    TIMESTAMP_LIFE,
    Name,
    Online,
    OnlineKey,
    Proposal,
    Repository,
    is_due,
)
from holdfast_core.wire.update_metadata import Versions


class ImageRepository:
    """The repositories' state, kept and served. Call `load` before anything else."""

    def __init__(self, *, store: Store, clock: Clock, keys: KeyStore, emit: Emit) -> None:
        self._store, self._clock, self._emit = store, clock, emit
        self._keys = SigningKeys(keys)
        self._shelves: dict[Scope, Shelf] = {}
        self._troubles: dict[Scope, HoldfastError] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read everything from disk and verify it; what does not verify is not served."""
        scopes = {each.scope for each in self._store.all_kept(Repository)}
        for scope in scopes | {each.scope for each in self._store.all_kept(Proposal)}:
            try:
                self._shelves[scope] = await loaded(self._store, self._keys, scope)
            except HoldfastError as error:
                self._troubles[scope] = error

    def trouble(self, scope: Scope) -> HoldfastError | None:
        """Why nothing of a scope is served, where its files did not verify."""
        return self._troubles.get(scope)

    def shelf(self, scope: Scope) -> Shelf:
        """What is served of a scope; an empty shelf before it was founded.

        Raises:
            HoldfastError: what `trouble` says.
        """
        if (error := self._troubles.get(scope)) is not None:
            raise error
        return self._shelves.get(scope) or Shelf(State(scope), Repository(scope, Name.IMAGE.value))

    def files_newer(self, versions: Versions, path: str, scope: Scope) -> dict[str, bytes]:
        """The image repository's files that a device lacks; see `shelf.image_newer`."""
        return image_newer(self.shelf(scope), versions, path)

    def file(self, scope: Scope, name: str) -> bytes | None:
        """A file of the classic layout, or `None`."""
        return image_file(self.shelf(scope), name)

    def is_published(self, scope: Scope, release: Release) -> bool:
        """Whether the threshold signed exactly this release, and devices can fetch that it did."""
        if scope in self._troubles or release.offer is None or release.payload is None:
            return False
        shelf = self.shelf(scope)
        return shelf.is_live and shelf.state.holds(target_of(release))

    def exempts(self, scope: Scope, release: str, device: str, now: Instant) -> bool:
        """Whether the threshold let a device go back to a release."""
        found = (each.exemption for each in self.shelf(scope).state.exemptions)
        return any(e.release == release and device in e.devices and now < e.until for e in found)

    async def online(self, scope: Scope, *, fresh: Sequence[Online] = ()) -> dict[Online, PublicKey]:
        """The public halves of the server's keys, the newest of each purpose; those in `fresh` are made anew.

        A key made anew is in force once a root that names it is published.

        Raises:
            WorldError: ``keystore.*``.
        """
        found: dict[Online, PublicKey] = {}
        async with self._changing:
            changes: list[Change] = []
            for which in Online:
                kept = self._store.kept(OnlineKey, scope, which.value)
                number = (kept.number if kept else 0) + (1 if kept is None or which in fresh else 0)
                signer = await asyncio.to_thread(self._keys.make, scope, which, number)
                found[which] = signer.public
                if kept is None or kept.number != number:
                    changes.append(OnlineKey(scope, which.value, number=number))
            if changes:
                await self._store.commit(changes)
        return found

    def signer(self, scope: Scope, which: Online) -> OnlineSigner | None:
        """The key in force for the director or for bundles; `None` before its root was published."""
        return self.shelf(scope).key(which)

    def proposals(self, scope: Scope) -> list[Waiting]:
        """What waits for signatures."""
        shelf = self.shelf(scope)
        return standing(shelf.waiting.values(), shelf.state, self._clock.now())

    def ceremony(self, scope: Scope, *, whole: bool = False) -> Ceremony:
        """What waits, with the signatures that it has, and what it is compared with; `whole`: every file in force."""
        state = self.shelf(scope).state
        waiting = self.proposals(scope)
        files = [
            CeremonyFile(Name.IMAGE, each.proposal.id, assembled(each.file, signatures_of(each))) for each in waiting
        ]
        current = [CeremonyFile(name, "root", root.data) for name in Name for root in state.roots.get(name, ())]
        if state.targets is not None:
            current.append(CeremonyFile(Name.IMAGE, "targets", state.targets.data))
        roles = sorted(set(state.roles) & (set(state.roles) if whole else {each.proposal.id for each in waiting}))
        current.extend(CeremonyFile(Name.IMAGE, role, state.roles[role]) for role in roles)
        return Ceremony("holdfast-ceremony", str(scope), tuple(files), tuple(current))

    async def propose(
        self, scope: Scope, role: str, change: Callable[[Targets], None], *, why: str, actor: str
    ) -> Progress:
        """Add a change to what waits for the signers of a role.

        Args:
            scope: where.
            role: whose next version.
            change: what changes in it.
            why: the same as a sentence.
            actor: who asks.

        Raises:
            HostileData: ``repository.*``; LimitExceeded: ``repository.too_large``.
        """
        async with self._changing:
            shelf, now = self.shelf(scope), self._clock.now()
            before = shelf.waiting.get(role)
            file = proposed(shelf.state, before, role, change, now)
            stands = before is not None and before.proposal.stands(shelf.state.parts.get(role), now)
            whys = (*(before.proposal.whys if before is not None and stands else ()), why)[-64:]
            made = Proposal(
                scope,
                role,
                version=file.targets.version,
                digest=digest_of(file.data),
                length=len(file.data),
                made_at=now,
                expires_at=Instant(now + PROPOSAL_LIFE),
                by=actor,
                whys=whys,
            )
            changes: list[Change] = [made, Blob(scope, made.digest, file.data)]
            told = {"role": role, "version": made.version, "digest": made.digest, "why": why}
            changes.extend(self._emit(Noted(Kind.REPOSITORY_PROPOSED, actor, None, scope, told, now)))
            await self._store.commit(changes)
            waiting = {**shelf.waiting, role: Waiting(made, file)}
            self._shelves[scope] = msgspec.structs.replace(shelf, waiting=waiting)
            return Progress(role, made.version, 0, 0, in_force=False)

    async def submit(self, scope: Scope, files: Sequence[CeremonyFile], *, actor: str) -> tuple[Progress, ...]:
        """Take what people signed: roots, proposals with more signatures, whole files. All of it, or nothing.

        Raises:
            HostileData: ``repository.*``; WorldError: ``repository.key_away``, ``store.*``.
        """
        async with self._changing:
            shelf, now = self.shelf(scope), self._clock.now()
            outcome = submitted(shelf.state, shelf.waiting, files, actor=actor, now=now)
            small = small_targets(outcome.state.role(EXEMPTIONS))
            state = msgspec.structs.replace(outcome.state, exemptions=small)
            await self._enforce(shelf, msgspec.structs.replace(outcome, state=state), actor, now)
            return outcome.progress

    async def refresh_due(self, now: Instant) -> int:
        """Issue again what is half-way through its life; how many scopes that were. A watch of the server calls it."""
        count = 0
        for scope in list(self._shelves):
            async with self._changing:
                shelf = self._shelves[scope]
                if _is_due(shelf, now):
                    await self._enforce(shelf, Outcome(shelf.state, shelf.waiting, ()), "server", now)
                    count += 1
        return count

    async def _enforce(self, old: Shelf, outcome: Outcome, actor: str, now: Instant) -> None:
        """Make a state the one in force, durable first."""
        state, scope = outcome.state, outcome.state.scope
        signers = await asyncio.to_thread(signers_of, self._store, self._keys, state)
        made = issued(record_of(state, old.record), state, signers, old=old, now=now)
        shelf = msgspec.structs.replace(
            made,
            waiting=outcome.waiting,
            before=replaced(old, state) if made.record.snapshot != old.record.snapshot else old.before,
        )
        changes: list[Change] = [shelf.record]
        for name in (Name.DIRECTOR, Name.OFFLINE):
            if state.roots.get(name) != old.state.roots.get(name):
                parts = tuple(root_part(file.data, file.root.version) for file in state.roots[name])
                changes.append(Repository(scope, name.value, roots=parts))
        changes.extend(fresh_blobs(state, old.state))
        changes.extend(Removed(Proposal, scope, role) for role in old.waiting if role not in outcome.waiting)
        changes.extend(each.proposal for role, each in outcome.waiting.items() if old.waiting.get(role) != each)
        for noted in told_of(outcome, old, actor, now):
            changes.extend(self._emit(noted))
        await self._store.commit(changes)
        self._shelves[scope] = shelf


def target_of(release: Release) -> AgreedTarget:
    """A release's payload as repositories state it.

    Raises:
        HostileData: ``release.not_installable``.
    """
    if release.offer is None or release.payload is None:
        raise HostileData(
            "release.not_installable",
            f"{release.id} has no payload that a device could install.",
            remedy="Add it with its payload: holdfast release add.",
        )
    path = target_path(release.id, release.payload)
    return AgreedTarget(path, release.payload.size, release.payload.digest, release.offer)


def _is_due(shelf: Shelf, now: Instant) -> bool:
    record = shelf.record
    if record.snapshot is None or record.timestamp is None:
        return False
    return is_due(record.timestamp.at, TIMESTAMP_LIFE, now) or is_due(record.snapshot.at, SNAPSHOT_LIFE, now)
