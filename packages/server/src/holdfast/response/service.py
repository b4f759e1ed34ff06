"""The use cases of `response`.

1. Incidents follow from events, in the commit that made the event true.
2. Quarantine and release are acts of a person, recorded with who and why.
3. Every incident that opens or closes, and every turn of a rollout, is a message to the webhook, in the same commit;
   sending it is `webhook`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.ports.appraisal import Context
from holdfast.ports.clock import Clock, Randomness
from holdfast.ports.events import (
    AttestationDoubted,
    BrokerDoubted,
    BrokerMended,
    CloneSeen,
    CredentialMisused,
    Emit,
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
from holdfast.ports.lookup import require_device, require_living, require_posture
from holdfast.ports.store import Change, Delivery, Store, leaf
from holdfast.ports.verdicts import Verdicts
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason, require_why
from holdfast_core.record.model import Kind, entry
from holdfast_core.response.model import Incident
from holdfast_core.response.rules import (
    ATTESTATION,
    BROKER,
    CLONE,
    CREDENTIAL,
    ENROLLMENT,
    ERASURE,
    LOG,
    RELYING_PARTY,
    VERDICT,
    after_look,
    after_verdict,
    close,
    opened,
    relying_party,
)
from holdfast_core.trust.model import Hold, Verdict
from holdfast_core.trust.posture import Posture, Wish, wish
from holdfast_core.wire.frame import Level

NETWORK_PROFILE = "network-profile"
SERVER = "server"
"""Who acts where no person did."""
ID_BYTES = 9


class IncidentListener:
    """Opens, changes and closes incidents as events say."""

    def __init__(self, *, store: Store, randomness: Randomness, webhook: bool) -> None:
        self._store = store
        self._randomness = randomness
        self._webhook = webhook

    def __call__(self, event: Event) -> Sequence[Change]:
        """The changes that `event` sets off."""
        match event:
            case VerdictChanged(device, before, after, at=at):
                current = self._store.open_incident(device.key, VERDICT)
                incident = after_verdict(device.key, before, after, current, fresh_id=self._fresh(), now=at)
                return self.told(incident, is_new=current is None) if incident else ()
            case (
                CloneSeen()
                | CredentialMisused()
                | EnrollmentDoubted()
                | AttestationDoubted()
                | RetiredTried()
                | LogDoubted()
            ):
                cause, title = _cause_of(event)
                return self._open(event.device.key, cause, title, event.reason, event.at)
            case RelyingPartyLooked() | BrokerDoubted() | BrokerMended():
                return self._of_party(event)
            case Noted():
                return self._after_note(event)
            case RolloutTurned():
                return self._rollout_told(event)
            case ErasureReported():
                return ()

    def _of_party(self, event: RelyingPartyLooked | BrokerDoubted | BrokerMended) -> Sequence[Change]:
        """What is of no device: a relying party, a broker."""
        if isinstance(event, RelyingPartyLooked):
            return self._after_look(relying_party(event.scope, event.party), event.reasons, event.at)
        if isinstance(event, BrokerDoubted):
            return self._open(event.key, BROKER, event.title, event.reason, event.at)
        current = self._store.open_incident(event.key, BROKER)
        return self.told(close(current, "the broker obeys again", event.at), is_new=False) if current else ()

    def _after_note(self, noted: Noted) -> Sequence[Change]:
        """An erasure that nobody verified until its deadline is an incident, until it is certified after all."""
        if noted.device is None or noted.kind not in (Kind.SANITIZATION_UNVERIFIED, Kind.SANITIZATION_CERTIFIED):
            return ()
        key = noted.device.key
        if noted.kind is Kind.SANITIZATION_UNVERIFIED:
            reason = Reason(
                "erasure.unverified",
                f"{key.device} was retired, and until the deadline nobody verified that it was erased.",
                f"Find it, erase it, and confirm that: holdfast device erased {key.device}. What it held may be read.",
            )
            return self._open(key, ERASURE, f"Nobody knows whether {key.device} was erased", reason, noted.at)
        current = self._store.open_incident(key, ERASURE)
        return self.told(close(current, "its erasure was verified", noted.at), is_new=False) if current else ()

    def _after_look(self, key: DeviceKey, reasons: tuple[Reason, ...], at: Instant) -> Sequence[Change]:
        current = self._store.open_incident(key, RELYING_PARTY)
        incident = after_look(key, reasons, current, fresh_id=self._fresh(), now=at)
        return self.told(incident, is_new=current is None) if incident else ()

    def _open(self, key: DeviceKey, cause: str, title: str, reason: Reason, at: Instant) -> Sequence[Change]:
        if self._store.open_incident(key, cause) is not None:
            return ()
        return self.told(opened(key, cause, title, reason, fresh_id=self._fresh(), now=at), is_new=True)

    def _rollout_told(self, event: RolloutTurned) -> Sequence[Change]:
        """A rollout's turn is no incident; whoever listens outside hears of it all the same."""
        if not self._webhook:
            return ()
        turn, rollout = event.turn, event.rollout
        data = {"rollout": rollout.id, "release": rollout.release, "state": rollout.state.value, "turn": turn}
        return (self._message(event.kind, rollout.scope, data, turn.at),)

    def _fresh(self) -> str:
        return "inc_" + self._randomness.token(ID_BYTES)

    def told(self, incident: Incident, *, is_new: bool, actor: str = SERVER) -> list[Change]:
        """The incident, its leaf and its message; a mere change of an open incident is neither recorded nor told."""
        changes: list[Change] = [incident]
        if is_new or incident.closed_at is not None:
            kind = Kind.INCIDENT_CLOSED if incident.closed_at is not None else Kind.INCIDENT_OPENED
            key, at = incident.key, incident.updated_at
            data = {"id": incident.id, "cause": incident.cause, "title": incident.title, "why": incident.closed_why}
            changes.append(leaf(entry(kind, at=at, scope=key.scope, actor=actor, device=key.device, data=data)))
            if self._webhook:
                changes.append(self._message(kind, key.scope, incident, at))
        return changes

    def _message(self, kind: Kind, scope: Scope, data: object, at: Instant) -> Delivery:
        body = msgspec.json.encode({"type": kind.value, "timestamp": at, "data": data})
        return Delivery("msg_" + self._randomness.token(ID_BYTES), scope, body, at, at)


