"""Keeping brokers as the store says: one watch for each, from the start of the server to its end.

1. A certificate that ended, and a device that is no longer admitted, are acted on at once; other changes are gathered
   for a moment, so that an import of ten thousand devices is one publication.
2. What was not done is not forgotten: a broker that is away, or does not obey, is told again, later and later.
3. Every few seconds the live connections are compared with what ought to be. What should have been cut off and was not
   (the server ended between a commit and the kick; the broker was restarted; a certificate came back) goes then.
4. A broker that does not obey is an incident under the name ``broker:<name>``, closed when it obeys again. One that is
   merely away has some time first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from holdfast.identity.broker_sight import BrokerSight
from holdfast.identity.brokers import BrokerService
from holdfast.ports.broker import Broker, BrokerAdapter, BrokerTrust, ClientIdentity, Connection, Publication
from holdfast.ports.clock import Clock
from holdfast.ports.events import BrokerDoubted, BrokerMended, Emit, Noted
from holdfast.ports.store import Store
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import HOUR, SECOND, Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.response.rules import BROKER

GATHER_SECONDS = 0.5
LOOK_SECONDS = 2.0
CHECK_SECONDS = 30.0
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 60.0
PATIENCE = 30 * SECOND
"""How long a broker may be away before it is an incident."""
REFRESH = 6 * HOUR
"""After which everything is published again: revocation lists lapse, credentials and exceptions end."""
_AWAY = frozenset({"broker.unreachable", "broker.not_running"})
_log = logging.getLogger("holdfast.brokers")


class BrokerWatch:
    """One broker, kept as it ought to be."""

    def __init__(
        self,
        broker: Broker,
        *,
        service: BrokerService,
        adapter: BrokerAdapter,
        trust: BrokerTrust,
        store: Store,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self.broker = broker
        self.faults: tuple[Reason, ...] = ()
        self.published_at: Instant | None = None
        self.publication: Publication | None = None
        self._service, self._adapter, self._trust = service, adapter, trust
        self._store, self._clock, self._emit = store, clock, emit
        self._sight = BrokerSight(broker, book=service.book, store=store, clock=clock, emit=emit)
        self._key = DeviceKey(broker.scope, DeviceId(f"{BROKER}:{broker.id}"))
        self._probe: ClientIdentity | None = None
        self._probes = 0
        self._wake = asyncio.Event()
        self._dirty = True
        self._ended: set[DeviceId] = set()
        self._away_since: Instant | None = None
        self._turn = asyncio.Lock()
        self._checked_at = 0.0

    def tell(self, ended: Iterable[DeviceId]) -> None:
        """Something changed; certificates of the devices `ended` are no longer good."""
        self._ended.update(ended)
        self._dirty = True
        self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        retry = FIRST_RETRY_SECONDS
        while True:
            wait = LOOK_SECONDS
            try:
                await self.step()
                retry = FIRST_RETRY_SECONDS
            except (WorldError, HostileData) as error:
                # Also what cannot be rendered (a scope with a dot, say): one broker's trouble must not end the server.
                _log.warning("%s: %s", self._key, error)
                wait, retry = retry, min(2 * retry, LAST_RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)
            if self._wake.is_set() and not self._ended:
                await asyncio.sleep(GATHER_SECONDS)

    async def step(self, *, publish: bool = False, check: bool = False) -> None:
        """Publish if something changed (or `publish`), look at who is connected, and check when it is time.

        Raises:
            WorldError: ``broker.*``; what was to be done is still to be done.
        """
        async with self._turn:
            self._wake.clear()
            try:
                if publish or self._dirty or self._is_old():
                    await self._publish()
                await self._look()
                if check or asyncio.get_running_loop().time() - self._checked_at > CHECK_SECONDS:
                    await self._check()
            except WorldError as error:
                await self._doubt((Reason(error.code, error.sentence, error.remedy),))
                raise

    async def connections(self) -> tuple[Connection, ...]:
        """Who is connected now.

        Raises:
            WorldError: ``broker.unreachable``.
        """
        return await self._adapter.connections()

    def _is_old(self) -> bool:
        return self.published_at is None or self._clock.now() - self.published_at > REFRESH

    async def _publish(self) -> None:
        ended, self._ended, self._dirty = self._ended, set(), False
        try:
            canary = self._probe or self._fresh()
            probe = self._fresh()
            await self._service.keep_ready(self.broker, self._adapter)
            publication = await self._service.publication(self.broker, probe, canary)
            gone = ended | (_devices(self.publication) - _devices(publication))
            connected = {one.device for one in await self._adapter.connections()} if gone else set()
            if gone:
                await self._adapter.cut_off(tuple(sorted(gone)), publication)
            else:
                await self._adapter.apply(publication)
        except BaseException:
            self._ended |= ended
            self._dirty = True
            raise
        self.publication, self._probe, self.published_at = publication, probe, self._clock.now()
        if cut_off := gone & connected:
            await self._note_cut_off(cut_off)

    def _fresh(self) -> ClientIdentity:
        self._probes += 1
        now = self._clock.now()
        return self._trust.probe(self.broker.scope, f"{now}-{self._probes}", now)

    async def _look(self) -> None:
        """See who is connected, and end what ought not to be."""
        publication = self.publication
        if publication is None:
            return
        connections = await self._adapter.connections()
        gone = await self._sight.unwanted(connections, _devices(publication))
        if gone and self._dirty:
            return  # what just ended is not published yet, and would be back at once: publishing comes first
        if gone:
            await self._adapter.cut_off(tuple(sorted(gone)), publication)
            await self._note_cut_off(gone)
        await self._sight.take_in(await self._adapter.observe(self._sight.mark))

    async def _note_cut_off(self, devices: Iterable[DeviceId]) -> None:
        data, now = {"broker": self.broker.id}, self._clock.now()
        found = (self._store.device(DeviceKey(self.broker.scope, device)) for device in sorted(devices))
        noted = [
            change
            for device in found
            if device is not None
            for change in self._emit(Noted(Kind.BROKER_CUT_OFF, "server", device, self.broker.scope, data, now))
        ]
        if noted:
            await self._store.commit(noted)

    async def _check(self) -> None:
        if self.publication is None:
            return
        faults = await self._adapter.check(self.publication, self._clock.now())
        self._checked_at = asyncio.get_running_loop().time()
        if faults:
            self._dirty = True
            await self._doubt(faults)
            return
        self.faults, self._away_since = (), None
        if self._store.open_incident(self._key, BROKER) is not None:
            await self._store.commit(list(self._emit(BrokerMended(self._key, self._clock.now()))))

    async def _doubt(self, faults: tuple[Reason, ...]) -> None:
        """Remember what is wrong, and make an incident of it; being away is one only after a while."""
        now = self._clock.now()
        self.faults = faults
        away = all(fault.code in _AWAY for fault in faults)
        self._away_since = (self._away_since or now) if away else None
        if away and now - (self._away_since or now) < PATIENCE:
            return
        if self._store.open_incident(self._key, BROKER) is None:
            title = f"The broker {self.broker.id} does not obey"
            await self._store.commit(list(self._emit(BrokerDoubted(self._key, title, faults[0], now))))


def _devices(publication: Publication | None) -> set[DeviceId]:
    return {admission.grants.device for admission in publication.admitted} if publication else set()
