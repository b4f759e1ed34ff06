"""The embedded store: one process, one file, everything hot in memory.

1. Changes gather for `GATHER_SECONDS` and are written in one transaction by one thread; a caller waits for its group.
2. Memory takes a group over only when it is on the disk, on the event loop, in order.
3. A group that fails fails for all its callers, and leaves memory as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from sqlalchemy import Engine, select

from holdfast.adapters.store import tables
from holdfast.adapters.store.memory import Memory
from holdfast.adapters.store.writer import Prepared, Writer, prepared
from holdfast.ports.signer import LogSigner
from holdfast.ports.store import (
    Change,
    ChangeWatcher,
    CommitWatcher,
    Delivery,
    DeviceFilter,
    K,
    StoredLeaf,
    StoredModel,
)
from holdfast_core.attestation.model import KeptEvidence
from holdfast_core.identity.model import Claim, Credential, Token
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.response.model import Incident
from holdfast_core.trust.posture import Posture

GATHER_SECONDS = 0.005
_HELD = (StoredModel, Device, Posture, Credential, Claim, Token, Incident, Delivery)

_decode_evidence = msgspec.msgpack.Decoder(KeptEvidence).decode
_decode_incident = msgspec.msgpack.Decoder(Incident).decode


class EmbeddedStore:
    """Implements `holdfast.ports.store.Store` on SQLite."""

    def __init__(self, engine: Engine, signer: LogSigner) -> None:
        self._engine = engine
        self._writer = Writer(engine, signer)
        self._memory = Memory()
        kinds: tuple[type[Any], ...] = (*_HELD, *tables.KEPT.values())
        for kind in kinds:
            self._memory.take(self._writer.every(kind))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="holdfast-store")
        self._waiting: list[tuple[list[Prepared], asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._watchers: list[CommitWatcher] = []
        self._change_watchers: list[ChangeWatcher] = []
        self._locks: dict[DeviceKey, tuple[asyncio.Lock, int]] = {}
        # Read once per group, so that both always speak of what is durable.
        self._checkpoint, self._size = self._writer.checkpoint, self._writer.frontier.size

    def close(self) -> None:
        """Let the last group finish, then close the file."""
        self._thread.shutdown()
        self._engine.dispose()

    async def commit(self, changes: Sequence[Change]) -> None:
        """See the port."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((prepared(changes), done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        # Shielded: a caller that goes away must not take the others' group with it.
        await asyncio.shield(done)

    async def _flush(self) -> None:
        """Write groups until nobody waits."""
        await asyncio.sleep(GATHER_SECONDS)
        while self._waiting:
            group, self._waiting = self._waiting, []
            outcome = await self._write([one for part, _ in group for one in part])
            if outcome is None or isinstance(outcome, WorldError):
                for _, done in group:
                    _settle(done, outcome)
                continue
            # A fault of ours in one of them: the others must not fail with it, so each is written by itself.
            for part, done in group:
                _settle(done, await self._write(part))
        self._flusher = None

    async def _write(self, group: list[Prepared]) -> BaseException | None:
        """Write a group and take it over; what kept it from being written, or `None`."""
        started = time.perf_counter()
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._writer.write, group)
        (outcome,) = await asyncio.gather(writing, return_exceptions=True)
        for watcher in self._watchers:
            watcher(time.perf_counter() - started, outcome if isinstance(outcome, Exception) else None)
        if outcome is None:
            self._memory.take(group)
            self._checkpoint, self._size = self._writer.checkpoint, self._writer.frontier.size
            changes = [change for change, _ in group]
            for told in self._change_watchers:
                told(changes)
        return outcome

    @asynccontextmanager
    async def exclusive(self, key: DeviceKey) -> AsyncIterator[None]:
        """See the port. Locks exist only while somebody holds or waits for them."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)

    def device(self, key: DeviceKey) -> Device | None:
        """See the port."""
        return self._memory.devices.get(key)

    def devices(self, scope: Scope, wanted: DeviceFilter) -> list[Device]:
        """See the port."""
        return list(self._memory.listed(scope, wanted))

    def devices_with_serial(self, scope: Scope, serial: str) -> list[Device]:
        """See the port."""
        return self._memory.devices_with_serial(scope, serial)

    def counts(self, scope: Scope) -> dict[str, int]:
        """See the port."""
        return self._memory.counts(scope)

    def posture(self, key: DeviceKey) -> Posture | None:
        """See the port."""
        return self._memory.posture(key)

    def lapsing(self, now: Instant) -> list[DeviceKey]:
        """See the port."""
        return self._memory.lapsing(now)

    def credential(self, fingerprint: Digest) -> Credential | None:
        """See the port."""
        return self._memory.credentials.get(fingerprint)

    def credentials_of(self, key: DeviceKey) -> list[Credential]:
        """See the port."""
        return self._memory.credentials_of(key)

    def knows_key(self, spki: Digest) -> bool:
        """See the port."""
        return self._memory.knows_key(spki)

    def credential_by_serial(self, serial: str) -> Credential | None:
        """See the port."""
        return self._memory.credential_by_serial(serial)

    def credentials(self) -> Iterator[Credential]:
        """See the port."""
        return iter(self._memory.credentials.values())

    def kept(self, kind: type[K], scope: Scope, name: str) -> K | None:
        """See the port."""
        return self._memory.kept(kind, scope, name)

    def all_kept(self, kind: type[K], scope: Scope | None = None) -> list[K]:
        """See the port."""
        return self._memory.all_kept(kind, scope)

    def claim(self, digest: Digest) -> Claim | None:
        """See the port."""
        return self._memory.claims.get(digest)

    def claims(self, scope: Scope) -> list[Claim]:
        """See the port."""
        mine = [claim for claim in self._memory.claims.values() if claim.key.scope == scope]
        return sorted(mine, key=lambda claim: claim.created_at)

    def claims_of(self, key: DeviceKey) -> list[Claim]:
        """See the port."""
        return self._memory.claims_of(key)

    def token(self, digest: Digest) -> Token | None:
        """See the port."""
        return self._memory.tokens.get(digest)

    def tokens(self, scope: Scope) -> list[Token]:
        """See the port."""
        return [token for token in self._memory.tokens.values() if token.scope == scope]

    def model(self, scope: Scope, reference: str) -> StoredModel | None:
        """See the port."""
        return self._memory.models.get((scope, reference))

    def models(self, scope: Scope) -> list[StoredModel]:
        """See the port."""
        mine = (model for (owner, _), model in self._memory.models.items() if owner == scope)
        return sorted(mine, key=lambda model: model.reference)

    def open_incidents(self, scope: Scope) -> list[Incident]:
        """See the port."""
        return self._memory.open_incidents(scope)

    def open_incident(self, key: DeviceKey, cause: str) -> Incident | None:
        """See the port."""
        return self._memory.open_incident(key, cause)

    def deliveries(self) -> list[Delivery]:
        """See the port."""
        return list(self._memory.deliveries.values())

    def checkpoint(self) -> str:
        """See the port."""
        return self._checkpoint

    def log_size(self) -> int:
        """See the port."""
        return self._size

    async def body(self, key: DeviceKey, section: str, digest: Digest) -> bytes | None:
        """See the port."""
        table = tables.evidence
        wanted = {**tables.of_key(key), "section": section, "digest": digest}
        rows = await asyncio.to_thread(
            self._writer.read, select(table.c.body).where(*(table.c[name] == value for name, value in wanted.items()))
        )
        return rows[0].body if rows else None

    async def blob(self, scope: Scope, digest: Digest) -> bytes | None:
        """See the port."""
        table = tables.blob
        statement = select(table.c.body).where(
            table.c.tenant == scope.tenant, table.c.environment == scope.environment, table.c.digest == digest
        )
        rows = await asyncio.to_thread(self._writer.read, statement)
        return rows[0].body if rows else None

    async def evidence(self, key: DeviceKey, number: int) -> KeptEvidence | None:
        """See the port."""
        found = await self.evidences(key, before=number + 1, limit=1)
        return found[0] if found and found[0].number == number else None

    async def evidences(self, key: DeviceKey, *, before: int, limit: int) -> list[KeptEvidence]:
        """See the port."""
        table = tables.attestation
        statement = select(table.c.body).where(
            *(table.c[name] == value for name, value in tables.of_key(key).items()), table.c.number < before
        )
        statement = statement.order_by(table.c.number.desc()).limit(limit)
        return [_decode_evidence(row.body) for row in await asyncio.to_thread(self._writer.read, statement)]

    def watch_commits(self, watcher: CommitWatcher) -> None:
        """See the port."""
        self._watchers.append(watcher)

    def watch_changes(self, watcher: ChangeWatcher) -> None:
        """See the port."""
        self._change_watchers.append(watcher)

    async def incident(self, scope: Scope, name: str) -> Incident | None:
        """See the port."""
        table = tables.incident
        statement = select(table.c.body).where(
            table.c.tenant == scope.tenant, table.c.environment == scope.environment, table.c.id == name
        )
        rows = await asyncio.to_thread(self._writer.read, statement)
        return _decode_incident(rows[0].body) if rows else None

    async def incidents(self, scope: Scope, *, device: str, limit: int) -> list[Incident]:
        """See the port."""
        table = tables.incident
        statement = select(table.c.body).where(table.c.tenant == scope.tenant, table.c.environment == scope.environment)
        if device:
            statement = statement.where(table.c.device == device)
        statement = statement.order_by(table.c.opened_at.desc()).limit(limit)
        return [_decode_incident(row.body) for row in await asyncio.to_thread(self._writer.read, statement)]

    async def leaves(self, start: int, limit: int) -> list[StoredLeaf]:
        """See the port."""
        table = tables.leaf
        statement = select(table.c.index, table.c.body).where(table.c.index >= start)
        statement = statement.order_by(table.c.index).limit(limit)
        return [StoredLeaf(row[0], row[1]) for row in await asyncio.to_thread(self._writer.read, statement)]

    async def history(self, key: DeviceKey, *, kinds: Sequence[str], limit: int) -> list[StoredLeaf]:
        """See the port."""
        table = tables.leaf
        statement = select(table.c.index, table.c.body).where(
            *(table.c[name] == value for name, value in tables.of_key(key).items())
        )
        if kinds:
            statement = statement.where(table.c.kind.in_(kinds))
        statement = statement.order_by(table.c.index.desc()).limit(limit)
        return [StoredLeaf(row[0], row[1]) for row in await asyncio.to_thread(self._writer.read, statement)]

    def every_leaf(self) -> Iterator[StoredLeaf]:
        """See the port."""
        return self._writer.every_leaf()

    async def settled(self) -> None:
        """Return once nothing waits to be written; for an orderly end."""
        while self._flusher is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(self._flusher)


def _settle(done: asyncio.Future[None], outcome: BaseException | None) -> None:
    if done.cancelled():
        return
    if outcome is None:
        done.set_result(None)
    else:
        done.set_exception(outcome)
