"""Update tokens: a device's right to ask for its updates, for clients that have no certificate.

1. A token has 256 random bits, leaves this service once, and is kept as its digest.
2. It is one device's, ends by itself, and gives no right but to this device's own updates.
3. A device may have a few, so that one can take over from another; with the device's life, and with its owner, all end.

Source: Eclipse hawkBit, Direct Device Integration API v1, "Target Security Token".
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device, require_living
from holdfast.ports.store import Store
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import DAY, HOUR, Instant
from holdfast_core.record.model import Kind
from holdfast_core.update.ddi import UpdateToken

PREFIX = "hfu_"
SECRET_BYTES = 32
LONGEST_TEXT = 200
LONGEST_TOKEN = 3 * 366 * DAY
DEFAULT_TOKEN = 366 * DAY
TOKENS = 4
"""Of one device, in force."""
NOTED_EVERY = HOUR
_ID = 12


def public_id(token: UpdateToken) -> str:
    """The part of a token's digest by which people and the record name it."""
    return token.id.partition(":")[2][:_ID]


class UpdateTokens:
    """The update tokens of every device."""

    def __init__(self, *, store: Store, clock: Clock, randomness: Randomness, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._emit = emit

    def listed(self, key: DeviceKey) -> Sequence[UpdateToken]:
        """A device's tokens, ended ones included, the oldest first.

        Raises:
            HostileData: ``device.unknown`` (404).
        """
        require_device(self._store, key)
        return self._of(key)

    def _of(self, key: DeviceKey) -> list[UpdateToken]:
        found = [each for each in self._store.all_kept(UpdateToken, key.scope) if each.device == key.device]
        return sorted(found, key=lambda each: (each.created_at, each.id))

    async def create(self, key: DeviceKey, *, lifetime: int, actor: str) -> tuple[str, UpdateToken]:
        """A new token, as text (shown once) and as kept.

        Raises:
            HostileData: ``device.unknown`` (404), ``device.retired`` (409), ``update-token.lifetime``,
                ``update-token.too_many`` (409), ``update-token.no_model`` (409).
        """
        if not 0 < lifetime <= LONGEST_TOKEN:
            raise HostileData(
                "update-token.lifetime",
                f"An update token lives at most {LONGEST_TOKEN // DAY} days.",
                remedy="Ask for a shorter one; make the next before it ends.",
            )
        async with self._store.exclusive(key):
            device = require_living(self._store, key)
            if not device.model:
                raise _conflict(
                    "no_model",
                    f"Nobody said of which model {key.device} is, so there is no update for it.",
                    "Say so first: holdfast device model DEVICE NAME@VERSION.",
                )
            now = self._clock.now()
            if sum(each.is_good(now) for each in self._of(key)) >= TOKENS:
                raise _conflict(
                    "too_many",
                    f"{key.device} has {TOKENS} update tokens in force already.",
                    "Revoke one: holdfast device update-token list, then revoke.",
                )
            text = PREFIX + self._randomness.token(SECRET_BYTES)
            made = UpdateToken(
                key.scope,
                digest_of(text.encode()),
                device=key.device,
                created_at=now,
                expires_at=Instant(now + lifetime),
                by=actor,
            )
            told = {"token": public_id(made), "expires_at": made.expires_at}
            noted = Noted(Kind.UPDATE_TOKEN_CREATED, actor, device, key.scope, told, now)
            await self._store.commit([made, *self._emit(noted)])
            return text, made

    async def revoke(self, key: DeviceKey, name: str, *, actor: str) -> UpdateToken:
        """End a token, named by its public id; its next request is refused.

        Raises:
            HostileData: ``device.unknown`` (404), ``update-token.unknown`` (404).
        """
        async with self._store.exclusive(key):
            device = require_device(self._store, key)
            found = [each for each in self._of(key) if public_id(each) == name and each.revoked_at is None]
            if not found:
                raise HostileData(
                    "update-token.unknown",
                    f"No update token of {key.device} in force is named {name[:40]!r}.",
                    remedy="List them: holdfast device update-token list DEVICE.",
                    http_status=404,
                )
            now = self._clock.now()
            ended = msgspec.structs.replace(found[0], revoked_at=now)
            noted = Noted(Kind.UPDATE_TOKEN_REVOKED, actor, device, key.scope, {"token": name}, now)
            await self._store.commit([ended, *self._emit(noted)])
            return ended


def _conflict(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"update-token.{name}", sentence, remedy=remedy, http_status=409)
