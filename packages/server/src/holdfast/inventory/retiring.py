"""Retiring devices: rights end, erasure is ordered and verified, and what is known of it is certified.

1. Everything but the erasure ends in the commit of the order; a device that can erase itself keeps its credential for
   saying that it did, until it said so or the deadline.
2. What places outside gave it (`ports.withdrawal`) is taken back right after that commit, and again until it worked;
   that it is owed is durable.
3. The sweep ends what is due: credentials with ``cessationOfOperation``, the wait, and with a verified erasure the
   certificate. An erasure that nobody verified is recorded as that, and nothing is certified.
4. A person's word needs evidence: its digest stands in the certificate. The report of a device that is held as a clone
   certifies nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.credentials import end_credentials
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device
from holdfast.ports.signer import LogSigner
from holdfast.ports.store import Change, Store
from holdfast.ports.verdicts import Verdicts
from holdfast.ports.withdrawal import Withdrawal
from holdfast_core.identity.model import Revocation
from holdfast_core.inventory.erasure import ERASE
from holdfast_core.inventory.lifecycle import Device, Lifecycle, LifecycleEvent, advance
from holdfast_core.inventory.model import Retirement as Declared
from holdfast_core.inventory.retirement import (
    DEADLINE,
    Confirmation,
    Retirement,
    Step,
    Tombstone,
    begin,
    confirmed,
    doubted,
    hurried,
    lapsed,
    tombstone_id,
)
from holdfast_core.inventory.sanitization import certify, check_certified, sanitization
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind
from holdfast_core.trust.posture import Desired, Posture, wish

SWEEP_SECONDS = 10.0
SERVER = "server"
_WHY = "the device was retired"
_log = logging.getLogger("holdfast.retirement")


class RetirementService:
    """Ends the lives of devices."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        verdicts: Verdicts,
        emit: Emit,
        signer: LogSigner,
        withdrawals: Sequence[Withdrawal] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._verdicts = verdicts
        self._emit = emit
        self._signer = signer
        self._withdrawals = tuple(withdrawals)
        self._owed = {found.key for found in store.all_kept(Retirement) if found.is_owed}
        store.watch_changes(self._watch)

    def _watch(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Retirement):
                (self._owed.add if change.is_owed else self._owed.discard)(change.key)

    def of(self, key: DeviceKey) -> Retirement | None:
        """How the end of a device's life stands; `None` for one that nobody retired."""
        return self._store.kept(Retirement, key.scope, key.device)

    def require(self, key: DeviceKey) -> Retirement:
        """The same, or `HostileData` ``device.unknown`` (404), ``retirement.none`` (404)."""
        require_device(self._store, key)
        found = self.of(key)
        if found is None:
            raise HostileData(
                "retirement.none",
                f"Nobody has retired {key.device}.",
                remedy="Retire it first: holdfast device retire DEVICE --why REASON.",
                http_status=404,
            )
        return found

    def certificate(self, key: DeviceKey) -> str:
        """The certificate of sanitization, as a signed note.

        Raises:
            HostileData: ``device.unknown``, ``retirement.none`` (404), ``sanitization.*`` (409).
        """
        return check_certified(self.require(key))

    async def retire(
        self, key: DeviceKey, *, why: str, actor: str, at_once: bool = False, lifetime: int = DEADLINE
    ) -> Retirement:
        """Retire a device; with `at_once` it is not asked to erase itself, or not waited for any longer.

        Args:
            key: the device.
            why: in a sentence.
            actor: who.
            at_once: end its credential now.
            lifetime: how long to wait for its erasure, milliseconds.

        Raises:
            HostileData: ``device.unknown``, ``lifecycle.not_allowed``, ``retirement.deadline``, ``why.missing``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device = require_device(self._store, key)
            if device.lifecycle is Lifecycle.RETIRING and at_once:
                before = self._believed(device, hurried(self.require(key)))
                await self._store.commit(self._end(device, before, self._clock.now(), actor))
            else:
                changes = self.ordered(device, why=why, actor=actor, at_once=at_once, lifetime=lifetime)
                await self._store.commit(changes)
        await self.withdraw(key)
        return self.require(key)

    def ordered(
        self, device: Device, *, why: str, actor: str, at_once: bool = False, lifetime: int = DEADLINE
    ) -> list[Change]:
        """The changes that retire `device`; the caller holds its lock, commits them, and calls `withdraw`."""
        key, now = device.key, self._clock.now()
        stored, posture = self._store.model(key.scope, device.model), self._store.posture(key)
        declared = stored.model.retirement if stored else Declared()
        speaks = any(c.revoked_at is None and c.not_after > now for c in self._store.credentials_of(key))
        asked = speaks and posture is not None and not at_once
        retirement = begin(
            key, declared, asked=asked, held_data=posture is not None, by=actor, why=why, now=now, lifetime=lifetime
        )
        changes: list[Change] = []
        if device.serial:
            # The number stays refused though the record that held it is of another model's version.
            changes.append(Tombstone(key.scope, tombstone_id(device.model, device.serial), key.device, now))
        if retirement.step is not Step.ORDERED or posture is None:
            return [*changes, *self._end(device, retirement, now, actor)]
        retiring = msgspec.structs.replace(device, lifecycle=advance(device.lifecycle, LifecycleEvent.ORDER_ERASURE))
        wanted = wish(ERASE, canonical(retirement.wanted))
        # What else it was asked is withdrawn: it has one thing left to do.
        desired = msgspec.structs.replace(posture.desired, open=()).issue(wanted, by=actor, now=now)
        posture, follow = self._verdicts.settle(retiring, msgspec.structs.replace(posture, desired=desired), now)
        data = {"why": why, "method": retirement.wanted.method.value, "deadline": retirement.deadline}
        issued = {"id": desired.open[-1].id, "kind": ERASE, "args": wanted.digest}
        return [
            *changes,
            retiring,
            retirement,
            posture,
            *self._noted(Kind.DEVICE_RETIRING, actor, retiring, data, now),
            *self._noted(Kind.DIRECTIVE_ISSUED, actor, retiring, issued, now),
            *follow,
        ]

    def _believed(self, device: Device, retirement: Retirement) -> Retirement:
        """The retirement, without the device's report where that may be another's: two parties use its identity."""
        posture = self._store.posture(device.key)
        if posture is None or posture.hold is None or posture.hold.by != SERVER:
            return retirement
        return doubted(retirement, "Two parties use its identity, so nobody knows whose report it was.")

    def _end(self, device: Device, retirement: Retirement, now: Instant, actor: str) -> list[Change]:
        """The changes that end the device's credentials and its life, and certify what can be."""
        retired = msgspec.structs.replace(device, lifecycle=advance(device.lifecycle, LifecycleEvent.RETIRE))
        code = Revocation.CESSATION
        changes: list[Change] = [
            retired,
            *end_credentials(self._store, self._emit, retired, why=_WHY, actor=actor, now=now, code=code),
        ]
        posture = self._store.posture(device.key)
        if posture is not None:
            settled, follow = self._verdicts.settle(retired, _asked_nothing(posture), now)
            changes.extend([settled, *follow])
        data = {"why": retirement.why, "erasure": retirement.step.value}
        changes.extend(self._noted(Kind.DEVICE_RETIRED, actor, retired, data, now))
        return [*changes, *self._certified(retired, retirement, now, actor)]

    def _certified(self, device: Device, retirement: Retirement, now: Instant, actor: str) -> list[Change]:
        """The retirement with its certificate, where its erasure was verified and it has none."""
        if not retirement.step.is_verified or retirement.certificate:
            return [retirement]
        stored = self._store.model(device.key.scope, device.model)
        content = sanitization(retirement, device, stored.model if stored else None, now)
        note = certify(content, self._signer.key, self._signer.sign)
        data = {"certificate": digest_of(note.encode()), "verification": content.verification.value}
        noted = self._noted(Kind.SANITIZATION_CERTIFIED, actor, device, data, now)
        return [msgspec.structs.replace(retirement, certificate=note), *noted]

    async def confirm(self, key: DeviceKey, word: Confirmation, *, actor: str) -> Retirement:
        """Take a person's word that a device was erased; what is left of its rights ends with it.

        Raises:
            HostileData: ``device.unknown``, ``retirement.*``, ``device.text``.
        """
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            retirement = confirmed(self.require(key), word)
            data = {"method": word.method.value, "technique": word.technique, "by": word.by, "evidence": word.evidence}
            changes = self._noted(Kind.DEVICE_ERASED, actor, device, data, now)
            if device.lifecycle is Lifecycle.RETIRING:
                changes += self._end(device, retirement, now, actor)
            else:
                changes += self._certified(device, retirement, now, actor)
            await self._store.commit(changes)
        return self.require(key)

    async def withdraw(self, key: DeviceKey) -> bool:
        """Take back what places outside gave the device; whether all of it is. If not, the next sweep tries again."""
        try:
            for withdrawal in self._withdrawals:
                await withdrawal.withdraw(key)
        except WorldError as error:
            _log.warning("the rights of %s could not be taken back yet: %s", key, error)
            return False
        async with self._store.exclusive(key):
            retirement = self.of(key)
            if retirement is not None and not retirement.withdrawn:
                await self._store.commit([msgspec.structs.replace(retirement, withdrawn=True)])
        return True

    async def sweep(self) -> int:
        """Look at every retirement that something is owed to; return how many moved."""
        moved, reached = 0, True
        for key in sorted(self._owed):
            moved += await self._look_again(key)
            retirement = self.of(key)
            if reached and retirement is not None and not retirement.withdrawn:
                # A place that is away is tried once a sweep: waiting for it must not hold up whose time has come.
                reached = await self.withdraw(key)
        return moved

    async def _look_again(self, key: DeviceKey) -> bool:
        try:
            return await self._lapse(key)
        except WorldError:
            raise
        except Exception:  # noqa: BLE001  (whatever is wrong with one device, the lives of the others must end)
            _log.exception("the retirement of %s could not be looked at again", key)
            return False

    async def _lapse(self, key: DeviceKey) -> bool:
        async with self._store.exclusive(key):
            device, before, now = self._store.device(key), self.of(key), self._clock.now()
            if device is None or before is None:
                return False
            after = self._believed(device, lapsed(before, device.lifecycle, now))
            if after == before or (before.due_at or now) > now:
                return False
            changes: list[Change] = [after]
            if device.lifecycle is Lifecycle.RETIRING:
                changes = self._end(device, after, now, SERVER)
            if after.step is Step.UNVERIFIED:
                data = {"method": after.wanted.method.value, "deadline": after.deadline, "shortfall": after.shortfall}
                changes += self._noted(Kind.SANITIZATION_UNVERIFIED, SERVER, device, data, now)
            await self._store.commit(changes)
        return True

    async def watch(self) -> None:
        """Sweep until cancelled. A store that cannot write now is tried again at the next sweep."""
        while True:
            with contextlib.suppress(WorldError):
                await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)

    def _noted(self, kind: Kind, actor: str, device: Device, data: Mapping[str, object], now: Instant) -> list[Change]:
        return list(self._emit(Noted(kind, actor, device, device.key.scope, data, now)))


def _asked_nothing(posture: Posture) -> Posture:
    desired = Desired(posture.desired.next_id, (), posture.desired.settled)
    return msgspec.structs.replace(posture, desired=desired)
