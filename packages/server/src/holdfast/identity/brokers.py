"""Brokers of an environment: adding them, what each is told, and what its devices are granted and used.

1. What a broker is told follows from the store alone (`publication`): devices with a key that may speak, what their
   models grant, and every certificate that was ended. Nothing is remembered beside it.
2. Files of a broker are written, and the broker told, by its watch; commands only wake it and wait.
3. The key of a broker's certificate is made here once and lies in the broker's folder alone.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.identity.admissions import AdmissionBook
from holdfast.ports.broker import Broker, BrokerAdapter, BrokerKind, BrokerTrust, ClientIdentity, Publication
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.issuers import IssuerBook
from holdfast.ports.lookup import require_device
from holdfast.ports.store import Removed, Store
from holdfast_core.identity.grants import Grants
from holdfast_core.identity.usage import TopicUse, unused
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_name
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.record.model import Kind

LOCAL = ("127.0.0.1", "localhost")
"""Under which the control plane itself tries a broker; always among the names of its certificate."""
LARGEST_PORT = 65_535
CERTIFIED_AGAIN = 30 * DAY
BROKERS = 64
"""Of one environment."""

_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_HUB = re.compile(r"([A-Za-z0-9_.-]{1,253}|\[[0-9a-fA-F:]{2,45}\]):[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")

Adapters = Callable[[Broker], BrokerAdapter]


class BrokerService:
    """The brokers of every environment, as records and as what they must be told."""

    def __init__(
        self, *, store: Store, clock: Clock, emit: Emit, issuers: IssuerBook, trust: BrokerTrust, adapters: Adapters
    ) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._trust = trust
        self._adapters = adapters
        self._changing = asyncio.Lock()
        self.book = AdmissionBook(store, clock, issuers)

    def brokers(self, scope: Scope | None = None) -> list[Broker]:
        """The brokers of one scope, or of all."""
        return self._store.all_kept(Broker, scope)

    def require(self, scope: Scope, name: str) -> Broker:
        """The broker, or `HostileData` ``broker.unknown`` (404)."""
        broker = self._store.kept(Broker, scope, name)
        if broker is None:
            raise HostileData(
                "broker.unknown",
                f"There is no broker {name[:80]!r} in {scope}.",
                remedy="Add it: holdfast broker add NAME --kind mosquitto --folder FOLDER.",
                http_status=404,
            )
        return broker

    async def add(self, broker: Broker, *, actor: str) -> Broker:
        """Add a broker, and make its folder ready to start it.

        Raises:
            HostileData: ``name.invalid``, ``broker.exists``, ``broker.invalid``, ``broker.too_many``.
            WorldError: ``broker.files``.
        """
        check_broker(broker)
        async with self._changing:
            now = self._clock.now()
            known = self.brokers(broker.scope)
            if any(other.id == broker.id or other.folder == broker.folder for other in known):
                raise HostileData(
                    "broker.exists",
                    f"There is a broker of the name {broker.id!r}, or with its folder, already.",
                    remedy="Choose another name and folder, or remove it first: holdfast broker remove NAME.",
                    http_status=409,
                )
            if len(known) >= BROKERS:
                raise HostileData("broker.too_many", f"{BROKERS} brokers are the most.", remedy="Remove one first.")
            names = tuple(dict.fromkeys((*broker.names, *LOCAL)))
            added = msgspec.structs.replace(broker, names=names, added_at=now)
            await asyncio.to_thread(self._prepare, added, now)
            await asyncio.to_thread(self._adapters(added).write, await self._first(added))
            data = {"broker": added.id, "kind": added.kind.value, "folder": added.folder, "port": added.port}
            noted = Noted(Kind.BROKER_ADDED, actor, None, broker.scope, data, now)
            await self._store.commit([added, *self._emit(noted)])
            return added

    def _prepare(self, broker: Broker, now: Instant) -> None:
        adapter = self._adapters(broker)
        adapter.prepare(self._trust.certify(broker, now), self._trust.root())

    async def keep_ready(self, broker: Broker, adapter: BrokerAdapter) -> None:
        """Give a broker a new certificate a month before its old one lapses, or when its folder is not ready.

        Raises:
            WorldError: ``broker.files``.
        """
        now = self._clock.now()
        ends = await asyncio.to_thread(adapter.certificate_ends)
        if ends is None or ends - now < CERTIFIED_AGAIN:
            await asyncio.to_thread(self._prepare, broker, now)

    async def remove(self, scope: Scope, name: str, *, actor: str) -> Broker:
        """Forget a broker; its files stay, and its devices are refused once its revocation list lapses.

        Raises:
            HostileData: ``broker.unknown``.
        """
        async with self._changing:
            broker = self.require(scope, name)
            noted = Noted(Kind.BROKER_REMOVED, actor, None, scope, {"broker": name}, self._clock.now())
            uses = [use for use in self._store.all_kept(TopicUse, scope) if use.id.startswith(f"{name}/")]
            removed = [Removed(TopicUse, scope, use.id) for use in uses]
            await self._store.commit([Removed(Broker, scope, name), *removed, *self._emit(noted)])
            return broker

    def grants(self, key: DeviceKey) -> Grants | None:
        """What a device is granted at brokers now; `None` when it may not connect.

        Raises:
            HostileData: ``device.unknown``.
        """
        return self.book.grants(require_device(self._store, key))

    def use(self, broker: str, key: DeviceKey) -> TopicUse | None:
        """What a device was seen to use at a broker."""
        return self._store.kept(TopicUse, key.scope, f"{broker}/{key.device}")

    def unused(self, broker: str, grants: Grants, scope: Scope) -> tuple[tuple[str, str], ...]:
        """What a device was granted at a broker and did not use for thirty days."""
        return unused(self.use(broker, DeviceKey(scope, grants.device)), grants, self._clock.now())

    async def publication(self, broker: Broker, probe: ClientIdentity, canary: ClientIdentity) -> Publication:
        """Everything `broker` must be told now."""
        admitted = await self.book.admissions(broker.scope)
        kept_out = (canary.serial, *self.book.barred(broker.scope))
        lists, lapses = await asyncio.to_thread(self._trust.revocations, broker.scope, kept_out, self._clock.now())
        return Publication(admitted, self._trust.anchors(broker.scope), lists, lapses, probe, canary)

    async def _first(self, broker: Broker) -> Publication:
        """A publication with identities of ours that are never used."""
        now = self._clock.now()
        probe, canary = (self._trust.probe(broker.scope, number, now) for number in ("new", "old"))
        return await self.publication(broker, probe, canary)

    async def rendered(self, broker: Broker) -> dict[str, bytes]:
        """The files of `broker` as they would be published now, with identities of ours that are never used."""
        return self._adapters(broker).render(await self._first(broker))


def check_broker(broker: Broker) -> None:
    """Refuse what cannot be a broker.

    Raises:
        HostileData: ``name.invalid``, ``broker.invalid``.
    """
    parse_name(broker.id, what="broker name")
    path = Path(broker.folder)
    plain = broker.folder.isprintable() and not any(sign in broker.folder for sign in "\"'\\ \t#$")
    ports = (broker.port, broker.control_port, *([broker.leaf_port] if broker.leaf_port else []))
    faults = (
        (not path.is_absolute() or ".." in path.parts or not plain, "its folder is not absolute, or not plain"),
        (not all(0 < port <= LARGEST_PORT for port in ports) or len(set(ports)) != len(ports), "its ports"),
        ((broker.leaf_port or broker.leaf_of) and broker.kind is not BrokerKind.NATS, "only NATS has leaf nodes"),
        (broker.leaf_of and (broker.leaf_port or not _HUB.fullmatch(broker.leaf_of)), "its hub is no HOST:PORT"),
        (not _is_address(broker.host), "its host is no address of this machine"),
        (not all(_is_address(name) or _NAME.fullmatch(name) for name in broker.names), "its names"),
        (broker.run_as and not _ACCOUNT.fullmatch(broker.run_as), "its account is no account's name"),
        (broker.reload and not Path(broker.reload[0]).is_absolute(), "its reload command is no absolute path"),
    )
    for wrong, what in faults:
        if wrong:
            raise HostileData(
                "broker.invalid",
                f"This cannot be a broker: {what}.",
                remedy="See holdfast broker add --help and docs/how-to/run-a-broker.md.",
            )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
