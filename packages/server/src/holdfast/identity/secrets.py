"""Local secrets as people use them: what there is, seeing one, ordering another, taking over one that exists.

1. Whoever sees a secret says why; that stands in the record before the secret is told. The secret itself never does.
2. A secret is told to its caller and to nobody else: no error, event or log line has it.
3. What the record of an account says is decided in `holdfast_core.identity.secrets`; here it is sealed and kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import msgspec

from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device
from holdfast.ports.store import Change, DeviceFilter, Store
from holdfast.ports.vault import Vault
from holdfast_core.identity import secrets as rules
from holdfast_core.identity.secrets import LocalSecret, SecretState, Version
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.inventory.model import LocalAccount, SetBy
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind

PAGE = 500


class Seen(msgspec.Struct, frozen=True):
    """A version and its secret, for one person."""

    version: int
    secret: str
    confirmed: bool
    """Whether the device is known to have it; otherwise it may have it."""

    def __repr__(self) -> str:
        """Without the secret, wherever this ends up."""
        return f"Seen(version={self.version})"


class Listed(msgspec.Struct, frozen=True):
    """An account that the device's model names, and where its secret stands."""

    record: LocalSecret
    declared: LocalAccount
    state: SecretState


def accounts_of(store: Store, device: Device) -> dict[str, LocalAccount]:
    """The local accounts that the device's model declares, by name."""
    stored = store.model(device.key.scope, device.model)
    return {account.name: account for account in stored.model.local_accounts} if stored else {}


def record_of(store: Store, key: DeviceKey, account: str) -> LocalSecret:
    """The record of an account, blank where it has had no secret yet."""
    found = store.kept(LocalSecret, key.scope, rules.secret_id(key.device, account))
    return found or rules.blank(key.scope, key.device, account)


