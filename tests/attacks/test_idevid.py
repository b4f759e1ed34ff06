"""Ways to get in with a manufacturer's certificate that is not the device's, or not this manufacturer's to give."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, FakeClock, enrolled, new_plane, request_for
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.keystore import KeyAlgorithm
from holdfast_core.identity.manufacturers import ALLOWED_FOR, Manufacturer, SerialFrom
from holdfast_core.identity.model import Method
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.response.rules import ENROLLMENT
from maker_builders import Maker

pytestmark = pytest.mark.anyio
CAMERA, PUMP = "door-camera", "pump-controller"


@pytest.fixture(scope="module")
def acme(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("acme") / "acme")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Maker(tmp_path_factory.mktemp("other") / "other", "Other")


async def trusted(plane, maker, *models, name="acme", **more):
    record = Manufacturer(
        scope=plane.config.scope, id=name, certificates=(), models=models, added_at=Instant(0), **more
    )
    return await plane.manufacturers.add(record, maker.roots, actor=ACTOR)


async def expected(plane, name, serial, example=CAMERA):
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes(example), actor=ACTOR)
    return await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference, serial=serial), actor=ACTOR)


async def come(plane, maker, identity, request):
    return await plane.enrollment.enroll(maker.shown(identity), None, request)


async def refused(plane, maker, identity, request):
    with pytest.raises(HostileData) as told:
        await come(plane, maker, identity, request)
    return told.value.code


def incident(plane, device):
    found = plane.store.open_incident(device.key, ENROLLMENT)
    return found.reasons[0].code if found else ""


async def test_control_the_expected_device_of_the_model_gets_in(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "cam-1", "SN 1")
        await trusted(plane, acme, CAMERA)
        made = await come(plane, acme, acme.idevid("SN 1"), request_for("cam-1"))
        (credential,) = plane.store.credentials_of(device.key)
        assert credential.fingerprint == digest_of(made.public_bytes(Encoding.DER))
        assert credential.method is Method.MANUFACTURER
        assert not incident(plane, device)


async def test_control_a_request_may_bear_the_subject_of_the_idevid(tmp_path, acme):
    """RFC 7030, section 4.2.1: an EST client may ask under the subject it has."""
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        identity = acme.idevid("SN1")
        leaf = x509.load_der_x509_certificate(acme.shown(identity).chain[0])
        builder = x509.CertificateSigningRequestBuilder().subject_name(leaf.subject)
        request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        made = await come(plane, acme, identity, request.public_bytes(Encoding.DER))
        assert "CN=cam-1" in made.subject.rfc4514_string()


async def test_control_a_serial_number_in_the_hardware_module_name(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "A1B2")
        await trusted(plane, acme, CAMERA, serial_from=SerialFrom.HARDWARE_MODULE)
        san = (
            "otherName:1.3.6.1.5.5.7.8.4;SEQUENCE:hm\n[hm]\ntype=OID:1.3.6.1.4.1.99999.1\nnumber=FORMAT:ASCII,OCT:A1B2"
        )
        identity = acme.idevid("ignored", san=san)
        made = await come(plane, acme, identity, request_for("cam-1"))
        assert "CN=cam-1" in made.subject.rfc4514_string()


async def test_control_a_device_that_nobody_expects_is_added_where_the_record_says_so(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        model = await plane.inventory.add_model(plane.config.scope, example_bytes(CAMERA), actor=ACTOR)
        await trusted(plane, acme, model.reference, add=True, owner="Ada")
        await come(plane, acme, acme.idevid("SN-7"), request_for("acme-sn-7"))
        (device,) = plane.store.devices_with_serial(plane.config.scope, "SN-7")
        assert (device.key.device, device.model, device.owner) == ("acme-sn-7", model.reference, "Ada")
        kinds = [leaf.data for leaf in await plane.store.history(device.key, kinds=["device.added"], limit=5)]
        assert len(kinds) == 1


async def test_serial_number_that_is_written_like_that_of_a_device_that_was_added(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "acme-sn-7", "SN-7")
        await trusted(plane, acme, device.model, add=True, owner="Ada")
        assert await refused(plane, acme, acme.idevid("SN 7"), request_for("acme-sn-7")) == "idevid.ambiguous"
        assert not plane.store.credentials_of(device.key)
        await come(plane, acme, acme.idevid("SN-7"), request_for("acme-sn-7"))


async def test_serial_number_that_nobody_expects(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        assert await refused(plane, acme, acme.idevid("SN2"), request_for("cam-1")) == "idevid.unexpected"


async def test_another_manufacturer_with_the_same_serial_number(tmp_path, acme, other):
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "cam-1", "SN1")
        await plane.inventory.add_model(plane.config.scope, example_bytes(PUMP), actor=ACTOR)
        await trusted(plane, acme, CAMERA)
        await trusted(plane, other, PUMP, name="other")
        assert await refused(plane, other, other.idevid("SN1"), request_for("cam-1")) == "idevid.model"
        assert not plane.store.credentials_of(device.key)
        assert incident(plane, device) == "idevid.model"


async def test_serial_number_of_a_device_of_another_model(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        pump = await expected(plane, "pump-1", "SN2", PUMP)
        await trusted(plane, acme, CAMERA)
        assert await refused(plane, acme, acme.idevid("SN2"), request_for("pump-1")) == "idevid.model"
        assert not plane.store.credentials_of(pump.key)


async def test_manufacturer_that_nobody_trusts_any_more(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        await plane.manufacturers.remove(plane.config.scope, "acme", actor=ACTOR)
        assert await refused(plane, acme, acme.idevid("SN1"), request_for("cam-1")) == "identity.unknown"


async def test_request_for_the_name_of_another_device(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        await expected(plane, "cam-2", "SN2")
        await trusted(plane, acme, CAMERA)
        assert await refused(plane, acme, acme.idevid("SN1"), request_for("cam-2")) == "csr.name"


async def test_cloned_idevid_after_the_real_device_spoke(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        identity = acme.idevid("SN1")
        made = await come(plane, acme, identity, request_for("cam-1"))
        real = DeviceInTest(plane, device, digest_of(made.public_bytes(Encoding.DER)))
        await real.check_in()
        assert await refused(plane, acme, identity, request_for("cam-1")) == "idevid.used"
        assert incident(plane, device) == "idevid.used"
        await real.check_in()  # the real device goes on


async def test_idevid_again_after_a_person_revoked_what_it_got(tmp_path, acme):
    """Whoever holds a copy must not undo a revocation by asking again, also where the certificate was never used."""
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        identity = acme.idevid("SN1")
        await come(plane, acme, identity, request_for("cam-1"))
        await plane.identity.revoke(device.key, why="the board was stolen", actor=ACTOR)
        assert await refused(plane, acme, identity, request_for("cam-1")) == "idevid.used"
        assert incident(plane, device) == "idevid.used"
        await plane.manufacturers.allow(device.key, why="found again", actor=ACTOR)
        await come(plane, acme, identity, request_for("cam-1"))


async def test_control_a_device_whose_answer_was_lost_comes_again(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        identity, request = acme.idevid("SN1"), request_for("cam-1")
        first = await come(plane, acme, identity, request)
        assert await come(plane, acme, identity, request) == first
        second = await come(plane, acme, identity, request_for("cam-1"))
        in_force = [c for c in plane.store.credentials_of(device.key) if c.revoked_at is None]
        assert [c.fingerprint for c in in_force] == [digest_of(second.public_bytes(Encoding.DER))]


async def test_idevid_raced_a_hundred_ways_leaves_one_certificate_in_force(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        shown = acme.shown(acme.idevid("SN1"))
        tries = [plane.enrollment.enroll(shown, None, request_for("cam-1")) for _ in range(100)]
        await asyncio.gather(*tries, return_exceptions=True)
        assert sum(c.revoked_at is None for c in plane.store.credentials_of(device.key)) == 1


async def test_control_a_person_allows_a_reset_device_once_more(tmp_path, acme):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        identity = acme.idevid("SN1")
        for _ in range(2):
            made = await come(plane, acme, identity, request_for("cam-1"))
            await DeviceInTest(plane, device, digest_of(made.public_bytes(Encoding.DER))).check_in()
            assert await refused(plane, acme, identity, request_for("cam-1")) == "idevid.used"
            await plane.manufacturers.allow(device.key, why="reset on the bench", actor=ACTOR)
        clock.forward(ALLOWED_FOR)
        assert await refused(plane, acme, identity, request_for("cam-1")) == "idevid.used"


async def test_idevid_of_a_device_that_enrolled_in_another_way(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await trusted(
            plane,
            acme,
            (await plane.inventory.add_model(plane.config.scope, example_bytes(CAMERA), actor=ACTOR)).reference,
        )
        device = await enrolled(plane, "cam-1")
        await plane.store.commit([msgspec.structs.replace(device.device, serial="SN1", lifecycle=Lifecycle.ENROLLED)])
        assert await refused(plane, acme, acme.idevid("SN1"), request_for("cam-1")) == "idevid.used"


async def test_idevid_of_a_retired_device(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        device = await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, device.model, add=True, owner="Ada")
        await plane.retirement.retire(device.key, why="scrapped", actor=ACTOR)
        assert await refused(plane, acme, acme.idevid("SN1"), request_for("cam-1")) == "device.retired"
        assert plane.store.open_incident(device.key, "retired-manufacturer") is not None


async def test_one_serial_number_on_two_devices(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        await expected(plane, "cam-2", "SN1")
        await trusted(plane, acme, CAMERA)
        assert await refused(plane, acme, acme.idevid("SN1"), request_for("cam-1")) == "idevid.ambiguous"


@pytest.mark.parametrize(
    ("subject", "end"),
    [("/CN=Camera", ""), ("/serialNumber=SN1/serialNumber=SN2", ""), ("/serialNumber=SN1", "20210101000000Z")],
    ids=["no number", "two numbers", "ended"],
)
async def test_certificate_that_says_nothing_to_rely_on(tmp_path, acme, subject, end):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        identity = acme.idevid("SN1", subject=subject, **({"end": end} if end else {}))
        assert await refused(plane, acme, identity, request_for("cam-1")) == "idevid.unfit"


async def test_authority_of_the_manufacturer_poses_as_a_device(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        shown = acme.shown(acme.idevid("SN1"))
        with pytest.raises(IdentityRefused) as told:
            await plane.enrollment.enroll(
                msgspec.structs.replace(shown, chain=shown.chain[1:]), None, request_for("cam-1")
            )
        assert told.value.code == "idevid.unfit"


async def test_another_tenant_expects_the_device_that_one_adds(tmp_path, acme):
    """Whoever knows a maker's root, which is public, and a serial number must not get another tenant's devices."""
    async with new_plane(tmp_path) as plane:
        mine, rival = plane.config.scope, Scope("rival", "production")
        await plane.rollover.found(rival, actor=ACTOR, algorithm=KeyAlgorithm.P256)
        for scope in (mine, rival):
            model = await plane.inventory.add_model(scope, example_bytes(CAMERA), actor=ACTOR)
        await trusted(plane, acme, model.reference, add=True, owner="Ada")
        record = Manufacturer(scope=rival, id="acme", certificates=(), models=(CAMERA,), added_at=Instant(0))
        await plane.manufacturers.add(record, acme.roots, actor=ACTOR)
        await plane.inventory.add_device(
            rival, Row(1, DeviceId("acme-sn1"), model.reference, serial="SN1"), actor=ACTOR
        )
        assert await refused(plane, acme, acme.idevid("SN1"), request_for("acme-sn1")) == "idevid.ambiguous"
        assert not list(plane.store.credentials())
        await come(plane, acme, acme.idevid("SN2"), request_for("acme-sn2"))  # what the rival does not name goes on
        assert plane.store.device(DeviceKey(mine, DeviceId("acme-sn2"))) is not None


async def test_another_tenant_adds_whatever_comes_of_a_maker_that_one_knew_first(tmp_path, acme):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        await expected(plane, "cam-1", "SN1")
        await trusted(plane, acme, CAMERA)
        clock.forward(1)
        rival = Scope("rival", "production")
        model = await plane.inventory.add_model(rival, example_bytes(CAMERA), actor=ACTOR)
        record = Manufacturer(
            scope=rival,
            id="acme",
            certificates=(),
            models=(model.reference,),
            added_at=Instant(0),
            add=True,
            owner="Eve",
        )
        await plane.manufacturers.add(record, acme.roots, actor=ACTOR)
        await come(plane, acme, acme.idevid("SN1"), request_for("cam-1"))


def posing(name, like):
    """A root of somebody's own that bears `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(like.not_valid_after_utc)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256())


