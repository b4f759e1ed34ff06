"""Ways to keep, double or borrow an identity through renewal and EST, each beside what is allowed."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID

from builders import ACTOR
from est_client import EstClient, keep, new_key, request
from holdfast_core.identity.model import Revocation
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.response.rules import CLONE, CREDENTIAL
from served_builders import ServedPlane, served


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory):
    with served(tmp_path_factory.mktemp("served") / "plane") as plane:
        yield plane


@pytest.fixture
def root(plane: ServedPlane) -> Path:
    return plane.plane.folder / "keys" / "root.pem"


class Member:
    """An enrolled device whose key the test holds."""

    def __init__(self, plane: ServedPlane, root: Path, folder: Path, name: str) -> None:
        self.plane, self.root, self.name = plane, root, name
        self.key = new_key()
        client = EstClient(plane.url, root)
        answer = client.call("simpleenroll", request(name, self.key), basic=(name, plane.claim(name)))
        client.close()
        self.identity = keep(folder / f"{name}.pem", self.key, answer.certificate)

    def renew(self, key, *, name: str = "", identity: Path | None = None):
        client = EstClient(self.plane.url, self.root, identity or self.identity)
        answer = client.call("simplereenroll", request(name or self.name, key))
        client.close()
        return answer

    @property
    def credentials(self):
        return self.plane.plane.store.credentials_of(self.plane.key(self.name))

    def incident(self, cause: str):
        return self.plane.plane.store.open_incident(self.plane.key(self.name), cause)


def test_control_a_device_renews_and_asks_again_with_the_same_key(plane, root, tmp_path) -> None:
    member, key = Member(plane, root, tmp_path, "honest"), new_key()
    first, again = member.renew(key), member.renew(key)
    assert first.certificate == again.certificate
    assert len(member.credentials) == 2
    assert member.incident(CLONE) is None


def test_renewed_certificate_used_twice(plane, root, tmp_path) -> None:
    member = Member(plane, root, tmp_path, "twice")
    assert member.renew(new_key()).status == 200
    stolen = member.renew(new_key())
    assert (stolen.status, stolen.code) == (409, "identity.renewed_twice")
    assert member.incident(CLONE) is not None
    assert plane.posture("twice").hold is not None
    assert len(member.credentials) == 2
    held = member.renew(new_key())
    assert (held.status, held.code) == (403, "identity.held")


def test_one_certificate_raced_to_renew_a_hundred_ways_yields_one(plane, root, tmp_path) -> None:
    member = Member(plane, root, tmp_path, "raced")
    fingerprint = member.credentials[0].fingerprint
    bodies = [base64.b64decode(request("raced", new_key())) for _ in range(100)]

    async def race():
        renewals = (plane.plane.renewal.renew(fingerprint, der) for der in bodies)
        return await asyncio.gather(*renewals, return_exceptions=True)

    outcomes = plane.do(race())
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    refused = {outcome.code for outcome in outcomes if isinstance(outcome, HostileData)}
    assert refused <= {"identity.renewed_twice", "identity.held"}
    assert len(member.credentials) == 2


def test_renewal_on_the_same_key(plane, root, tmp_path) -> None:
    member = Member(plane, root, tmp_path, "samekey")
    answer = member.renew(member.key)
    assert (answer.status, answer.code) == (403, "identity.key_reused")
    assert member.renew(new_key()).status == 200


def test_renewal_on_another_devices_key(plane, root, tmp_path) -> None:
    one, other = Member(plane, root, tmp_path, "key-a"), Member(plane, root, tmp_path, "key-b")
    answer = one.renew(other.key)
    assert (answer.status, answer.code) == (403, "identity.key_reused")


def test_renewal_under_another_devices_name(plane, root, tmp_path) -> None:
    Member(plane, root, tmp_path, "victim")
    member = Member(plane, root, tmp_path, "thief")
    answer = member.renew(new_key(), name="victim")
    assert (answer.status, answer.code) == (403, "csr.name")
    assert len(plane.plane.store.credentials_of(plane.key("victim"))) == 1


def test_a_certificate_whose_successor_is_in_use_comes_back(plane, root, tmp_path) -> None:
    member, key = Member(plane, root, tmp_path, "restored"), new_key()
    successor = keep(tmp_path / "successor.pem", key, member.renew(key).certificate)
    # Renewing is a use: the successor renews, and its predecessor has ended.
    assert member.renew(new_key(), identity=successor).status == 200
    old, *_ = member.credentials
    assert old.revoked_code is Revocation.SUPERSEDED
    back = member.renew(new_key())
    assert (back.status, back.code) == (403, "identity.superseded")
    assert member.incident(CREDENTIAL) is not None


def test_renewal_of_a_revoked_device(plane, root, tmp_path) -> None:
    member = Member(plane, root, tmp_path, "revoked")
    plane.do(plane.plane.identity.revoke(plane.key("revoked"), why="stolen", actor=ACTOR))
    answer = member.renew(new_key())
    assert (answer.status, answer.code) == (403, "identity.revoked")
    assert member.incident(CREDENTIAL) is not None


def test_renewal_of_a_retired_device(plane, root, tmp_path) -> None:
    member = Member(plane, root, tmp_path, "retired")
    plane.do(plane.plane.retirement.retire(plane.key("retired"), why="scrapped", actor=ACTOR))
    answer = member.renew(new_key())
    assert (answer.status, answer.code) == (403, "identity.revoked")


def test_renewal_of_a_quarantined_device(plane, root, tmp_path) -> None:
    member = Member(plane, root, tmp_path, "held")
    plane.do(plane.plane.response.quarantine(plane.key("held"), why="looked odd", actor=ACTOR))
    answer = member.renew(new_key())
    assert (answer.status, answer.code) == (403, "identity.held")


def test_a_device_that_nobody_owns_gets_no_certificate(plane) -> None:
    services = plane.plane
    rows = "device,model\nunowned," + services.inventory.models(services.config.scope)[0].reference + "\n"
    plane.do(services.inventory.import_devices(services.config.scope, rows, actor=ACTOR))
    with pytest.raises(HostileData) as refused:
        plane.do(services.identity.create_claim(plane.key("unowned"), lifetime=1_000, actor=ACTOR))
    assert refused.value.code == "device.unowned"
    row = Row(1, DeviceId("owned"), services.inventory.models(services.config.scope)[0].reference)
    plane.do(services.inventory.add_device(services.config.scope, row, actor=ACTOR))
    text, _ = plane.do(services.identity.create_claim(plane.key("owned"), lifetime=1_000, actor=ACTOR))
    assert text


def test_request_tied_to_another_channel(plane, root) -> None:
    client, other = EstClient(plane.est_url, root), EstClient(plane.est_url, root)
    claim = plane.claim("channel")
    foreign = request("channel", new_key(), challenge=base64.b64encode(other.tls_unique))
    answer = client.call("simpleenroll", foreign, basic=("channel", claim))
    assert (answer.status, answer.code) == (403, "csr.possession")
    own = request("channel", new_key(), challenge=base64.b64encode(client.tls_unique))
    assert client.call("simpleenroll", own, basic=("channel", claim)).status == 200
    client.close()
    other.close()


def test_proof_of_possession_where_the_channel_has_no_value(plane, root) -> None:
    client = EstClient(plane.url, root, version=ssl.TLSVersion.TLSv1_3)
    answer = client.call(
        "simpleenroll", request("novalue", new_key(), challenge=b"aGVsbG8="), basic=("novalue", plane.claim("novalue"))
    )
    client.close()
    assert (answer.status, answer.code) == (403, "csr.possession")


def test_a_leaf_names_its_tenant_and_environment_whatever_was_asked(plane, root, tmp_path) -> None:
    member = Member(plane, root, tmp_path, "named")
    subject = member.renew(new_key()).certificate.subject
    found = {a.oid: a.value for a in subject}
    assert found[NameOID.ORGANIZATION_NAME] == "default"
    assert found[NameOID.ORGANIZATIONAL_UNIT_NAME] == "production"


def test_an_open_connection_of_a_revoked_device_is_ended_and_its_neighbours_stays(plane, root, tmp_path) -> None:
    cut, stays = Member(plane, root, tmp_path, "cut"), Member(plane, root, tmp_path, "stays")
    one, other = EstClient(plane.url, root, cut.identity), EstClient(plane.url, root, stays.identity)
    assert (one.call("cacerts").status, other.call("cacerts").status) == (200, 200)
    plane.do(plane.plane.identity.revoke(plane.key("cut"), why="stolen", actor=ACTOR))
    assert one.ended()
    assert other.call("cacerts").status == 200
    again = EstClient(plane.url, root, cut.identity)
    refused = again.call("simplereenroll", request("cut", new_key()))
    assert (refused.status, refused.code) == (403, "identity.revoked")
    for client in (one, other, again):
        client.close()
