"""The use cases of `identity`.

1. Enrollment is one commit: the claim is used, the credential exists, the device is enrolled, all of it recorded.
2. A new enrollment ends every credential the device had: one device, one key.
3. Claims and tokens leave this service once, as text, to whoever asked; only their digests stay.
"""

from __future__ import annotations

import asyncio

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import end_credentials
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device
from holdfast.ports.signer import Authority
from holdfast.ports.store import Store
from holdfast.ports.verdicts import Verdicts
from holdfast_core.identity.model import CLAIM_PREFIX, TOKEN_PREFIX, Claim, Credential, Permission, Token
from holdfast_core.identity.rules import IdentityRefused, check_claim, read_request, spki_digest
from holdfast_core.inventory.lifecycle import LifecycleEvent, advance
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope, parse_name
from holdfast_core.kernel.instants import DAY, HOUR, Instant, from_datetime
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind

SECRET_BYTES = 32
LONGEST_CLAIM = 7 * DAY
LONGEST_TOKEN = 366 * DAY
DEFAULT_CLAIM = 24 * HOUR
DEFAULT_TOKEN = 90 * DAY
ID_CHARACTERS = 12
"""How much of a digest names a claim or token to people: ``sha256:`` aside."""


def public_id(digest: Digest) -> str:
    """The part of a secret's digest by which people and the record name it."""
    return digest.removeprefix("sha256:")[:ID_CHARACTERS]


class IdentityService:
    """Who may enroll, and who may still speak."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        randomness: Randomness,
        authority: Authority,
        verdicts: Verdicts,
        emit: Emit,
        limits: Limits,
    ) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._authority = authority
        self._verdicts = verdicts
        self._emit = emit
        self._limits = limits
        self._being_certified: set[Digest] = set()
        """Keys of enrollments that are not durable yet: one key never gets two names, however close they come."""
        self._tokens = asyncio.Lock()

    def chain(self) -> list[x509.Certificate]:
        """The certificates a device needs to trust this server: issuing authority first, root last."""
        return self._authority.chain()

    async def create_claim(self, key: DeviceKey, *, lifetime: int, actor: str) -> tuple[str, Claim]:
        """A new single-use claim for `key`, as text (shown once) and as stored.

        Raises:
            HostileData: ``device.unknown``, ``lifecycle.not_allowed``, ``claim.lifetime``.
        """
        if not 0 < lifetime <= LONGEST_CLAIM:
            raise HostileData("claim.lifetime", "A claim lives at most 7 days.", remedy="Ask for a shorter one.")
        device = require_device(self._store, key)
        advance(device.lifecycle, LifecycleEvent.ENROLL)
        now = self._clock.now()
        text = CLAIM_PREFIX + self._randomness.token(SECRET_BYTES)
        claim = Claim(digest_of(text.encode()), key, now, Instant(now + lifetime))
        data = {"claim": public_id(claim.digest), "expires_at": claim.expires_at}
        await self._store.commit([claim, *self._emit(Noted(Kind.CLAIM_CREATED, actor, device, key.scope, data, now))])
        return text, claim

    async def enroll(self, name: str, claim_text: str, request_der: bytes) -> list[x509.Certificate]:
        """Certify the holder of a claim; return its certificate, then the chain without the root.

        Raises:
            IdentityRefused: the claim does not admit the device.
            HostileData: the request is refused (``csr.*``, ``identity.key_reused``).
        """
        digest = digest_of(claim_text.encode())
        device_id = DeviceId(name)
        claim = check_claim(self._store.claim(digest), device_id, self._clock.now())
        request = read_request(request_der, device_id, self._limits)
        async with self._store.exclusive(claim.key):
            now = self._clock.now()
            # Again under the lock: of many that race with one claim, only the first finds it unused.
            claim = check_claim(self._store.claim(digest), device_id, now)
            spki = spki_digest(request)
            if self._store.knows_key(spki) or spki in self._being_certified:
                raise _key_reused()
            self._being_certified.add(spki)
            try:
                return await self._certify(claim, request, spki, now)
            finally:
                self._being_certified.discard(spki)

    async def _certify(
        self, claim: Claim, request: x509.CertificateSigningRequest, spki: Digest, now: Instant
    ) -> list[x509.Certificate]:
        device = require_device(self._store, claim.key)
        enrolled = msgspec.structs.replace(device, lifecycle=advance(device.lifecycle, LifecycleEvent.ENROLL))
        name = claim.key.device
        certificate = self._authority.issue(request, name, claim.key.scope, now=now)
        credential = _credential(certificate, claim.key, spki)
        posture, follow = self._verdicts.begin(enrolled, self._store.posture(claim.key), now)
        data = {"claim": public_id(claim.digest), "fingerprint": credential.fingerprint, "serial": credential.serial}
        noted = Noted(Kind.DEVICE_ENROLLED, f"device:{name}", enrolled, claim.key.scope, data, now)
        used = msgspec.structs.replace(claim, used_at=now)
        why = "the device enrolled again"
        ended = end_credentials(self._store, self._emit, enrolled, why=why, actor="server", now=now)
        changes = [used, *ended, enrolled, credential, posture, *self._emit(noted), *follow]
        await self._store.commit(changes)
        return [certificate, *self._authority.chain()[:-1]]

    async def revoke(self, key: DeviceKey, *, why: str, actor: str) -> int:
        """End every credential of a device; return how many ended. From the next request on it is refused.

        Raises:
            HostileData: ``device.unknown``, ``why.missing``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            changes = end_credentials(self._store, self._emit, device, why=why, actor=actor, now=now)
            posture = self._store.posture(key)
            if changes and posture is not None:
                cut_off = msgspec.structs.replace(posture, identified=False)
                settled, follow = self._verdicts.settle(device, cut_off, now)
                changes = [settled, *changes, *follow]
            if changes:
                await self._store.commit(changes)
        return sum(isinstance(change, Credential) for change in changes)

    async def create_token(
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
            return await self._create_token(scope, name, permission, lifetime, actor)

    async def _create_token(
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

    async def revoke_token(self, scope: Scope, name: str, *, actor: str) -> Token:
        """End a token.

        Raises:
            HostileData: ``token.unknown``.
        """
        async with self._tokens:
            return await self._revoke_token(scope, name, actor)

    async def _revoke_token(self, scope: Scope, name: str, actor: str) -> Token:
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


def _credential(certificate: x509.Certificate, key: DeviceKey, spki: Digest) -> Credential:
    return Credential(
        fingerprint=digest_of(certificate.public_bytes(Encoding.DER)),
        key=key,
        serial=f"{certificate.serial_number:x}",
        spki=spki,
        not_before=from_datetime(certificate.not_valid_before_utc),
        not_after=from_datetime(certificate.not_valid_after_utc),
    )


def _key_reused() -> HostileData:
    return HostileData(
        "identity.key_reused",
        "The key in the request was certified before.",
        remedy="Make a new key on the device; a key that was copied with an image must never serve two devices.",
        http_status=403,
    )
