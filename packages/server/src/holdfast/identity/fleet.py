"""Enrollment from a production line: a claim certificate for so many devices of one model.

1. TLS proved that the peer holds the claim's key; the claim itself is known by its certificate's fingerprint.
2. The hook is asked first and outside of every lock. Quota and window are judged under the claim's lock, which is held
   until the device is durable: however many race, no more are enrolled than were granted.
3. The very same request again gets the very same certificate, and uses nothing up.
"""

from __future__ import annotations

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.identity.certifying import Admission, Certifier
from holdfast.identity.enrollment import Shown
from holdfast.identity.fleet_claims import FleetClaimService, no_hook
from holdfast.identity.public import public_id
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, EnrollmentDoubted, Noted, Tried
from holdfast.ports.store import Change, Store
from holdfast_core.identity.fleet import (
    FleetClaim,
    Wanted,
    check_claimable,
    check_fleet_claim,
    check_hook_answer,
    parse_hook_answer,
    wanted_by,
)
from holdfast_core.identity.model import Method
from holdfast_core.identity.requests import load_request, spki_digest
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, Labels, Lifecycle
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope, parse_device_id
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind


class FleetEnrollment:
    """Implements `holdfast.identity.enrollment.Way`."""

    def __init__(
        self, *, store: Store, clock: Clock, certifier: Certifier, claims: FleetClaimService, emit: Emit, limits: Limits
    ) -> None:
        self._store = store
        self._clock = clock
        self._certifier = certifier
        self._claims = claims
        self._emit = emit
        self._limits = limits

    def knows(self, shown: Shown) -> bool:
        """Whether the certificate is that of a claim, in force or not."""
        return self._claims.shown_by(shown) is not None

    async def enroll(self, shown: Shown, request_der: bytes) -> x509.Certificate:
        """The certificate of a device that comes from the production line.

        Raises:
            IdentityRefused: ``fleet.*``, ``device.*``.
            HostileData: ``csr.*``, ``identity.*``, ``name.invalid``.
            WorldError: ``hook.failed``.
        """
        claim = self._claims.shown_by(shown)
        if claim is None:
            raise _unknown_claim()
        request = load_request(request_der, self._limits)
        if request.public_key() == x509.load_der_x509_certificate(shown.chain[0]).public_key():
            raise _own_key()
        wanted = wanted_by(request)
        check_fleet_claim(claim, self._clock.now())
        chosen, labels = await self._asked(claim, wanted, shown, request)
        key = DeviceKey(claim.scope, chosen or self._named(claim, wanted))
        given = self._certifier.given(key, spki_digest(request))
        if given is not None:
            return given
        now = self._clock.now()
        new = Device(key, Lifecycle.EXPECTED, now, claim.model, claim.owner, labels=labels, serial=wanted.serial)
        async with self._claims.lock(claim.scope, claim.id):
            try:
                return await self._enroll(claim, new, wanted, shown, request)
            except IdentityRefused as refusal:
                await self._doubt(claim, key, refusal)
                raise

    async def _asked(
        self, claim: FleetClaim, wanted: Wanted, shown: Shown, request: x509.CertificateSigningRequest
    ) -> tuple[DeviceId | None, Labels]:
        """What the administrator's hook says of the device; nothing, where the claim needs none."""
        if not claim.hook:
            return None, ()
        if self._claims.hook is None:
            raise no_hook()
        question = {
            "line": claim.id,
            "tenant": claim.scope.tenant,
            "environment": claim.scope.environment,
            "model": claim.model,
            "owner": claim.owner,
            "device": wanted.device,
            "serial": wanted.serial,
            "key": spki_digest(request),
            "address": shown.address,
        }
        answer = await self._claims.hook.ask(canonical(question))
        return check_hook_answer(parse_hook_answer(answer, self._limits))

    def _named(self, claim: FleetClaim, wanted: Wanted) -> DeviceId:
        """The id of a device whose request names its serial number alone: the expected one's, else the number."""
        if wanted.device:
            return DeviceId(wanted.device)
        alive = self._with_serial(claim.scope, wanted.serial)
        return alive[0].key.device if alive else parse_device_id(wanted.serial.lower())

    def _with_serial(self, scope: Scope, serial: str) -> list[Device]:
        found = self._store.devices_with_serial(scope, serial) if serial else []
        return [device for device in found if device.lifecycle is not Lifecycle.RETIRED]

    async def _enroll(
        self, claim: FleetClaim, new: Device, wanted: Wanted, shown: Shown, request: x509.CertificateSigningRequest
    ) -> x509.Certificate:
        known = self._store.device(new.key) is not None
        key = new.key

        def admit(device: Device, now: Instant) -> Admission:
            current = self._store.kept(FleetClaim, claim.scope, claim.id)
            if current is None or current.fingerprint != claim.fingerprint:
                raise _unknown_claim()
            check_fleet_claim(current, now)
            if any(other.key != key for other in self._with_serial(claim.scope, wanted.serial)):
                raise _serial_taken(wanted.serial)
            check_claimable(current, device, self._store.credentials_of(key), wanted)
            changes: list[Change] = [msgspec.structs.replace(current, used=current.used + 1)]
            if not known:
                data = {"model": device.model, "owner": device.owner, "site": "", "line": claim.id}
                changes.extend(self._emit(Noted(Kind.DEVICE_ADDED, "server", device, key.scope, data, now)))
            proof = {"line": claim.id, "claim": public_id(claim.fingerprint), "serial_number": wanted.serial}
            return Admission(Method.FLEET_CLAIM, proof, tuple(changes))

        chain = await self._certifier.enroll(
            key,
            request.public_bytes(Encoding.DER),
            admit,
            channel=shown.channel,
            tried=Tried.FLEET_CLAIM,
            own_subject=request.subject,
            new=None if known else new,
        )
        return chain[0]

    async def _doubt(self, claim: FleetClaim, key: DeviceKey, refusal: IdentityRefused) -> None:
        device = self._store.device(key)
        if device is not None and refusal.code == "fleet.taken":
            reason = Reason(
                refusal.code,
                f"The claim of the production line {claim.id} was used to ask for {key.device}, which is enrolled.",
                "Find out whether the line gave an id twice. If not: holdfast fleet-claim withdraw LINE.",
            )
            if changes := self._emit(EnrollmentDoubted(device, reason, self._clock.now())):
                await self._store.commit(changes)


def _unknown_claim() -> IdentityRefused:
    return IdentityRefused(
        "fleet.withdrawn",
        "The production line's claim was withdrawn.",
        remedy="Ask an operator for another: holdfast fleet-claim create LINE.",
    )


def _own_key() -> IdentityRefused:
    return IdentityRefused(
        "fleet.own_key",
        "The request is for the key of the production line's own claim.",
        remedy="Let each device make its own key; the line's must never be a device's.",
    )


def _serial_taken(serial: str) -> IdentityRefused:
    return IdentityRefused(
        "fleet.serial",
        f"Another device has the serial number {serial[:80]!r}.",
        remedy="Correct the inventory, or the number that the line gave.",
    )
