"""Owners of devices: possession codes, and the transfer from one owner to the next.

1. A transfer is one commit: the owner, what the old one can no longer use, and the record of it.
2. The device is asked to renew at its next check-in; what it had before ends at the first use of the new certificate,
   or when `sweep` finds that the time for it is over.
3. A code leaves this service once, as text; only its digest stays.
4. It is the `Withdrawal` of enrollment: what could still enroll or own a device that was retired is taken back.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import end_claims, end_credentials
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device
from holdfast.ports.store import Change, Removed, Store
from holdfast.ports.verdicts import Verdicts
from holdfast_core.identity.manufacturers import Allowance
from holdfast_core.identity.model import Credential, Revocation
from holdfast_core.identity.ownership import (
    HANDED_OVER_WITHIN,
    PossessionCode,
    Transfer,
    check_code,
    check_new_owner,
    code_of,
    code_text,
)
from holdfast_core.identity.pending import PendingRequest
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind

SECRET_BYTES = 32
SWEEP_SECONDS = 10.0


class OwnershipService:
    """Who answers for a device."""

    def __init__(self, *, store: Store, clock: Clock, randomness: Randomness, verdicts: Verdicts, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._verdicts = verdicts
        self._emit = emit

    async def create_code(self, key: DeviceKey, *, actor: str) -> str:
        """A new possession code for a device, shown this once; the one before ends.

        Raises:
            HostileData: ``device.unknown``.
        """
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            text = code_text(self._randomness.token(SECRET_BYTES), key.device)
            digest = digest_of(text.encode())
            code = PossessionCode(scope=key.scope, id=key.device, digest=digest, created_at=now, created_by=actor)
            noted = Noted(Kind.POSSESSION_CODE_CREATED, actor, device, key.scope, {}, now)
            await self._store.commit([code, *self._emit(noted)])
        return text

    async def claim(self, scope: Scope, text: str, *, owner: str, actor: str) -> Device:
        """Make `owner` the owner of the device whose possession code this is; the code is used up.

        Raises:
            IdentityRefused: ``possession.unknown``.
            HostileData: ``owner.*``, ``device.retired``.
        """
        name, digest = code_of(text)
        key = DeviceKey(scope, name)
        check_code(self._store.kept(PossessionCode, scope, name), digest)
        async with self._store.exclusive(key):
            check_code(self._store.kept(PossessionCode, scope, name), digest)
            return await self._transfer(key, owner, why="claimed with its possession code", actor=actor)

    async def transfer(self, key: DeviceKey, owner: str, *, why: str, actor: str) -> Device:
        """Give a device to another owner, and with it another identity.

        Raises:
            HostileData: ``device.unknown``, ``owner.*``, ``device.retired``, ``why.missing``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            return await self._transfer(key, owner, why=why, actor=actor)

    async def _transfer(self, key: DeviceKey, owner: str, *, why: str, actor: str) -> Device:
        device, now = require_device(self._store, key), self._clock.now()
        after = msgspec.structs.replace(device, owner=check_new_owner(device, owner), owner_since=now)
        withdrawn = self._withdrawn(key, now)
        changes: list[Change] = [after, *withdrawn]
        if any(credential.revoked_at is None for credential in self._store.credentials_of(key)):
            before = self._store.kept(Transfer, key.scope, key.device)
            # Of two transfers in a row the earlier deadline stands: the first owner's keys get no longer life by it.
            deadline = before.deadline if before else Instant(now + HANDED_OVER_WITHIN)
            changes.append(Transfer(scope=key.scope, id=key.device, at=now, deadline=deadline))
        data = {"owner": after.owner, "before": device.owner, "why": why, "withdrawn": len(withdrawn)}
        changes.extend(self._emit(Noted(Kind.DEVICE_TRANSFERRED, actor, after, key.scope, data, now)))
        await self._store.commit(changes)
        return after

    def _withdrawn(self, key: DeviceKey, now: Instant) -> list[Change]:
        """Everything by which somebody could still enroll or own the device in the old owner's name."""
        scope, name = key.scope, key.device
        changes = end_claims(self._store, key, now)
        changes.extend(
            Removed(PendingRequest, scope, request.id)
            for request in self._store.all_kept(PendingRequest, scope)
            if request.device == name
        )
        single = (kind for kind in (PossessionCode, Allowance) if self._store.kept(kind, scope, name) is not None)
        changes.extend(Removed(kind, scope, name) for kind in single)
        return changes

    async def withdraw(self, key: DeviceKey) -> None:
        """See `ports.withdrawal`."""
        async with self._store.exclusive(key):
            if changes := self._withdrawn(key, self._clock.now()):
                await self._store.commit(changes)

    async def set_owner(self, key: DeviceKey, owner: str, *, actor: str) -> Device:
        """Say who answers for a device, or correct it; its identity stays. For a sale there is `transfer`.

        Raises:
            HostileData: ``device.unknown``, ``owner.*``, ``device.retired``.
        """
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            after = msgspec.structs.replace(device, owner=check_new_owner(device, owner))
            data = {"owner": after.owner, "before": device.owner}
            await self._store.commit(
                [after, *self._emit(Noted(Kind.DEVICE_CHANGED, actor, after, key.scope, data, now))]
            )
        return after

    async def sweep(self) -> int:
        """End what transferred devices had before, where the time for it is over; return how many credentials."""
        now, ended = self._clock.now(), 0
        for transfer in self._store.all_kept(Transfer):
            if now >= transfer.deadline:
                ended += await self._end(transfer)
        return ended

    async def _end(self, transfer: Transfer) -> int:
        key = DeviceKey(transfer.scope, DeviceId(transfer.id))
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            why, code = "the device has another owner, and did not renew in time", Revocation.AFFILIATION_CHANGED
            changes = end_credentials(
                self._store, self._emit, device, why=why, actor="server", now=now, code=code, issued_before=transfer.at
            )
            ended = {change.fingerprint for change in changes if isinstance(change, Credential)}
            posture = self._store.posture(key)
            left = [c for c in self._store.credentials_of(key) if c.revoked_at is None and c.fingerprint not in ended]
            if ended and not left and posture is not None:
                cut_off = msgspec.structs.replace(posture, identified=False)
                settled, follow = self._verdicts.settle(device, cut_off, now)
                changes = [settled, *changes, *follow]
            await self._store.commit([*changes, Removed(Transfer, transfer.scope, transfer.id)])
        return len(ended)

    async def watch(self) -> None:
        """Sweep until cancelled. A store that cannot write now is tried again at the next sweep."""
        while True:
            with contextlib.suppress(WorldError):
                await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)
