"""What the record holds: one `Entry` a leaf, and its one byte form.

1. Every verdict change, enrollment, decision and human action is an entry; a check-in that changes nothing is none.
2. The names of what can happen are one enum, `Kind`, so that nobody invents a second word for the same event.
3. An entry has exactly one byte form (JSON, keys sorted, no white space); bytes of any other form are refused, so
   what is hashed is what is shown.
4. No secret goes into an entry: a leaf cannot be taken out again. Tokens and claims appear by their public id.
5. Verifying a log never needs this module: kinds that a newer server writes must not stop an older verifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS

VERSION = 1
"""Version of the leaf format."""


class Kind(StrEnum):
    """What happened: ``subject.action``. Names are for ever; one may be added, none renamed or reused."""

    DEVICE_ADDED = "device.added"
    DEVICE_IMPORTED = "device.imported"
    DEVICE_ENROLLED = "device.enrolled"
    DEVICE_CHANGED = "device.changed"
    DEVICE_INSPECTED = "device.inspected"
    DEVICE_QUARANTINED = "device.quarantined"
    DEVICE_RELEASED = "device.released"
    DEVICE_TRANSFERRED = "device.transferred"
    POSSESSION_CODE_CREATED = "device.code_created"
    DEVICE_REPLACED = "device.replaced"
    DEVICE_RETIRING = "device.retiring"
    DEVICE_ERASED = "device.erased"
    DEVICE_RETIRED = "device.retired"
    DEVICE_TRIED = "device.tried"
    """A device whose life has ended was used to come back."""
    SANITIZATION_CERTIFIED = "sanitization.certified"
    SANITIZATION_UNVERIFIED = "sanitization.unverified"
    MODEL_ADDED = "model.added"
    VERDICT_CHANGED = "verdict.changed"
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_CLOSED = "incident.closed"
    CLAIM_CREATED = "claim.created"
    CLAIM_WITHDRAWN = "claim.withdrawn"
    TOKEN_CREATED = "token.created"  # noqa: S105 - the name of an event, no secret
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - the name of an event, no secret
    ENROLLMENT_APPROVED = "enrollment.approved"
    ENROLLMENT_REFUSED = "enrollment.refused"
    ENROLLMENT_ALLOWED = "enrollment.allowed"
    FLEET_CLAIM_CREATED = "fleet-claim.created"
    FLEET_CLAIM_WITHDRAWN = "fleet-claim.withdrawn"
    MANUFACTURER_ADDED = "manufacturer.added"
    MANUFACTURER_REMOVED = "manufacturer.removed"
    CREDENTIAL_RENEWED = "credential.renewed"
    ISSUER_CHANGED = "issuer.changed"
    CREDENTIAL_REVOKED = "credential.revoked"
    TPM_BOUND = "tpm.bound"
    TPM_RELEASED = "tpm.released"
    TPM_ROOT_TRUSTED = "tpm.root_trusted"
    TPM_ROOT_DISTRUSTED = "tpm.root_distrusted"
    ATTESTATION_APPRAISED = "attestation.appraised"
    ATTESTATION_REFUSED = "attestation.refused"
    ATTESTATION_KEY_BOUND = "attestation.key_bound"
    ATTESTATION_RESET = "attestation.reset"
    RELEASE_ADDED = "release.added"
    RELEASE_LEARNED = "release.learned"
    RELEASE_RETIRED = "release.retired"
    RELEASE_REVOKED = "release.revoked"
    RELEASE_KEY_TRUSTED = "release-key.trusted"
    RELEASE_KEY_DISTRUSTED = "release-key.distrusted"
    RELEASE_PUBLISHED = "release.published"
    RELEASE_APPROVED = "release.approved"
    RELEASE_VALIDATED = "release.validated"
    RELEASE_EXEMPTED = "release.exempted"
    RELEASE_PRUNED = "release.pruned"
    REPOSITORY_FOUNDED = "repository.founded"
    REPOSITORY_PROPOSED = "repository.proposed"
    REPOSITORY_SIGNED = "repository.signed"
    REPOSITORY_PUBLISHED = "repository.published"
    REPOSITORY_ROTATED = "repository.rotated"
    UPDATE_POLICY_SET = "update-policy.set"
    UPDATE_DIRECTED = "update.directed"
    UPDATE_SETTLED = "update.settled"
    UPDATE_TOKEN_CREATED = "update-token.created"  # noqa: S105 - the name of an event, no secret
    UPDATE_TOKEN_REVOKED = "update-token.revoked"  # noqa: S105 - the name of an event, no secret
    BUNDLE_MADE = "bundle.made"
    ROLLOUT_CREATED = "rollout.created"
    ROLLOUT_STARTED = "rollout.started"
    ROLLOUT_ADVANCED = "rollout.advanced"
    ROLLOUT_HALTED = "rollout.halted"
    ROLLOUT_PAUSED = "rollout.paused"
    ROLLOUT_RESUMED = "rollout.resumed"
    ROLLOUT_ABORTED = "rollout.aborted"
    ROLLOUT_RETRIED = "rollout.retried"
    ROLLOUT_FINISHED = "rollout.finished"
    BROKER_ADDED = "broker.added"
    BROKER_REMOVED = "broker.removed"
    BROKER_CUT_OFF = "broker.cut_off"
    DIRECTIVE_ISSUED = "directive.issued"
    DIRECTIVE_SETTLED = "directive.settled"
    SERVER_INITIALISED = "server.initialised"
    SERVER_UPGRADED = "server.upgraded"
    SECRET_DELIVERED = "secret.delivered"  # noqa: S105 - the name of an event, no secret
    SECRET_CONFIRMED = "secret.confirmed"  # noqa: S105 - the name of an event, no secret
    SECRET_SHOWN = "secret.shown"  # noqa: S105 - the name of an event, no secret
    SECRET_ROTATION_ORDERED = "secret.rotation_ordered"  # noqa: S105 - the name of an event, no secret
    SECRET_IMPORTED = "secret.imported"  # noqa: S105 - the name of an event, no secret
    SECRET_SEALED = "secret.sealed"  # noqa: S105 - the name of an event, no secret
    SECRET_RELEASED = "secret.released"  # noqa: S105 - the name of an event, no secret
    SECRET_WITHHELD = "secret.withheld"  # noqa: S105 - the name of an event, no secret
    SECRET_DESTROYED = "secret.destroyed"  # noqa: S105 - the name of an event, no secret
    VAULT_ROTATED = "vault.rotated"
    PASSPHRASE_CHANGED = "vault.passphrase_changed"  # noqa: S105 - the name of an event, no secret
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"
    LOG_TRUNCATION_SEEN = "log.truncation_seen"
    LOG_FORK_SEEN = "log.fork_seen"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that happened. Build it with `entry`, which puts `data` into its byte form."""

    at: Instant
    scope: Scope
    kind: Kind
    actor: str
    """Who did it: ``device:<id>``, ``token:<name>``, ``os-user:<name>`` on the local socket, or ``server``."""
    device: str = ""
    """The device it concerns; empty when it concerns none."""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    """What else is to be known: a JSON object in its canonical form."""
    v: int = VERSION

    def __post_init__(self) -> None:
        """Refuse what has no one byte form, or is too long to be kept."""
        if self.v != VERSION:
            raise _malformed(f"it has version {self.v}, and this is version {VERSION}")
        if not self.actor or max(len(self.actor), len(self.device)) > LIMITS.text:
            raise _malformed("its actor or device is empty or too long")
        data = bytes(self.data)
        if len(data) > LIMITS.leaf_bytes:
            raise _too_large()
        try:
            same = canonical(msgspec.json.decode(data, type=dict[str, Any])) == data
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            same = False
        if not same:
            raise _malformed("its data is not a JSON object in canonical form")


