"""Local secrets on their way to the device.

1. A directive says that a secret waits: account and version, never the secret. The device fetches it as itself.
2. A device can name only its own accounts, for the device is who its certificate says it is.
3. A secret is durable, sealed, before it is told; fetching the same version again tells the same secret.
4. Nothing is told to a device that is held (a clone is, and what a person quarantined) or retired: it may not be the
   one that it was. One that is quarantined by its evidence goes on: an open port is no reason to keep a known password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from holdfast.identity.secrets import accounts_of, now_waiting, record_of
from holdfast.ports.appraisal import Context
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import Credentials
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device, require_posture
from holdfast.ports.store import Store
from holdfast.ports.vault import Vault
from holdfast_core.identity import secrets as rules
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.identity.secrets import LocalSecret
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.inventory.model import LocalAccount
from holdfast_core.kernel.digests import Digest, canonical
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.record.model import Kind
from holdfast_core.trust.model import Verdict
from holdfast_core.trust.posture import Wish, wish
from holdfast_core.wire.frame import Level
from holdfast_core.wire.secrets import DIRECTIVE, Ordered, SecretsArgs, SecretTold

AT_ONCE = 8
"""Accounts of one directive; those beyond come with the next."""


class SecretContributor:
    """Wishes that a device fetch the secrets that wait for it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def wishes(self, context: Context, verdict: Verdict) -> Sequence[Wish]:
        """One directive with every account that is due."""
        if context.posture.hold is not None or verdict.level is Level.RETIRED:
            return ()
        due: list[Ordered] = []
        for account in context.model.model.local_accounts:
            version = now_waiting(record_of(self._store, context.device.key, account.name), account, context.now)
            if version is not None:
                due.append(Ordered(account.name, version))
        return (wish(DIRECTIVE, canonical(SecretsArgs(tuple(due[:AT_ONCE])))),) if due else ()


class SecretDelivery:
    """Hands secrets to devices, and hears that they are in force.

    Args:
        store: where they lie, sealed.
        credentials: says who may speak.
        vault: seals them.
        clock: the server's time.
        randomness: what they are made of.
        emit: tells the listeners.
    """

    def __init__(
        self,
        *,
        store: Store,
        credentials: Credentials,
        vault: Vault,
        clock: Clock,
        randomness: Randomness,
        emit: Emit,
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._vault = vault
        self._clock = clock
        self._randomness = randomness
        self._emit = emit

    async def fetch(self, fingerprint: Digest, account: str, version: int) -> SecretTold:
        """The secret that waits for the holder of a certificate.

        Raises:
            IdentityRefused: ``identity.*``, ``secret.held``.
            HostileData: ``secret.unknown``, ``secret.stale``.
            WorldError: ``vault.*``, ``store.*``; the device should ask again later.
        """
        key = (await self._credentials.admitted(fingerprint, self._clock.now())).key
        async with self._store.exclusive(key):
            device, declared, record = self._wanted(fingerprint, key, account)
            now = self._clock.now()
            if now_waiting(record, declared, now) != version:
                raise rules.stale(version)
            made = next((each for each in record.versions if each.number == version), None)
            if made is not None:
                context = rules.context_of(record, version)
                text = (await asyncio.to_thread(self._vault.unseal, made.sealed, context)).decode()
                after = rules.delivered(record, version, now)
            else:
                text = rules.generate(declared, self._randomness.token(rules.SEED_BYTES).encode())
                context = rules.context_of(record, record.last + 1)
                sealed = await asyncio.to_thread(self._vault.seal, text.encode(), context)
                after = rules.made(record, sealed, now, delivered=True)
            if after != record:
                await self._commit(Kind.SECRET_DELIVERED, device, after, version)
            return SecretTold(account, version, text)

    async def confirm(self, fingerprint: Digest, account: str, version: int) -> None:
        """The device's word that a version is in force; repeating it changes nothing.

        Raises:
            IdentityRefused: ``identity.*``, ``secret.held``.
            HostileData: ``secret.unknown``, ``secret.stale``, ``secret.not_delivered``.
        """
        key = (await self._credentials.admitted(fingerprint, self._clock.now())).key
        async with self._store.exclusive(key):
            device, _, record = self._wanted(fingerprint, key, account)
            after = rules.confirmed(record, version, self._clock.now())
            if after is not record:
                await self._commit(Kind.SECRET_CONFIRMED, device, after, version)

    def _wanted(self, fingerprint: Digest, key: DeviceKey, account: str) -> tuple[Device, LocalAccount, LocalSecret]:
        """Device, account and record, judged under the lock: a revocation may have come while this waited."""
        self._credentials.speaking(fingerprint, self._clock.now())
        device, posture = require_device(self._store, key), require_posture(self._store, key)
        if device.lifecycle.is_over or posture.hold is not None:
            raise IdentityRefused(
                "secret.held",
                f"Nothing is told to a device that is {'retired' if posture.hold is None else 'held'}.",
                remedy="Stop asking. When an operator has released the device, its next directive names what waits.",
            )
        declared = accounts_of(self._store, device).get(account)
        if declared is None:
            raise rules.unknown(key.device, account)
        return device, declared, record_of(self._store, key, account)

    async def _commit(self, kind: Kind, device: Device, after: LocalSecret, version: int) -> None:
        data = {"account": after.account, "version": version}
        actor = f"device:{device.key.device}"
        noted = Noted(kind, actor, device, device.key.scope, data, self._clock.now())
        await self._store.commit([after, *self._emit(noted)])


def parse_ordered(data: bytes) -> int:
    """The version that a device's request names.

    Raises:
        HostileData: ``secret.malformed``.
    """
    try:
        return msgspec.json.decode(data, type=_Asked).version
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise HostileData(
            "secret.malformed",
            "The request does not name a version.",
            remedy='Send {"version": N} with the number from the directive.',
        ) from None


class _Asked(msgspec.Struct, frozen=True):
    version: int
