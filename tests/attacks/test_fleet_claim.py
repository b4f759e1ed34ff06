"""What can be done with a production line's claim that it is not for; and with one that was stolen."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from builders import ACTOR, FakeClock, enrolled, new_plane, request_for
from holdfast.adapters.hook import ProgramHook
from holdfast.identity.enrollment import Shown
from holdfast.identity.fleet_claims import NewFleetClaim
from holdfast.inventory.model_file import example_bytes
from holdfast_core.identity.model import Method
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import HOUR
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.response.rules import ENROLLMENT

pytestmark = pytest.mark.anyio


class Line:
    """A production line with its claim."""

    def __init__(self, plane, made, model):
        self.plane, self.claim, self.model = plane, made.claim, model
        chain = x509.load_pem_x509_certificates(made.certificate)
        self.shown = Shown(tuple(certificate.public_bytes(Encoding.DER) for certificate in chain))

    async def enroll(self, request):
        return await self.plane.enrollment.enroll(self.shown, None, request)

    async def refused(self, request):
        with pytest.raises(HoldfastError) as told:
            await self.enroll(request)
        return told.value.code

    @property
    def used(self):
        (claim,) = self.plane.fleet_claims.list(self.claim.scope)
        return claim.used

    def device(self, name):
        return self.plane.store.device(DeviceKey(self.claim.scope, DeviceId(name)))


async def line(plane, *, quota=10, hook=False, example="door-camera"):
    model = await plane.inventory.add_model(plane.config.scope, example_bytes(example), actor=ACTOR)
    wanted = NewFleetClaim("hall-3", model.reference, quota, HOUR, owner="Ada", hook=hook)
    return Line(plane, await plane.fleet_claims.create(plane.config.scope, wanted, actor=ACTOR), model.reference)


def numbered(serial, *, name=""):
    attributes = [x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)]
    attributes += [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)


async def test_control_a_device_of_the_line_gets_in_and_is_of_its_model_and_owner(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane)
        request = request_for("cam-1")
        made = await hall.enroll(request)
        device = hall.device("cam-1")
        assert (device.model, device.owner, device.lifecycle) == (hall.model, "Ada", "enrolled")
        assert [c.method for c in plane.store.credentials_of(device.key)] == [Method.FLEET_CLAIM]
        assert await hall.enroll(request) == made  # the answer was lost; nothing is used up
        assert hall.used == 1


async def test_control_a_device_is_known_by_its_serial_number(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane)
        row = Row(1, DeviceId("cam-1"), hall.model, owner="Ada", serial="SN1")
        await plane.inventory.add_device(plane.config.scope, row, actor=ACTOR)
        assert "CN=cam-1" in (await hall.enroll(numbered("SN1"))).subject.rfc4514_string()
        assert "CN=sn2" in (await hall.enroll(numbered("SN2"))).subject.rfc4514_string()
        assert hall.device("sn2").serial == "SN2"
        assert await hall.refused(numbered("SN2", name="cam-9")) == "fleet.serial"


async def test_quota_raced_a_hundred_ways(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane, quota=7)
        tries = [hall.enroll(request_for(f"cam-{number}")) for number in range(100)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, x509.Certificate) for outcome in outcomes) == 7
        codes = {getattr(o, "code", "") for o in outcomes if not isinstance(o, x509.Certificate)}
        assert codes == {"fleet.quota"}
        assert hall.used == 7
        assert sum(hall.device(f"cam-{number}") is not None for number in range(100)) == 7


async def test_one_name_raced_a_hundred_ways_yields_one_certificate(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane, quota=100)
        tries = [hall.enroll(request_for("cam-1")) for _ in range(100)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, x509.Certificate) for outcome in outcomes) == 1
        assert hall.used == 1


async def test_claim_after_its_time_and_after_it_was_withdrawn(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        hall = await line(plane)
        clock.forward(HOUR)
        assert await hall.refused(request_for("cam-1")) == "fleet.ended"
        hall = await line(plane)
        await plane.fleet_claims.withdraw(plane.config.scope, "hall-3", actor=ACTOR)
        assert await hall.refused(request_for("cam-1")) == "fleet.withdrawn"
        assert hall.device("cam-1") is None


async def test_name_of_a_device_that_is_enrolled(tmp_path):
    async with new_plane(tmp_path) as plane:
        victim = await enrolled(plane, "cam-1")
        hall = await line(plane)
        assert await hall.refused(request_for("cam-1")) == "fleet.taken"
        await victim.check_in()
        assert plane.store.open_incident(victim.key, ENROLLMENT) is not None


async def test_name_of_a_device_whose_keys_were_revoked_or_that_was_retired(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane)
        for name in ("cam-1", "cam-2"):
            await hall.enroll(request_for(name))
        scope = plane.config.scope
        await plane.identity.revoke(DeviceKey(scope, DeviceId("cam-1")), why="lost", actor=ACTOR)
        await plane.retirement.retire(DeviceKey(scope, DeviceId("cam-2")), why="scrapped", actor=ACTOR)
        assert await hall.refused(request_for("cam-1")) == "fleet.taken"
        assert await hall.refused(request_for("cam-2")) == "device.retired"


async def test_expected_device_of_another_model_or_owner(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane)
        scope = plane.config.scope
        pump = await plane.inventory.add_model(scope, example_bytes("pump-controller"), actor=ACTOR)
        await plane.inventory.add_device(scope, Row(1, DeviceId("pump-1"), pump.reference, owner="Ada"), actor=ACTOR)
        await plane.inventory.add_device(scope, Row(1, DeviceId("cam-1"), hall.model, owner="Bob"), actor=ACTOR)
        assert await hall.refused(request_for("pump-1")) == "fleet.model"
        assert await hall.refused(request_for("cam-1")) == "fleet.model"


async def test_stolen_claim_neither_checks_in_nor_renews(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane)
        with pytest.raises(IdentityRefused) as told:
            await plane.check_ins.check_in(hall.shown.fingerprint, b"{}")
        assert told.value.code == "identity.unknown"
        with pytest.raises(IdentityRefused) as told:
            await plane.enrollment.renew(hall.shown, request_for("cam-1"))
        assert told.value.code == "identity.unknown"


async def test_request_for_the_name_of_the_claim_itself(tmp_path):
    async with new_plane(tmp_path) as plane:
        hall = await line(plane)
        assert await hall.refused(request_for("claim:hall-3")) == "name.invalid"


async def test_key_of_the_claim_becomes_that_of_a_device(tmp_path):
    """It would, if the line brought its key and asked with it: the device's identity would lie on the line."""
    async with new_plane(tmp_path) as plane:
        model = await plane.inventory.add_model(plane.config.scope, example_bytes("door-camera"), actor=ACTOR)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = x509.load_der_x509_csr(request_for("hall-3", key)).public_bytes(Encoding.PEM)
        wanted = NewFleetClaim("hall-3", model.reference, 5, HOUR, request=pem)
        made = await plane.fleet_claims.create(plane.config.scope, wanted, actor=ACTOR)
        assert made.key == b""
        hall = Line(plane, made, model.reference)
        assert await hall.refused(request_for("cam-1", key)) == "fleet.own_key"
        await hall.enroll(request_for("cam-1"))