async def add_refused(plane, certificate):
    record = Manufacturer(scope=plane.config.scope, id="acme", certificates=(), models=(CAMERA,), added_at=Instant(0))
    with pytest.raises(HostileData) as told:
        await plane.manufacturers.add(record, certificate.public_bytes(Encoding.PEM), actor=ACTOR)
    return told.value.code


def written_otherwise(name, write):
    return x509.Name([x509.NameAttribute(entry.oid, write(entry.value)) for entry in name])


async def test_our_own_authorities_as_a_manufacturer(tmp_path):
    """Whoever may add manufacturers of one tenant must not take over the names that TLS finds authorities by."""
    async with new_plane(tmp_path) as plane:
        await plane.inventory.add_model(plane.config.scope, example_bytes(CAMERA), actor=ACTOR)
        root = plane.authority.root
        for certificate in (root, posing(root.subject, root)):
            assert await add_refused(plane, certificate) == "manufacturer.name_taken"


@pytest.mark.parametrize("write", [str.upper, str.title, lambda text: f" {text.replace(' ', '   ')} "])
async def test_a_name_of_ours_in_other_letters(tmp_path, write):
    """TLS takes names for the same whose case and blanks differ."""
    async with new_plane(tmp_path) as plane:
        await plane.inventory.add_model(plane.config.scope, example_bytes(CAMERA), actor=ACTOR)
        for ours in (plane.authority.root, plane.authority.issuer(plane.config.scope, 1)):
            poser = posing(written_otherwise(ours.subject, write), ours)
            assert await add_refused(plane, poser) == "manufacturer.name_taken"


