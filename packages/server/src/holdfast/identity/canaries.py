"""The canaries of every issuer: made, revoked in the same commit, and told to the lists.

1. A canary is in the database, revoked, before anybody has its certificate: there is no moment at which it is good.
2. One is made when first asked for, and again when half of its life is over or the process that had its key is gone.
3. It is shown to relying parties only when they have had time to fetch the list that holds it (`SPREAD`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.identity.lists import RevocationLists
from holdfast.ports.clock import Clock
from holdfast.ports.store import Change, Removed, Store
from holdfast.ports.validity import CanaryIdentity, CanaryMaker, Issuer
from holdfast_core.identity.validity import CANARY_LIFE, Canary, canary_name, is_listed, revocation_of_canary
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.instants import MINUTE, Instant, from_datetime

SPREAD = MINUTE
"""How long a new list may take to every relying party that is looked at."""


@dataclass(frozen=True)
class LiveCanary:
    """A canary whose key is here, and when it was made."""

    identity: CanaryIdentity
    made_at: Instant


class Canaries:
    """Makes canaries and hands them to who looks at relying parties."""

    def __init__(self, *, store: Store, clock: Clock, lists: RevocationLists, maker: CanaryMaker) -> None:
        self._store, self._clock, self._lists, self._maker = store, clock, lists, maker
        self._live: dict[Digest, LiveCanary] = {}
        self._making: defaultdict[Digest, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, issuer: Issuer) -> LiveCanary:
        """The canary of an issuer, made now where there is none with a key."""
        async with self._making[issuer.id]:
            now = self._clock.now()
            live = self._live.get(issuer.id)
            if live is None or not live.made_at <= now < live.made_at + CANARY_LIFE // 2:
                live = self._live[issuer.id] = await self._made(issuer, now)
            return live

    async def _made(self, issuer: Issuer, now: Instant) -> LiveCanary:
        name = canary_name(issuer.scope)
        identity = self._maker.make_canary(
            issuer, name, lambda serial: self._lists.addresses(issuer.id, serial), now=now
        )
        certificate = identity.certificate
        canary = Canary(
            issuer.scope,
            f"{certificate.serial_number:x}",
            issuer=issuer.id,
            fingerprint=digest_of(certificate.public_bytes(Encoding.DER)),
            not_after=from_datetime(certificate.not_valid_after_utc),
            revoked_at=now,
        )
        await self._store.commit([canary, *self._gone(issuer, now)])
        return LiveCanary(identity, now)

    def _gone(self, issuer: Issuer, now: Instant) -> list[Change]:
        """The ends of canaries that no list holds any more."""
        old = (one for one in self._store.all_kept(Canary, issuer.scope) if one.issuer == issuer.id)
        return [Removed(Canary, one.scope, one.id) for one in old if not is_listed(revocation_of_canary(one), now)]

    def serials(self, issuer: Issuer, now: Instant) -> frozenset[int]:
        """The serial numbers that every published list of `issuer` must hold by now."""
        return frozenset(
            int(one.id, 16)
            for one in self._store.all_kept(Canary, issuer.scope)
            if one.issuer == issuer.id and one.revoked_at + SPREAD <= now < one.not_after
        )
