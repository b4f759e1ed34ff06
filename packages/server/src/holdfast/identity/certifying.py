"""The last step of every way to a certificate: whoever was admitted, by whatever proof, is certified here.

1. A device is certified under its lock, and only while the inventory expects it and somebody owns it.
2. One commit: what admitted it is used up, the credential exists, the device is enrolled, all of it recorded.
3. A key that any credential ever had is refused, also while the other one is not durable yet.
4. A new enrollment ends every credential that the device had and every other claim to it: one device, one key. Where
   it `goes_on`, the one in use ends when the new one is first used, so that an answer that was lost locks nobody out.
   It is a renewal then, and bound by what the device's model demands of one (`check_renewable`).
5. A device whose key lies in a TPM gets no certificate for a key that the TPM did not prove.
6. Beyond `limits.certifying` at once, whoever comes is told to come later: signing never starves the check-ins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.identity.tpm_refusals import tpm_required
from holdfast.ports.attested import check_renewable
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.credentials import end_claims, end_credentials
from holdfast.ports.events import Emit, Noted, Tried
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.lookup import require_device
from holdfast.ports.signer import Authority, PublicKey
from holdfast.ports.store import Change, Store
from holdfast.ports.tombstones import Tombstones
from holdfast.ports.verdicts import Verdicts
from holdfast_core.identity.lifetimes import ends_at
from holdfast_core.identity.model import Claim, Credential, Method, Revocation
from holdfast_core.identity.requests import read_request, spki_digest
from holdfast_core.identity.rules import IdentityRefused, check_owned, supersede
from holdfast_core.inventory.lifecycle import Device, LifecycleEvent, advance
from holdfast_core.inventory.model import Identity
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant, from_datetime
from holdfast_core.kernel.limits import Limits
from holdfast_core.record.model import Kind

_BUSY_LEAST_S, _BUSY_SPREAD_S = 20, 40


class Admission(msgspec.Struct, frozen=True):
    """Why a device is certified: by what proof, what the record says of it, and what is used up by it."""

    method: Method
    proof: Mapping[str, object] = {}
    changes: tuple[Change, ...] = ()
    goes_on: bool = False
    """Whether the certificate that the device uses speaks until it uses the new one, as at a renewal."""


Admit = Callable[[Device, Instant], Admission]
"""Judges the proof once more under the device's lock; raises if it does not hold (any more)."""


class Chips(Protocol):
    """Knows the devices that have a TPM."""

    def has(self, key: DeviceKey) -> bool:
        """Whether a chip is bound to this device."""
        ...


