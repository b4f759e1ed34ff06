"""mosquitto: access list and revocation list in files, connections ended through its dynamic security plugin.

1. Revoke: the revocation list and the access list are live first (the canary proves it), then the connection is ended.
2. mosquitto lets revoked devices in again when it cannot read its revocation list. They have no rights then, for the
   access list does not name them, and `check` finds it: the list is published again, and an alarm is given.
3. Who is connected is what its log says; the plugin knows only clients of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path

from holdfast.adapters.broker import mosquitto_files as render
from holdfast.adapters.broker.confirm import Confirmation, local_address
from holdfast.adapters.broker.files import OWN, certificate_ends, differing, make_folders, publish, read_or_none
from holdfast.adapters.broker.followed import FollowedLog
from holdfast.adapters.broker.mosquitto_log import Sessions
from holdfast.adapters.broker.mqtt import control
from holdfast.adapters.broker.process import command, tell
from holdfast.ports.broker import Broker, ClientIdentity, Connection, Observed, Publication
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason

PROGRAM = "mosquitto"
SECRET = "control.secret"  # noqa: S105  (a file's name)
SECRET_BYTES = 32
SALT_BYTES = 12
KICKED_AT_ONCE = 100


class MosquittoBroker:
    """Implements `holdfast.ports.broker.BrokerAdapter` for mosquitto 2.0.11 and later."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._folder = Path(broker.folder)
        self._sessions = Sessions()
        self._log = FollowedLog(self._folder / render.LOG, self._sessions.read)
        self._confirmation = Confirmation(local_address(broker.host), broker.port, self._folder / render.ROOT)

    def prepare(self, server: ClientIdentity, root: bytes) -> None:
        """See the port."""
        make_folders(self._folder)
        publish(self._folder, {render.ROOT: root, render.SERVER_CHAIN: server.chain, render.SERVER_KEY: server.key})
        if read_or_none(self._folder / SECRET) is None or read_or_none(self._folder / render.DYNSEC) is None:
            password = secrets.token_urlsafe(SECRET_BYTES)
            publish(self._folder, {SECRET: password.encode()}, mode=OWN)
            state = render.kill_switch(password, secrets.token_bytes(SALT_BYTES))
            publish(self._folder, {render.DYNSEC: state}, mode=0o660)

    def certificate_ends(self) -> Instant | None:
        """See the port."""
        ready = all((self._folder / name).exists() for name in (render.ROOT, render.SERVER_KEY, SECRET, render.DYNSEC))
        return certificate_ends(self._folder / render.SERVER_CHAIN) if ready else None

    def render(self, publication: Publication) -> dict[str, bytes]:
        """See the port."""
        plugin = next((path for path in render.PLUGINS if Path(path).exists()), render.PLUGIN)
        return {
            # Who may connect comes first: a crash between two files must not leave a revoked device more rights.
            render.CRL: publication.revocations,
            render.ACL: render.access_list(publication),
            render.ANCHORS: publication.anchors,
            render.CONFIG: render.configuration(self.broker, plugin),
        }

    def write(self, publication: Publication) -> None:
        """See the port."""
        publish(self._folder, self.render(publication))

    async def apply(self, publication: Publication) -> None:
        """See the port."""
        await asyncio.to_thread(self.write, publication)
        await self._reload()
        await self._confirmation.until_obeyed(publication)

    async def _reload(self) -> None:
        if self.broker.reload:
            await command(self.broker.reload)
        else:
            tell(self._folder / render.PID, PROGRAM, signal.SIGHUP)

    async def cut_off(self, devices: tuple[DeviceId, ...], publication: Publication) -> None:
        """See the port."""
        await self.apply(publication)
        await self.kick(devices)

    async def kick(self, devices: Sequence[DeviceId]) -> None:
        """See the port. A client that the plugin does not know cannot be kicked, so it is made known for a moment."""
        secret = read_or_none(self._folder / SECRET)
        root = read_or_none(self._folder / render.ROOT)
        if secret is None or root is None:
            raise WorldError(
                "broker.files",
                f"{self._folder} lacks {SECRET} or {render.ROOT}.",
                remedy="Prepare the broker again: holdfast broker apply.",
            )
        commands = [
            {"command": verb, "username": device} for device in devices for verb in ("createClient", "deleteClient")
        ]
        for start in range(0, len(commands), 2 * KICKED_AT_ONCE):
            some = commands[start : start + 2 * KICKED_AT_ONCE]
            await asyncio.to_thread(control, self.broker.control_port, render.CONTROL_USER, secret.decode(), root, some)

    async def connections(self) -> tuple[Connection, ...]:
        """See the port."""
        await self._log.follow()
        return tuple(sorted(self._sessions.live.values(), key=lambda connection: connection.device))

    async def observe(self, mark: str) -> Observed:
        """See the port."""
        observed = await self._log.observe(mark, Sessions().read)
        if observed.mark != mark and await self._log.put_aside():
            await self._reload()  # mosquitto opens its log anew with its configuration
        return observed

    async def check(self, publication: Publication, now: Instant) -> tuple[Reason, ...]:
        """See the port."""
        differs = await asyncio.to_thread(lambda: differing(self._folder, self.render(publication)))
        return await self._confirmation.faults(publication, now, differs)
