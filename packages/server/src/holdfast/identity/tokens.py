"""Tokens: the right of a program to call the operator API.

1. A token leaves this service once, as text, to whoever asked; only its digest stays.
2. Of one name there is one in force.
"""

from __future__ import annotations

import asyncio

import msgspec

from holdfast.identity.public import public_id
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.events import Emit, Noted
from holdfast.ports.store import Store
from holdfast_core.identity.model import TOKEN_PREFIX, Permission, Token
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope, parse_name
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.record.model import Kind

SECRET_BYTES = 32
LONGEST_TOKEN = 366 * DAY
DEFAULT_TOKEN = 90 * DAY


class TokenService:
    """Who may call the operator API."""

    def __init__(self, *, store: Store, clock: Clock, randomness: Randomness, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._emit = emit
        self._tokens = asyncio.Lock()

    async def create(
        self, scope: Scope, name: str, *, permission: Permission, lifetime: int, actor: str
    ) -> tuple[str, Token]:
        """A new token for a program, as text (shown once) and as stored.

        Raises:
            HostileData: ``name.invalid``, ``token.exists``, ``token.lifetime``.
        """
        parse_name(name, what="token name")
        if not 0 < lifetime <= LONGEST_TOKEN:
            raise HostileData("token.lifetime", "A token lives at most 366 days.", remedy="Ask for a shorter one.")
        async with self._tokens:
            return await self._create(scope, name, permission, lifetime, actor)

    async def _create(
        self, scope: Scope, name: str, permission: Permission, lifetime: int, actor: str
    ) -> tuple[str, Token]:
        now = self._clock.now()
        if any(t.name == name and t.revoked_at is None and t.expires_at > now for t in self._store.tokens(scope)):
            raise HostileData(
                "token.exists",
                f"There is a token named {name!r} already.",
                remedy="Revoke it first, or choose another name.",
                http_status=409,
            )
        text = TOKEN_PREFIX + self._randomness.token(SECRET_BYTES)
        token = Token(digest_of(text.encode()), name, scope, permission, now, Instant(now + lifetime))
        data = {"token": public_id(token.digest), "name": name, "permission": permission.value}
        await self._store.commit([token, *self._emit(Noted(Kind.TOKEN_CREATED, actor, None, scope, data, now))])
        return text, token

    async def revoke(self, scope: Scope, name: str, *, actor: str) -> Token:
        """End a token.

        Raises:
            HostileData: ``token.unknown``.
        """
        async with self._tokens:
            return await self._revoke(scope, name, actor)

    async def _revoke(self, scope: Scope, name: str, actor: str) -> Token:
        token = next((t for t in self._store.tokens(scope) if t.name == name and t.revoked_at is None), None)
        if token is None:
            raise HostileData(
                "token.unknown",
                f"No token named {name[:80]!r} is in force.",
                remedy="List them: holdfast token list.",
                http_status=404,
            )
        now = self._clock.now()
        ended = msgspec.structs.replace(token, revoked_at=now)
        data = {"token": public_id(token.digest), "name": name}
        await self._store.commit([ended, *self._emit(Noted(Kind.TOKEN_REVOKED, actor, None, scope, data, now))])
        return ended

    def authenticate(self, text: str, wanted: Permission) -> Token:
        """The token `text` stands for, if it allows `wanted` now.

        Raises:
            IdentityRefused: ``token.invalid`` (401), ``token.permission`` (403).
        """
        token = self._store.token(digest_of(text.encode()))
        if token is None or token.revoked_at is not None or self._clock.now() >= token.expires_at:
            raise IdentityRefused(
                "token.invalid",
                "The token is not valid, or no longer.",
                remedy="Create one on the server: holdfast token create NAME.",
                http_status=401,
            )
        if not token.allows(wanted):
            raise IdentityRefused(
                "token.permission",
                f"This needs the permission {wanted.value!r}; the token has {token.permission.value!r}.",
                remedy="Use a token with more permission, or ask its owner.",
            )
        return token
