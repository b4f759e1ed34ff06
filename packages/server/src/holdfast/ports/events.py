"""What happened, told to the features that care. `bootstrap` holds the one table of who listens to what.

1. A listener is a function from an event to changes; they are committed together with what caused the event.
2. A listener does no I/O and may read the store's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from holdfast.ports.store import Change
from holdfast_core.inventory.erasure import ErasureReport
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.response.rules import RETIRED
from holdfast_core.trust.model import Facts, Policy, Verdict
from holdfast_core.update.model import Rollout, Turn


class VerdictChanged(msgspec.Struct, frozen=True):
    """A device's verdict is another one, or has other reasons; `facts` and `policy` recompute it at `at`."""

    device: Device
    before: Verdict | None
    after: Verdict
    facts: Facts
    policy: Policy
    at: Instant


class CloneSeen(msgspec.Struct, frozen=True):
    """One identity was used by two parties."""

    device: Device
    reason: Reason
    at: Instant


class LogDoubted(msgspec.Struct, frozen=True):
    """What a device has seen of the log contradicts what the server holds; `kind` and `data` are the leaf's."""

    device: Device
    kind: Kind
    reason: Reason
    data: Mapping[str, object]
    at: Instant


class CredentialMisused(msgspec.Struct, frozen=True):
    """A credential that was ended was used: its key is still held by somebody."""

    device: Device
    reason: Reason
    at: Instant


class EnrollmentDoubted(msgspec.Struct, frozen=True):
    """Somebody proved something of a device that should not be able to enroll, or not again."""

    device: Device
    reason: Reason
    at: Instant


class AttestationDoubted(msgspec.Struct, frozen=True):
    """Evidence came that contradicts its key, its device or itself."""

    device: Device
    reason: Reason
    at: Instant


class RelyingPartyLooked(msgspec.Struct, frozen=True):
    """A relying party was looked at from outside: whether it still refuses who is revoked; no reasons: it does."""

    scope: Scope
    party: str
    reasons: tuple[Reason, ...]
    at: Instant


class BrokerDoubted(msgspec.Struct, frozen=True):
    """A broker does not obey, or a device came to it as somebody else; `key` names the one or the other."""

    key: DeviceKey
    title: str
    reason: Reason
    at: Instant


class Tried(StrEnum):
    """By what somebody tried to bring a device back whose life has ended."""

    CERTIFICATE = "certificate"
    CLAIM = "claim"
    RENEWAL = "renewal"
    APPROVAL = "approval"
    MANUFACTURER = "manufacturer"
    TPM = "tpm"
    FLEET_CLAIM = "fleet-claim"
    ENROLLMENT = "enrollment"

    @property
    def cause(self) -> str:
        """The cause of the incident that tells of it."""
        return f"{RETIRED}-{self.value}"


class RetiredTried(msgspec.Struct, frozen=True):
    """Somebody tried to use a device, or what belonged to it, after its life had ended."""

    device: Device
    tried: Tried
    reason: Reason
    at: Instant


class BrokerMended(msgspec.Struct, frozen=True):
    """A broker obeys again."""

    key: DeviceKey
    at: Instant


class ErasureReported(msgspec.Struct, frozen=True):
    """A retiring device said what it erased."""

    device: Device
    report: ErasureReport
    at: Instant


class RolloutTurned(msgspec.Struct, frozen=True):
    """A rollout began, went on, stopped or ended; `rollout` as it is from then on."""

    rollout: Rollout
    kind: Kind
    turn: Turn


class Noted(msgspec.Struct, frozen=True):
    """Something that only has to stand in the record: an enrollment, a human action, a directive."""

    kind: Kind
    actor: str
    device: Device | None
    scope: Scope
    data: Mapping[str, object]
    at: Instant


Event = (
    VerdictChanged
    | CloneSeen
    | CredentialMisused
    | EnrollmentDoubted
    | AttestationDoubted
    | RetiredTried
    | ErasureReported
    | LogDoubted
    | RelyingPartyLooked
    | BrokerDoubted
    | BrokerMended
    | RolloutTurned
    | Noted
)
Listener = Callable[[Event], Sequence[Change]]
Emit = Callable[[Event], Sequence[Change]]
"""Tells every listener of an event, and gathers the changes that follow."""
