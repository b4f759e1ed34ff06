"""Ending the credentials of a device: the one way, whoever asks for it, so that each end stands in the record."""

from __future__ import annotations

from holdfast.ports.events import Emit, Noted
from holdfast.ports.store import Change, Store
from holdfast_core.identity.rules import revoke
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.instants import Instant
from holdfast_core.record.model import Kind


def end_credentials(store: Store, emit: Emit, device: Device, *, why: str, actor: str, now: Instant) -> list[Change]:
    """The changes that revoke every credential of `device` that is in force."""
    changes: list[Change] = []
    for credential in store.credentials_of(device.key):
        if credential.revoked_at is None:
            data = {"fingerprint": credential.fingerprint, "why": why}
            noted = Noted(Kind.CREDENTIAL_REVOKED, actor, device, device.key.scope, data, now)
            changes.extend([revoke(credential, why, now), *emit(noted)])
    return changes
