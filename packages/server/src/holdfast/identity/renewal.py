"""Renewing: a device that has a certificate gets its next one (RFC 7030, section 4.2.2).

1. Each certificate is renewed once, and its successor has a new key unless its model says that the key cannot change.
   The very same request again gets the very same certificate: an answer may be lost on its way.
2. A second renewal with another key means that two parties hold the certificate: the device is held as a clone.
3. The old certificate ends when the new one is first used, not before: a device that lost power in between goes on.
4. What lapsed, or came from an issuer that was ended, is renewed by grace: for so long, on the same terms, recorded.
5. Nothing is renewed for a device that is retired, unowned or held: renewal is tied to the inventory.
6. Where the model demands it (``attestation.before_renewal``), only an affirmed device renews, also by grace. What was
   granted before is given again as it was, and who is not affirmed is not asked to renew.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from cryptography import x509

from holdfast.identity.certifying import Certifier
from holdfast.ports.appraisal import Context
from holdfast.ports.attested import ATTESTATION_REQUIRED, check_renewable, renewal_lack
from holdfast.ports.clock import Clock
from holdfast.ports.credentials import Credentials, hold_clone
from holdfast.ports.events import Emit, Noted, Tried
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.lookup import require_device, require_posture
from holdfast.ports.store import Change, Store
from holdfast.ports.verdicts import Verdicts
from holdfast_core.identity.issuers import Standing
from holdfast_core.identity.lifetimes import wants_renewal
from holdfast_core.identity.model import Credential, Method
from holdfast_core.identity.requests import read_request, spki_digest
from holdfast_core.identity.rules import (
    IdentityRefused,
    check_held,
    check_owned,
    check_renewal,
    is_graceful,
    supersede,
)
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.inventory.model import RenewalKey
from holdfast_core.kernel.digests import Digest, canonical
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.trust.model import Verdict
from holdfast_core.trust.posture import Posture, Wish, wish

RENEW = "renew"


class RenewalService:
    """Gives devices their next certificate."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        certifier: Certifier,
        credentials: Credentials,
        book: IssuerBook,
        verdicts: Verdicts,
        emit: Emit,
        limits: Limits,
    ) -> None:
        self._store = store
        self._clock = clock
        self._certifier = certifier
        self._credentials = credentials
        self._book = book
        self._verdicts = verdicts
        self._emit = emit
        self._limits = limits

    async def renew(
        self, fingerprint: Digest, request_der: bytes, *, channel: bytes | None = None
    ) -> list[x509.Certificate]:
        """The next certificate of whoever holds the one with `fingerprint`, then the chain without the root.

        Raises:
            IdentityRefused: ``identity.*``, ``device.*``; ``identity.renewed_twice`` (409) for a clone;
                ``identity.attestation_required`` where fresh evidence is demanded and missing.
            HostileData: ``csr.*``, ``identity.key_reused``, ``identity.busy``.
        """
        credential = await self._held(fingerprint)
        key = credential.key
        request = read_request(request_der, key, self._limits, channel=channel)
        async with self._store.exclusive(key):
            now = self._clock.now()
            device = check_owned(require_device(self._store, key))
            life = self._certifier.life_of(device)
            credential = check_renewal(self._store.credential(fingerprint), life.grace_days, now)
            self._check_not_held(device)
            if credential.successor is not None:
                return await self._again(device, credential, request, now)
            stored = self._store.model(key.scope, device.model)
            check_renewable(device, stored, require_posture(self._store, key), now)
            with self._certifier.certifying(request, known=self._may_keep(device, credential, request)) as spki:
                return await self._renew(device, credential, request, spki, now)

    async def _held(self, fingerprint: Digest) -> Credential:
        try:
            return check_held(self._store.credential(fingerprint))
        except IdentityRefused as refusal:
            await self._credentials.tell_misuse(fingerprint, refusal, self._clock.now(), Tried.RENEWAL)
            raise

    def _may_keep(self, device: Device, credential: Credential, request: x509.CertificateSigningRequest) -> bool:
        same = spki_digest(request) == credential.spki
        return same and self._certifier.life_of(device).renewal_key is RenewalKey.SAME

    def _check_not_held(self, device: Device) -> None:
        hold = require_posture(self._store, device.key).hold
        if hold is not None:
            raise IdentityRefused(
                "identity.held",
                f"{device.key.device} is quarantined since {rfc3339(hold.at)}; what is held is not renewed.",
                remedy="A person decides first: holdfast device release DEVICE --why REASON.",
            )

    async def _renew(
        self,
        device: Device,
        credential: Credential,
        request: x509.CertificateSigningRequest,
        spki: Digest,
        now: Instant,
    ) -> list[x509.Certificate]:
        graceful = is_graceful(credential, self._book.standing(credential), now)
        method = Method.GRACE if graceful else Method.RENEWAL
        certificate, made = self._certifier.made(request, spki, device, method, now)
        successor = msgspec.structs.replace(made, predecessor=credential.fingerprint)
        changes: list[Change] = []
        for change in self._credentials.first_used(device, credential, now):
            # Renewing is a use too; of the credential itself only its newest state is kept.
            if isinstance(change, Credential) and change.fingerprint == credential.fingerprint:
                credential = change
            else:
                changes.append(change)
        data = {
            "method": method.value,
            "fingerprint": successor.fingerprint,
            "serial": successor.serial,
            "before": credential.fingerprint,
            "expired_at": credential.not_after,
        }
        noted = Noted(Kind.CREDENTIAL_RENEWED, f"device:{device.key.device}", device, device.key.scope, data, now)
        changes += [supersede(credential, successor.fingerprint), successor, *self._emit(noted)]
        await self._store.commit(changes)
        return [certificate, *self._book.chain(device.key.scope)[:-1]]

    async def _again(
        self, device: Device, credential: Credential, request: x509.CertificateSigningRequest, now: Instant
    ) -> list[x509.Certificate]:
        """The answer that was given before, to the same request; to another one it is a clone's."""
        successor = self._store.credential(credential.successor) if credential.successor else None
        if successor is not None and successor.spki == spki_digest(request) and successor.certificate:
            leaf = x509.load_der_x509_certificate(successor.certificate)
            found = self._book.find(successor.issuer)
            above = self._book.certificate(*found) if found else self._book.chain(device.key.scope)[0]
            return [leaf, above]
        reason = Reason(
            "identity.renewed_twice",
            "A certificate that was renewed already was used to renew again, with another key: two parties hold it.",
            "Find both, revoke the identity, enroll the real device again, then release it.",
        )
        posture = require_posture(self._store, device.key)
        if changes := hold_clone(self._verdicts, self._emit, device=device, posture=posture, reason=reason, now=now):
            await self._store.commit(changes)
        raise IdentityRefused("identity.renewed_twice", reason.sentence, remedy=reason.remedy, http_status=409)


