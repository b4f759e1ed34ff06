"""The use cases of `identity`: claims, and ending what was certified.

1. A claim leaves this service once, as text, to whoever asked; only its digest stays.
2. A claim is used in the commit that certifies its device (`certifying`).
"""

from __future__ import annotations

import msgspec
from cryptography import x509

from holdfast.identity.certifying import Admission, Certifier
from holdfast.identity.public import public_id
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import end_claims, end_credentials
from holdfast.ports.events import Emit, Noted, Tried
from holdfast.ports.lookup import require_device
from holdfast.ports.store import Store
from holdfast.ports.tombstones import Tombstones
from holdfast.ports.verdicts import Verdicts
from holdfast_core.identity.model import CLAIM_PREFIX, Claim, Credential, Method, Revocation
from holdfast_core.identity.rules import check_claim, check_owned
from holdfast_core.inventory.lifecycle import Device, LifecycleEvent, advance
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, HOUR, Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind

SECRET_BYTES = 32
LONGEST_CLAIM = 7 * DAY
DEFAULT_CLAIM = 24 * HOUR


class IdentityService:
    """Who may enroll, and who may no longer speak."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        randomness: Randomness,
        certifier: Certifier,
        verdicts: Verdicts,
        emit: Emit,
        tombstones: Tombstones,
    ) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._certifier = certifier
        self._verdicts = verdicts
        self._emit = emit
        self._tombstones = tombstones

    async def create_claim(self, key: DeviceKey, *, lifetime: int, actor: str) -> tuple[str, Claim]:
        """A new single-use claim for `key`, as text (shown once) and as stored.

        Raises:
            HostileData: ``device.unknown``, ``device.inactive``, ``device.unowned``, ``claim.lifetime``.
        """
        if not 0 < lifetime <= LONGEST_CLAIM:
            raise HostileData("claim.lifetime", "A claim lives at most 7 days.", remedy="Ask for a shorter one.")
        async with self._store.exclusive(key):  # against a transfer, which withdraws every claim there is
            device = check_owned(require_device(self._store, key))
            advance(device.lifecycle, LifecycleEvent.ENROLL)
            now = self._clock.now()
            text = CLAIM_PREFIX + self._randomness.token(SECRET_BYTES)
            claim = Claim(digest_of(text.encode()), key, now, Instant(now + lifetime))
            data = {"claim": public_id(claim.digest), "expires_at": claim.expires_at}
            noted = Noted(Kind.CLAIM_CREATED, actor, device, key.scope, data, now)
            await self._store.commit([claim, *self._emit(noted)])
        return text, claim

    async def withdraw_claim(self, scope: Scope, name: str, *, actor: str) -> Claim:
        """End the claim with this public id before anybody used it.

        Raises:
            HostileData: ``claim.none``.
        """
        found = next((c for c in self._store.claims(scope) if public_id(c.digest) == name), None)
        if found is not None:
            async with self._store.exclusive(found.key):
                now, claim = self._clock.now(), self._store.claim(found.digest)
                if claim is not None and claim.is_open(now):
                    ended = msgspec.structs.replace(claim, withdrawn_at=now)
                    device = self._store.device(claim.key)
                    noted = Noted(Kind.CLAIM_WITHDRAWN, actor, device, scope, {"claim": name}, now)
                    await self._store.commit([ended, *self._emit(noted)])
                    return ended
        raise HostileData(
            "claim.none",
            f"No claim {name[:40]!r} can still be used in {scope}.",
            remedy="List them: holdfast claim list.",
            http_status=404,
        )

    async def enroll(
        self, name: str, claim_text: str, request_der: bytes, *, channel: bytes | None = None
    ) -> list[x509.Certificate]:
        """Certify the holder of a claim; return its certificate, then the chain without the root.

        Raises:
            IdentityRefused: the claim does not admit the device, nobody answers for it, or it was retired.
            HostileData: the request is refused (``csr.*``, ``identity.*``).
        """
        digest, device_id = digest_of(claim_text.encode()), DeviceId(name)
        found = self._store.claim(digest)
        if found is not None and found.key.device == device_id:
            await self._tombstones.check(found.key, Tried.CLAIM)
        claim = check_claim(found, device_id, self._clock.now())

        def admit(_device: Device, now: Instant) -> Admission:
            # Again under the lock: of many that race with one claim, only the first finds it unused.
            current = check_claim(self._store.claim(digest), device_id, now)
            used = msgspec.structs.replace(current, used_at=now)
            return Admission(Method.CLAIM, {"claim": public_id(digest)}, (used,))

        return await self._certifier.enroll(claim.key, request_der, admit, channel=channel, tried=Tried.CLAIM)

    async def revoke(self, key: DeviceKey, *, why: str, actor: str, code: Revocation = Revocation.UNSPECIFIED) -> int:
        """End every credential of a device, and every claim to it; return how many credentials ended.

        Raises:
            HostileData: ``device.unknown``, ``why.missing``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            changes = end_credentials(self._store, self._emit, device, why=why, actor=actor, now=now, code=code)
            posture = self._store.posture(key)
            if changes and posture is not None:
                cut_off = msgspec.structs.replace(posture, identified=False)
                settled, follow = self._verdicts.settle(device, cut_off, now)
                changes = [settled, *changes, *follow]
            # Whoever holds a claim that was made before would only have to use it.
            changes.extend(end_claims(self._store, key, now))
            if changes:
                await self._store.commit(changes)
        return sum(isinstance(change, Credential) for change in changes)
