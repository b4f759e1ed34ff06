"""Issuers following one another: A, then A and B, then B, with the list of who is still on A.

1. `begin` makes the next issuer; relying parties take its certificate up while nothing was issued by it yet.
2. `switch` has the next one certify; devices of the retiring one are asked to renew when they next call.
3. `end` ends what is left of the retiring one at once; who would lapse by it is told first, and only `force` goes on.
"""

from __future__ import annotations

import asyncio

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.keystore import KeyAlgorithm
from holdfast.ports.signer import Authority
from holdfast.ports.store import Change, Store
from holdfast_core.identity.issuers import FIRST, Issuers, IssuerState, Rollover, Standing
from holdfast_core.identity.lifetimes import BACKDATE
from holdfast_core.identity.model import Credential
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant, from_datetime
from holdfast_core.record.model import Kind


class IssuerView(msgspec.Struct, frozen=True):
    """One issuer, and how many certificates in force are of it."""

    number: int
    standing: Standing
    since: Instant
    fingerprint: Digest
    not_after: Instant
    algorithm: str
    """The kind of its own key, as `KeyAlgorithm` spells it; the signature on its certificate is the root's."""
    in_force: int


class RolloverService:
    """What people do about issuers."""

    def __init__(self, *, store: Store, clock: Clock, authority: Authority, book: IssuerBook, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._authority = authority
        self._book = book
        self._emit = emit
        self._one_at_a_time = asyncio.Lock()

    def show(self, scope: Scope) -> list[IssuerView]:
        """The issuers of a scope by number."""
        now = self._clock.now()
        counted: dict[Digest, int] = {}
        for credential in self._store.credentials():
            if _in_force(credential, now):
                counted[credential.issuer] = counted.get(credential.issuer, 0) + 1
        return [
            self._view(state, counted)
            for state in self._book.of(scope).states
            if self._authority.has_issuer(scope, state.number)
        ]

    def _view(self, state: IssuerState, counted: dict[Digest, int]) -> IssuerView:
        certificate = self._authority.issuer(state.scope, state.number)
        fingerprint = self._authority.issuer_fingerprint(state.scope, state.number)
        return IssuerView(
            number=state.number,
            standing=state.standing,
            since=state.since or Instant(from_datetime(certificate.not_valid_before_utc) + BACKDATE),
            fingerprint=fingerprint,
            not_after=from_datetime(certificate.not_valid_after_utc),
            algorithm=_kind(certificate),
            # Certificates of an issuer that was ended are revoked; they only bring their devices back within grace.
            in_force=counted.get(fingerprint, 0) if state.standing.is_trusted else 0,
        )

    @property
    def root_key_is_here(self) -> bool:
        """Whether the root's key still lies on this machine."""
        return self._authority.root_key_is_here

    def certificates(self, scope: Scope, which: str) -> list[x509.Certificate]:
        """Certificates to hand out: the ``root``, the ``services``' authority, ``issuers``, or their ``anchors``.

        Those of issuers are of the scope's trusted ones: in a rollover of both.
        """
        if which == "root":
            return [self._authority.root]
        if which == "services":
            return [self._authority.services]
        told = self._authority.anchor if which == "anchors" else self._authority.issuer
        trusted = self._book.of(scope).trusted
        return [told(scope, number) for number in trusted if self._authority.has_issuer(scope, number)]

    def laggards(self, scope: Scope) -> list[Credential]:
        """The credentials in force that the retiring issuer certified and that have no successor yet."""
        retiring = self._book.of(scope).with_standing(Standing.RETIRING)
        if retiring is None:
            return []
        issuer, now = self._authority.issuer_fingerprint(scope, retiring.number), self._clock.now()
        mine = (c for c in self._store.credentials() if c.issuer == issuer and _in_force(c, now))
        return sorted(mine, key=lambda credential: credential.key)

    async def found(self, scope: Scope, *, actor: str, algorithm: KeyAlgorithm) -> list[IssuerView]:
        """Make the first issuer of another scope; one that is there already is left alone.

        Raises:
            HostileData: ``authority.scope_name``.
            WorldError: ``authority.root_away``, ``keystore.*``.
        """
        async with self._one_at_a_time:
            if self._store.kept(IssuerState, scope, str(FIRST)) is None:
                now = self._clock.now()
                await asyncio.to_thread(self._authority.add_issuer, scope, FIRST, now=now, algorithm=algorithm)
                first = IssuerState(scope=scope, id=str(FIRST), standing=Standing.ACTIVE, since=now)
                await self._store.commit(self._recorded((first,), actor, now))
        return self.show(scope)

    async def move(
        self,
        scope: Scope,
        step: Rollover,
        *,
        actor: str,
        force: bool = False,
        algorithm: KeyAlgorithm = KeyAlgorithm.P256,
    ) -> list[IssuerView]:
        """Carry out one step; `algorithm` is the next issuer's.

        Raises:
            HostileData: ``authority.rollover``, ``authority.laggards``.
            WorldError: ``authority.root_away``, ``keystore.*``.
        """
        async with self._one_at_a_time:
            now, issuers = self._clock.now(), self._book.of(scope)
            if step is Rollover.END:
                self._refuse_laggards(scope, force=force)
            states = await self._states(issuers, step, now, algorithm)
            await self._store.commit(self._recorded(states, actor, now))
        return self.show(scope)

    async def _states(
        self, issuers: Issuers, step: Rollover, now: Instant, algorithm: KeyAlgorithm
    ) -> tuple[IssuerState, ...]:
        match step:
            case Rollover.BEGIN:
                following = issuers.begin(now)
                # In a thread: keys of some kinds take seconds to make, and tokens answer slowly.
                add, scope, number = self._authority.add_issuer, issuers.scope, following.number
                await asyncio.to_thread(add, scope, number, now=now, algorithm=algorithm)
                return (following,)
            case Rollover.SWITCH:
                return issuers.switch(now)
            case Rollover.END:
                return (issuers.end(now),)

    def _recorded(self, states: tuple[IssuerState, ...], actor: str, now: Instant) -> list[Change]:
        changes: list[Change] = []
        for state in states:
            fingerprint = self._authority.issuer_fingerprint(state.scope, state.number)
            data = {"issuer": state.number, "standing": state.standing.value, "fingerprint": fingerprint}
            noted = Noted(Kind.ISSUER_CHANGED, actor, None, state.scope, data, now)
            changes += [state, *self._emit(noted)]
        return changes

    def _refuse_laggards(self, scope: Scope, *, force: bool) -> None:
        late = self.laggards(scope)
        if late and not force:
            raise HostileData(
                "authority.laggards",
                f"{len(late)} devices still have a certificate of the retiring issuer, such as {late[0].key.device}.",
                remedy="Wait until they called (holdfast ca show lists them), or end it all the same with --force: "
                "they are refused then until they renew, within their models' grace.",
                http_status=409,
            )


def _in_force(credential: Credential, now: Instant) -> bool:
    return credential.revoked_at is None and now < credential.not_after and credential.successor is None


def _kind(certificate: x509.Certificate) -> str:
    match certificate.public_key():
        case ec.EllipticCurvePublicKey() as public:
            return f"p{public.key_size}"
        case rsa.RSAPublicKey() as public:
            return f"rsa{public.key_size}"
        case _:
            return KeyAlgorithm.ED25519.value
