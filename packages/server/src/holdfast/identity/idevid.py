"""Enrollment by what the manufacturer put into the device: an IDevID (IEEE 802.1AR).

1. TLS proved that the peer holds the key of the certificate, and that it leads to a root of a manufacturer we know.
2. The serial number must be that of exactly one expected device of a model that this manufacturer may admit; or the
   record says that its devices are added, and none has that number yet. What one tenant expects and
   another, who knew the manufacturer first, would add, neither gets: a person has to say whose it is, by a claim.
3. Who comes with a certificate that was used up, or for a device it cannot be for, leaves an incident.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from holdfast.identity.certifying import Admission, Certifier
from holdfast.identity.enrollment import Shown
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, EnrollmentDoubted, Noted, Tried
from holdfast.ports.store import Change, Removed, Store
from holdfast_core.identity.manufacturers import (
    Allowance,
    IDevID,
    Manufacturer,
    added_id,
    check_unused,
    is_used_up,
    read_idevid,
)
from holdfast_core.identity.model import Method
from holdfast_core.identity.requests import read_request, spki_digest
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind

_DOUBTFUL = frozenset({"idevid.used", "idevid.model", "device.inactive"})


class IDevIDEnrollment:
    """Implements `holdfast.identity.enrollment.Way`."""

    def __init__(self, *, store: Store, clock: Clock, certifier: Certifier, emit: Emit, limits: Limits) -> None:
        self._store = store
        self._clock = clock
        self._certifier = certifier
        self._emit = emit
        self._limits = limits

    def knows(self, shown: Shown) -> bool:
        """Whether the chain leads to a root of a manufacturer."""
        return bool(self._of_root(shown))

    def _of_root(self, shown: Shown) -> list[Manufacturer]:
        return [one for one in self._store.all_kept(Manufacturer) if shown.chain[-1] in one.certificates]

    async def enroll(self, shown: Shown, request_der: bytes) -> x509.Certificate:
        """The certificate of the device whose manufacturer's certificate was shown.

        Raises:
            IdentityRefused: ``idevid.*``, ``device.*``.
            HostileData: ``csr.*``, ``identity.*``.
        """
        now = self._clock.now()
        found = [(one, read_idevid(shown.chain[0], one.serial_from, now)) for one in self._of_root(shown)]
        manufacturer, idevid, device = self._the_one(found, now)
        known = self._store.device(device.key) is not None
        try:
            return await self._admitted(manufacturer, idevid, device, shown, request_der, known=known)
        except IdentityRefused as refusal:
            await self._doubt(device, refusal, known=known)
            raise

    def _the_one(
        self, found: Sequence[tuple[Manufacturer, IDevID]], now: Instant
    ) -> tuple[Manufacturer, IDevID, Device]:
        """The device with the serial number, of whichever scope expects it; else the one to be added."""
        matches = [
            (one, idevid, device)
            for one, idevid in found
            for device in self._store.devices_with_serial(one.scope, idevid.serial)
        ]
        if not matches:
            matches = [(one, idevid, _added(one, idevid, now)) for one, idevid in found if one.add]
        if not matches:
            raise _unexpected(found[0][1].serial)
        # A repaired board leaves retired devices of its number behind; those count only where there is no other.
        alive = [match for match in matches if match[2].lifecycle is not Lifecycle.RETIRED]
        fitting = [match for match in alive if match[0].makes(match[2].model)]
        if len({match[2].key for match in fitting}) > 1 or _another_would_add(found, fitting):
            raise _ambiguous(found[0][1].serial)
        return (fitting or alive or matches)[0]

    async def _admitted(
        self,
        manufacturer: Manufacturer,
        idevid: IDevID,
        device: Device,
        shown: Shown,
        request_der: bytes,
        *,
        known: bool,
    ) -> x509.Certificate:
        key = device.key
        request = read_request(request_der, key, self._limits, own_subject=idevid.subject, channel=shown.channel)
        given = self._certifier.given(key, spki_digest(request))
        if given is not None:
            return given

        def admit(current: Device, now: Instant) -> Admission:
            changes: list[Change] = []
            if not known and self._store.device(key) is None:
                data = {"model": current.model, "owner": current.owner, "site": "", "manufacturer": manufacturer.id}
                changes.extend(self._emit(Noted(Kind.DEVICE_ADDED, "server", current, key.scope, data, now)))
            if current.serial != idevid.serial:
                raise _ambiguous(idevid.serial)  # ids of added devices may fall together; their numbers do not
            _check_model(manufacturer, current)
            allowance = self._store.kept(Allowance, key.scope, key.device)
            credentials = self._store.credentials_of(key)
            check_unused(current, credentials, allowance, now)
            if allowance is not None and is_used_up(credentials):
                changes.append(Removed(Allowance, key.scope, key.device))
            proof = {
                "manufacturer": manufacturer.id,
                "idevid": digest_of(shown.chain[0]),
                "serial_number": idevid.serial,
            }
            return Admission(Method.MANUFACTURER, proof, tuple(changes))

        chain = await self._certifier.enroll(
            key,
            request_der,
            admit,
            channel=shown.channel,
            tried=Tried.MANUFACTURER,
            own_subject=idevid.subject,
            new=None if known else device,
        )
        return chain[0]

    async def _doubt(self, device: Device, refusal: IdentityRefused, *, known: bool) -> None:
        if known and refusal.code in _DOUBTFUL:
            reason = Reason(
                refusal.code,
                f"Somebody came with a manufacturer's certificate for {device.key.device} and was refused: "
                f"{refusal.sentence}",
                "Find out who: the device itself, reset or restored, or a copy of it.",
            )
            if changes := self._emit(EnrollmentDoubted(device, reason, self._clock.now())):
                await self._store.commit(changes)


def _another_would_add(
    found: Sequence[tuple[Manufacturer, IDevID]], fitting: Sequence[tuple[Manufacturer, IDevID, Device]]
) -> bool:
    """Whether another tenant would add the device that one expects: expecting it must not take it from that one.

    Who knew the manufacturer first counts, so that nobody shuts the others out by adding whatever comes.
    """
    if not fitting:
        return False
    expecting = fitting[0][0]
    others = (one for one, _ in found if one.add and one.scope.tenant != expecting.scope.tenant)
    return any(one.added_at <= expecting.added_at for one in others)


def _added(manufacturer: Manufacturer, idevid: IDevID, now: Instant) -> Device:
    """The device as it comes into the inventory."""
    key = DeviceKey(manufacturer.scope, added_id(manufacturer, idevid))
    return Device(key, Lifecycle.EXPECTED, now, manufacturer.models[0], manufacturer.owner, serial=idevid.serial)


def _check_model(manufacturer: Manufacturer, device: Device) -> None:
    if not manufacturer.makes(device.model):
        raise IdentityRefused(
            "idevid.model",
            f"{manufacturer.id} may not admit {device.key.device}, which is of {device.model or 'no model'}.",
            remedy="Check the serial number in the inventory, and which models the manufacturer's record names.",
        )


def _unexpected(serial: str) -> IdentityRefused:
    return IdentityRefused(
        "idevid.unexpected",
        f"No device with the serial number {serial[:80]!r} is expected.",
        remedy="Add it first: holdfast device add DEVICE --model MODEL --serial SERIAL.",
    )


def _ambiguous(serial: str) -> IdentityRefused:
    return IdentityRefused(
        "idevid.ambiguous",
        f"Several devices have the serial number {serial[:80]!r}, or could have it.",
        remedy="Correct the inventory: one device, one serial number of a manufacturer. Or enroll it with a claim.",
    )