class RenewalContributor:
    """Wishes that a device renews its certificate once that is due, or at once when its issuer goes."""

    def __init__(self, book: IssuerBook) -> None:
        self._book = book

    def wishes(self, context: Context, _verdict: Verdict) -> Sequence[Wish]:
        """One wish for each certificate: it names the one to be renewed."""
        if context.posture.hold is not None:
            return ()
        credential = context.credential
        # One that still speaks though it has a successor: the successor never arrived.
        if credential is None or not (credential.successor is not None or self._may_now(credential, context)):
            return ()
        same = context.model.model.identity.renewal_key is RenewalKey.SAME
        args: dict[str, object] = {"credential": credential.fingerprint, **({"key": "same"} if same else {})}
        # A wish that was refused is not issued again as it was, and this refusal passes: it is another one after that.
        if (refused := _refused_unattested(context.posture)) is not None:
            args["after"] = refused
        return (wish(RENEW, canonical(args)),)

    def _may_now(self, credential: Credential, context: Context) -> bool:
        """Whether it is due, and would not be refused for want of fresh evidence: then it waits for that."""
        return self._is_due(credential, context) and not renewal_lack(context.model, context.posture, context.now)

    def _is_due(self, credential: Credential, context: Context) -> bool:
        if self._book.standing(credential) in (Standing.RETIRING, Standing.DISTRUSTED):
            return True
        owner_changed = context.device.owner_since is not None and credential.issued_at < context.device.owner_since
        return owner_changed or wants_renewal(credential, context.now)


def _refused_unattested(posture: Posture) -> int | None:
    """The number of the directive to renew that came to nothing because the device was not affirmed just then."""
    last = next((each for each in posture.desired.settled if each.kind == RENEW), None)
    return last.id if last is not None and last.code == ATTESTATION_REQUIRED else None
