"""Enrollment that a person approves: for a device that has nothing to show but its name.

1. Whoever asks gets the same answer at the same speed, whether the name is expected, unknown, retired or the list is
   full: names cannot be probed. What is kept for a person is written after the answer.
2. Only what the inventory expects is shown to a person, some keys a name, some names a scope. When the list is full,
   one that was refused gives way, then the one that has been silent for longest if it has been for long; else the
   newest is not kept.
3. A person approves the fingerprint of one key; the very same request then gets its certificate.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType

from cryptography import x509

from holdfast.identity.certifying import Admission, Certifier
from holdfast.identity.enrollment import Pending, Shown
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted, Tried
from holdfast.ports.store import Change, Removed, Store
from holdfast_core.identity.model import Method
from holdfast_core.identity.names import DOMAIN, device_named
from holdfast_core.identity.pending import (
    WAITS,
    Decision,
    PendingRequest,
    decided,
    may_wait,
    outlasts,
    parse_readable,
    readable,
)
from holdfast_core.identity.requests import read_request, spki_digest
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_device_id
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind

ASK_AGAIN_S = 60
SILENT = HOUR
"""A request that was not repeated for so long may give way."""
NOTHING: Mapping[str, str] = MappingProxyType({})
_log = logging.getLogger("holdfast.enrollment")


class ApprovalService:
    """Implements `holdfast.identity.enrollment.Approvals`. `scope` is that of names without one."""

    def __init__(
        self, *, store: Store, clock: Clock, certifier: Certifier, emit: Emit, limits: Limits, scope: Scope
    ) -> None:
        self._store = store
        self._clock = clock
        self._certifier = certifier
        self._emit = emit
        self._limits = limits
        self._scope = scope
        self._lock = asyncio.Lock()
        self._heard: dict[tuple[Scope, str], Instant] = {}
        """When a request that waits was last repeated; since the start of this server."""
        self._writing: set[asyncio.Task[None]] = set()

    async def ask(self, name: str, request_der: bytes, shown: Shown) -> x509.Certificate | Pending:
        """The certificate, once a person approved this very request; until then that it waits.

        Raises:
            IdentityRefused: ``enrollment.refused``; ``device.*``.
            HostileData: ``name.invalid``, ``csr.*``, ``identity.*``.
        """
        key = device_named(name) if name.endswith(f".{DOMAIN}") else DeviceKey(self._scope, parse_device_id(name))
        spki = spki_digest(read_request(request_der, key, self._limits, channel=shown.channel))
        given = self._certifier.given(key, spki)
        if given is not None:
            return given
        now = self._clock.now()
        match self._decision(key, spki, now):
            case Decision.APPROVED:
                return await self._certified(key, spki, request_der, shown)
            case Decision.REFUSED:
                raise _refused()
            case Decision.WAITING:
                self._heard[key.scope, readable(spki)] = now
            case None:
                self._keep_later(key, spki, shown.address)
        return Pending(ASK_AGAIN_S)

    def _decision(self, key: DeviceKey, spki: Digest, now: Instant) -> Decision | None:
        request = self._store.kept(PendingRequest, key.scope, readable(spki))
        if request is None or (request.device, request.spki) != (key.device, spki) or now >= request.expires_at:
            return None
        return request.decision

    async def _certified(self, key: DeviceKey, spki: Digest, request_der: bytes, shown: Shown) -> x509.Certificate:
        name = readable(spki)

        def admit(device: Device, now: Instant) -> Admission:
            request = self._store.kept(PendingRequest, key.scope, name)
            # What was asked of one owner does not admit to the next one's device.
            earlier = request is not None and request.asked_at < (device.owner_since or 0)
            if request is None or earlier or self._decision(key, spki, now) is not Decision.APPROVED:
                raise _refused()
            if not outlasts(request, self._store.credentials_of(key)):
                raise _refused()
            proof = {"key": name, "approved_by": request.decided_by}
            return Admission(Method.APPROVAL, proof, (Removed(PendingRequest, key.scope, name),))

        return (await self._certifier.enroll(key, request_der, admit, channel=shown.channel, tried=Tried.APPROVAL))[0]

    def _keep_later(self, key: DeviceKey, spki: Digest, address: str) -> None:
        too_many = len(self._writing) >= self._limits.pending_requests
        if may_wait(self._store.device(key)) and not self._store.knows_key(spki) and not too_many:
            task = asyncio.get_running_loop().create_task(self._keep(key, spki, address))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def settled(self) -> None:
        """Return once everything that was asked until now is kept, or is not going to be."""
        await asyncio.gather(*self._writing)

    async def _keep(self, key: DeviceKey, spki: Digest, address: str) -> None:
        async with self._lock:
            now, name = self._clock.now(), readable(spki)
            gone = self._gone(key.scope, now)
            waiting = [request for request in self.pending(key.scope) if request.id not in gone]
            if any(other.id == name for other in waiting):
                return
            for crowd, most in (
                ([other for other in waiting if other.device == key.device], self._limits.pending_per_device),
                (waiting, self._limits.pending_requests),
            ):
                giving_way = self._giving_way(crowd, most, now)
                if giving_way is None:
                    return
                gone |= giving_way
                waiting = [request for request in waiting if request.id not in gone]
            changes: list[Change] = [Removed(PendingRequest, key.scope, one) for one in sorted(gone)]
            expires_at = Instant(now + WAITS)
            request = PendingRequest(
                scope=key.scope,
                id=name,
                device=key.device,
                spki=spki,
                asked_at=now,
                expires_at=expires_at,
                address=address,
            )
            try:
                await self._store.commit([*changes, request])
            except WorldError as error:
                _log.warning("a request of %s could not be kept: %s", key, error)  # it is asked again
                return
            self._heard[key.scope, name] = now

    def _gone(self, scope: Scope, now: Instant) -> set[str]:
        """The ids of requests whose time is over; what was remembered of those that are no more is forgotten."""
        kept = self._store.all_kept(PendingRequest, scope)
        known = {(scope, request.id) for request in kept}
        self._heard = {key: at for key, at in self._heard.items() if key[0] != scope or key in known}
        return {request.id for request in kept if now >= request.expires_at}

    def _giving_way(self, crowd: list[PendingRequest], most: int, now: Instant) -> set[str] | None:
        """Which of `crowd` gives way so that one more is at most `most`; `None` where none does.

        First who was refused, then who has been silent for longest; never who was approved.
        """
        if len(crowd) < most:
            return set()
        refused = [request for request in crowd if request.decision is Decision.REFUSED]
        waiting = [request for request in crowd if request.decision is Decision.WAITING]
        silent = [request for request in waiting if now - self._last_heard(request) >= SILENT]
        first = min(refused or silent, key=self._last_heard, default=None)
        return None if first is None else {first.id}

    def _last_heard(self, request: PendingRequest) -> Instant:
        return self._heard.get((request.scope, request.id), request.asked_at)

    def pending(self, scope: Scope) -> list[PendingRequest]:
        """The requests of a scope, decided ones included, the oldest first."""
        now = self._clock.now()
        alive = (request for request in self._store.all_kept(PendingRequest, scope) if now < request.expires_at)
        return sorted(alive, key=lambda request: (request.asked_at, request.id))

    async def approve(self, scope: Scope, fingerprint: str, *, actor: str) -> PendingRequest:
        """Let the key with this fingerprint have its certificate; its device fetches it within a day.

        Raises:
            HostileData: ``enrollment.fingerprint``, ``enrollment.unknown``, ``enrollment.decided``.
        """
        return await self._decide(scope, fingerprint, Decision.APPROVED, actor)

    async def refuse(self, scope: Scope, fingerprint: str, *, why: str, actor: str) -> PendingRequest:
        """Turn the key with this fingerprint away, for a day also if it asks again; an approval is taken back by it.

        Raises:
            HostileData: ``enrollment.fingerprint``, ``enrollment.unknown``, ``enrollment.decided``, ``why.missing``.
        """
        require_why(why)
        return await self._decide(scope, fingerprint, Decision.REFUSED, actor, {"why": why})

    async def _decide(
        self, scope: Scope, fingerprint: str, decision: Decision, actor: str, said: Mapping[str, str] = NOTHING
    ) -> PendingRequest:
        name = parse_readable(fingerprint)
        key = DeviceKey(scope, self._waiting(scope, name).device)
        async with self._lock, self._store.exclusive(key):  # against its use: what was used is not taken back
            now = self._clock.now()
            request = self._waiting(scope, name)
            after = decided(request, decision, actor, now)
            device = self._store.device(key)
            data = {"device": request.device, "key": name, "address": request.address, **said}
            kind = Kind.ENROLLMENT_APPROVED if decision is Decision.APPROVED else Kind.ENROLLMENT_REFUSED
            await self._store.commit([after, *self._emit(Noted(kind, actor, device, scope, data, now))])
        return after

    def _waiting(self, scope: Scope, name: str) -> PendingRequest:
        request = self._store.kept(PendingRequest, scope, name)
        if request is None or self._clock.now() >= request.expires_at:
            raise HostileData(
                "enrollment.unknown",
                f"No request with the fingerprint {name} waits in {scope}.",
                remedy="List them: holdfast enrollment pending. One that lapsed comes back when the device asks.",
                http_status=404,
            )
        return request


def _refused() -> IdentityRefused:
    return IdentityRefused(
        "enrollment.refused",
        "A person refused this request, or took the approval back.",
        remedy="Stop asking with this key. Whoever runs the device asks the operator why.",
    )
