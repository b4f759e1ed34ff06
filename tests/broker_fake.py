"""A broker of memory alone, for tests that need none to run; it passes the contract of the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from broker_builders import BrokerWorld, now
from holdfast.ports.broker import Action, Broker, BrokerKind, ClientIdentity, Connection, Observed, Publication, Seen
from holdfast_core.identity.grants import Grants
from holdfast_core.inventory.topics import covers
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.reasons import Reason


class FakeServer:
    """What the fake's adapters and clients share, as a real server would be."""

    def __init__(self) -> None:
        self.written: Publication | None = None
        self.taken: Publication | None = None
        self.runs = False
        self.clients: list[FakeClient] = []
        self.log: list[Seen] = []

    def admits(self, identity: ClientIdentity) -> bool:
        taken = self.taken
        if taken is None or not _is_issued(identity, taken.anchors):
            return False
        revoked = x509.load_pem_x509_crl(taken.revocations)
        if revoked.get_revoked_certificate_by_serial_number(int(identity.serial, 16)) is not None:
            return False
        names = {taken.probe.certified_name, *(admission.certified_name for admission in taken.admitted)}
        return self.runs and identity.certified_name in names

    def grants(self, device: str) -> Grants | None:
        admitted = self.taken.admitted if self.taken else ()
        return next((a.grants for a in admitted if a.grants.device == device), None)

    def live(self) -> list[FakeClient]:
        return [client for client in self.clients if client.alive]


def _is_issued(identity: ClientIdentity, anchors: bytes) -> bool:
    certificate = x509.load_pem_x509_certificate(identity.chain)
    for anchor in x509.load_pem_x509_certificates(anchors):
        try:
            certificate.verify_directly_issued_by(anchor)
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


class FakeClient:
    """A device's connection in memory."""

    def __init__(self, server: FakeServer, identity: ClientIdentity) -> None:
        self._server, self.identity = server, identity
        self.messages: list[tuple[str, bytes]] = []
        self.patterns: list[str] = []
        self.accepted = server.admits(identity)
        self.ended = not self.accepted
        self.since = now()
        for other in server.live():
            if other.identity.name == identity.name:
                other.ended = True  # one session for each identity
        server.clients.append(self)

    @property
    def alive(self) -> bool:
        return self.accepted and not self.ended

    def subscribe(self, pattern: str, _qos: int = 0) -> None:
        self.patterns.append(pattern)
        self._server.log.append(Seen(DeviceId(self.identity.name), Action.SUBSCRIBE, pattern))

    def publish(self, topic: str, payload: bytes, _qos: int = 0) -> None:
        if not self.alive:
            return
        grants = self._server.grants(self.identity.name)
        allowed = grants is not None and grants.may_publish(topic)
        refused = "" if allowed else "denied"
        self._server.log.append(Seen(DeviceId(self.identity.name), Action.PUBLISH, topic, refused))
        for client in self._server.live() if allowed else []:
            reads = self._server.grants(client.identity.name)
            granted = reads is not None and any(covers(pattern, topic) for pattern in reads.subscribe)
            if granted and any(covers(pattern, topic) for pattern in client.patterns):
                client.messages.append((topic, payload))

    def close(self) -> None:
        self.ended = True


class FakeBroker:
    """Implements `holdfast.ports.broker.BrokerAdapter`. With a `reload` command it tells nobody."""

    servers: dict[int, FakeServer] = {}  # noqa: RUF012  (of the whole process, as ports are)

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.server = self.servers.setdefault(broker.port, FakeServer())

    def prepare(self, server: ClientIdentity, root: bytes) -> None:
        assert server.chain
        assert root

    def certificate_ends(self) -> Instant | None:
        return Instant(now() + 365 * DAY)

    def render(self, publication: Publication) -> dict[str, bytes]:
        return {"crl.pem": publication.revocations, "anchors.pem": publication.anchors}

    def write(self, publication: Publication) -> None:
        self.server.written = publication

    async def apply(self, publication: Publication) -> None:
        self.server.written = publication
        if not self.server.runs:
            raise WorldError("broker.not_running", "It does not run.", remedy="Start it.")
        if not self.broker.reload:
            self.server.taken = publication
        for fault in self._tried(publication):
            raise WorldError(fault.code, fault.sentence, remedy=fault.remedy)

    def _tried(self, publication: Publication) -> list[Reason]:
        if not self.server.runs:
            return [Reason("broker.unreachable", "It does not run.")]
        if self.server.admits(publication.canary):
            return [Reason("broker.canary_admitted", "It lets the canary in.")]
        return (
            [] if self.server.admits(publication.probe) else [Reason("broker.probe_refused", "It refuses the probe.")]
        )

    async def cut_off(self, devices: tuple[DeviceId, ...], publication: Publication) -> None:
        await self.apply(publication)
        await self.kick(devices)

    async def kick(self, devices: Sequence[DeviceId]) -> None:
        for client in self.server.live():
            if client.identity.name in devices:
                client.ended = True

    async def connections(self) -> tuple[Connection, ...]:
        found = (Connection(DeviceId(c.identity.name), c.identity.name, "memory", c.since) for c in self.server.live())
        return tuple(sorted(found, key=lambda connection: connection.device))

    async def observe(self, mark: str) -> Observed:
        start = int(mark) if mark.isdecimal() else 0
        return Observed(
            str(len(self.server.log)), tuple(self.server.log[start:]), missed=not mark.isdecimal() and mark != ""
        )

    async def check(self, publication: Publication, at: Instant) -> tuple[Reason, ...]:
        lapsing = [Reason("broker.revocations_lapse", "They lapse.")] if publication.lapses_at - at < DAY else []
        return (*lapsing, *self._tried(publication))


class FakeWorld(BrokerWorld):
    """A world around the fake."""

    def __init__(self, folder: Path) -> None:
        super().__init__(BrokerKind.MOSQUITTO, folder)
        self.adapter = FakeBroker(self.broker)

    def start(self, _files: dict[str, bytes] | None = None, _seconds: float = 0) -> None:
        server = self.adapter.server
        server.taken, server.runs = server.written or self.publication, True

    def stop(self) -> None:
        self.adapter.server.runs = False
        for client in self.adapter.server.live():
            client.ended = True

    def client(self, device: str, *, client_id: str = "", identity: ClientIdentity | None = None) -> FakeClient:
        assert not client_id  # the fake binds ids to identities, as mosquitto does
        return FakeClient(self.adapter.server, identity or self.identity(device))
