"""Local secrets of devices: passwords that must be on the device itself, one of its own for each device and account.

A secret goes: due -> waiting (a version is made) -> delivered -> confirmed; shown to a person, it is due again.

1. A version is made, sealed and durable before it leaves for the device. Versions are numbered upwards for ever.
2. Only a confirmation ends an older version. Until then every version that the device may have set is kept: a device
   whose confirmation was lost can still be entered.
3. A version is shown once. Who saw it knows it, so another one is due from then on.
4. What was delivered and not confirmed is offered again as the same version; after `RETRY` as a new one, while fewer
   than `MOST_UNCONFIRMED` of them are open.
5. These records hold sealed bytes only; nothing here ever sees a secret but `generate`, which makes one.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum

import msgspec

from holdfast_core.inventory.accounts import CLASSES
from holdfast_core.inventory.model import LocalAccount
from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.kept import Kept

SEED_BYTES = 32
RETRY = 7 * DAY
MOST_UNCONFIRMED = 4
LONGEST_IMPORTED = 512
"""Characters of a secret that somebody else made."""
_ATTEMPTS = 256
_BYTE = 256


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """One secret of an account, sealed for `context_of` it."""

    number: int
    sealed: bytes
    made_at: Instant
    delivered_at: Instant | None = None
    """When the device, or the person who types it in, got it."""
    confirmed_at: Instant | None = None
    shown_at: Instant | None = None


class LocalSecret(Kept, frozen=True):
    """The secret of one account on one device; `id` is ``device/account``."""

    device: DeviceId
    account: str
    last: int = 0
    """The number of the newest version there ever was."""
    versions: tuple[Version, ...] = ()
    """The confirmed one, if any, then those that may be in force already; oldest first."""
    ordered_at: Instant | None = None
    """When a person asked for another one; a version that is made answers it."""

    @property
    def current(self) -> Version | None:
        """The version that the device is known to have."""
        return next((version for version in self.versions if version.confirmed_at is not None), None)

    @property
    def pending(self) -> Version | None:
        """The newest version that is not confirmed."""
        newest = self.versions[-1] if self.versions else None
        return newest if newest is not None and newest.confirmed_at is None else None


class SecretState(StrEnum):
    """Where an account's secret stands."""

    DUE = "due"
    """Another one is to be made: there is none, it is too old, it was shown, or somebody asked."""
    WAITING = "waiting"
    """One is made, and the device or the person has not fetched it yet."""
    DELIVERED = "delivered"
    """It was fetched, and may be in force; the confirmation is owed."""
    CONFIRMED = "confirmed"
    """The device has it."""


def blank(scope: Scope, device: DeviceId, account: str) -> LocalSecret:
    """The record of an account that has had no secret yet."""
    return LocalSecret(scope, secret_id(device, account), device, account)


def secret_id(device: DeviceId, account: str) -> str:
    """The id of the record; neither part can hold a slash."""
    return f"{device}/{account}"


def context_of(secret: LocalSecret, number: int) -> str:
    """What a version is sealed for: taken to another account, device or number, it does not open."""
    return f"local secret {secret.scope}/{secret.id}/{number}"


def generate(account: LocalAccount, seed: bytes) -> str:
    """A secret for `account`.

    Args:
        account: says length and alphabet.
        seed: `SEED_BYTES` random bytes; the same seed gives the same secret.

    Every character is drawn evenly (bytes that would favour some are passed over), and a draw without one character of
    each class is drawn again as a whole, so that all secrets that can come are equally likely.
    """
    if len(seed) < SEED_BYTES:
        raise Bug("secret.seed", "A secret was to be made of too little chance.", remedy="Report this.")
    classes = CLASSES[account.alphabet]
    letters = "".join(classes)
    fair = _BYTE - _BYTE % len(letters)
    for attempt in range(_ATTEMPTS):
        # SHAKE-256 (FIPS 202) only lengthens the seed; at least 7/8 of its bytes are fair, so 8 a letter suffice.
        stream = hashlib.shake_256(attempt.to_bytes(2, "big") + seed).digest(64 + 8 * account.length)
        drawn = [letters[byte % len(letters)] for byte in stream if byte < fair][: account.length]
        if len(drawn) == account.length and all(set(drawn) & set(each) for each in classes):
            return "".join(drawn)
    raise Bug("secret.not_drawn", "No secret of this alphabet came about.", remedy="Report this with the model file.")


