"""A fleet with certificates of its own at a broker: inventory and credentials in a store, the watch beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from broker_builders import BrokerWorld, now
from builders import ACTOR, new_plane
from holdfast.adapters.broker import AuthorityTrust
from holdfast.bootstrap import Plane
from holdfast.identity.broker_watch import BrokerWatch
from holdfast.ports.broker import BrokerKind, ClientIdentity
from holdfast_core.identity.model import Credential
from holdfast_core.identity.names import certified_name
from holdfast_core.identity.rules import revoke
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant

SCOPE = Scope("default", "production")


class SystemTime:
    """The machine's clock: real servers judge by it."""

    def now(self) -> Instant:
        return now()

    def forward(self, _milliseconds: int) -> None:
        raise NotImplementedError


class Fleet:
    """Devices in a store, and the broker they talk to."""

    def __init__(self, plane: Plane, world: BrokerWorld) -> None:
        self.plane, self.world = plane, world
        self.trust = AuthorityTrust(plane.authority, plane.issuers, plane.store)
        world.trust = self.trust
        self.service, self.watches = plane.brokers, plane.broker_watches
        self.identities: dict[str, ClientIdentity] = {}

    @property
    def watch(self) -> BrokerWatch:
        """The broker's watch."""
        return self.watches.watch(SCOPE, self.world.broker.id)

    async def start(self) -> None:
        """Add the broker and start it."""
        broker = msgspec.structs.replace(self.world.broker, scope=SCOPE)
        self.world.broker = await self.service.add(broker, actor=ACTOR)
        files = await self.service.rendered(self.world.broker)
        await asyncio.to_thread(self.world.start, files)

    async def enroll(self, name: str, *, model: str = "", site: str = "") -> ClientIdentity:
        """A device with a new certificate; an older one is revoked, as enrolling again does."""
        store, key = self.plane.store, DeviceKey(SCOPE, DeviceId(name))
        identity, credential = self.certified(key)
        self.identities[name] = identity
        ended = [revoke(c, "enrolled again", now()) for c in store.credentials_of(key) if c.revoked_at is None]
        await store.commit([*ended, credential, Device(key, Lifecycle.ENROLLED, now(), model=model, site=site)])
        return identity

    def certified(self, key: DeviceKey) -> tuple[ClientIdentity, Credential]:
        """A new certificate of a device, as the device has it and as the store does."""
        private = ec.generate_private_key(ec.SECP256R1())
        number, lapses = self.plane.issuers.active(SCOPE), Instant(now() + 30 * DAY)
        certificate = self.plane.authority.issue(private.public_key(), key, number, now=now(), not_after=lapses)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        serial, chain = f"{certificate.serial_number:x}", certificate.public_bytes(Encoding.PEM)
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        credential = Credential(
            fingerprint=digest_of(certificate.public_bytes(Encoding.DER)),
            key=key,
            serial=serial,
            spki=digest_of(spki),
            not_before=Instant(now() - DAY),
            not_after=lapses,
            issuer=self.plane.authority.issuer_fingerprint(SCOPE, number),
            issued_at=now(),
        )
        return ClientIdentity(key.device, certified_name(key), serial, chain, pem), credential

    async def revoke(self, name: str) -> None:
        """End the device's certificate, by the one way there is."""
        await self.plane.identity.revoke(DeviceKey(SCOPE, DeviceId(name)), why="stolen", actor=ACTOR)

    async def client(self, name: str, **about):
        """A connection of a device, or the attempt at one."""
        identity = about.pop("identity", None) or self.identities[name]
        return await asyncio.to_thread(lambda: self.world.client(name, identity=identity, **about))

    async def arrives(self, name: str, **about):
        """A connection of a device as soon as the broker knows of it, and does not make it wait."""
        for _ in range(100):
            client = await self.client(name, **about)
            if client.alive:
                return client
            await asyncio.sleep(0.05)
        raise AssertionError(f"{name} was never let in")


@asynccontextmanager
async def fleet_at(kind: BrokerKind, folder: Path) -> AsyncIterator[Fleet]:
    """A fleet at a real broker, without a watch running yet."""
    data, brokers = folder / "data", folder / "brokers"
    data.mkdir()
    brokers.mkdir()
    world = BrokerWorld.needed(kind, brokers)
    async with new_plane(data, clock=SystemTime()) as plane:
        fleet = Fleet(plane, world)
        try:
            await fleet.start()
            yield fleet
        finally:
            await asyncio.to_thread(world.close)


@asynccontextmanager
async def watched(fleet: Fleet) -> AsyncIterator[BrokerWatch]:
    """The watches, running."""
    running = asyncio.create_task(fleet.watches.run())
    try:
        await fleet.watch.step(publish=True)
        yield fleet.watch
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
