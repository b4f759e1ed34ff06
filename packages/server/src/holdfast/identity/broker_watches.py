"""Every broker's watch, started and ended as brokers are added and removed, and the feed that wakes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from holdfast.identity.broker_watch import BrokerWatch
from holdfast.identity.brokers import BrokerService
from holdfast.ports.broker import Broker
from holdfast.ports.store import Change, Removed, Store
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope

Watched = Callable[[Broker], BrokerWatch]


class BrokerWatches:
    """The watches of all brokers. `run` keeps them; without it (no server runs) they can still be stepped by hand.

    Implements `holdfast.ports.withdrawal.Withdrawal`.
    """

    def __init__(self, *, store: Store, service: BrokerService, watched: Watched) -> None:
        self._service = service
        self._watched = watched
        self._watches: dict[tuple[Scope, str], BrokerWatch] = {}
        self._tasks: dict[tuple[Scope, str], asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        store.watch_changes(self._take)

    def watch(self, scope: Scope, name: str) -> BrokerWatch:
        """The watch of a broker.

        Raises:
            HostileData: ``broker.unknown``.
        """
        broker = self._service.require(scope, name)
        key = (scope, name)
        if key not in self._watches or self._watches[key].broker != broker:
            self._watches[key] = self._watched(broker)
        return self._watches[key]

    async def withdraw(self, key: DeviceKey) -> None:
        """See the port: every broker of the environment was told, and has let go of the device."""
        for broker in self._service.brokers(key.scope):
            watch = self.watch(key.scope, broker.id)
            watch.tell((key.device,))
            await watch.step()

    def _take(self, changes: Sequence[Change]) -> None:
        """What became durable: told to the brokers of its scopes."""
        ended, scopes = self._service.book.take(changes)
        if any(isinstance(change, Broker) or _removes_broker(change) for change in changes):
            self._changed.set()
        for (scope, _), watch in self._watches.items():
            if scope in scopes:
                watch.tell(_of(scope, ended))

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            Exception: what ended a watch that should never end.
        """
        try:
            while True:
                self._changed.clear()
                await self._settle()
                for task in self._tasks.values():
                    if task.done():
                        task.result()
                await self._changed.wait()
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _settle(self) -> None:
        """Start and end watches, so that there is one for each broker."""
        wanted = {(broker.scope, broker.id): broker for broker in self._service.brokers()}
        for key in set(self._tasks) - set(wanted):
            task = self._tasks.pop(key)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, WorldError):
                await task
            self._watches.pop(key, None)
        for key in set(wanted) - set(self._tasks):
            task = asyncio.create_task(self.watch(*key).run())
            task.add_done_callback(lambda _: self._changed.set())
            self._tasks[key] = task


def _of(scope: Scope, ended: set[DeviceKey]) -> list[DeviceId]:
    return [key.device for key in ended if key.scope == scope]


def _removes_broker(change: Change) -> bool:
    return isinstance(change, Removed) and change.kind is Broker
