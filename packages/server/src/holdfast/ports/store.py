"""The store: what the server holds, and how a change becomes durable.

1. Reads are answered from memory, which is never ahead of the disk: a change shows only once it is durable.
2. `commit` takes changes that belong together; all of them are durable when it returns, or none is and it raises.
3. Leaves get their place in the log in the order of commits, in the same transaction as the changes beside them.
4. Whoever reads a device, decides and writes it back does so under `exclusive(key)`.
5. Every key carries tenant and environment; the log is one for all, and each of its entries names both.
6. Who must act on a change (open connections, brokers) watches the one feed of what became durable, in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

import msgspec

from holdfast_core.attestation.model import KeptEvidence
from holdfast_core.identity.model import Claim, Credential, Token
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.record.model import Entry, leaf_bytes
from holdfast_core.response.model import Incident
from holdfast_core.trust.posture import Posture
from holdfast_core.wire.frame import Level


class StoredModel(msgspec.Struct, frozen=True):
    """A device model that was added, known by ``name@version``; `digest` is of its canonical bytes."""

    scope: Scope
    reference: str
    digest: Digest
    model: DeviceModel
    added_at: Instant


class Body(msgspec.Struct, frozen=True):
    """The body of a section, kept under its digest, so that what was appraised can be read and appraised again."""

    key: DeviceKey
    section: str
    digest: Digest
    body: bytes
    kept_at: Instant


class Blob(msgspec.Struct, frozen=True):
    """Bytes that several devices or verdicts look back to, kept once under their digest, for ever."""

    scope: Scope
    digest: Digest
    body: bytes


class Delivery(msgspec.Struct, frozen=True):
    """A webhook message on its way out; kept until delivered or given up."""

    id: str
    scope: Scope
    body: bytes
    created_at: Instant
    due_at: Instant
    attempts: int = 0
    done: bool = False


class Leaf(msgspec.Struct, frozen=True):
    """An entry to append to the log, and the bytes that will be hashed; make it with `leaf`."""

    entry: Entry
    data: bytes


def leaf(entry: Entry) -> Leaf:
    """The leaf of `entry`. One that is too large is refused here, before it is anybody else's commit too.

    Raises:
        LimitExceeded: ``record.leaf_too_large``.
    """
    return Leaf(entry, leaf_bytes(entry))


class Removed(msgspec.Struct, frozen=True):
    """The end of a small record."""

    kind: type[Kept]
    scope: Scope
    id: str


Change = (
    Device
    | Posture
    | Credential
    | Claim
    | Token
    | StoredModel
    | Body
    | Blob
    | KeptEvidence
    | Incident
    | Delivery
    | Leaf
    | Kept
    | Removed
)
"""One thing to put: a record replaces the one of the same key, a leaf is appended."""

K = TypeVar("K", bound=Kept)


class StoredLeaf(msgspec.Struct, frozen=True):
    """A leaf in its place: `data` are the exact bytes that were hashed."""

    index: int
    data: bytes


CommitWatcher = Callable[[float, Exception | None], None]
"""Told of every write: how many seconds it took, and what it failed with."""


ChangeWatcher = Callable[[Sequence[Change]], None]
"""Told of the changes of every group that became durable."""


class DeviceFilter(msgspec.Struct, frozen=True):
    """Which devices to list; an empty field does not narrow."""

    level: Level | None = None
    lifecycle: str = ""
    model: str = ""
    site: str = ""
    after: str = ""
    """The device id after which the page starts."""
    limit: int = 100


class Store(Protocol):
    """The server's memory and disk."""

    def device(self, key: DeviceKey) -> Device | None:
        """The device's inventory record."""
        ...

    def devices(self, scope: Scope, wanted: DeviceFilter) -> list[Device]:
        """Devices of a scope in id order."""
        ...

    def devices_with_serial(self, scope: Scope, serial: str) -> list[Device]:
        """The devices of a scope with this serial number of their maker; none for an empty one."""
        ...

    def counts(self, scope: Scope) -> dict[str, int]:
        """How many devices have each verdict; ``none`` counts those without one."""
        ...

    def posture(self, key: DeviceKey) -> Posture | None:
        """The device's posture."""
        ...

    def lapsing(self, now: Instant) -> list[DeviceKey]:
        """Devices whose verdict must be looked at again by `now`, and is due."""
        ...

    def credential(self, fingerprint: Digest) -> Credential | None:
        """The credential with this certificate fingerprint."""
        ...

    def credentials_of(self, key: DeviceKey) -> list[Credential]:
        """Every credential a device was issued that still could speak or was revoked."""
        ...

    def knows_key(self, spki: Digest) -> bool:
        """Whether any credential ever had this public key."""
        ...

    def credential_by_serial(self, serial: str) -> Credential | None:
        """The credential with this serial number (lower-case hexadecimal, no leading zeros)."""
        ...

    def credentials(self) -> Iterator[Credential]:
        """Every credential of every scope, oldest first; do not await while iterating."""
        ...

    def kept(self, kind: type[K], scope: Scope, name: str) -> K | None:
        """The small record of this type, scope and id."""
        ...

    def all_kept(self, kind: type[K], scope: Scope | None = None) -> list[K]:
        """Every small record of a type, by id; of one scope, or of all."""
        ...

    def claim(self, digest: Digest) -> Claim | None:
        """The claim with this digest of its text."""
        ...

    def claims(self, scope: Scope) -> list[Claim]:
        """Every claim of a scope, used and ended ones included, the oldest first."""
        ...

    def claims_of(self, key: DeviceKey) -> list[Claim]:
        """Every claim of a device, used and ended ones included, the oldest first."""
        ...

    def token(self, digest: Digest) -> Token | None:
        """The operator token with this digest of its text."""
        ...

    def tokens(self, scope: Scope) -> list[Token]:
        """Every token of a scope."""
        ...

    def model(self, scope: Scope, reference: str) -> StoredModel | None:
        """The model known by ``name@version``."""
        ...

    def models(self, scope: Scope) -> list[StoredModel]:
        """Every model of a scope, by reference."""
        ...

    def open_incidents(self, scope: Scope) -> list[Incident]:
        """Incidents not yet closed, newest first."""
        ...

    def open_incident(self, key: DeviceKey, cause: str) -> Incident | None:
        """The open incident of one cause on one device."""
        ...

    def deliveries(self) -> list[Delivery]:
        """Webhook messages not yet done."""
        ...

    def checkpoint(self) -> str:
        """The newest signed checkpoint of the log."""
        ...

    def log_size(self) -> int:
        """How many leaves the log has."""
        ...

    def exclusive(self, key: DeviceKey) -> AbstractAsyncContextManager[None]:
        """One holder at a time for one device, in order of arrival."""
        ...

    async def commit(self, changes: Sequence[Change]) -> None:
        """Make `changes` durable together.

        Raises:
            WorldError: ``store.full``, ``store.locked`` or ``store.failed``; nothing of `changes` was kept.
        """
        ...

    def watch_commits(self, watcher: CommitWatcher) -> None:
        """Tell `watcher` of every write from now on; it does no I/O and raises nothing."""
        ...

    def watch_changes(self, watcher: ChangeWatcher) -> None:
        """Tell `watcher` of every group that becomes durable from now on; it does no I/O and raises nothing."""
        ...

    async def incident(self, scope: Scope, name: str) -> Incident | None:
        """One incident by its id, open or closed, from disk."""
        ...

    async def body(self, key: DeviceKey, section: str, digest: Digest) -> bytes | None:
        """A kept section body, from disk."""
        ...

    async def blob(self, scope: Scope, digest: Digest) -> bytes | None:
        """The bytes kept under a digest, from disk."""
        ...

    async def evidence(self, key: DeviceKey, number: int) -> KeptEvidence | None:
        """One evidence of a device, from disk."""
        ...

    async def evidences(self, key: DeviceKey, *, before: int, limit: int) -> list[KeptEvidence]:
        """Evidence of a device with numbers below `before`, newest first, from disk."""
        ...

    async def incidents(self, scope: Scope, *, device: str, limit: int) -> list[Incident]:
        """Incidents open and closed, newest first, from disk."""
        ...

    async def leaves(self, start: int, limit: int) -> list[StoredLeaf]:
        """Leaves from index `start` on, from disk."""
        ...

    async def history(self, key: DeviceKey, *, kinds: Sequence[str], limit: int) -> list[StoredLeaf]:
        """A device's own leaves, newest first, from disk."""
        ...

    def every_leaf(self) -> Iterator[StoredLeaf]:
        """The whole log in order, from disk, without holding it in memory."""
        ...