class SecretService:
    """Local secrets, for people. Also implements `holdfast.ports.vault.Sealing` for them.

    Args:
        store: where they lie, sealed.
        vault: seals them.
        clock: the server's time.
        randomness: what they are made of.
        emit: tells the listeners.
    """

    def __init__(self, *, store: Store, vault: Vault, clock: Clock, randomness: Randomness, emit: Emit) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._randomness = randomness
        self._emit = emit

    def listed(self, scope: Scope, *, device: str, limit: int) -> list[Listed]:
        """Accounts with local secrets, by device and name; `device` narrows to one.

        Raises:
            HostileData: ``device.unknown``.
        """
        if device:
            devices: Iterator[Device] = iter((require_device(self._store, DeviceKey(scope, DeviceId(device))),))
        else:
            devices = self._devices(scope)
        found: list[Listed] = []
        for each in devices:
            found.extend(self._of(each))
            if len(found) >= limit:
                break
        return found[:limit]

    def _devices(self, scope: Scope) -> Iterator[Device]:
        after = ""
        while page := self._store.devices(scope, DeviceFilter(after=after, limit=PAGE)):
            yield from page
            after = page[-1].key.device

    def _of(self, device: Device) -> Iterator[Listed]:
        now = self._clock.now()
        for name, account in sorted(accounts_of(self._store, device).items()):
            record = record_of(self._store, device.key, name)
            yield Listed(record, account, rules.state_of(record, account, now))

    async def show(self, key: DeviceKey, account: str, *, why: str, actor: str) -> list[Seen]:
        """The secrets that open the account, newest first: the one in force, and those that may be.

        Raises:
            HostileData: ``device.unknown``, ``secret.unknown``, ``secret.none``, ``secret.shown``, ``why.missing``.
            WorldError: ``vault.*``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            declared, record = self._found(device, account)
            typed = record.pending if declared is not None and declared.set_by is SetBy.HAND else None
            to_type = (typed,) if typed is not None and typed.delivered_at is None else ()
            versions = (*to_type, *rules.may_be_in_force(record))
            unseen = [version for version in versions if version.shown_at is None]
            if not unseen:
                raise _shown(key, account) if versions else _none(key, account)
            seen = [await self._opened(record, version) for version in unseen]
            after = rules.shown(record, tuple(v.number for v in unseen if v not in to_type), now)
            for version in to_type:  # handing it to the person who types it in is its delivery
                after = rules.delivered(after, version.number, now)
            data = {"account": account, "versions": [each.version for each in seen], "why": why}
            await self._commit(Kind.SECRET_SHOWN, device, data, after, actor)
            return seen

    async def rotate(self, key: DeviceKey, account: str, *, why: str, actor: str) -> LocalSecret:
        """Order another secret. One that a person types in is made at once; the others when the device fetches them.

        Raises:
            HostileData: ``device.unknown``, ``secret.unknown``, ``secret.unconfirmed``, ``why.missing``.
            WorldError: ``vault.*``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            declared, record = self._declared(device, account)
            if sum(version.confirmed_at is None for version in record.versions) >= rules.MOST_UNCONFIRMED:
                raise _unconfirmed(key, account)
            if declared.set_by is SetBy.HAND:
                text = rules.generate(declared, self._randomness.token(rules.SEED_BYTES).encode())
                after = rules.made(record, await self._sealed(record, text), now, delivered=False)
            else:
                after = msgspec.structs.replace(record, ordered_at=now)
            await self._commit(Kind.SECRET_ROTATION_ORDERED, device, {"account": account, "why": why}, after, actor)
            return after

    async def confirm(self, key: DeviceKey, account: str, version: int, *, actor: str) -> LocalSecret:
        """A person's word that the device has this version.

        Raises:
            HostileData: ``device.unknown``, ``secret.unknown``, ``secret.stale``, ``secret.not_delivered``.
        """
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            _, record = self._found(device, account)
            after = rules.confirmed(record, version, now)
            if after is not record:
                await self._commit(
                    Kind.SECRET_CONFIRMED, device, {"account": account, "version": version}, after, actor
                )
            return after

    async def take_over(self, key: DeviceKey, account: str, text: str, *, why: str, actor: str) -> LocalSecret:
        """Keep a secret that is on the device already, such as its sticker's; another one is due at once.

        Raises:
            HostileData: ``device.unknown``, ``secret.unknown``, ``secret.unfit``, ``why.missing``.
            WorldError: ``vault.*``.
        """
        require_why(why)
        if not 0 < len(text) <= rules.LONGEST_IMPORTED or not text.isprintable():
            raise HostileData(
                "secret.unfit",
                f"A secret is one line of 1 to {rules.LONGEST_IMPORTED} printable characters.",
                remedy="Send it without its line's end.",
            )
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            _, record = self._declared(device, account)
            after = rules.imported(record, await self._sealed(record, text), now)
            data = {"account": account, "version": after.last, "why": why}
            await self._commit(Kind.SECRET_IMPORTED, device, data, after, actor)
            return after

    async def reseal(self) -> int:
        """See `holdfast.ports.vault.Sealing`."""
        done = 0
        for each in self._store.all_kept(LocalSecret):
            key = DeviceKey(each.scope, each.device)
            async with self._store.exclusive(key):
                record = record_of(self._store, key, each.account)
                old = [version for version in record.versions if not self._vault.is_current(version.sealed)]
                if old:
                    anew = {version.number: await self._anew(record, version) for version in old}
                    versions = tuple(anew.get(version.number, version) for version in record.versions)
                    await self._store.commit([msgspec.structs.replace(record, versions=versions)])
                    done += len(old)
        return done

    async def _anew(self, record: LocalSecret, version: Version) -> Version:
        context = rules.context_of(record, version.number)

        def sealed() -> bytes:
            return self._vault.seal(self._vault.unseal(version.sealed, context), context)

        return msgspec.structs.replace(version, sealed=await asyncio.to_thread(sealed))

    async def _sealed(self, record: LocalSecret, text: str) -> bytes:
        """`text` sealed as the next version. In a thread: the first use of the vault stretches the passphrase."""
        context = rules.context_of(record, record.last + 1)
        return await asyncio.to_thread(self._vault.seal, text.encode(), context)

    async def _opened(self, record: LocalSecret, version: Version) -> Seen:
        context = rules.context_of(record, version.number)
        text = await asyncio.to_thread(self._vault.unseal, version.sealed, context)
        return Seen(version.number, text.decode(), version.confirmed_at is not None)

    async def _commit(
        self, kind: Kind, device: Device, data: Mapping[str, object], after: LocalSecret, actor: str
    ) -> None:
        noted = Noted(kind, actor, device, device.key.scope, data, self._clock.now())
        changes: list[Change] = [after, *self._emit(noted)]
        await self._store.commit(changes)

    def _declared(self, device: Device, account: str) -> tuple[LocalAccount, LocalSecret]:
        declared, record = self._found(device, account)
        if declared is None:
            raise rules.unknown(device.key.device, account)
        return declared, record

    def _found(self, device: Device, account: str) -> tuple[LocalAccount | None, LocalSecret]:
        """The account and its record; one that the model named once and a secret is kept of is found too."""
        declared = accounts_of(self._store, device).get(account)
        record = record_of(self._store, device.key, account)
        if declared is None and not record.versions:
            raise rules.unknown(device.key.device, account)
        return declared, record


def _none(key: DeviceKey, account: str) -> HostileData:
    return HostileData(
        "secret.none",
        f"There is no secret for {account!r} on {key.device} yet.",
        remedy="The device fetches one at its next check-in. One that is on it already: holdfast secret import.",
        http_status=409,
    )


def _shown(key: DeviceKey, account: str) -> HostileData:
    return HostileData(
        "secret.shown",
        f"The secret for {account!r} on {key.device} was shown before, and is shown once.",
        remedy="Order another one: holdfast secret rotate. The record says who saw this one (holdfast log show).",
        http_status=409,
    )


def _unconfirmed(key: DeviceKey, account: str) -> HostileData:
    return HostileData(
        "secret.unconfirmed",
        f"{rules.MOST_UNCONFIRMED} secrets for {account!r} on {key.device} were fetched, and none was confirmed.",
        remedy="Find out which one opens it (holdfast secret show), then say so: holdfast secret confirm.",
        http_status=409,
    )


def now_waiting(record: LocalSecret, account: LocalAccount, now: Instant) -> int | None:
    """The version that the device should fetch by itself; a person's business is none of the device's."""
    return rules.waiting(record, account, now) if account.set_by is SetBy.AGENT else None
