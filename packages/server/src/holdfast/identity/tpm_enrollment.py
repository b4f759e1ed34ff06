"""Enrolling, and coming back, with a TPM: the exchange of two steps on the device port.

1. The first step stores nothing: what the second needs travels with the device, sealed under a key of this process.
   So nobody fills the server up with exchanges that never end; a restart costs an honest device one more try.
2. An exchange is used once: whoever shows its secret has used it up, whatever comes of it. One chip has so many at a
   time; what is remembered of them must not shut the others out.
3. Which chip is in which device is a binding. Who shows the chip of one device under the name of another, or that of
   a retired one, is refused and leaves an incident; only after it opened the secret, so that no bystander raises it.
4. A chip that is bound needs nothing else, also long past its certificate's expiry; while that lasts, what the model
   demands of a renewal (see `certifying`). But a device whose last certificate a person revoked comes back with a new
   claim only: revoking would mean nothing otherwise.
5. A chip that is not bound needs a certificate that leads to a trusted root, and a claim (see `endorsement`).
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter

import msgspec
from cryptography import x509
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.identity.certifying import Admission, Certifier
from holdfast.identity.public import public_id
from holdfast.identity.tpm_refusals import (
    busy,
    chip_of_another,
    chip_of_retired,
    claim_required,
    device_bound,
    held,
    revoked,
    session_invalid,
    session_spent,
)
from holdfast.identity.tpm_registry import TpmRegistry
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import hold_clone
from holdfast.ports.events import CloneSeen, Emit, Noted, Tried
from holdfast.ports.store import Change, Store
from holdfast.ports.tombstones import tried_again
from holdfast.ports.verdicts import Verdicts
from holdfast_core.attestation.model import AttestationKey
from holdfast_core.attestation.model import Method as AttestedBy
from holdfast_core.formats.tpm.credential import make_credential
from holdfast_core.formats.tpm.keys import CURVES, spki_digest_of
from holdfast_core.formats.tpm.public import HASHES, EccPoint, Public, parse_public
from holdfast_core.identity.devid import (
    check_activation,
    check_attestation_key,
    check_certified,
    check_device_key,
    check_endorsement_key,
    check_requested,
)
from holdfast_core.identity.endorsement import EkRoot, TpmBinding, binding_id, check_ek_certificate
from holdfast_core.identity.model import Claim, Method, Revocation
from holdfast_core.identity.requests import read_request
from holdfast_core.identity.rules import check_claim
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_device_id
from holdfast_core.kernel.instants import MINUTE, SECOND, Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.wire.tpm import Begin, Challenge, Finish

EXCHANGE_LIFE = 5 * MINUTE
"""A slow chip needs a minute for its keys; a human needs none."""
SECRET_BYTES = 32
NONCE_BYTES = 32


class Pending(msgspec.Struct, frozen=True):
    """What the second step must know of the first; sealed while it travels with the device."""

    key: DeviceKey
    ek: str
    ak: bytes
    secret: bytes
    nonce: bytes
    root: str = ""
    """The trusted root that vouched for a chip that was not bound yet."""
    claim: Digest | None = None


class TpmEnrollment:
    """Certifies devices whose key lies in their TPM."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        randomness: Randomness,
        certifier: Certifier,
        registry: TpmRegistry,
        verdicts: Verdicts,
        emit: Emit,
        scope: Scope,
        limits: Limits,
    ) -> None:
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._certifier = certifier
        self._registry = registry
        self._verdicts = verdicts
        self._emit = emit
        self._scope = scope
        self._limits = limits
        self._key: Fernet | None = None
        self._spent: dict[bytes, tuple[Instant, str]] = {}
        """Nonces of exchanges that were used, until they would have lapsed, with their chips; oldest first."""
        self._spent_by: Counter[str] = Counter()

    def begin(self, step: Begin) -> Challenge:
        """Answer the first step.

        Raises:
            HostileData: ``name.invalid``, ``tpm.malformed``, ``tpm.unknown_algorithm``.
            IdentityRefused: ``tpm.ek_*``, ``tpm.ak_template``, ``tpm.weak_key``, ``tpm.claim_required``, ``claim.*``.
        """
        now = self._clock.now()
        key = DeviceKey(self._scope, parse_device_id(step.device))
        ek, ak = check_endorsement_key(parse_public(step.ek)), check_attestation_key(parse_public(step.ak))
        digest = binding_id(spki_digest_of(ek))
        claim = check_claim(self._store.claim(digest_of(step.claim.encode())), key.device, now) if step.claim else None
        root = self._vouched(ek, digest, step, now)
        if root is not None and claim is None and not root.first_use:
            raise claim_required()
        pending = Pending(
            key=key,
            ek=digest,
            ak=step.ak,
            secret=self._fresh(SECRET_BYTES),
            nonce=self._fresh(NONCE_BYTES),
            root=root.id if root is not None else "",
            claim=claim.digest if claim is not None else None,
        )
        return self._challenge(ek, ak, pending, now)

    def _vouched(self, ek: Public, digest: str, step: Begin, now: Instant) -> EkRoot | None:
        """The root that vouches for a chip; none is needed where a person or an enrollment bound it before."""
        if self._store.kept(TpmBinding, self._scope, digest) is not None:
            return None
        root, _ = check_ek_certificate(ek, step.certificates, self._store.all_kept(EkRoot, self._scope), now)
        return root

    def _challenge(self, ek: Public, ak: Public, pending: Pending, now: Instant) -> Challenge:
        curve = CURVES[ek.unique.curve] if isinstance(ek.unique, EccPoint) else None
        wrapped = make_credential(
            ek,
            ak.name,
            pending.secret,
            seed=self._fresh(hashlib.new(HASHES[ek.hash]).digest_size),
            ephemeral=ec.generate_private_key(curve) if curve is not None else None,
        )
        session = self._seal().encrypt_at_time(msgspec.msgpack.encode(pending), now // SECOND).decode()
        return Challenge(session, wrapped.blob, wrapped.secret, pending.nonce)

    async def finish(self, step: Finish) -> list[x509.Certificate]:
        """Certify the device; return its certificate, then the chain without the root.

        Raises:
            HostileData: ``tpm.malformed``, ``csr.*``, ``identity.key_reused``, ``device.unknown``.
            IdentityRefused: ``tpm.*``, ``claim.*``, ``device.inactive``, ``device.unowned``.
        """
        now = self._clock.now()
        pending = self._opened(step.session, now)
        check_activation(step.secret, pending.secret)
        self._use_up(pending, now)
        await self._check_chip(pending, now)
        ak, key = parse_public(pending.ak), check_device_key(parse_public(step.key))
        check_certified(ak, key, step.attestation, step.signature, pending.nonce)
        check_requested(key, read_request(step.request, pending.key, self._limits))

        def admit(device: Device, moment: Instant) -> Admission:
            return self._admission(pending, device, moment)

        with self._registry.alone(pending.ek):
            return await self._certifier.enroll(pending.key, step.request, admit, tried=Tried.TPM)

    def _opened(self, session: str, now: Instant) -> Pending:
        try:
            sealed = self._seal().decrypt_at_time(session.encode(), EXCHANGE_LIFE // SECOND, now // SECOND)
        except InvalidToken:
            raise session_invalid() from None
        pending = msgspec.msgpack.decode(sealed, type=Pending)
        if pending.nonce in self._spent:
            raise session_spent()
        return pending

    def _use_up(self, pending: Pending, now: Instant) -> None:
        """No await stands between looking and noting, so of many that race with one exchange the first has it."""
        while self._spent and next(iter(self._spent.values()))[0] <= now:
            _, chip = self._spent.pop(next(iter(self._spent)))
            self._spent_by[chip] -= 1
            if not self._spent_by[chip]:
                del self._spent_by[chip]
        full = len(self._spent) >= self._limits.tpm_finished
        if full or self._spent_by[pending.ek] >= self._limits.tpm_finished_per_chip:
            raise busy()
        self._spent[pending.nonce] = Instant(now + 2 * EXCHANGE_LIFE), pending.ek
        self._spent_by[pending.ek] += 1

    async def _check_chip(self, pending: Pending, now: Instant) -> None:
        """Refuse the chip of another device, or of a retired one, and leave an incident."""
        binding = self._registry.bound(pending.ek)
        if binding is None:
            return
        owner = DeviceKey(binding.scope, binding.device)
        async with self._store.exclusive(owner):
            device = self._store.device(owner)
            if device is None:
                return
            if owner != pending.key:
                await self._alarm(device, pending.key, now)
                raise chip_of_another()
            if device.lifecycle is Lifecycle.RETIRED:
                await self._commit_if_any(tried_again(self._store, self._emit, device, Tried.TPM, now))
                raise chip_of_retired(owner.device)

    async def _alarm(self, device: Device, seen_as: DeviceKey, now: Instant) -> None:
        reason = Reason(
            "tpm.ek_under_two_names",
            f"The chip of {device.key.device} enrolled as {seen_as.device}.",
            "Find the chip: a board was moved, a virtual TPM was copied, or somebody has the device. "
            "Then release the one that is right, or pin the chip anew: holdfast tpm release, holdfast tpm pin.",
        )
        posture = self._store.posture(device.key)
        if posture is None:
            await self._commit_if_any([*self._emit(CloneSeen(device, reason, now))])
            return
        changes = hold_clone(self._verdicts, self._emit, device=device, posture=posture, reason=reason, now=now)
        await self._commit_if_any(changes)

    async def _commit_if_any(self, changes: list[Change]) -> None:
        if changes:  # an incident that is open already leaves no second trace
            await self._store.commit(changes)

    def _admission(self, pending: Pending, device: Device, now: Instant) -> Admission:
        """What is used up and bound by this enrollment; judged under the device's lock."""
        changes: list[Change] = []
        proof: dict[str, object] = {"ek": pending.ek}
        if pending.claim is not None:
            claim = self._claim(pending.claim, device, now)
            changes.append(msgspec.structs.replace(claim, used_at=now))
            proof["claim"] = public_id(claim.digest)
        elif self._ended_by_a_person(device.key):
            raise revoked()
        elif (posture := self._store.posture(device.key)) is not None and posture.hold is not None:
            raise held(device.key.device)
        changes.extend(self._attestation_key(pending, device, now))
        binding = self._registry.bound(pending.ek)
        if binding is not None and binding.scope == device.key.scope and binding.device == device.key.device:
            return Admission(Method.TPM, proof, tuple(changes), goes_on=True)
        if binding is not None:
            raise chip_of_another()
        changes.extend(self._first_binding(pending, device, now))
        return Admission(Method.TPM, proof, tuple(changes))

    def _attestation_key(self, pending: Pending, device: Device, now: Instant) -> list[Change]:
        """The key whose quotes are taken from now on: it was activated against this chip's endorsement key."""
        scope, actor = device.key.scope, f"device:{device.key.device}"
        before = self._store.kept(AttestationKey, scope, device.key.device)
        same_chip = before is not None and before.ek == pending.ek and before.public != pending.ak
        key = AttestationKey(
            scope,
            device.key.device,
            method=AttestedBy.TPM,
            public=pending.ak,
            bound_at=now,
            by=actor,
            ek=pending.ek,
            previous=before.public if before is not None and same_chip else b"",
        )
        data = {"method": key.method.value, "key": spki_digest_of(parse_public(pending.ak)), "ek": pending.ek}
        return [key, *self._emit(Noted(Kind.ATTESTATION_KEY_BOUND, actor, device, scope, data, now))]

    def _claim(self, digest: Digest, device: Device, now: Instant) -> Claim:
        return check_claim(self._store.claim(digest), device.key.device, now)

    def _first_binding(self, pending: Pending, device: Device, now: Instant) -> list[Change]:
        """The binding of a chip that a root vouches for, if the device has no other and may have this one."""
        scope = device.key.scope
        root = self._store.kept(EkRoot, scope, pending.root) if pending.root else None
        trusted_alone = root is not None and root.first_use and device.lifecycle is Lifecycle.EXPECTED
        if root is None or (pending.claim is None and not trusted_alone):
            raise claim_required()
        if self._registry.of_device(device.key) is not None:
            raise device_bound()
        actor = f"device:{device.key.device}"
        binding = TpmBinding(scope, pending.ek, device=device.key.device, bound_at=now, by=actor)
        data = {"ek": pending.ek, "root": root.id}
        return [binding, *self._emit(Noted(Kind.TPM_BOUND, actor, device, scope, data, now))]

    def _ended_by_a_person(self, key: DeviceKey) -> bool:
        newest = max(self._store.credentials_of(key), key=lambda credential: credential.issued_at, default=None)
        return newest is not None and newest.revoked_at is not None and newest.revoked_code is not Revocation.SUPERSEDED

    def _seal(self) -> Fernet:
        """The key of this process, made when the first exchange begins."""
        if self._key is None:
            self._key = Fernet(base64.urlsafe_b64encode(self._fresh(SECRET_BYTES)))
        return self._key

    def _fresh(self, size: int) -> bytes:
        """Unguessable bytes: as many as asked for, of 256 random bits."""
        return hashlib.shake_256(self._randomness.token(SECRET_BYTES).encode()).digest(size)
