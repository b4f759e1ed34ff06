"""Enrollment by what the manufacturer put into the device: an IDevID (IEEE 802.1AR).

1. TLS proved that the peer holds the key of the certificate, and that it leads to a root of a manufacturer we know.
2. The serial number must be that of exactly one expected device of a model that this manufacturer may admit; or the
   record says that its devices are added, and none has that number yet.
3. Who comes with a certificate that was used up, or for a device it cannot be for, leaves an incident.
4. No manufacturer's root may bear a name that an authority of ours or of another manufacturer bears: TLS finds
   authorities by their names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.identity.certifying import Admission, Certifier
from holdfast.identity.enrollment import Shown
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, EnrollmentDoubted, Noted
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.lookup import require_device
from holdfast.ports.signer import Authority
from holdfast.ports.store import Change, Removed, Store
from holdfast_core.identity.manufacturers import (
    ALLOWED_FOR,
    Allowance,
    IDevID,
    Manufacturer,
    added_id,
    check_unused,
    checked,
    der_of,
    is_used_up,
    read_authorities,
    read_idevid,
)
from holdfast_core.identity.model import Method
from holdfast_core.identity.requests import read_request, spki_digest
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason, require_why
from holdfast_core.record.model import Kind

_DOUBTFUL = frozenset({"idevid.used", "idevid.model", "device.inactive"})


class ManufacturerService:
    """Implements `holdfast.identity.enrollment.Way`, and keeps the list of manufacturers."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        certifier: Certifier,
        authority: Authority,
        book: IssuerBook,
        services: x509.Certificate,
        emit: Emit,
        limits: Limits,
    ) -> None:
        self._store = store
        self._clock = clock
        self._certifier = certifier
        self._authority = authority
        self._book = book
        self._services = services
        self._emit = emit
        self._limits = limits
        self._lock = asyncio.Lock()

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
        if len({match[2].key for match in fitting}) > 1:
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

    def list(self, scope: Scope) -> list[Manufacturer]:
        """The manufacturers of a scope by name."""
        return self._store.all_kept(Manufacturer, scope)

    async def add(self, manufacturer: Manufacturer, pem: bytes, *, actor: str) -> Manufacturer:
        """Trust a manufacturer; `pem` are its authorities. One of the same name is replaced.

        Raises:
            HostileData: ``manufacturer.*``, ``model.unknown``, ``name.invalid``.
        """
        authorities = read_authorities(pem, self._limits)
        self._check_names(authorities)
        self._check_models(manufacturer)
        scope = manufacturer.scope
        async with self._lock:
            others = [one for one in self.list(scope) if one.id != manufacturer.id]
            if len(others) >= self._limits.manufacturers:
                raise HostileData(
                    "manufacturer.too_many",
                    f"There are {len(others)} manufacturers already.",
                    remedy="Remove those whose devices are all enrolled: holdfast manufacturer remove NAME.",
                    http_status=409,
                )
            now = self._clock.now()
            made = checked(_with(manufacturer, authorities, now))
            data = {
                "manufacturer": made.id,
                "roots": [digest_of(der) for der in made.certificates],
                "models": list(made.models),
                "add": made.add,
                "owner": made.owner,
            }
            await self._store.commit([made, *self._emit(Noted(Kind.MANUFACTURER_ADDED, actor, None, scope, data, now))])
        return made

    async def remove(self, scope: Scope, name: str, *, actor: str) -> Manufacturer:
        """Let a manufacturer's certificates admit nobody any more; devices that were admitted stay.

        Raises:
            HostileData: ``manufacturer.unknown``.
        """
        async with self._lock:
            found = self._store.kept(Manufacturer, scope, name)
            if found is None:
                raise HostileData(
                    "manufacturer.unknown",
                    f"There is no manufacturer {name[:80]!r} in {scope}.",
                    remedy="List them: holdfast manufacturer list.",
                    http_status=404,
                )
            noted = Noted(Kind.MANUFACTURER_REMOVED, actor, None, scope, {"manufacturer": name}, self._clock.now())
            await self._store.commit([Removed(Manufacturer, scope, name), *self._emit(noted)])
        return found

    async def allow(self, key: DeviceKey, *, why: str, actor: str) -> Allowance:
        """Let a device come once more with its manufacturer's certificate, within a day.

        Raises:
            HostileData: ``device.unknown``, ``why.missing``.
        """
        require_why(why)
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            allowance = Allowance(scope=key.scope, id=key.device, by=actor, expires_at=Instant(now + ALLOWED_FOR))
            data = {"why": why, "expires_at": allowance.expires_at}
            noted = Noted(Kind.ENROLLMENT_ALLOWED, actor, device, key.scope, data, now)
            await self._store.commit([allowance, *self._emit(noted)])
        return allowance

    def _check_names(self, authorities: Sequence[x509.Certificate]) -> None:
        ours = [self._authority.root, self._services, *self._book.every()]
        kept = [der for one in self._store.all_kept(Manufacturer) for der in one.certificates]
        taken = {authority.subject: authority.public_bytes(Encoding.DER) for authority in ours}
        taken |= {x509.load_der_x509_certificate(der).subject: der for der in kept}
        for authority in authorities:
            der = authority.public_bytes(Encoding.DER)
            if authority in ours or taken.get(authority.subject, der) != der:
                name = authority.subject.rfc4514_string()[:200]
                raise HostileData(
                    "manufacturer.name_taken",
                    f"{name!r} is the name of an authority that is trusted already.",
                    remedy="Look at where the file comes from: it is Holdfast's own authority, or has another's name.",
                    http_status=409,
                )

    def _check_models(self, manufacturer: Manufacturer) -> None:
        for model in manufacturer.models:
            known = self._store.models(manufacturer.scope)
            if not any(model in (stored.reference, stored.model.name) for stored in known):
                raise HostileData(
                    "model.unknown",
                    f"There is no model {model[:80]!r} in {manufacturer.scope}.",
                    remedy="Add its file first: holdfast model add FILE. Known ones: holdfast model list.",
                    http_status=404,
                )


def _with(manufacturer: Manufacturer, authorities: Sequence[x509.Certificate], now: Instant) -> Manufacturer:
    return Manufacturer(
        scope=manufacturer.scope,
        id=manufacturer.id,
        certificates=der_of(authorities),
        models=manufacturer.models,
        added_at=now,
        serial_from=manufacturer.serial_from,
        add=manufacturer.add,
        owner=manufacturer.owner,
    )


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
        f"Several devices have the serial number {serial[:80]!r}.",
        remedy="Correct the inventory: one device, one serial number of a manufacturer.",
    )
