"""Single flight: whoever wants an artefact that is not here waits for the one fetch of it.

1. One artefact is fetched by one fetch at a time, however many ask for it; it goes on when they stop waiting.
2. Whoever has waited `wait_s` is asked to come again, after a time that is guessed from the pace.
3. What was not to be had is not asked for again for a while, under that very path: who asks for a path of his own
   making with somebody else's digest keeps nobody from fetching it under the right one.
4. What one address may cause is bounded: fetches that it began, and questions that the control plane denied.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast_core.kernel.errors import HoldfastError, WorldError
from holdfast_gateway import troubles
from holdfast_gateway.allowance import Allowance
from holdfast_gateway.bounds import Bounds
from holdfast_gateway.fetch import Fetch
from holdfast_gateway.meters import Fetching, Meters
from holdfast_gateway.request import Target
from holdfast_gateway.shelf import Shelf
from holdfast_gateway.upstream import Source

SOON_S, LATE_S = 2, 300
"""The shortest and the longest time after which a device is asked to come again."""
ABSENT, WRONG = "gateway.absent", "gateway.wrong"
Say = Callable[[str], None]


class _Flight:
    def __init__(self, task: asyncio.Task[None], fetch: Fetch, address: str) -> None:
        self.task, self.fetch, self.address = task, fetch, address


class Flights:
    """The fetches of one cache; to be used on one event loop."""

    def __init__(
        self, shelf: Shelf, source: Source, *, bounds: Bounds, meters: Meters, daily: Allowance, say: Say
    ) -> None:
        self._shelf, self._source, self._bounds = shelf, source, bounds
        self._meters, self._daily, self._say = meters, daily, say
        self._fetching = ThreadPoolExecutor(bounds.fetches, thread_name_prefix="fetch")
        # What is on the disk already must not wait for what comes over the line.
        self._checking = ThreadPoolExecutor(1, thread_name_prefix="check")
        self._flights: dict[str, _Flight] = {}
        self._failures: OrderedDict[str, tuple[float, HoldfastError]] = OrderedDict()
        self._misses: OrderedDict[str, Allowance] = OrderedDict()
        self._stopping = False

    def fetching(self) -> tuple[Fetching, ...]:
        """What is on its way."""
        return tuple(flight.fetch.progress() for flight in self._flights.values())

    async def bring(self, target: Target, address: str) -> None:
        """Have `target` on the shelf when this returns.

        Raises:
            WorldError: why it is not there.
        """
        failed = self._failed(target.path)
        if failed is not None:
            raise failed
        flight = self._flights.get(target.path) or self._begin(target, address)
        done, _ = await asyncio.wait((flight.task,), timeout=self._bounds.wait_s)
        if done:
            flight.task.result()
            return
        at, left = flight.fetch.progress(), flight.fetch.left_s()
        raise troubles.fetching(target.path, at.have, at.length, min(max(left, SOON_S), LATE_S))

    async def close(self) -> None:
        """Stop every fetch; the bytes that came stay."""
        self._stopping = True
        for flight in self._flights.values():
            flight.fetch.stop()
        tasks = [flight.task for flight in self._flights.values()]
        if tasks:
            await asyncio.wait(tasks)
        for threads in (self._fetching, self._checking):
            threads.shutdown()

    def _begin(self, target: Target, address: str) -> _Flight:
        if self._stopping:
            raise troubles.stopping()
        if len(self._flights) >= self._bounds.flights:
            raise troubles.busy("too many artefacts are wanted at once", LATE_S // 10)
        own = sum(flight.address == address for flight in self._flights.values())
        if own >= self._bounds.flights_per_address:
            raise troubles.busy("this address asks for too many artefacts at once", LATE_S // 10)
        misses = self._misses.get(address)
        if misses is not None and misses.spent:
            raise troubles.busy("this address asked too often for what there is not", int(self._bounds.miss_s) + 1)
        fetch = Fetch(
            target, self._shelf, self._source, bounds=self._bounds, meters=self._meters, daily=self._daily
        )  # fmt: skip
        before = [each.task for each in self._flights.values() if each.fetch.target.digest == target.digest]
        task = asyncio.get_running_loop().create_task(self._fly(fetch, address, before))
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # it may fail with nobody waiting
        flight = self._flights[target.path] = _Flight(task, fetch, address)
        return flight

    async def _fly(self, fetch: Fetch, address: str, before: list[asyncio.Task[None]]) -> None:
        target, loop = fetch.target, asyncio.get_running_loop()
        try:
            if before:  # the same bytes under other paths
                await asyncio.wait(before)
            if self._shelf.ready(target.digest):
                return
            if self._shelf.has(target.digest):
                if await loop.run_in_executor(self._checking, self._shelf.check, target.digest):
                    return
                self._say(f"{target.path} was damaged on the disk and is fetched again.")
            await loop.run_in_executor(self._fetching, fetch.run)
            self._say(f"{target.path} is here, verified.")
        except HoldfastError as error:
            self._fail(target, address, error)
            raise
        finally:
            del self._flights[target.path]

    def _fail(self, target: Target, address: str, error: HoldfastError) -> None:
        if self._stopping:
            return
        if error.code == ABSENT:
            if address not in self._misses:
                self._misses[address] = Allowance(self._bounds.misses, 1 / self._bounds.miss_s)
                _forget(self._misses, self._bounds.addresses)
            self._misses.move_to_end(address)
            self._misses[address].charge(1)
            seconds = self._bounds.absent_s
        else:
            seconds = self._bounds.wrong_s if error.code == WRONG else self._bounds.failed_s
            self._say(f"{target.path} could not be fetched. {error}")
        if error.code == WRONG:
            self._meters.add("wrong")
        self._meters.trouble(target.path, error)
        self._failures[target.path] = (time.monotonic() + seconds, error)
        self._failures.move_to_end(target.path)
        _forget(self._failures, self._bounds.failures)

    def _failed(self, path: str) -> HoldfastError | None:
        """Why it is not even tried."""
        if path not in self._failures:
            return None
        until, error = self._failures[path]
        left = until - time.monotonic()
        if left <= 0:
            del self._failures[path]
            return None
        return WorldError(
            error.code, error.sentence, remedy=error.remedy, http_status=error.http_status, retry_after_s=int(left) + 1
        )


def _forget(items: OrderedDict[str, Any], most: int) -> None:
    while len(items) > most:
        items.popitem(last=False)