class Certifier:
    """Turns an admission and a request into a certificate."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        randomness: Randomness,
        authority: Authority,
        book: IssuerBook,
        verdicts: Verdicts,
        emit: Emit,
        limits: Limits,
        chips: Chips,
        tombstones: Tombstones,
    ) -> None:
        self._store = store
        self._chips = chips
        self._clock = clock
        self._randomness = randomness
        self._authority = authority
        self._book = book
        self._verdicts = verdicts
        self._emit = emit
        self._limits = limits
        self._tombstones = tombstones
        self._under_way: set[Digest] = set()
        """Keys whose certificates are not durable yet."""

    async def enroll(
        self,
        key: DeviceKey,
        request_der: bytes,
        admit: Admit,
        *,
        channel: bytes | None = None,
        own_subject: x509.Name | None = None,
        new: Device | None = None,
        tried: Tried = Tried.ENROLLMENT,
    ) -> list[x509.Certificate]:
        """Certify the device `key`; return its certificate, then the chain without the root.

        Args:
            key: the device.
            request_der: its PKCS#10 request.
            admit: judges the proof.
            channel: the ``tls-unique`` of the connection, where it has one.
            own_subject: a subject that the device is known by already; allowed in the request.
            new: the device as it comes into the inventory with its certificate, if it is not there yet.
            tried: by what it enrolls, should its life have ended.

        Raises:
            IdentityRefused: by `admit`, or ``device.inactive``, ``device.unowned``, ``device.retired``,
                ``identity.attestation_required``.
            HostileData: ``csr.*``, ``identity.key_reused``, ``identity.busy``.
        """
        request = read_request(request_der, key, self._limits, own_subject=own_subject, channel=channel)
        async with self._store.exclusive(key):
            await self._tombstones.check(key, tried)
            now = self._clock.now()
            device = check_owned(self._store.device(key) or new or require_device(self._store, key))
            admission = admit(device, now)
            with self.certifying(request) as spki:
                return await self._enroll(device, admission, request, spki, now)

    async def _enroll(
        self, device: Device, admission: Admission, request: x509.CertificateSigningRequest, spki: Digest, now: Instant
    ) -> list[x509.Certificate]:
        key = device.key
        enrolled = msgspec.structs.replace(device, lifecycle=advance(device.lifecycle, LifecycleEvent.ENROLL))
        present = self._in_use(key) if admission.goes_on else None
        self._check_affirmed(device, admission, present, now)
        certificate, credential = self.made(request, spki, enrolled, admission.method, now)
        posture, follow = self._verdicts.begin(enrolled, self._store.posture(key), now)
        data = {
            **admission.proof,
            "method": admission.method.value,
            "fingerprint": credential.fingerprint,
            "serial": credential.serial,
        }
        noted = Noted(Kind.DEVICE_ENROLLED, f"device:{key.device}", enrolled, key.scope, data, now)
        why, code = "the device enrolled again", Revocation.SUPERSEDED
        but = present.fingerprint if present is not None else None
        ended = end_credentials(self._store, self._emit, enrolled, why=why, actor="server", now=now, code=code, but=but)
        if present is not None:
            credential = msgspec.structs.replace(credential, predecessor=present.fingerprint)
            ended.append(supersede(present, credential.fingerprint))
        used = next((change.digest for change in admission.changes if isinstance(change, Claim)), None)
        ended += end_claims(self._store, key, now, but=used)
        changes = [*admission.changes, *ended, enrolled, credential, posture, *self._emit(noted), *follow]
        await self._store.commit(changes)
        return [certificate, *self._book.chain(key.scope)[:-1]]

    def _check_affirmed(self, device: Device, admission: Admission, present: Credential | None, now: Instant) -> None:
        """Hold a TPM that renews by enrolling again to its model's demand.

        Free of it are: what a person let in by a claim; the step from a key in a file into the TPM, before which
        nothing could be attested; what was granted already, for the attestation key is the new one from then on, so
        that whoever lost the answer cannot attest; and a device whose certificate is over, so that it cannot check in.

        Raises:
            IdentityRefused: ``identity.attestation_required`` (403).
        """
        if present is None or present.method is not Method.TPM or present.successor is not None:
            return
        if any(isinstance(change, Claim) for change in admission.changes):
            return
        if now < present.not_after and self._book.standing(present).is_trusted:
            stored = self._store.model(device.key.scope, device.model)
            check_renewable(device, stored, self._store.posture(device.key), now)

    def _in_use(self, key: DeviceKey) -> Credential | None:
        """The newest credential in force that the device has used."""
        used = [c for c in self._store.credentials_of(key) if c.revoked_at is None and c.confirmed_at is not None]
        return max(used, key=lambda credential: credential.issued_at, default=None)

    def made(
        self,
        request: x509.CertificateSigningRequest,
        spki: Digest,
        device: Device,
        method: Method,
        now: Instant,
    ) -> tuple[x509.Certificate, Credential]:
        """A new certificate for `device`, and its credential; nothing is stored.

        Raises:
            IdentityRefused: ``tpm.required`` (403).
        """
        if method is not Method.TPM and self._chips.has(device.key):
            raise tpm_required()
        key, number = device.key, self._book.active(device.key.scope)
        not_after = ends_at(spki, now, self.life_of(device).leaf_days)
        public = request.public_key()
        assert isinstance(public, PublicKey)  # noqa: S101  (`read_request` takes no other)
        certificate = self._authority.issue(public, key, number, now=now, not_after=not_after)
        der = certificate.public_bytes(Encoding.DER)
        credential = Credential(
            fingerprint=digest_of(der),
            key=key,
            serial=f"{certificate.serial_number:x}",
            spki=spki,
            not_before=from_datetime(certificate.not_valid_before_utc),
            not_after=from_datetime(certificate.not_valid_after_utc),
            issuer=self._authority.issuer_fingerprint(key.scope, number),
            issued_at=now,
            method=method,
            certificate=der,
        )
        return certificate, credential

    def given(self, key: DeviceKey, spki: Digest) -> x509.Certificate | None:
        """The certificate that the device got for this very key and never used: its answer may have been lost."""
        for credential in self._store.credentials_of(key):
            if credential.spki == spki and credential.certificate and credential.revoked_at is None:
                return x509.load_der_x509_certificate(credential.certificate)
        return None

    def life_of(self, device: Device) -> Identity:
        """How the device's model lets its certificates live."""
        stored = self._store.model(device.key.scope, device.model)
        return stored.model.identity if stored is not None else Identity()

    @contextmanager
    def certifying(self, request: x509.CertificateSigningRequest, *, known: bool = False) -> Iterator[Digest]:
        """Hold the key of `request` while its certificate is made; `known` if it may have had one before.

        Raises:
            HostileData: ``identity.key_reused``, ``identity.busy``.
        """
        spki = spki_digest(request)
        if spki in self._under_way or (self._store.knows_key(spki) and not known):
            raise _key_reused()
        if len(self._under_way) >= self._limits.certifying:
            raise self._busy()
        self._under_way.add(spki)
        try:
            yield spki
        finally:
            self._under_way.discard(spki)

    def _busy(self) -> HostileData:
        """The time to come again is another for each, so that those who were refused together do not return so."""
        later = _BUSY_LEAST_S + sum(self._randomness.token(1).encode()) % _BUSY_SPREAD_S
        return HostileData(
            "identity.busy",
            "The authority certifies as many devices as it can at once.",
            remedy="Come again after the time in Retry-After; nothing was used up.",
            http_status=503,
            retry_after_s=later,
        )


def _key_reused() -> IdentityRefused:
    return IdentityRefused(
        "identity.key_reused",
        "The key in the request was certified before.",
        remedy="Make a new key on the device, also to renew; a key that was copied with an image must never serve two. "
        "Where a chip cannot make another key, its model file says identity.renewal_key: same.",
    )
