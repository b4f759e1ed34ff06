"""What the store answers from: every hot record, in the order in which it became durable.

1. Only `take` changes anything, and only with changes that are on the disk.
2. Postures are held encoded: a fleet of ten thousand is then some megabytes, and nobody can change one in place.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from holdfast.ports.store import Change, Delivery, DeviceFilter, K, Removed, StoredModel
from holdfast_core.identity.model import Claim, Credential, Token
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.response.model import Incident
from holdfast_core.trust.posture import Posture
from holdfast_core.wire.frame import Level

_decode_posture = msgspec.msgpack.Decoder(Posture).decode


class Memory:
    """The records in force."""

    def __init__(self) -> None:
        self.credentials: dict[Digest, Credential] = {}
        self.claims: dict[Digest, Claim] = {}
        self.tokens: dict[Digest, Token] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.models: dict[tuple[Scope, str], StoredModel] = {}
        self.devices: dict[DeviceKey, Device] = {}
        self._names: defaultdict[Scope, list[DeviceId]] = defaultdict(list)
        self._of_serial: defaultdict[tuple[Scope, str], set[DeviceKey]] = defaultdict(set)
        self._postures: dict[DeviceKey, bytes] = {}
        self._verdicts: dict[DeviceKey, tuple[Level, Instant | None]] = {}
        self._fingerprints: defaultdict[DeviceKey, list[Digest]] = defaultdict(list)
        self._claims_of: defaultdict[DeviceKey, list[Digest]] = defaultdict(list)
        self._keys: set[Digest] = set()
        self._serials: dict[str, Digest] = {}
        self._kept: defaultdict[type[Kept], dict[tuple[Scope, str], Kept]] = defaultdict(dict)
        self._incidents: dict[tuple[DeviceKey, str], Incident] = {}
        self._takers: dict[type[Any], Callable[[Any], None]] = {
            Device: self._take_device,
            Credential: self._take_credential,
            Claim: self._take_claim,
            Token: self._take_token,
            StoredModel: self._take_model,
            Incident: self._take_incident,
            Delivery: self._take_delivery,
        }

    def take(self, stored: Iterable[tuple[Change, bytes]]) -> None:
        """Take over what became durable, each change with its stored bytes; bodies and leaves stay on disk."""
        for change, data in stored:
            if isinstance(change, Posture):
                self._take_posture(change, data)
            elif isinstance(change, Kept):
                self._kept[type(change)][change.scope, change.id] = change
            elif isinstance(change, Removed):
                self._kept[change.kind].pop((change.scope, change.id), None)
            elif (take := self._takers.get(type(change))) is not None:
                take(change)

    def _take_posture(self, posture: Posture, data: bytes) -> None:
        self._postures[posture.key] = data
        self._verdicts[posture.key] = (posture.verdict.level, posture.verdict.until)

    def _take_device(self, device: Device) -> None:
        scope, before = device.key.scope, self.devices.get(device.key)
        if before is not None and before.serial != device.serial:
            self._of_serial[scope, before.serial].discard(device.key)
        if device.serial:
            self._of_serial[scope, device.serial].add(device.key)
        if before is None:
            bisect.insort(self._names[device.key.scope], device.key.device)
        self.devices[device.key] = device

    def _take_claim(self, claim: Claim) -> None:
        if claim.digest not in self.claims:
            self._claims_of[claim.key].append(claim.digest)
        self.claims[claim.digest] = claim

    def _take_token(self, token: Token) -> None:
        self.tokens[token.digest] = token

    def _take_model(self, model: StoredModel) -> None:
        self.models[model.scope, model.reference] = model

    def _take_credential(self, credential: Credential) -> None:
        if credential.fingerprint not in self.credentials:
            self._fingerprints[credential.key].append(credential.fingerprint)
            self._keys.add(credential.spki)
            self._serials[credential.serial] = credential.fingerprint
        self.credentials[credential.fingerprint] = credential

    def _take_incident(self, incident: Incident) -> None:
        if incident.closed_at is None:
            self._incidents[incident.key, incident.cause] = incident
        else:
            self._incidents.pop((incident.key, incident.cause), None)

    def _take_delivery(self, delivery: Delivery) -> None:
        if delivery.done:
            self.deliveries.pop(delivery.id, None)
        else:
            self.deliveries[delivery.id] = delivery

    def posture(self, key: DeviceKey) -> Posture | None:
        """The device's posture, decoded anew."""
        data = self._postures.get(key)
        return None if data is None else _decode_posture(data)

    def level(self, key: DeviceKey) -> Level | None:
        """The level of the device's verdict, without decoding its posture."""
        verdict = self._verdicts.get(key)
        return verdict[0] if verdict else None

    def lapsing(self, now: Instant) -> list[DeviceKey]:
        """Devices whose verdict holds no longer than `now`."""
        return [key for key, (_, until) in self._verdicts.items() if until is not None and until <= now]

    def knows_key(self, spki: Digest) -> bool:
        """Whether any credential ever had this public key."""
        return spki in self._keys

    def credential_by_serial(self, serial: str) -> Credential | None:
        """The credential with this serial number."""
        fingerprint = self._serials.get(serial)
        return None if fingerprint is None else self.credentials[fingerprint]

    def kept(self, kind: type[K], scope: Scope, name: str) -> K | None:
        """One small record."""
        found = self._kept[kind].get((scope, name))
        return found if isinstance(found, kind) else None

    def all_kept(self, kind: type[K], scope: Scope | None) -> list[K]:
        """The small records of a type, by scope and id."""
        found = (record for (owner, _), record in self._kept[kind].items() if scope is None or owner == scope)
        return sorted((r for r in found if isinstance(r, kind)), key=lambda record: (record.scope, record.id))

    def claims_of(self, key: DeviceKey) -> list[Claim]:
        """The device's claims, oldest first."""
        mine = [self.claims[digest] for digest in self._claims_of.get(key, ())]
        return sorted(mine, key=lambda claim: claim.created_at)  # the disk gives them in the order of their digests

    def credentials_of(self, key: DeviceKey) -> list[Credential]:
        """The device's credentials, oldest first."""
        return [self.credentials[fingerprint] for fingerprint in self._fingerprints.get(key, ())]

    def listed(self, scope: Scope, wanted: DeviceFilter) -> Iterator[Device]:
        """Devices of a scope in id order, from after `wanted.after` on."""
        names = self._names.get(scope, [])
        found = 0
        for name in names[bisect.bisect_right(names, DeviceId(wanted.after)) :]:
            if found >= wanted.limit:
                return
            device = self.devices[DeviceKey(scope, name)]
            if self._fits(device, wanted):
                found += 1
                yield device

    def _fits(self, device: Device, wanted: DeviceFilter) -> bool:
        return (
            (wanted.level is None or self.level(device.key) is wanted.level)
            and (not wanted.lifecycle or device.lifecycle.value == wanted.lifecycle)
            and (not wanted.model or device.model == wanted.model)
            and (not wanted.site or device.site == wanted.site)
        )

    def devices_with_serial(self, scope: Scope, serial: str) -> list[Device]:
        """Devices of a scope by their maker's number."""
        return [self.devices[key] for key in sorted(self._of_serial.get((scope, serial), ()))]

    def counts(self, scope: Scope) -> dict[str, int]:
        """How many devices of a scope have each verdict."""
        levels = (self.level(DeviceKey(scope, name)) for name in self._names.get(scope, ()))
        return dict(Counter(level.value if level else "none" for level in levels))

    def open_incidents(self, scope: Scope) -> list[Incident]:
        """Open incidents of a scope, newest first."""
        mine = [incident for incident in self._incidents.values() if incident.key.scope == scope]
        return sorted(mine, key=lambda incident: incident.opened_at, reverse=True)

    def open_incident(self, key: DeviceKey, cause: str) -> Incident | None:
        """The open incident of one cause on one device."""
        return self._incidents.get((key, cause))
