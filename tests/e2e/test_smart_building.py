"""A smart building: sensors with certificates of their own, renewal tied to the inventory, one key stolen.

Every sensor enrolls with a claim and publishes at the building's mosquitto. One renews on a new key; one whose record
is retired gets no renewal. One credential is stolen: the thief is at the broker beside the others when it is revoked,
is cut off, and stays out, while the others go on. All of it is on record.
"""

from __future__ import annotations

import asyncio

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from broker_builders import eventually
from builders import ACTOR
from fleet_builders import SCOPE, Fleet, fleet_at, watched
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.broker import BrokerKind, ClientIdentity
from holdfast_core.identity.names import certified_name
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import Digest, digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import HOUR
from holdfast_core.record.model import Kind, parse_entry

pytestmark = pytest.mark.anyio
SENSORS = ("air-1", "air-2", "door-1", "light-1", "smoke-1")
STOLEN, RETIRED, RENEWED = "door-1", "light-1", "air-1"


class Sensor:
    """A sensor with its key."""

    def __init__(self, name: str) -> None:
        self.name, self.key = name, DeviceKey(SCOPE, DeviceId(name))
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.certificate = b""

    def request(self, private: ec.EllipticCurvePrivateKey) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)

    def took(self, private: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.private, self.certificate = private, certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> Digest:
        return digest_of(x509.load_pem_x509_certificate(self.certificate).public_bytes(Encoding.DER))

    @property
    def identity(self) -> ClientIdentity:
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        serial = f"{x509.load_pem_x509_certificate(self.certificate).serial_number:x}"
        return ClientIdentity(self.name, certified_name(self.key), serial, self.certificate, pem)


async def installed(fleet: Fleet) -> dict[str, Sensor]:
    """The building's sensors, each enrolled with a claim of its own."""
    plane = fleet.plane
    model = await plane.inventory.add_model(SCOPE, example_bytes("soil-sensor"), actor=ACTOR)
    sensors = {name: Sensor(name) for name in SENSORS}
    for sensor in sensors.values():
        row = Row(1, sensor.key.device, model.reference, owner="Facilities", site="hall")
        await plane.inventory.add_device(SCOPE, row, actor=ACTOR)
        claim, _ = await plane.identity.create_claim(sensor.key, lifetime=HOUR, actor=ACTOR)
        chain = await plane.identity.enroll(sensor.name, claim, sensor.request(sensor.private))
        sensor.took(sensor.private, chain[0])
        fleet.identities[sensor.name] = sensor.identity
    return sensors


async def test_one_stolen_credential_is_cut_off_and_the_building_goes_on(tmp_path):
    async with fleet_at(BrokerKind.MOSQUITTO, tmp_path) as fleet, watched(fleet):
        sensors = await installed(fleet)
        serials = {sensor.identity.serial for sensor in sensors.values()}
        assert len(serials) == len(SENSORS)
        await known(fleet, SENSORS)
        clients = {name: await fleet.arrives(name) for name in SENSORS}
        await all_speak(clients)

        renewing = sensors[RENEWED]
        fresh = ec.generate_private_key(ec.SECP256R1())
        chain = await fleet.plane.renewal.renew(renewing.fingerprint, renewing.request(fresh))
        renewing.took(fresh, chain[0])
        clients[RENEWED] = await fleet.arrives(RENEWED, identity=renewing.identity)

        await fleet.plane.retirement.retire(sensors[RETIRED].key, why="taken down", actor=ACTOR)
        with pytest.raises(IdentityRefused):
            await fleet.plane.renewal.renew(
                sensors[RETIRED].fingerprint, sensors[RETIRED].request(ec.generate_private_key(ec.SECP256R1()))
            )
        assert await eventually(lambda: clients[RETIRED].ended)

        await fleet.revoke(STOLEN)
        assert await eventually(lambda: clients[STOLEN].ended)
        assert not (await fleet.client(STOLEN)).alive

        staying = {name: client for name, client in clients.items() if name not in (STOLEN, RETIRED)}
        assert all(client.alive for client in staying.values())
        await all_speak(staying)
        await fleet.watch.step()
        entries = [parse_entry(leaf.data) for leaf in await fleet.plane.record.leaves(0, 10_000)]
        assert {e.device for e in entries if e.kind is Kind.BROKER_CUT_OFF} >= {STOLEN, RETIRED}
        assert STOLEN in {e.device for e in entries if e.kind is Kind.CREDENTIAL_REVOKED}


async def known(fleet: Fleet, names: tuple[str, ...]) -> None:
    """The broker has the rights of all of them; before that it lets them in, and lets them say nothing."""
    for _ in range(200):
        publication = fleet.watch.publication
        if publication is not None and {a.grants.device for a in publication.admitted} >= set(names):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(names)


async def all_speak(clients) -> None:
    """Every sensor publishes, and hears itself."""
    for name, client in clients.items():
        client.messages.clear()
        await asyncio.to_thread(client.subscribe, f"fleet/{name}/#")
        client.publish(f"fleet/{name}/up/t", b"21")
    for name, client in clients.items():
        assert await eventually(lambda c=client: c.messages), name
