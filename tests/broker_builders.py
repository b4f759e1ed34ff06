"""Brokers for tests: real servers in temporary folders, the devices of an environment, and a broker of memory alone."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import random
import shutil
import signal
import socket
import ssl
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from paho.mqtt.enums import CallbackAPIVersion

from holdfast.adapters.broker import adapter_for
from holdfast.adapters.broker.process import _handles, broker_pid
from holdfast.ports.broker import (
    Admission,
    Broker,
    BrokerAdapter,
    BrokerKind,
    ClientIdentity,
    Publication,
)
from holdfast_core.identity.grants import Grants, own_filters
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import DAY, Instant, from_datetime

SCOPE = Scope("acme", "production")
PROGRAMS = {BrokerKind.MOSQUITTO: "mosquitto", BrokerKind.NATS: "nats-server"}
SOON = 5.0
"""Seconds within which something must have happened."""
STOPS = 5
QUIET = 0.4
"""Seconds after which something that did not happen is taken not to."""


def now() -> Instant:
    """Real servers judge certificates by the machine's clock."""
    return from_datetime(dt.datetime.now(dt.UTC))  # noqa: TID251


def _moment(instant: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(instant / 1000, dt.UTC)


class EnvironmentTrust:
    """The authority of one environment: implements `holdfast.ports.broker.BrokerTrust` for tests."""

    def __init__(self, scope: Scope = SCOPE) -> None:
        self.scope = scope
        self._issuer, self._issuer_key = _authority(f"{scope} issuer 1")
        self._services, self._services_key = _authority("services")
        self.revoked: set[str] = set()
        self.lifetime = 7 * DAY

    def anchors(self, _scope: Scope) -> bytes:
        return self._issuer.public_bytes(Encoding.PEM)

    def root(self) -> bytes:
        return self._services.public_bytes(Encoding.PEM)

    def revocations(self, _scope: Scope, serials: tuple[str, ...], at: Instant) -> tuple[bytes, Instant]:
        entries = [
            x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(_moment(at)).build()
            for serial in sorted(self.revoked | set(serials))
        ]
        lapses = Instant(at + self.lifetime)
        builder = x509.CertificateRevocationListBuilder(revoked_certificates=entries)
        builder = builder.issuer_name(self._issuer.subject).last_update(_moment(min(at, lapses) - DAY))
        signed = builder.next_update(_moment(lapses)).sign(self._issuer_key, hashes.SHA256())
        return signed.public_bytes(Encoding.PEM), lapses

    def probe(self, _scope: Scope, number: str, _now: Instant) -> ClientIdentity:
        return self.identity(f"_probe-{number}")

    def certify(self, broker: Broker, _now: Instant) -> ClientIdentity:
        names = [_general(name) for name in broker.names]
        use = ExtendedKeyUsageOID.SERVER_AUTH
        certificate, key = _leaf(broker.id, names, use, self._services, self._services_key)
        return _identity(broker.id, broker.id, certificate, key)

    def identity(self, device: str) -> ClientIdentity:
        """A certificate for a device of this environment."""
        name = f"{device}.{self.scope.environment}.{self.scope.tenant}.holdfast.internal"
        use = ExtendedKeyUsageOID.CLIENT_AUTH
        certificate, key = _leaf(device, [x509.DNSName(name)], use, self._issuer, self._issuer_key)
        return _identity(device, name, certificate, key)


def _general(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def _identity(name: str, certified: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey):
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    serial = f"{certificate.serial_number:x}"
    return ClientIdentity(name, certified, serial, certificate.public_bytes(Encoding.PEM), pem)


def _builder(common: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now() - DAY))
        .not_valid_after(_moment(now() + 30 * DAY))
    )


def _authority(common: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = _builder(common, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]), key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256()), key