def due(secret: LocalSecret, account: LocalAccount, now: Instant) -> bool:
    """Whether another secret is to be made."""
    current, pending = secret.current, secret.pending
    if secret.ordered_at is not None:
        return True
    if pending is not None:
        return False
    if current is None or current.shown_at is not None or current.confirmed_at is None:
        return True
    return now >= current.confirmed_at + account.rotate_days * DAY


def state_of(secret: LocalSecret, account: LocalAccount, now: Instant) -> SecretState:
    """Where the secret stands at `now`."""
    if due(secret, account, now):
        return SecretState.DUE
    if secret.pending is None:
        return SecretState.CONFIRMED
    return SecretState.WAITING if secret.pending.delivered_at is None else SecretState.DELIVERED


def waiting(secret: LocalSecret, account: LocalAccount, now: Instant) -> int | None:
    """The number of the version that the device should fetch, if any; it need not be made yet."""
    unconfirmed = sum(version.confirmed_at is None for version in secret.versions)
    pending = secret.pending
    if pending is not None and secret.ordered_at is None:
        fresh = pending.delivered_at is None or now < pending.delivered_at + RETRY
        return pending.number if fresh or unconfirmed >= MOST_UNCONFIRMED else secret.last + 1
    if not due(secret, account, now):
        return None
    return secret.last + 1 if unconfirmed < MOST_UNCONFIRMED else (pending.number if pending else None)


def made(secret: LocalSecret, sealed: bytes, now: Instant, *, delivered: bool) -> LocalSecret:
    """With a new version, which `sealed` holds; `delivered` where it leaves in the same step."""
    number = secret.last + 1
    version = Version(number, sealed, now, now if delivered else None)
    # One that nobody ever fetched cannot be in force.
    kept = tuple(each for each in secret.versions if each.delivered_at is not None or each.confirmed_at is not None)
    return msgspec.structs.replace(secret, last=number, versions=(*kept, version), ordered_at=None)


def delivered(secret: LocalSecret, number: int, now: Instant) -> LocalSecret:
    """With the version `number` fetched; fetching it again changes nothing."""
    versions = tuple(
        msgspec.structs.replace(version, delivered_at=version.delivered_at or now)
        if version.number == number
        else version
        for version in secret.versions
    )
    return msgspec.structs.replace(secret, versions=versions)


def confirmed(secret: LocalSecret, number: int, now: Instant) -> LocalSecret:
    """With the version `number` in force; it ends all older ones. Confirming it again changes nothing.

    Raises:
        HostileData: ``secret.stale``, ``secret.not_delivered``.
    """
    version = next((each for each in secret.versions if each.number == number), None)
    if version is None:
        raise stale(number)
    if version.delivered_at is None and version.confirmed_at is None:
        raise HostileData(
            "secret.not_delivered",
            f"Version {number} was never fetched, so it cannot have been set.",
            remedy="Fetch it first.",
            http_status=409,
        )
    if version.confirmed_at is not None:
        return secret
    kept = tuple(each for each in secret.versions if each.number > number)
    return msgspec.structs.replace(secret, versions=(msgspec.structs.replace(version, confirmed_at=now), *kept))


def shown(secret: LocalSecret, numbers: tuple[int, ...], now: Instant) -> LocalSecret:
    """With these versions seen by a person."""
    versions = tuple(
        msgspec.structs.replace(version, shown_at=now) if version.number in numbers else version
        for version in secret.versions
    )
    return msgspec.structs.replace(secret, versions=versions)


def imported(secret: LocalSecret, sealed: bytes, now: Instant) -> LocalSecret:
    """With a secret that is on the device already. People know it, so another one is due."""
    version = Version(secret.last + 1, sealed, now, now, now)
    return msgspec.structs.replace(secret, last=version.number, versions=(version,), ordered_at=now)


def may_be_in_force(secret: LocalSecret) -> tuple[Version, ...]:
    """The versions that the device may have: the confirmed one and those that were fetched after it; newest first."""
    return tuple(version for version in reversed(secret.versions) if version.delivered_at is not None)


def stale(number: int) -> HostileData:
    """The refusal of a version that is not the one that waits."""
    return HostileData(
        "secret.stale",
        f"Version {number} is not the one that waits.",
        remedy="A device: the next check-in's directive names the version that waits. "
        "A person: it is the number that holdfast secret rotate gave.",
        http_status=409,
    )


def unknown(device: DeviceId, account: str) -> HostileData:
    """The refusal of an account that the device's model does not name."""
    return HostileData(
        "secret.unknown",
        f"The model of {device} names no local account {account[:40]!r}.",
        remedy="List them: holdfast secret list. A model file names them under local_accounts.",
        http_status=404,
    )
