"""What a broker shows of its devices: use of their grants, refusals, and connections that ought not to be.

1. A connection ought not to be whose device is not admitted, or which was made with a certificate that has ended since.
2. A device that comes under another device's client id, or comes anew with a certificate that has ended, opens an
   incident; while it is open the device is not admitted (`admissions`).
3. Use is written when it says something new, at most every minute: a device that publishes each second writes once a
   day for each of its filters.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from holdfast.identity.admissions import AdmissionBook
from holdfast.ports.broker import Action, Broker, Connection, Observed
from holdfast.ports.clock import Clock
from holdfast.ports.events import BrokerDoubted, Emit
from holdfast.ports.store import Change, Store
from holdfast_core.identity.model import Credential
from holdfast_core.identity.usage import Act, BrokerMark, TopicUse, day_of, taken_in
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.reasons import Reason
from holdfast_core.response.rules import BROKER

WRITE_SECONDS = 60.0
SLACK = 5 * SECOND
"""How long after a certificate's end a connection with it is still the old habit, and no new attempt."""
ACTS_KEPT = 1_000
"""Of one device between two writings; what is used often is used again."""


class BrokerSight:
    """What is known of the devices of one broker."""

    def __init__(self, broker: Broker, *, book: AdmissionBook, store: Store, clock: Clock, emit: Emit) -> None:
        self._broker, self._book = broker, book
        self._store, self._clock, self._emit = store, clock, emit
        known = store.kept(BrokerMark, broker.scope, broker.id)
        self.mark = known.mark if known else ""
        self._acts: defaultdict[DeviceId, dict[Act, None]] = defaultdict(dict)
        self._written_at = 0.0

    async def unwanted(self, connections: Sequence[Connection], admitted: set[DeviceId]) -> set[DeviceId]:
        """The devices whose connections must end; what is worse than late is made an incident."""
        now = self._clock.now()
        gone: set[DeviceId] = set()
        doubts: list[Change] = []
        for connection in connections:
            key = DeviceKey(self._broker.scope, connection.device)
            reason = self._misuse(connection, admitted)
            if reason is not None:
                gone.add(connection.device)
                if self._store.open_incident(key, BROKER) is None:
                    title = f"{connection.device} is not who it says to the broker {self._broker.id}"
                    doubts.extend(self._emit(BrokerDoubted(key, title, reason, now)))
            elif connection.device not in admitted or self._is_late(connection, key):
                gone.add(connection.device)
        if doubts:
            await self._store.commit(doubts)
        return gone

    def _misuse(self, connection: Connection, admitted: set[DeviceId]) -> Reason | None:
        other = connection.client_id
        if other != connection.device and other in admitted:
            return Reason(
                "broker.client_id_taken",
                f"{connection.device} came to the broker {self._broker.id} under the client id of {other}, and so put "
                "that device out.",
                "Look at what runs on it. Closing the incident admits it again.",
            )
        ended = self._ended_certificate(connection)
        if ended is not None and ended.revoked_at is not None and connection.since > ended.revoked_at + SLACK:
            return Reason(
                "broker.ended_certificate",
                f"Somebody came to the broker {self._broker.id} with a certificate of {connection.device} that was "
                "revoked: its key is still held.",
                "This broker cannot tell an old certificate of a device from its new one, so the device stays out "
                "until the old certificate's last day, or until you close the incident.",
            )
        return None

    def _ended_certificate(self, connection: Connection) -> Credential | None:
        if connection.certificate is None:
            return None
        credential = self._store.credential(connection.certificate)
        return credential if credential is not None and credential.revoked_at is not None else None

    def _is_late(self, connection: Connection, key: DeviceKey) -> bool:
        """Whether the connection was made with a certificate that has ended since."""
        if connection.certificate is not None:
            return self._ended_certificate(connection) is not None
        ends = [c.revoked_at for c in self._store.credentials_of(key) if c.revoked_at is not None]
        return bool(ends) and connection.since < max(ends)

    async def take_in(self, observed: Observed) -> None:
        """Count what was seen."""
        self.mark = observed.mark
        for seen in observed.seen:
            if self._store.device(DeviceKey(self._broker.scope, seen.device)) is None:
                continue  # a broker that was taken over can name any number of them
            acts = self._acts[seen.device]
            if seen.action is not Action.CONNECT and len(acts) < ACTS_KEPT:
                acts[Act(seen.action.value, seen.topic[: LIMITS.topic_bytes], bool(seen.refused))] = None
        loop = asyncio.get_running_loop()
        if loop.time() - self._written_at >= WRITE_SECONDS:
            self._written_at = loop.time()
            await self.write()

    async def write(self) -> None:
        """Write what was counted, where it says something new."""
        acts, self._acts = self._acts, defaultdict(dict)
        now = self._clock.now()
        changes: list[Change] = [use for device, done in acts.items() for use in self._use(device, list(done), now)]
        known = self._store.kept(BrokerMark, self._broker.scope, self._broker.id)
        if self.mark and (changes or known is None) and (known is None or known.mark != self.mark):
            changes.append(BrokerMark(self._broker.scope, self._broker.id, self.mark))
        if changes:
            await self._store.commit(changes)

    def _use(self, name: DeviceId, acts: list[Act], now: Instant) -> list[TopicUse]:
        device = self._store.device(DeviceKey(self._broker.scope, name))
        grants = None if device is None else self._book.grants(device)
        if grants is None:
            return []
        record = f"{self._broker.id}/{name}"
        known = self._store.kept(TopicUse, self._broker.scope, record)
        use = known or TopicUse(self._broker.scope, record, since=day_of(now))
        taken = taken_in(use, grants, acts, now)
        return [] if taken == known else [taken]