@pytest.mark.parametrize("write", [str, str.upper])
async def test_the_name_of_an_issuer_to_come(tmp_path, write):
    """It is known before the issuer is made; once that certifies, TLS would judge its devices by the poser's key."""
    async with new_plane(tmp_path) as plane:
        await plane.inventory.add_model(plane.config.scope, example_bytes(CAMERA), actor=ACTOR)
        first = plane.authority.issuer(plane.config.scope, 1)
        poser = posing(
            written_otherwise(first.subject, lambda text: write(text.replace("issuer 1", "issuer 2"))), first
        )
        assert await add_refused(plane, poser) == "manufacturer.name_taken"


async def test_a_name_left_behind_in_tls(tmp_path, acme, other):
    """Added and removed again: TLS knows a root until the next start, and would judge another's devices by it."""
    async with new_plane(tmp_path) as plane:
        await plane.inventory.add_model(plane.config.scope, example_bytes(CAMERA), actor=ACTOR)
        await trusted(plane, acme, CAMERA)
        await plane.manufacturers.remove(plane.config.scope, "acme", actor=ACTOR)
        (real,) = x509.load_pem_x509_certificates(acme.roots)
        assert await add_refused(plane, posing(real.subject, real)) == "manufacturer.name_taken"
        await trusted(plane, other, CAMERA, name="other")
        assert (await trusted(plane, acme, CAMERA)).id == "acme"  # the same root again is no other's
        await trusted(plane, acme, CAMERA)
        await trusted(plane, other, CAMERA, name="other")


async def test_leaf_posing_as_a_root(tmp_path, acme):
    async with new_plane(tmp_path) as plane:
        await plane.inventory.add_model(plane.config.scope, example_bytes(CAMERA), actor=ACTOR)
        identity = acme.idevid("SN1")
        leaf = b"-----BEGIN C" + identity.read_bytes().split(b"-----BEGIN C", 1)[1]
        record = Manufacturer(
            scope=plane.config.scope, id="acme", certificates=(), models=(CAMERA,), added_at=Instant(0)
        )
        for pem in (leaf, b"nothing", b""):
            with pytest.raises(HostileData) as told:
                await plane.manufacturers.add(record, pem, actor=ACTOR)
            assert told.value.code == "manufacturer.certificates"
