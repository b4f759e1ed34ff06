"""A manufacturer's certificate over real TLS: trusted from the moment it is added, on both ports, and after a start."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from builders import ACTOR
from est_client import EstClient, keep, new_key, request
from holdfast.web.trust import DeviceTrust
from holdfast_core.identity.manufacturers import Manufacturer
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import Instant
from maker_builders import Maker
from served_builders import served


@pytest.fixture
def plane(tmp_path: Path):
    with served(tmp_path / "plane") as plane:
        yield plane


@pytest.fixture(scope="module")
def acme(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("acme") / "acme")


def trust(plane, maker):
    record = Manufacturer(
        scope=plane.plane.config.scope, id="acme", certificates=(), models=("door-camera",), added_at=Instant(0)
    )
    plane.do(plane.plane.manufacturers.add(record, maker.roots, actor=ACTOR))


def expect(plane, name, serial):
    plane.claim("cam-0")
    (model,) = plane.plane.inventory.models(plane.plane.config.scope)
    row = Row(1, DeviceId(name), model.reference, serial=serial)
    plane.do(plane.plane.inventory.add_device(plane.plane.config.scope, row, actor=ACTOR))


def test_a_device_with_a_manufacturers_certificate_that_never_ends_and_has_no_usages(plane, acme, tmp_path) -> None:
    root = tmp_path / "plane" / "keys" / "root.pem"
    for serial, url in (("SN1", plane.url), ("SN2", plane.est_url)):
        name = f"cam-{serial.lower()}"
        expect(plane, name, serial)
        identity = acme.idevid(serial)
        if serial == "SN1":
            stranger = EstClient(url, root, identity)
            with pytest.raises((ssl.SSLError, OSError)):
                stranger.call("simpleenroll", request(name, new_key()))
            stranger.close()
            trust(plane, acme)
        client, key = EstClient(url, root, identity), new_key()
        made = client.call("simpleenroll", request(name, key))
        assert made.status == 200, made.body
        assert client.call("simplereenroll", request(name, new_key())).code == "identity.unknown"
        client.close()
        own = EstClient(url, root, keep(tmp_path / f"{name}.pem", key, made.certificate))
        assert own.call("simplereenroll", request(name, new_key())).status == 200
        own.close()
        again = EstClient(url, root, identity)
        assert again.call("simpleenroll", request(name, new_key())).code == "idevid.used"
        again.close()


def test_a_server_that_starts_trusts_the_manufacturers_it_knows(plane, acme, tmp_path) -> None:
    plane.claim("cam-0")
    trust(plane, acme)
    there = plane.plane
    anew = DeviceTrust(tmp_path / "plane" / "keys", there.passphrase.reveal(), there.store, there.authority)
    for context in (anew.device, anew.est):
        names = [dict(pair for part in ca["subject"] for pair in part) for ca in context.get_ca_certs()]
        assert "Acme root" in [name.get("commonName") for name in names]


def test_a_certificate_that_signed_itself_with_the_right_serial_number(plane, acme, tmp_path) -> None:
    expect(plane, "cam-1", "SN1")
    trust(plane, acme)
    posing = Maker(tmp_path / "posing")  # the same names everywhere, other keys
    client = EstClient(plane.url, tmp_path / "plane" / "keys" / "root.pem", posing.idevid("SN1"))
    with pytest.raises((ssl.SSLError, OSError)):
        client.call("simpleenroll", request("cam-1", new_key()))
    client.close()
    assert not plane.plane.store.credentials_of(plane.key("cam-1"))
