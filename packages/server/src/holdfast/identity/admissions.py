"""Which devices brokers admit, kept up with the change feed, so that one change does not mean looking at a whole fleet.

1. A device is admitted that is not retired (or about to be), has a key which may speak (not revoked, not lapsed, its
   issuer trusted), and no open incident of cause ``broker``: who came to a broker under another's name, or with an
   ended certificate, stays out until a person has looked.
2. The book is made anew when a model changes or a day ends (exceptions end with days), otherwise one device at a time.
3. A certificate that speaks to us and must not speak to brokers is on their revocation lists, and on no other.
4. Making it anew gives way to other work: a fleet of ten thousand takes about a second. Nobody sees half of one: a
   second broker of the environment waits for it, for whoever is not yet in it would be cut off.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from holdfast.ports.broker import Admission, Broker
from holdfast.ports.clock import Clock
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.store import Change, DeviceFilter, Store, StoredModel
from holdfast_core.identity.grants import Grants, grants_of
from holdfast_core.identity.issuers import IssuerState
from holdfast_core.identity.model import Credential
from holdfast_core.identity.names import certified_name
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.response.model import Incident
from holdfast_core.response.rules import BROKER
from holdfast_core.trust.posture import Posture
from holdfast_core.wire.frame import Level

EVERY_DEVICE = 2**31
AT_ONCE = 200
"""Devices between two turns of other work."""


class AdmissionBook:
    """The admissions of every scope that was asked for."""

    def __init__(self, store: Store, clock: Clock, issuers: IssuerBook) -> None:
        self._store = store
        self._issuers = issuers
        self._clock = clock
        self._books: dict[Scope, dict[DeviceId, Admission]] = {}
        self._days: dict[Scope, int] = {}
        self._turns: defaultdict[Scope, int] = defaultdict(int)
        self._making: defaultdict[Scope, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stale: defaultdict[Scope, set[DeviceKey]] = defaultdict(set)
        self._quarantined: set[DeviceKey] = set()
        self._barred: defaultdict[Scope, dict[DeviceId, tuple[str, ...]]] = defaultdict(dict)

    def take(self, changes: Sequence[Change]) -> tuple[set[DeviceKey], set[Scope]]:
        """Note what became durable; return the devices whose certificate or life ended, and the scopes that changed."""
        ended: set[DeviceKey] = set()
        scopes: set[Scope] = set()
        for change in changes:
            key = self._concerned(change)
            if key is not None:
                self._stale[key.scope].add(key)
                scopes.add(key.scope)
            if isinstance(change, Credential) and change.revoked_at is not None:
                ended.add(change.key)
            if isinstance(change, Device) and change.lifecycle.is_over:
                ended.add(change.key)
            if isinstance(change, StoredModel | IssuerState):
                self._days.pop(change.scope, None)
                self._turns[change.scope] += 1
            if isinstance(change, StoredModel | IssuerState | Broker):
                scopes.add(change.scope)
        return ended, scopes

    def _concerned(self, change: Change) -> DeviceKey | None:
        """The device whose admission a change may change."""
        match change:
            case Device() | Credential():
                return change.key
            case Incident() if change.cause == BROKER:
                return change.key
            case Posture():
                # One comes with every check-in; only the step into quarantine and out of it matters.
                was, now = change.key in self._quarantined, change.verdict.level is Level.QUARANTINED
                if was == now:
                    return None
                (self._quarantined.add if now else self._quarantined.discard)(change.key)
                return change.key
            case _:
                return None

    def grants(self, device: Device) -> Grants | None:
        """What `device` is granted now; `None` when it may not connect."""
        now, key = self._clock.now(), device.key
        if device.lifecycle not in (Lifecycle.ENROLLED, Lifecycle.ACTIVE):
            return None  # one that is being retired still says that it was erased, to us alone
        if not any(self._may_speak(credential, now) for credential in self._store.credentials_of(key)):
            return None
        if self._store.open_incident(key, BROKER) is not None:
            return None
        posture = self._store.posture(key)
        quarantined = posture is not None and posture.verdict.level is Level.QUARANTINED
        stored = self._store.model(key.scope, device.model) if device.model else None
        return grants_of(device, stored.model if stored else None, now, quarantined=quarantined)

    def _may_speak(self, credential: Credential, now: Instant) -> bool:
        alive = credential.revoked_at is None and credential.not_after > now
        return alive and self._issuers.standing(credential).is_trusted

    async def admissions(self, scope: Scope) -> tuple[Admission, ...]:
        """Every device that brokers of `scope` admit, by id."""
        async with self._making[scope]:
            while self._days.get(scope) != (today := _day(self._clock.now())):
                await self._make(scope, today)
        book = self._books[scope]
        stale = self._stale[scope]
        while stale:
            self._look_at(book, stale.pop())
        return tuple(book[device] for device in sorted(book))

    def barred(self, scope: Scope) -> tuple[str, ...]:
        """The serial numbers of certificates that still speak to us and to no broker, of the last `admissions`."""
        return tuple(sorted(serial for serials in self._barred[scope].values() for serial in serials))

    async def _make(self, scope: Scope, today: int) -> None:
        """Make the book anew; it counts only when it is whole, and no model or issuer changed meanwhile."""
        turn = self._turns[scope]
        self._stale[scope].clear()
        self._barred[scope].clear()
        book: dict[DeviceId, Admission] = {}
        devices = self._store.devices(scope, DeviceFilter(limit=EVERY_DEVICE))
        for place, device in enumerate(devices):
            self._look_at(book, device.key)
            if place % AT_ONCE == 0:
                await asyncio.sleep(0)
        if self._turns[scope] == turn:
            self._books[scope], self._days[scope] = book, today

    def _look_at(self, book: dict[DeviceId, Admission], key: DeviceKey) -> None:
        device = self._store.device(key)
        grants = None if device is None else self.grants(device)
        barred = self._barred[key.scope]
        barred.pop(key.device, None)
        if grants is None:
            book.pop(key.device, None)
            now, held = self._clock.now(), self._store.credentials_of(key)
            if speaking := tuple(credential.serial for credential in held if self._may_speak(credential, now)):
                barred[key.device] = speaking
        else:
            book[key.device] = Admission(grants, certified_name(key))


def _day(now: Instant) -> int:
    return now // DAY
