"""The use cases of `record`: leaves from events, and the export.

1. What has to stand in the record becomes a leaf in the commit that made it true; there is no other way in.
2. A verdict's leaf holds the facts and the policy it was made from, so that anybody can make it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast.ports.clock import Clock
from holdfast.ports.events import (
    AttestationDoubted,
    BrokerDoubted,
    BrokerMended,
    CloneSeen,
    CredentialMisused,
    EnrollmentDoubted,
    ErasureReported,
    Event,
    LogDoubted,
    Noted,
    RelyingPartyLooked,
    RetiredTried,
    RolloutTurned,
    VerdictChanged,
)
from holdfast.ports.signer import LogSigner
from holdfast.ports.store import Change, Leaf, Store, StoredLeaf, leaf
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.record.export import export_lines
from holdfast_core.record.model import Kind, entry
from holdfast_core.trust.rules import RULES_VERSION


def leaves_of(event: Event) -> Sequence[Change]:
    """The leaf that an event owes the record."""
    match event:
        case Noted(kind, actor, device, scope, data, at):
            return (leaf(entry(kind, at=at, scope=scope, actor=actor, device=_name(device), data=data)),)
        case VerdictChanged():
            return (_verdict_leaf(event),)
        case LogDoubted():
            return (_device_leaf(event.kind, event, event.data),)
        case RolloutTurned():
            return (_rollout_leaf(event),)
        case RetiredTried(tried=tried, reason=reason):
            return (_device_leaf(Kind.DEVICE_TRIED, event, {"by": tried.value, "code": reason.code}),)
        case CloneSeen() | CredentialMisused() | EnrollmentDoubted() | AttestationDoubted() | RelyingPartyLooked():
            pass  # the incident that response opens says it
        case BrokerDoubted() | BrokerMended():
            pass  # likewise
        case ErasureReported():
            pass  # the step that it moves says it
    return ()


def _verdict_leaf(event: VerdictChanged) -> Leaf:
    data = {
        "before": event.before.level.value if event.before else None,
        "after": event.after.level.value,
        "reasons": [reason.code for reason in event.after.reasons],
        "until": event.after.until,
        "facts": event.facts,
        "policy": event.policy,
        "rules": RULES_VERSION,
        "model": event.device.model,
    }
    return _device_leaf(Kind.VERDICT_CHANGED, event, data)


def _rollout_leaf(event: RolloutTurned) -> Leaf:
    rollout, turn = event.rollout, event.turn
    data: dict[str, Any] = {
        "rollout": rollout.id,
        "release": rollout.release,
        "state": rollout.state.value,
        "wave": turn.wave,
        "code": turn.code,
        "why": turn.why,
    }
    if event.kind is Kind.ROLLOUT_CREATED:
        data |= {
            "selection": rollout.selection,
            "waves": rollout.waves,
            "thresholds": rollout.thresholds,
            "guards": rollout.guards,
            "back": rollout.back,
        }
    return leaf(entry(event.kind, at=turn.at, scope=rollout.scope, actor=turn.by, data=data))


def _device_leaf(kind: Kind, event: VerdictChanged | LogDoubted | RetiredTried, data: Mapping[str, Any]) -> Leaf:
    key = event.device.key
    return leaf(entry(kind, at=event.at, scope=key.scope, actor="server", device=key.device, data=data))


def _name(device: Any) -> str:
    return device.key.device if device is not None else ""


class RecordService:
    """Reading the record."""

    def __init__(self, *, store: Store, signer: LogSigner, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock

    def checkpoint(self) -> str:
        """The newest signed checkpoint."""
        return self._store.checkpoint()

    def verifier_key(self) -> str:
        """The log's public key, in the text form of a C2SP signed note."""
        return str(self._signer.key)

    async def backup_made(self, checkpoint: str, *, scope: Scope, actor: str) -> None:
        """Put on record that somebody made a backup, which holds every key; `checkpoint` is the newest in it."""
        made = entry(Kind.BACKUP_MADE, at=self._clock.now(), scope=scope, actor=actor, data={"checkpoint": checkpoint})
        await self._store.commit([leaf(made)])

    async def leaves(self, start: int, limit: int) -> list[StoredLeaf]:
        """Leaves from index `start` on."""
        return await self._store.leaves(start, limit)

    async def history(self, key: DeviceKey, *, kinds: Sequence[str], limit: int) -> list[StoredLeaf]:
        """A device's own leaves, newest first."""
        return await self._store.history(key, kinds=kinds, limit=limit)

    def export(self, _scope: Scope) -> Iterator[bytes]:
        """The lines of an export of the whole log, whose checkpoint was taken before its leaves were read.

        The log is one for all tenants of a server: a part of it could not be verified.
        """
        checkpoint, size = self._store.checkpoint(), self._store.log_size()
        leaves = (leaf.data for leaf in self._store.every_leaf() if leaf.index < size)
        return export_lines(self._signer.origin, str(self._signer.key), checkpoint, leaves)