def _leaf(common, names, use, issuer: x509.Certificate, signer: ec.EllipticCurvePrivateKey):
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(common, issuer.subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return builder.sign(signer, hashes.SHA256()), key


class MqttClient:
    """A device's MQTT client, and everything that happened to it."""

    def __init__(self, identity: ClientIdentity, root: bytes, port: int, folder: Path, client_id: str = "") -> None:
        pem = folder / f"{identity.serial}.pem"
        pem.write_bytes(identity.chain + identity.key)
        context = ssl.create_default_context(cadata=root.decode())
        context.load_cert_chain(pem)
        self.messages: list[tuple[str, bytes]] = []
        self.accepted: bool | None = None
        self.ended = False
        self._acknowledged: dict[int, bool] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id or identity.name, reconnect_on_failure=False)
        self._client.tls_set_context(context)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        try:
            self._client.connect("127.0.0.1", port)
        except OSError as error:
            self.accepted, self.ended = False, True
            for frame, _ in traceback.walk_tb(error.__traceback__):
                if isinstance(left := frame.f_locals.get("ssl_sock"), ssl.SSLSocket):
                    left.close()  # paho leaves the socket of a refused handshake to the collector
        else:
            self._client.loop_start()
        wait_for(lambda: self.accepted is not None or self.ended)

    def _on_connect(self, _client, _data, _flags, reason, _properties) -> None:
        self.accepted = not reason.is_failure

    def _on_disconnect(self, _client, _data, _flags, _reason, _properties) -> None:
        self.accepted, self.ended = bool(self.accepted), True

    def _on_message(self, _client, _data, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, message.payload))

    def _on_subscribe(self, _client, _data, number: int, reasons, _properties) -> None:
        self._acknowledged[number] = not reasons[0].is_failure

    def subscribe(self, pattern: str, qos: int = 0) -> None:
        """Subscribe, and wait for the answer; what it says is not asked, for only delivery counts."""
        _, number = self._client.subscribe(pattern, qos)
        wait_for(lambda: self.ended or number in self._acknowledged)

    def publish(self, topic: str, payload: bytes, qos: int = 0) -> None:
        """Send a message."""
        self._client.publish(topic, payload, qos)

    @property
    def alive(self) -> bool:
        """Whether it was let in and still is."""
        return bool(self.accepted) and not self.ended

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def wait_for(happened: Callable[[], object], seconds: float = SOON) -> bool:
    """Whether it happened in time."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


async def eventually(happened: Callable[[], object], seconds: float = SOON) -> bool:
    """`wait_for`, without holding up the loop."""
    return await asyncio.to_thread(wait_for, happened, seconds)


class BrokerWorld:
    """A real broker with its adapter, and the environment it serves."""

    def __init__(self, kind: BrokerKind, folder: Path, **about: object) -> None:
        folder.chmod(0o755)
        fields = {"host": "127.0.0.1", "run_as": "root", **about}
        port, control = free_port(), free_port()
        self.folder = folder
        self.broker = Broker(SCOPE, "hall", kind, str(folder / "broker"), port, control, **fields)
        self.trust = EnvironmentTrust()
        self.adapter: BrokerAdapter = adapter_for(self.broker)
        self.adapter.prepare(self.trust.certify(self.broker, now()), self.trust.root())
        self.probe = self.trust.probe(SCOPE, "0", now())
        self.devices: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._identities: dict[str, ClientIdentity] = {}
        self._clients: list[MqttClient] = []
        self._publications = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.publication = self.next_publication()

    def next_publication(self) -> Publication:
        """What is to be published now; the probe of the last one becomes the canary."""
        self._publications += 1
        canary, self.probe = self.probe, self.trust.probe(SCOPE, str(self._publications), now())
        self.trust.revoked.add(canary.serial)
        lists, lapses = self.trust.revocations(SCOPE, (), now())
        admitted = tuple(
            Admission(Grants(DeviceId(name), *self.devices[name]), self.identity(name).certified_name)
            for name in sorted(self.devices)
        )
        self.publication = Publication(admitted, self.trust.anchors(SCOPE), lists, lapses, self.probe, canary)
        return self.publication

    def identity(self, device: str) -> ClientIdentity:
        """The device's certificate."""
        if device not in self._identities:
            self._identities[device] = self.trust.identity(device)
        return self._identities[device]

    def admit(self, device: str, publish: tuple[str, ...] = (), subscribe: tuple[str, ...] = ()) -> None:
        """Let a device in with its own topics and these."""
        own_publish, own_subscribe = own_filters(DeviceId(device))
        self.devices[device] = ((own_publish, *publish), (own_subscribe, *subscribe))

    def revoke(self, device: str) -> None:
        """End a device's certificate."""
        self.trust.revoked.add(self.identity(device).serial)
        self.devices.pop(device, None)

    def client(self, device: str, *, client_id: str = "", identity: ClientIdentity | None = None) -> MqttClient:
        """A connection of a device, or the attempt at one."""
        shown = identity or self.identity(device)
        client = MqttClient(shown, self.trust.root(), self.broker.port, self.folder, client_id)
        self._clients.append(client)
        return client

    async def apply(self) -> None:
        """Publish how things stand."""
        await self.adapter.apply(self.next_publication())

    @classmethod
    def needed(cls, kind: BrokerKind, folder: Path, **about: object) -> BrokerWorld:
        """A broker that is not started yet; the test is skipped where its program is not installed."""
        if shutil.which(PROGRAMS[kind]) is None:
            pytest.skip(f"{PROGRAMS[kind]} is not installed")
        return cls(kind, folder, **about)

    def start(self, files: dict[str, bytes] | None = None, seconds: float = 20) -> None:
        """Start the server, on `files` or on those of the last publication."""
        for name, data in (files or self.adapter.render(self.publication)).items():
            (Path(self.broker.folder) / name).write_bytes(data)
        program = PROGRAMS[self.broker.kind]
        config = Path(self.broker.folder) / ("mosquitto.conf" if program == "mosquitto" else "nats.conf")
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen([program, "-c", str(config)], stdout=said, stderr=said)
        assert wait_for(self._is_ready, seconds), (self.folder / "said").read_text()

    def _is_ready(self) -> bool:
        """Whether it listens, and a signal would no longer end it."""
        assert self._process is not None
        return self._listens() and _handles(self._process.pid, signal.SIGHUP)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.broker.port), 1):
            return True
        return False

    def stop(self) -> None:
        """End the server."""
        if self._process is not None:
            for _ in range(STOPS):
                self._process.terminate()  # one that comes while it starts can be lost
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(2)
                    break
            else:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        self.stop()


def has_started(folder: Path) -> bool:
    """Whether the broker of this folder would not be ended by a signal any more."""
    for program in PROGRAMS.values():
        pid = broker_pid(folder / "state" / f"{program.removesuffix('-server')}.pid", program)
        if pid is not None:
            return _handles(pid, signal.SIGHUP)
    return False


def free_port() -> int:
    """A port nobody listens on, outside the range from which the kernel gives ports to clients."""
    while True:
        port = random.randint(15_000, 31_999)  # noqa: S311
        with contextlib.suppress(OSError), socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            return port


@contextmanager
def broker_world(kind: BrokerKind, folder: Path, **about: object) -> Iterator[BrokerWorld]:
    """A running broker; the test is skipped where the program is not installed."""
    world = BrokerWorld.needed(kind, folder, **about)
    try:
        world.start()
        yield world
    finally:
        world.close()