def _cause_of(
    event: CloneSeen | CredentialMisused | EnrollmentDoubted | AttestationDoubted | RetiredTried | LogDoubted,
) -> tuple[str, str]:
    """Cause and title of the incident that tells of `event`."""
    name = event.device.key.device
    match event:
        case CloneSeen():
            return CLONE, f"{name} has a clone"
        case CredentialMisused():
            return CREDENTIAL, f"An ended certificate of {name} was used"
        case EnrollmentDoubted():
            return ENROLLMENT, f"Somebody tried to enroll as {name}"
        case AttestationDoubted():
            return ATTESTATION, f"Evidence that came for {name} is not its own"
        case RetiredTried(tried=tried):
            return tried.cause, f"{name} was retired, and somebody tried to bring it back: {tried.value}"
        case LogDoubted():
            return LOG, "The log is not what a device has seen"


class ResponseService:
    """What people do about a device."""

    def __init__(
        self, *, store: Store, clock: Clock, verdicts: Verdicts, emit: Emit, incidents: IncidentListener
    ) -> None:
        self._store = store
        self._clock = clock
        self._verdicts = verdicts
        self._emit = emit
        self._incidents = incidents

    async def quarantine(self, key: DeviceKey, *, why: str, actor: str) -> Posture:
        """Hold a device in quarantine until a person releases it.

        Raises:
            HostileData: ``device.unknown``, ``device.not_enrolled``, ``why.missing``.
        """
        require_why(why)
        reason = Reason("response.held", f"Quarantined by {actor}: {why}", "Release it when the cause is gone.")
        return await self._set_hold(key, Hold(actor, self._clock.now(), reason), Kind.DEVICE_QUARANTINED, why, actor)

    async def release(self, key: DeviceKey, *, why: str, actor: str) -> Posture:
        """End a hold; the verdict is then what the evidence says.

        Raises:
            HostileData: ``device.unknown``, ``device.not_enrolled``, ``response.not_held``, ``why.missing``.
        """
        require_why(why)
        return await self._set_hold(key, None, Kind.DEVICE_RELEASED, why, actor)

    async def _set_hold(self, key: DeviceKey, hold: Hold | None, kind: Kind, why: str, actor: str) -> Posture:
        require_device(self._store, key)
        require_posture(self._store, key)
        async with self._store.exclusive(key):
            device, now = require_living(self._store, key), self._clock.now()
            before = require_posture(self._store, key)
            if hold is None and before.hold is None:
                raise _not_held(key)
            posture = msgspec.structs.replace(before, hold=hold)
            posture, follow = self._verdicts.settle(device, posture, now)
            changes: list[Change] = [posture, *self._emit(Noted(kind, actor, device, key.scope, {"why": why}, now))]
            clone = self._store.open_incident(key, CLONE) if hold is None else None
            if clone is not None:
                ended = close(clone, f"released by {actor}: {why}", now)
                changes.extend(self._incidents.told(ended, is_new=False, actor=actor))
            await self._store.commit([*changes, *follow])
            return posture

    async def close_incident(self, key: DeviceKey, cause: str, *, why: str, actor: str) -> Incident:
        """Close an open incident by hand.

        Raises:
            HostileData: ``incident.unknown``, ``why.missing``.
        """
        require_why(why)
        if cause == CLONE:
            raise HostileData(
                "incident.release_instead",
                "A clone's incident ends when its device is released.",
                remedy=f"Once the copy is found: holdfast device release {key.device} --why REASON.",
                http_status=409,
            )
        async with self._store.exclusive(key):
            return await self._close(key, cause, f"closed by {actor}: {why}", actor)

    async def _close(self, key: DeviceKey, cause: str, why: str, actor: str) -> Incident:
        incident = self._store.open_incident(key, cause)
        if incident is None:
            raise HostileData(
                "incident.unknown",
                f"{key.device} has no open incident of cause {cause[:40]!r}.",
                remedy="List them: holdfast incident list.",
                http_status=404,
            )
        ended = close(incident, why, self._clock.now())
        await self._store.commit(self._incidents.told(ended, is_new=False, actor=actor))
        return ended


class NetworkProfileContributor:
    """Wishes for the network profile that fits the verdict; every profile holds the essential function's flows."""

    def wishes(self, context: Context, verdict: Verdict) -> Sequence[Wish]:
        """Quarantine for a quarantined device; normal again only for one that was told otherwise before."""
        if verdict.level is Level.QUARANTINED:
            return (_QUARANTINE,)
        told = any(entry.kind == NETWORK_PROFILE for entry in context.posture.desired.settled)
        pending = any(entry.wish.kind == NETWORK_PROFILE for entry in context.posture.desired.open)
        return (_NORMAL,) if told or pending else ()


_QUARANTINE = wish(NETWORK_PROFILE, b'{"profile":"quarantine"}')
_NORMAL = wish(NETWORK_PROFILE, b'{"profile":"normal"}')


def _not_held(key: DeviceKey) -> HostileData:
    return HostileData(
        "response.not_held",
        f"{key.device} is not held by anybody.",
        remedy="If it is quarantined by its evidence, mend what its reasons name; the next check-in frees it.",
        http_status=409,
    )
