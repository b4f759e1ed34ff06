"""The claims of production lines: made, listed, withdrawn.

1. The claim's key is made here only if the line brings none; it leaves once, and is kept nowhere.
2. Whoever counts a claim's use or ends it does so under the claim's lock, until that is durable.
3. Claims that are over are shown for a while, then forgotten; the record is not.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.identity import claim_certificates
from holdfast.identity.enrollment import Shown
from holdfast.identity.public import public_id
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.provisioning import Hook
from holdfast.ports.signer import PublicKey
from holdfast.ports.store import Removed, Store
from holdfast_core.identity.fleet import (
    LARGEST_QUOTA,
    LONGEST,
    SUBJECT_PREFIX,
    FleetClaim,
)
from holdfast_core.identity.requests import check_key, load_request
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope, parse_name
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.record.model import Kind

_LONGEST_NAME = 64 - len(SUBJECT_PREFIX)
"""A common name has at most 64 characters (RFC 5280, ub-common-name)."""


class NewFleetClaim(msgspec.Struct, frozen=True):
    """What is granted to a production line; times in milliseconds."""

    line: str
    model: str
    quota: int
    lifetime: int
    owner: str = ""
    hook: bool = False
    request: bytes = b""
    """PEM PKCS#10 of the line's own key; empty: a key is made."""


class FleetClaimMade(msgspec.Struct, frozen=True):
    """The claim, with its certificate and (if it was made here) its key as PEM, shown this once."""

    claim: FleetClaim
    certificate: bytes
    key: bytes


class FleetClaimService:
    """Keeps the list of claims."""

    def __init__(self, *, store: Store, clock: Clock, hook: Hook | None, emit: Emit, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self.hook = hook
        self._emit = emit
        self._limits = limits
        self._locks: defaultdict[tuple[Scope, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        """One for each claim; there are few, and names come from administrators."""

    def lock(self, scope: Scope, line: str) -> asyncio.Lock:
        """The lock of the claim of one line (rule 2)."""
        return self._locks[scope, line]

    def shown_by(self, shown: Shown) -> FleetClaim | None:
        """The claim whose certificate was shown, in force or not."""
        fingerprint = shown.fingerprint
        return next((c for c in self._store.all_kept(FleetClaim) if c.fingerprint == fingerprint), None)

    def list(self, scope: Scope) -> list[FleetClaim]:
        """The claims of a scope by line, those that are over included for a while."""
        return self._store.all_kept(FleetClaim, scope)

    async def create(self, scope: Scope, wanted: NewFleetClaim, *, actor: str) -> FleetClaimMade:
        """A claim for a production line, with its certificate.

        Raises:
            HostileData: ``name.invalid``, ``fleet.*``, ``model.unknown``, ``csr.*``.
        """
        self._check(scope, wanted)
        public = _own_key(wanted.request, self._limits)
        async with self.lock(scope, wanted.line):
            now = self._clock.now()
            over = [claim for claim in self.list(scope) if claim.is_over(now)]
            in_force = [claim for claim in self.list(scope) if not claim.is_over(now)]
            if any(claim.id == wanted.line for claim in in_force):
                raise _conflict("fleet.exists", f"{wanted.line} has a claim already.")
            if len(in_force) >= self._limits.fleet_claims:
                raise _conflict("fleet.too_many", f"There are {len(in_force)} claims in force.")
            until = Instant(now + wanted.lifetime)
            made = claim_certificates.make(scope, wanted.line, public, now=now, until=until)
            claim = FleetClaim(
                scope=scope,
                id=wanted.line,
                model=wanted.model,
                owner=wanted.owner or actor,
                quota=wanted.quota,
                created_at=now,
                expires_at=until,
                created_by=actor,
                fingerprint=digest_of(made.leaf),
                anchor=made.anchor,
                hook=wanted.hook,
            )
            data = {
                "line": claim.id,
                "claim": public_id(claim.fingerprint),
                "model": claim.model,
                "owner": claim.owner,
                "quota": claim.quota,
                "expires_at": claim.expires_at,
                "hook": claim.hook,
            }
            gone = [Removed(FleetClaim, scope, old.id) for old in over if now - old.expires_at > LONGEST]
            noted = Noted(Kind.FLEET_CLAIM_CREATED, actor, None, scope, data, now)
            await self._store.commit([*gone, claim, *self._emit(noted)])
        pems = [x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in (made.leaf, made.anchor)]
        return FleetClaimMade(claim, b"".join(pems), made.key)

    def _check(self, scope: Scope, wanted: NewFleetClaim) -> None:
        parse_name(wanted.line, what="line name")
        if len(wanted.line) > _LONGEST_NAME:
            raise _invalid(f"The name of a line has at most {_LONGEST_NAME} characters.")
        if not 0 < wanted.lifetime <= LONGEST or not 0 < wanted.quota <= LARGEST_QUOTA:
            raise _invalid(f"A claim is for 1 to {LARGEST_QUOTA} devices, and lives at most 7 days.")
        if wanted.hook and self.hook is None:
            raise no_hook()
        if self._store.model(scope, wanted.model) is None:
            raise HostileData(
                "model.unknown",
                f"There is no model {wanted.model[:80]!r} in {scope}.",
                remedy="Add its file first: holdfast model add FILE. Known ones: holdfast model list.",
                http_status=404,
            )

    async def withdraw(self, scope: Scope, line: str, *, actor: str) -> FleetClaim:
        """End the claim of a production line; devices that it enrolled stay.

        Raises:
            HostileData: ``fleet.unknown``.
        """
        async with self.lock(scope, line):
            now = self._clock.now()
            claim = self._store.kept(FleetClaim, scope, line)
            if claim is None or claim.withdrawn_at is not None:
                raise HostileData(
                    "fleet.unknown",
                    f"No claim of {line[:80]!r} is in force in {scope}.",
                    remedy="List them: holdfast fleet-claim list.",
                    http_status=404,
                )
            ended = msgspec.structs.replace(claim, withdrawn_at=now)
            data = {"line": line, "claim": public_id(claim.fingerprint), "used": claim.used}
            noted = Noted(Kind.FLEET_CLAIM_WITHDRAWN, actor, None, scope, data, now)
            await self._store.commit([ended, *self._emit(noted)])
        return ended


def _own_key(pem: bytes, limits: Limits) -> PublicKey | None:
    """The key that the line brings in a request, if it brings one."""
    if not pem:
        return None
    try:
        der = x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER)
    except ValueError as error:
        raise HostileData(
            "csr.malformed", "The line's request could not be read.", remedy="Send a PKCS#10 request in PEM."
        ) from error
    request = load_request(der, limits)
    check_key(request)
    public = request.public_key()
    assert isinstance(public, PublicKey)  # noqa: S101  (`check_key` takes no other)
    return public


def _invalid(sentence: str) -> HostileData:
    return HostileData("fleet.invalid", sentence, remedy="Ask for less; make another claim for the next lot.")


def _conflict(code: str, sentence: str) -> HostileData:
    return HostileData(
        code,
        sentence,
        remedy="Withdraw one that is no longer needed: holdfast fleet-claim withdraw LINE.",
        http_status=409,
    )


def no_hook() -> HostileData:
    """What is told where a claim wants a hook and the configuration names none."""
    return HostileData(
        "fleet.no_hook",
        "This server's configuration names no provisioning hook.",
        remedy="Set provisioning_hook in holdfast.toml on the server and start it again; it cannot be set from here.",
        http_status=409,
    )
