"""The cache as a whole: folder, fetches, port and status, from its start until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from holdfast_core.kernel.errors import WorldError
from holdfast_gateway import troubles
from holdfast_gateway.allowance import Allowance
from holdfast_gateway.bounds import BOUNDS, Bounds
from holdfast_gateway.flights import Flights
from holdfast_gateway.meters import Meters, Status, write_status
from holdfast_gateway.serve import Port, listen
from holdfast_gateway.shelf import Shelf
from holdfast_gateway.upstream import Source

DAY_S = 86_400


class Cache:
    """A cache in `folder`, which brings artefacts from `source`.

    Args:
        folder: its own folder.
        source: where artefacts come from.
        size: bytes that it may hold.
        keep_free: bytes that it leaves free on the disk.
        daily: bytes that it may fetch within a day.
        say: tells a person what happens.
        bounds: all other bounds.

    Raises:
        WorldError: ``gateway.disk``, ``gateway.folder_busy``.
    """

    def __init__(
        self,
        folder: Path,
        source: Source,
        *,
        size: int,
        keep_free: int,
        daily: int,
        say: Callable[[str], None],
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._folder, self._size, self._say, self._bounds = folder, size, say, bounds
        self._shelf = Shelf(folder, size=size, keep_free=keep_free, recheck_s=bounds.recheck_s)
        self._meters = Meters()
        self._flights = Flights(
            self._shelf, source, bounds=bounds, meters=self._meters, daily=Allowance(daily, daily / DAY_S), say=say
        )
        self._port = Port(self._shelf, self._flights, bounds=bounds, meters=self._meters)
        self.places: list[tuple[str, int]] = []
        """Addresses and ports that it listens at, once it does."""

    def status(self) -> Status:
        """What it holds and did."""
        counts, counted = self._shelf.counts(), self._meters.counted()
        return Status(
            up_s=self._meters.up_s,
            size=self._size,
            files=counts.files,
            bytes=counts.bytes,
            parts=counts.parts,
            part_bytes=counts.part_bytes,
            hits=counted["hits"],
            fetches=counted["fetches"],
            fetched_bytes=counted["fetched_bytes"],
            served_bytes=counted["served_bytes"],
            refused=counted["refused"],
            turned_away=counted["turned_away"],
            wrong=counted["wrong"],
            evicted=counts.evicted,
            fetching=self._flights.fetching(),
            troubles=self._meters.troubles(),
        )

    async def run(self, places: list[str], stop: asyncio.Event, started: Callable[[], None] = lambda: None) -> None:
        """Serve at `places` until `stop` is set.

        Raises:
            HostileData: ``gateway.listen``.
            WorldError: ``gateway.listening``.
        """
        servers: list[asyncio.Server] = []
        try:
            for place in places:
                try:
                    servers.append(await listen(place, self._port, self._bounds))
                except OSError as error:
                    raise WorldError(
                        "gateway.listening",
                        f"The cache cannot listen at {place}: {error.strerror}.",
                        remedy="Choose an address of this machine and a port that is free.",
                    ) from error
            names = [each.getsockname() for server in servers for each in server.sockets]
            self.places = [(name[0], name[1]) for name in names if isinstance(name, tuple)]
            started()
            await self._until(stop)
        finally:
            for server in servers:
                server.close()
            await self._flights.close()
            self._write()
            self._shelf.close()

    async def _until(self, stop: asyncio.Event) -> None:
        before = None
        while not stop.is_set():
            counted = self._meters.counted()
            if counted != before:
                self._write()
            before = counted
            try:
                await asyncio.wait_for(stop.wait(), self._bounds.status_s)
            except TimeoutError:
                continue

    def _write(self) -> None:
        try:
            write_status(self._folder, self.status())
        except OSError as error:
            self._say(str(troubles.disk(error.strerror or "the status could not be written")))


async def run_until_told(cache: Cache, places: list[str], started: Callable[[], None]) -> None:
    """Run `cache` until SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await cache.run(places, stop, started)
