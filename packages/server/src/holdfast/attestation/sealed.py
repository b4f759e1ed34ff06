"""Sealed secrets: sealing them, and releasing them to whom an affirming appraisal entitles.

1. A release is judged under the device's lock, at the moment of the release, and is durable on the record before the
   secret is told.
2. A secret is told to its caller and to nobody else: no error, event or log line has it.
3. A person's release is bound by the same rule as the device's; each, and each refusal, names the person and why.
4. A device is told only its own secrets, for it is who its certificate says it is.
5. With the end of the device its secrets are gone.
6. A device fetches on evidence of the last minutes only (`FETCHED_WITHIN`), whatever its model allows for a
   verdict: one that was rebooted into something else since then has to prove that first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from holdfast.ports.attested import state_of
from holdfast.ports.clock import Clock
from holdfast.ports.credentials import Credentials
from holdfast.ports.events import Emit, Event, Noted
from holdfast.ports.lookup import require_device, require_living
from holdfast.ports.store import Change, Removed, Store
from holdfast.ports.vault import Vault
from holdfast_core.attestation import sealed as rules
from holdfast_core.attestation.model import FEATURE
from holdfast_core.attestation.sealed import Facts, SealedSecret
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import MINUTE, Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind

FETCHED_WITHIN = 10 * MINUTE


class SealedSecrets:
    """Sealed secrets of devices. Also implements `holdfast.ports.vault.Sealing` for them.

    Args:
        store: where they lie, sealed.
        vault: seals them.
        clock: the server's time.
        credentials: says who may speak.
        emit: tells the listeners.
    """

    def __init__(self, *, store: Store, vault: Vault, clock: Clock, credentials: Credentials, emit: Emit) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._credentials = credentials
        self._emit = emit

    def listed(self, scope: Scope, *, device: str, limit: int) -> list[SealedSecret]:
        """The secrets that are kept, by device and name; `device` narrows to one.

        Raises:
            HostileData: ``device.unknown``.
        """
        if device:
            return self._of(require_device(self._store, DeviceKey(scope, DeviceId(device))).key)[:limit]
        return self._store.all_kept(SealedSecret, scope)[:limit]

    async def seal(self, key: DeviceKey, name: str, data: bytes, *, actor: str) -> SealedSecret:
        """Keep `data` for a device under `name`, in place of what was kept under it.

        Raises:
            HostileData: ``device.unknown``, ``device.retired``, ``name.invalid``, ``sealed.empty``.
            LimitExceeded: ``sealed.too_large``, ``sealed.too_many``.
            WorldError: ``vault.*``.
        """
        rules.parse_secret(name, data)
        async with self._store.exclusive(key):
            device, before = require_living(self._store, key), self._found(key, name)
            if before is None:
                rules.check_room(len(self._of(key)))
            now = self._clock.now()
            made_at = now if before is None else max(now, Instant(before.made_at + 1))
            context = rules.context_of(key.scope, key.device, name, made_at)
            secret = SealedSecret(
                key.scope,
                rules.sealed_id(key.device, name),
                device=key.device,
                name=name,
                sealed=await asyncio.to_thread(self._vault.seal, data, context),
                size=len(data),
                made_at=made_at,
                by=actor,
            )
            told = {"name": name, "size": len(data), "replaces": before is not None}
            await self._commit(Kind.SECRET_SEALED, device, told, actor, secret)
            return secret

    async def destroy(self, key: DeviceKey, name: str, *, why: str, actor: str) -> None:
        """Forget a secret; from then on it is withheld from everybody.

        Raises:
            HostileData: ``device.unknown``, ``sealed.unknown``, ``why.missing``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device, secret = require_device(self._store, key), self._found(key, name)
            if secret is None:
                raise rules.unknown(key.device)
            told = {"name": name, "why": why}
            await self._commit(Kind.SECRET_DESTROYED, device, told, actor, _removed(secret))

    async def fetch(self, fingerprint: Digest, name: str) -> bytes:
        """The secret, for the device that holds a certificate.

        Raises:
            IdentityRefused: ``identity.*``, ``sealed.*``.
            HostileData: ``sealed.unknown``, ``sealed.too_often``.
            WorldError: ``vault.*``, ``store.*``; the device should ask again later.
        """
        key = (await self._credentials.admitted(fingerprint, self._clock.now())).key
        actor = f"device:{key.device}"
        async with self._store.exclusive(key):
            now = self._clock.now()
            self._credentials.speaking(fingerprint, now)  # a revocation may have come while this waited
            device, secret = require_device(self._store, key), self._found(key, name)
            try:
                allowed = rules.check_release(secret, self._facts(device, now), now, within=FETCHED_WITHIN)
                after = rules.fetched(allowed, now)
            except HostileData as refusal:
                if secret is not None and secret.withheld != refusal.code:
                    noted = msgspec.structs.replace(secret, withheld=refusal.code)
                    told = {"name": name, "code": refusal.code}
                    await self._commit(Kind.SECRET_WITHHELD, device, told, actor, noted)
                raise
            return await self._released(device, allowed, after, {"name": name}, actor)

    async def release(self, key: DeviceKey, name: str, *, why: str, actor: str) -> bytes:
        """The secret, for a person; only while the device itself could have it.

        Raises:
            IdentityRefused: ``sealed.*``.
            HostileData: ``device.unknown``, ``sealed.unknown``, ``why.missing``.
            WorldError: ``vault.*``, ``store.*``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            now = self._clock.now()
            device, secret = require_device(self._store, key), self._found(key, name)
            try:
                allowed = rules.check_release(secret, self._facts(device, now), now)
            except HostileData as refusal:
                if secret is not None:
                    told = {"name": name, "code": refusal.code, "why": why}
                    await self._commit(Kind.SECRET_WITHHELD, device, told, actor)
                raise
            after = rules.released(allowed, actor, now)
            return await self._released(device, allowed, after, {"name": name, "why": why}, actor)

    async def reseal(self) -> int:
        """See `holdfast.ports.vault.Sealing`."""
        done = 0
        for each in self._store.all_kept(SealedSecret):
            key = DeviceKey(each.scope, each.device)
            async with self._store.exclusive(key):
                secret = self._found(key, each.name)  # it may have been replaced or destroyed by now
                if secret is not None and not self._vault.is_current(secret.sealed):
                    context = _context(secret)
                    data = await asyncio.to_thread(self._vault.unseal, secret.sealed, context)
                    anew = await asyncio.to_thread(self._vault.seal, data, context)
                    await self._store.commit([msgspec.structs.replace(secret, sealed=anew)])
                    done += 1
        return done

    def _facts(self, device: Device, now: Instant) -> Facts:
        posture = self._store.posture(device.key)
        appraisals = posture.appraisals if posture is not None else ()
        current = [appraisal.at(now) for appraisal in appraisals if appraisal.feature != FEATURE]
        return Facts(
            device=device.key.device,
            lifecycle=device.lifecycle,
            held=posture is not None and posture.hold is not None,
            identified=posture is not None and posture.identified,
            against=tuple(reason for each in current if each.tier is Tier.CONTRAINDICATED for reason in each.reasons),
            appraisal=posture.appraisal(FEATURE) if posture is not None else None,
            state=state_of(posture),
        )

    async def _released(
        self, device: Device, secret: SealedSecret, after: SealedSecret, told: Mapping[str, object], actor: str
    ) -> bytes:
        """The secret itself, once its release is on record."""
        data = await asyncio.to_thread(self._vault.unseal, secret.sealed, _context(secret))
        await self._commit(Kind.SECRET_RELEASED, device, told, actor, after)
        return data

    def _found(self, key: DeviceKey, name: str) -> SealedSecret | None:
        return self._store.kept(SealedSecret, key.scope, rules.sealed_id(key.device, name))

    def _of(self, key: DeviceKey) -> list[SealedSecret]:
        return [each for each in self._store.all_kept(SealedSecret, key.scope) if each.device == key.device]

    async def _commit(
        self, kind: Kind, device: Device, told: Mapping[str, object], actor: str, *changes: Change
    ) -> None:
        noted = Noted(kind, actor, device, device.key.scope, told, self._clock.now())
        await self._store.commit([*changes, *self._emit(noted)])


class SealedListener:
    """Lets a device's sealed secrets go with the device."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, event: Event) -> Sequence[Change]:
        """The changes that `event` sets off."""
        match event:
            case Noted(Kind.DEVICE_RETIRED, device=Device() as device):
                kept = self._store.all_kept(SealedSecret, device.key.scope)
                return [_removed(secret) for secret in kept if secret.device == device.key.device]
        return ()


def _removed(secret: SealedSecret) -> Removed:
    return Removed(SealedSecret, secret.scope, secret.id)


def _context(secret: SealedSecret) -> str:
    return rules.context_of(secret.scope, secret.device, secret.name, secret.made_at)
