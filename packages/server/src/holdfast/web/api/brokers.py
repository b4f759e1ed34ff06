"""Brokers: adding them, seeing what they are told and whether they obey, who is connected, what is granted and used.

1. A broker names a folder to write to and a command to run, so it is added on the server itself (the local socket);
   no token, whatever its permission, may make the control plane write or run what its sender chose.
2. Files are shown as they are published; none of them holds a private key.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from holdfast.identity.brokers import LARGEST_PORT
from holdfast.ports.broker import Broker, BrokerKind
from holdfast.ports.store import DeviceFilter
from holdfast.web.api.callers import Admin, Operator, Principal, Reader, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, Limit, ReasonShape, Shape, Text, Time, maybe, reasons
from holdfast_core.identity.grants import Grants
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import DAY, Instant, rfc3339

router = APIRouter(prefix="/brokers", tags=["brokers"])

BrokerName = Annotated[str, Path(description="The broker's name.")]
PortNumber = Annotated[int, Field(ge=1, le=LARGEST_PORT)]
LOCAL_CALLER = "os-user:"


class NewBroker(Shape):
    """A broker on this machine. Without `reload` it is told of new files by SIGHUP to the process in its pid file."""

    name: Text
    kind: BrokerKind
    folder: Text
    port: PortNumber = 8883
    control_port: PortNumber
    host: Text = "0.0.0.0"  # noqa: S104  (devices call from outside; mutual TLS guards the port)
    names: Annotated[list[Text], Field(max_length=16)] = Field(default_factory=list)
    leaf_port: Annotated[int, Field(ge=0, le=LARGEST_PORT)] = 0
    leaf_of: Text = ""
    reload: Annotated[list[Text], Field(max_length=16)] = Field(default_factory=list)
    run_as: Text = ""


class BrokerShape(Shape):
    """A broker and how it stands; `published_at` is null until this server first published to it."""

    name: str
    kind: str
    folder: str
    host: str
    port: int
    control_port: int
    leaf_port: int
    leaf_of: str
    names: list[str]
    added_at: Time
    published_at: Time | None
    admitted: int
    faults: list[ReasonShape]


class BrokerList(Shape):
    """Brokers by name."""

    items: list[BrokerShape]


class FileShape(Shape):
    """One file of a broker."""

    name: str
    text: str


class FileList(Shape):
    """The files of a broker, in the order in which they are published."""

    items: list[FileShape]


class ConnectionShape(Shape):
    """One live connection."""

    device: str
    client_id: str
    address: str
    since: Time


class ConnectionList(Shape):
    """Live connections by device."""

    items: list[ConnectionShape]


class GrantedFilter(Shape):
    """A topic filter that a device was granted; `used_on` is the last day it was used, null when it was not seen."""

    action: str
    filter: str
    used_on: str | None
    unused_for_30_days: bool


class RefusedTopic(Shape):
    """What a device tried in vain: the last day, and how often on it."""

    action: str
    topic: str
    day: str
    times: int


class DeviceGrants(Shape):
    """What a device is granted, what of it it used, what it was refused, and what its model asks for in vain."""

    device: str
    granted: list[GrantedFilter]
    refused: list[RefusedTopic]
    withheld: list[ReasonShape]


class GrantList(Shape):
    """Grants by device; `next` is where the next page starts."""

    items: list[DeviceGrants]
    next: str | None


@router.get("")
async def list_brokers(caller: Reader, services: Served) -> BrokerList:
    """List brokers, with what is wrong with them."""
    return BrokerList(items=[_shown(broker, services) for broker in services.brokers.brokers(caller.scope)])


@router.post("", status_code=201)
async def add_broker(new: NewBroker, caller: Admin, services: Served) -> BrokerShape:
    """Add a broker of this machine, and write the files it starts with. Only over the local socket."""
    if not caller.actor.startswith(LOCAL_CALLER):
        raise IdentityRefused(
            "broker.local_only",
            "A broker is added on the server itself: it names a folder and a command of that machine.",
            remedy="Run holdfast broker add there.",
        )
    broker = Broker(
        caller.scope,
        new.name,
        new.kind,
        new.folder,
        new.port,
        new.control_port,
        host=new.host,
        names=tuple(new.names),
        leaf_port=new.leaf_port,
        leaf_of=new.leaf_of,
        reload=tuple(new.reload),
        run_as=new.run_as,
    )
    added = await services.brokers.add(broker, actor=caller.actor)
    return _shown(added, services)


@router.delete("/{broker}")
async def remove_broker(broker: BrokerName, caller: Admin, services: Served) -> BrokerShape:
    """Forget a broker. Its files stay: stop it, for nobody tells it of revocations any more."""
    shown = _shown(services.brokers.require(caller.scope, broker), services)
    await services.brokers.remove(caller.scope, broker, actor=caller.actor)
    return shown


@router.get("/{broker}/files")
async def show_files(broker: BrokerName, caller: Reader, services: Served) -> FileList:
    """Show the files of a broker as they would be published now."""
    files = await services.brokers.rendered(services.brokers.require(caller.scope, broker))
    return FileList(items=[FileShape(name=name, text=data.decode()) for name, data in files.items()])


@router.post("/{broker}/apply")
async def apply_broker(broker: BrokerName, caller: Operator, services: Served) -> BrokerShape:
    """Publish everything to a broker now, and see that it obeys."""
    await services.broker_watches.watch(caller.scope, broker).step(publish=True, check=True)
    return _shown(services.brokers.require(caller.scope, broker), services)


@router.post("/{broker}/check")
async def check_broker(broker: BrokerName, caller: Operator, services: Served) -> BrokerShape:
    """Try a broker: whether its files are as published, it refuses a revoked identity, and admits a good one."""
    await services.broker_watches.watch(caller.scope, broker).step(check=True)
    return _shown(services.brokers.require(caller.scope, broker), services)


@router.get("/{broker}/connections")
async def list_connections(broker: BrokerName, caller: Reader, services: Served) -> ConnectionList:
    """List the live connections of a broker."""
    found = await services.broker_watches.watch(caller.scope, broker).connections()
    return ConnectionList(
        items=[
            ConnectionShape(device=c.device, client_id=c.client_id, address=c.address, since=rfc3339(c.since))
            for c in found
        ]
    )


@router.get("/{broker}/grants")
async def list_grants(
    broker: BrokerName,
    caller: Reader,
    services: Served,
    *,
    device: Annotated[Text, Query(description="Only those of this device.")] = "",
    after: Annotated[Text, Query(description="The device after which the page starts.")] = "",
    limit: Limit = PAGE,
) -> GrantList:
    """Show what devices are granted at a broker and what of it they used; only devices that may connect."""
    services.brokers.require(caller.scope, broker)
    if device:
        found = services.brokers.grants(caller.key(device))
        items = [_grants(found, broker, caller, services)] if found is not None else []
        return GrantList(items=items, next=None)
    listed = services.store.devices(caller.scope, DeviceFilter(after=after, limit=limit + 1))
    granted = [services.brokers.grants(entry.key) for entry in listed[:limit]]
    return GrantList(
        items=[_grants(found, broker, caller, services) for found in granted if found is not None],
        next=listed[limit - 1].key.device if len(listed) > limit else None,
    )


def _grants(granted: Grants, broker: str, caller: Principal, services: Services) -> DeviceGrants:
    use = services.brokers.use(broker, DeviceKey(caller.scope, DeviceId(granted.device)))
    unused = set(services.brokers.unused(broker, granted, caller.scope))
    days = {(entry.action, entry.pattern): entry.day for entry in use.used} if use else {}
    ways = (("publish", granted.publish), ("subscribe", granted.subscribe))
    return DeviceGrants(
        device=granted.device,
        granted=[
            GrantedFilter(
                action=action,
                filter=pattern,
                used_on=_day(days[action, pattern]) if (action, pattern) in days else None,
                unused_for_30_days=(action, pattern) in unused,
            )
            for action, patterns in ways
            for pattern in patterns
        ],
        refused=[
            RefusedTopic(action=entry.action, topic=entry.topic, day=_day(entry.day), times=entry.times)
            for entry in (use.refused if use else ())
        ],
        withheld=reasons(granted.withheld),
    )


def _day(day: int) -> str:
    return rfc3339(Instant(day * DAY))[:10]


def _shown(broker: Broker, services: Services) -> BrokerShape:
    watch = services.broker_watches.watch(broker.scope, broker.id)
    return BrokerShape(
        name=broker.id,
        kind=broker.kind.value,
        folder=broker.folder,
        host=broker.host,
        port=broker.port,
        control_port=broker.control_port,
        leaf_port=broker.leaf_port,
        leaf_of=broker.leaf_of,
        names=list(broker.names),
        added_at=rfc3339(broker.added_at),
        published_at=maybe(watch.published_at),
        admitted=len(watch.publication.admitted) if watch.publication else 0,
        faults=reasons(watch.faults),
    )
