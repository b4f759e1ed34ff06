"""The manufacturers whose certificates admit devices: added, listed, removed; and a person's leave to come again.

1. No manufacturer's authority may bear a name that one of ours or of another manufacturer bears, or that an issuer of
   ours will bear: TLS finds authorities by their names, case and blanks aside, and whoever may add manufacturers to one
   tenant must not shut out another.
2. Removing a manufacturer admits nobody any more; devices that were admitted stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.lookup import require_device
from holdfast.ports.signer import Authority
from holdfast.ports.store import Removed, Store
from holdfast_core.identity.manufacturers import (
    ALLOWED_FOR,
    Allowance,
    Manufacturer,
    checked,
    der_of,
    is_reserved,
    read_alike,
    read_authorities,
)
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind


class ManufacturerService:
    """Keeps the list of manufacturers."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        authority: Authority,
        book: IssuerBook,
        services: x509.Certificate,
        emit: Emit,
        limits: Limits,
    ) -> None:
        self._store = store
        self._clock = clock
        self._authority = authority
        self._book = book
        self._services = services
        self._emit = emit
        self._limits = limits
        self._lock = asyncio.Lock()
        self._let_go: set[bytes] = set()
        """Authorities that were removed since the start: TLS knows them, and with them their names, until the next."""

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
            before = self._store.kept(Manufacturer, scope, made.id)
            await self._store.commit([made, *self._emit(Noted(Kind.MANUFACTURER_ADDED, actor, None, scope, data, now))])
            self._let_go.update(before.certificates if before else ())
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
            self._let_go.update(found.certificates)
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
        kept = [*self._let_go, *(der for one in self._store.all_kept(Manufacturer) for der in one.certificates)]
        taken = {read_alike(authority.subject): authority.public_bytes(Encoding.DER) for authority in ours}
        taken |= {read_alike(x509.load_der_x509_certificate(der).subject): der for der in kept}
        for authority in authorities:
            der, subject = authority.public_bytes(Encoding.DER), authority.subject
            if authority in ours or is_reserved(subject) or taken.get(read_alike(subject), der) != der:
                name = authority.subject.rfc4514_string()[:200]
                raise HostileData(
                    "manufacturer.name_taken",
                    f"{name!r} is the name of an authority that is trusted already.",
                    remedy="Look at where the file comes from: it is Holdfast's own authority, or has another's name. "
                    "Names of manufacturers that were removed are free once the server was restarted.",
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