_ENTRY = msgspec.json.Decoder(Entry)


def entry(
    kind: Kind,
    *,
    at: Instant,
    scope: Scope,
    actor: str,
    device: str = "",
    data: Mapping[str, Any] | msgspec.Struct | None = None,
) -> Entry:
    """The entry for something that happened.

    Args:
        kind: what.
        at: when (milliseconds).
        scope: where.
        actor: who (see `Entry.actor`).
        device: the device it concerns, or empty.
        data: anything that JSON can hold as an object; no secrets (rule 4).

    Raises:
        LimitExceeded: ``record.leaf_too_large``.
        HostileData: ``record.leaf_malformed``.
    """
    return Entry(at, scope, kind, actor, device, msgspec.Raw(b"{}" if data is None else canonical(data)))


def leaf_bytes(value: Entry) -> bytes:
    """The bytes that are hashed and kept for `value`.

    Raises:
        LimitExceeded: ``record.leaf_too_large``.
    """
    data = canonical(value)
    if len(data) > LIMITS.leaf_bytes:
        raise _too_large()
    return data


def parse_entry(data: bytes) -> Entry:
    """The entry that `data` is the byte form of.

    Raises:
        LimitExceeded: ``record.leaf_too_large``.
        HostileData: ``record.leaf_malformed``, also for JSON that is right but written in another form.
    """
    if len(data) > LIMITS.leaf_bytes:
        raise _too_large()
    try:
        value = _ENTRY.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)) from None
    if canonical(value) != data:
        raise _malformed("it is not in canonical form")
    return value


def _too_large() -> LimitExceeded:
    return LimitExceeded(
        "record.leaf_too_large",
        f"A leaf of the record would be over {LIMITS.leaf_bytes} bytes.",
        remedy="Record the digest of what is large, and keep the rest beside the log.",
    )


def _malformed(why: str) -> HostileData:
    return HostileData(
        "record.leaf_malformed",
        f"This is not an entry of the record: {why}.",
        remedy="Verify the log; if it verifies, a newer Holdfast wrote this leaf: read it with that one.",
    )
