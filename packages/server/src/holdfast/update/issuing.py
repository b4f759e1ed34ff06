"""A scope's shelf: made anew from disk, and issued again after a change.

1. What is read from disk is verified as if it had come from outside: digests, thresholds, the chain of roots.
2. Snapshot and timestamp are never kept: the same record and key give the same bytes (Ed25519).
3. A new snapshot is issued when a file differs, its key does, or half of its life is over; a timestamp then, too.
"""

from __future__ import annotations

import asyncio

import msgspec

from holdfast.ports.store import Store
from holdfast.update.online_files import OnlineSigner, snapshot_file, timestamp_file
from holdfast.update.proposals import Waiting
from holdfast.update.shelf import Shelf
from holdfast.update.signing_keys import SigningKeys
from holdfast.update.state import State, loaded_file, require_whole, small_targets, with_root
from holdfast.update.tuf_files import read_root, read_targets
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.agreement import EXEMPTIONS
from holdfast_core.update.repository import (
    ONLINE_ROLES,
    SNAPSHOT_LIFE,
    TIMESTAMP_LIFE,
    Issue,
    Name,
    OnlineKey,
    Part,
    Proposal,
    Repository,
    is_due,
    next_version,
)

Signers = dict[tuple[Name, str], OnlineSigner]


def signers_of(store: Store, keys: SigningKeys, state: State) -> Signers:
    """The online keys that the newest roots name. Reads key files.

    Raises:
        WorldError: ``repository.key_away``, ``keystore.*``.
    """
    found: Signers = {}
    for name, roles in ONLINE_ROLES.items():
        file = state.root(name)
        if file is None:
            continue
        for role, which in roles.items():
            kept = store.kept(OnlineKey, state.scope, which.value)
            keyid = file.root.roles[role].keyids[0]
            found[name, role] = keys.named(state.scope, which, kept.number if kept else 0, keyid)
    return found


def issued(record: Repository, state: State, signers: Signers, *, old: Shelf | None, now: Instant) -> Shelf:
    """The shelf of a state, with new issues where they are due."""
    if state.targets is None or state.root(Name.IMAGE) is None:
        return Shelf(state, record, signers=signers)
    snapshot, timestamp = record.snapshot, record.timestamp
    same = old is not None and old.state.parts == state.parts and not _rekeyed(old, signers, "snapshot")
    if snapshot is None or not same or is_due(snapshot.at, SNAPSHOT_LIFE, now):
        snapshot = Issue(next_version(snapshot.version if snapshot else 0, now), now)
    stamped = same and snapshot == record.snapshot and old is not None and not _rekeyed(old, signers, "timestamp")
    if timestamp is None or not stamped or is_due(timestamp.at, TIMESTAMP_LIFE, now):
        timestamp = Issue(next_version(timestamp.version if timestamp else 0, now), now)
    return shelved(msgspec.structs.replace(record, snapshot=snapshot, timestamp=timestamp), state, signers)


def _rekeyed(old: Shelf, signers: Signers, role: str) -> bool:
    before, after = old.signers.get((Name.IMAGE, role)), signers.get((Name.IMAGE, role))
    return before is None or after is None or before.keyid != after.keyid


def shelved(record: Repository, state: State, signers: Signers) -> Shelf:
    """The shelf of a record and its state, as it was issued."""
    if record.snapshot is None or record.timestamp is None:
        return Shelf(state, record, signers=signers)
    parts = [state.parts[role] for role in sorted(state.parts)]
    snapshot = snapshot_file(record.snapshot, SNAPSHOT_LIFE, parts, signers[Name.IMAGE, "snapshot"])
    timestamp = timestamp_file(
        record.timestamp, TIMESTAMP_LIFE, snapshot, record.snapshot.version, signers[Name.IMAGE, "timestamp"]
    )
    return Shelf(state, record, snapshot=snapshot, timestamp=timestamp, signers=signers)


async def loaded(store: Store, keys: SigningKeys, scope: Scope) -> Shelf:
    """The shelf of a scope from disk.

    Raises:
        WorldError: ``repository.damaged``, ``repository.key_away``, ``keystore.*``.
    """
    record = store.kept(Repository, scope, Name.IMAGE.value) or Repository(scope, Name.IMAGE.value)
    try:
        state = await _loaded_state(store, scope, record)
        waiting = {each.id: await _waiting(store, each) for each in store.all_kept(Proposal, scope)}
    except HostileData as error:
        raise WorldError(
            "repository.damaged",
            f"What is kept of the update repositories of {scope} does not verify: {error.sentence}",
            remedy="Restore the data folder from a backup. Devices are served nothing of it until then.",
        ) from error
    signers = await asyncio.to_thread(signers_of, store, keys, state)
    return msgspec.structs.replace(shelved(record, state, signers), waiting=waiting)


async def _loaded_state(store: Store, scope: Scope, record: Repository) -> State:
    state = State(scope)
    for name in Name:
        kept = store.kept(Repository, scope, name.value)
        for part in kept.roots if kept is not None else ():
            file = read_root(await _blob(store, scope, part.digest))
            state = with_root(state, name, file)
    for part in (*((record.targets,) if record.targets else ()), *record.roles):
        file_of = read_targets(await _blob(store, scope, part.digest))
        state = loaded_file(state, part.role, file_of)
        _require_same(part, state.parts[part.role])
    await asyncio.to_thread(require_whole, state)
    return msgspec.structs.replace(state, exemptions=small_targets(state.role(EXEMPTIONS)))


def _require_same(kept: Part, read: Part) -> None:
    if kept != read:
        raise _damaged(f"the file of {kept.role!r} is version {read.version}, and {kept.version} is in force")


async def _waiting(store: Store, proposal: Proposal) -> Waiting:
    return Waiting(proposal, read_targets(await _blob(store, proposal.scope, proposal.digest)))


async def _blob(store: Store, scope: Scope, digest: Digest) -> bytes:
    data = await store.blob(scope, digest)
    if data is None or digest_of(data) != digest:
        raise _damaged(f"the file {digest} is missing or was changed")
    return data


def _damaged(why: str) -> HostileData:
    return HostileData("repository.damaged", f"{why[:1].upper()}{why[1:]}.", remedy="Restore it from a backup.")
