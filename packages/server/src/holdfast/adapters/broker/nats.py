"""nats-server: users with permissions in one file, read again on SIGHUP.

1. Revoke is the user gone from the file: nats-server ends the connections of users it no longer has, and refuses them.
2. It keeps its old configuration when it cannot read the new one. The canary, a user of the configuration before, then
   still gets in, and `apply` fails.
3. What devices publish is not told by this server; subscriptions, refusals and connections are.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from holdfast.adapters.broker import nats_files as render
from holdfast.adapters.broker.confirm import Confirmation, local_address
from holdfast.adapters.broker.files import certificate_ends, differing, make_folders, publish
from holdfast.adapters.broker.followed import FollowedLog
from holdfast.adapters.broker.nats_log import Connz, live, violations
from holdfast.adapters.broker.process import command, tell
from holdfast.ports.broker import Action, Broker, ClientIdentity, Connection, Observed, Publication, Seen
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason

PROGRAM = "nats-server"
MONITOR_SECONDS = 10.0
MONITOR_BYTES = 64 * 1024 * 1024
PAGE = 1024
GONE_SECONDS = 10.0
_NOBODY = ClientIdentity("_nobody", "_nobody", "", b"")
"""No certificate has this name."""


class NatsBroker:
    """Implements `holdfast.ports.broker.BrokerAdapter` for nats-server 2.9.10 and later."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._folder = Path(broker.folder)
        self._log = FollowedLog(self._folder / render.LOG, violations)
        self._confirmation = Confirmation(local_address(broker.host), broker.port, self._folder / render.ROOT)
        self._published: Publication | None = None

    def prepare(self, server: ClientIdentity, root: bytes) -> None:
        """See the port."""
        make_folders(self._folder)
        publish(self._folder, {render.ROOT: root, render.SERVER_CHAIN: server.chain, render.SERVER_KEY: server.key})

    def certificate_ends(self) -> Instant | None:
        """See the port."""
        ready = all((self._folder / name).exists() for name in (render.ROOT, render.SERVER_KEY))
        return certificate_ends(self._folder / render.SERVER_CHAIN) if ready else None

    def render(self, publication: Publication) -> dict[str, bytes]:
        """See the port."""
        return {
            render.ANCHORS: publication.anchors,
            render.CONFIG: render.configuration(self.broker, publication),
        }

    def write(self, publication: Publication) -> None:
        """See the port."""
        publish(self._folder, self.render(publication))

    async def apply(self, publication: Publication) -> None:
        """See the port."""
        await asyncio.to_thread(self.write, publication)
        await self._reload()
        await self._confirmation.until_obeyed(publication)
        self._published = publication

    async def _reload(self) -> None:
        if self.broker.reload:
            await command(self.broker.reload)
        else:
            tell(self._folder / render.PID, PROGRAM, signal.SIGHUP)

    async def cut_off(self, devices: tuple[DeviceId, ...], publication: Publication) -> None:
        """See the port. A user that stays keeps its connection, so it goes for one reload: 2.9 knows no other way."""
        without = tuple(a for a in publication.admitted if a.grants.device not in devices)
        if without != publication.admitted:
            # Without our probe too: once it is let in again, the second reload is in force.
            passing = msgspec.structs.replace(publication, admitted=without, probe=_NOBODY)
            await asyncio.to_thread(self.write, passing)
            await self._reload()
        else:
            await self.apply(publication)
        try:
            await self._gone(devices)
        finally:
            if without != publication.admitted:
                await self.apply(publication)

    async def kick(self, devices: Sequence[DeviceId]) -> None:
        """See the port."""
        if self._published is None:
            raise WorldError(
                "broker.not_applied", "Nothing was published to this broker yet.", remedy="holdfast broker apply."
            )
        await self.cut_off(tuple(devices), self._published)

    async def _gone(self, devices: tuple[DeviceId, ...]) -> None:
        """Return when none of `devices` is connected."""
        end = time.monotonic() + GONE_SECONDS
        while any(connection.device in devices for connection in await self.connections()):
            if time.monotonic() > end:
                raise WorldError(
                    "broker.still_connected",
                    "The broker keeps connections of devices that it was told to end.",
                    remedy="Read its log for why it did not take its configuration; restart it.",
                )
            await asyncio.sleep(0.05)

    async def connections(self) -> tuple[Connection, ...]:
        """See the port."""
        return tuple(sorted((found for found, _ in await self._live()), key=lambda connection: connection.device))

    async def _live(self) -> list[tuple[Connection, tuple[str, ...]]]:
        found: list[tuple[Connection, tuple[str, ...]]] = []
        offset = 0
        async with httpx.AsyncClient(timeout=MONITOR_SECONDS, trust_env=False) as client:
            while True:
                url = f"http://127.0.0.1:{self.broker.control_port}/connz"
                told = await _asked(client, url, {"auth": 1, "subs": "detail", "limit": PAGE, "offset": offset})
                found.extend(told.page)
                offset += PAGE
                # It says itself how many there are; a server that was taken over would never come to an end.
                if offset >= min(told.total, 2 * render.CONNECTIONS):
                    return found

    async def observe(self, mark: str) -> Observed:
        """See the port. Subscriptions and client ids are those of the connections as they are now."""
        observed = await self._log.observe(mark, violations)
        if observed.mark != mark and await self._log.put_aside():
            tell(self._folder / render.PID, PROGRAM, signal.SIGUSR1)  # it opens its log anew
        seen = list(observed.seen)
        for connection, topics in await self._live():
            device = connection.device
            seen.extend(Seen(device, Action.SUBSCRIBE, topic) for topic in topics)
            if connection.client_id and connection.client_id != device:
                seen.append(Seen(device, Action.CONNECT, connection.client_id, "client-id"))
        return msgspec.structs.replace(observed, seen=tuple(seen))

    async def check(self, publication: Publication, now: Instant) -> tuple[Reason, ...]:
        """See the port."""
        differs = await asyncio.to_thread(lambda: differing(self._folder, self.render(publication)))
        return await self._confirmation.faults(publication, now, differs)


class _Page(NamedTuple):
    """Some of the connections, and how many there are."""

    page: list[tuple[Connection, tuple[str, ...]]]
    total: int


async def _asked(client: httpx.AsyncClient, url: str, query: dict[str, str | int]) -> _Page:
    try:
        async with client.stream("GET", url, params=query) as response:
            data = bytearray()
            async for part in response.aiter_bytes():
                data += part
                if len(data) > MONITOR_BYTES:
                    break
        told = msgspec.json.decode(bytes(data), type=Connz)
        return _Page(live(told), told.total)
    except (httpx.HTTPError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WorldError(
            "broker.unreachable",
            f"The monitoring port of the broker does not answer as it should: {type(error).__name__}.",
            remedy="See that it runs and that `http` in its configuration is as rendered; its log says more.",
        ) from error