def program(tmp_path, body):
    path = tmp_path / "hook.py"
    path.write_text(f"import json, sys, time\nasked = json.load(sys.stdin)\n{body}\n")
    return ProgramHook([sys.executable, str(path)], LIMITS)


async def test_control_the_hook_allows_renames_and_labels(tmp_path):
    async with new_plane(tmp_path / "plane") as plane:
        body = 'print(json.dumps({"allow": asked["line"] == "hall-3", "device": "cam-9", "labels": {"lot": "7"}}))'
        plane.fleet_claims.hook = program(tmp_path, body)
        hall = await line(plane, hook=True)
        assert "CN=cam-9" in (await hall.enroll(request_for("cam-1"))).subject.rfc4514_string()
        assert hall.device("cam-9").labels == (("lot", "7"),)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('print(json.dumps({"allow": False, "why": "no order"}))', "fleet.hook"),
        ('print("yes")', "hook.answer"),
        ('print(json.dumps({"allow": True, "owner": "Eve"}))', "hook.answer"),
        ('print(json.dumps({"allow": True, "device": "Not A Name"}))', "name.invalid"),
        ('print(json.dumps({"allow": True})); sys.exit(1)', "hook.failed"),
        ('sys.stdout.write("x" * 1_000_000)', "hook.answer"),
        ("", "hook.answer"),
    ],
    ids=["denies", "no JSON", "says too much", "a bad name", "fails", "says no end", "says nothing"],
)
async def test_hook_that_does_not_allow(tmp_path, body, code):
    async with new_plane(tmp_path / "plane") as plane:
        plane.fleet_claims.hook = program(tmp_path, body)
        hall = await line(plane, hook=True)
        assert await hall.refused(request_for("cam-1")) == code
        assert (hall.used, hall.device("cam-1")) == (0, None)


async def test_hook_that_never_answers(tmp_path, monkeypatch):
    async with new_plane(tmp_path / "plane") as plane:
        hook = program(tmp_path, "time.sleep(600)")
        monkeypatch.setattr(hook, "_limits", msgspec.structs.replace(LIMITS, hook_seconds=0.2))
        plane.fleet_claims.hook = hook
        hall = await line(plane, hook=True)
        assert await hall.refused(request_for("cam-1")) == "hook.failed"


async def test_hook_named_over_the_api_of_a_server_that_has_none(tmp_path):
    async with new_plane(tmp_path) as plane:
        with pytest.raises(HostileData) as told:
            await line(plane, hook=True)
        assert told.value.code == "fleet.no_hook"
