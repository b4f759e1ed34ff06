"""Who may speak, and how credentials end: the one way, whoever asks, so that each end stands in the record."""

from __future__ import annotations

import msgspec

from holdfast.ports.events import CloneSeen, CredentialMisused, Emit, Noted, Tried
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.store import Change, Store
from holdfast.ports.tombstones import tried_again
from holdfast.ports.verdicts import Verdicts
from holdfast_core.identity.model import Credential, Revocation
from holdfast_core.identity.rules import IdentityRefused, check_credential, confirm, revoke
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.trust.model import Hold
from holdfast_core.trust.posture import Posture


class Credentials:
    """Judges a credential on every request, and notes its first use and its misuse."""

    def __init__(self, store: Store, emit: Emit, book: IssuerBook) -> None:
        self._store = store
        self._emit = emit
        self._book = book

    def speaking(self, fingerprint: Digest, now: Instant) -> Credential:
        """The credential with this certificate fingerprint, if it may speak now.

        Raises:
            IdentityRefused: see `check_credential`.
        """
        credential = self._store.credential(fingerprint)
        standing = self._book.standing(credential) if credential is not None else None
        return check_credential(credential, standing, now)

    async def admitted(self, fingerprint: Digest, now: Instant) -> Credential:
        """As `speaking`; the use of a credential that was ended is told to whoever must know.

        Raises:
            IdentityRefused: see `check_credential`.
        """
        try:
            return self.speaking(fingerprint, now)
        except IdentityRefused as refusal:
            await self.tell_misuse(fingerprint, refusal, now)
            raise

    async def tell_misuse(
        self, fingerprint: Digest, refusal: IdentityRefused, now: Instant, tried: Tried = Tried.CERTIFICATE
    ) -> None:
        """Commit what follows from the use of an ended credential, if anything does."""
        if changes := self._misused(fingerprint, refusal, now, tried):
            await self._store.commit(changes)

    def first_used(self, device: Device, credential: Credential, now: Instant) -> list[Change]:
        """The changes that the first use of a credential brings: the one it followed ends."""
        if credential.confirmed_at is not None:
            return []
        changes: list[Change] = [confirm(credential, now)]
        before = self._store.credential(credential.predecessor) if credential.predecessor else None
        if before is not None and before.revoked_at is None:
            why, code = "its successor is in use", Revocation.SUPERSEDED
            changes.extend(_ended(before, self._emit, device, why=why, actor="server", now=now, code=code))
        return changes

    def _misused(
        self, fingerprint: Digest, refusal: IdentityRefused, now: Instant, tried: Tried = Tried.CERTIFICATE
    ) -> list[Change]:
        """The changes that follow when somebody holds the key of a credential that was ended: an incident."""
        credential = self._store.credential(fingerprint)
        device = self._store.device(credential.key) if credential else None
        if credential is None or device is None or credential.revoked_at is None:
            return []
        if device.lifecycle is Lifecycle.RETIRED:
            return tried_again(self._store, self._emit, device, tried, now)
        reason = Reason(
            refusal.code,
            f"Somebody used a certificate of {device.key.device} that has ended (serial {credential.serial}): "
            f"{refusal.sentence}",
            "Find out who holds the key: the device itself, restored from an old image, or somebody who copied it.",
        )
        return list(self._emit(CredentialMisused(device, reason, now)))


def hold_clone(
    verdicts: Verdicts, emit: Emit, *, device: Device, posture: Posture, reason: Reason, now: Instant
) -> list[Change]:
    """The changes that quarantine a device until a person releases it, because two parties use its identity.

    Also a device that a person holds already gets its incident: their release must not hide the clone. A clone that is
    known already leaves no second trace.
    """
    changes: list[Change] = list(emit(CloneSeen(device, reason, now)))
    if posture.hold is None:
        held = msgspec.structs.replace(posture, hold=Hold("server", now, reason))
        settled, follow = verdicts.settle(device, held, now)
        changes = [settled, *changes, *follow]
    return changes


def end_credentials(
    store: Store,
    emit: Emit,
    device: Device,
    *,
    why: str,
    actor: str,
    now: Instant,
    code: Revocation = Revocation.UNSPECIFIED,
    but: Digest | None = None,
    issued_before: Instant | None = None,
) -> list[Change]:
    """The changes that revoke every credential of `device` that is in force; `but` that of one certificate.

    With `issued_before`, only those that were issued before a moment.
    """
    changes: list[Change] = []
    for credential in store.credentials_of(device.key):
        spared = issued_before is not None and credential.issued_at >= issued_before
        if credential.revoked_at is None and credential.fingerprint != but and not spared:
            changes.extend(_ended(credential, emit, device, why=why, actor=actor, now=now, code=code))
    return changes


def end_claims(store: Store, key: DeviceKey, now: Instant, *, but: Digest | None = None) -> list[Change]:
    """The changes that withdraw every claim by which `key` could still enroll; `but` one, which is used."""
    return [
        msgspec.structs.replace(claim, withdrawn_at=now)
        for claim in store.claims_of(key)
        if claim.is_open(now) and claim.digest != but
    ]


def _ended(
    credential: Credential, emit: Emit, device: Device, *, why: str, actor: str, now: Instant, code: Revocation
) -> list[Change]:
    data = {"fingerprint": credential.fingerprint, "serial": credential.serial, "why": why, "reason": code.value}
    noted = Noted(Kind.CREDENTIAL_REVOKED, actor, device, device.key.scope, data, now)
    return [revoke(credential, why, now, code), *emit(noted)]
