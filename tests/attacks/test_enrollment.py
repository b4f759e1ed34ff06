"""Ways to get a certificate that one should not have."""

from __future__ import annotations

import asyncio

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from builders import ACTOR, FakeClock, enrolled, new_plane, request_for
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.store import DeviceFilter
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR

pytestmark = pytest.mark.anyio


async def claim_for(plane, name="cam-1"):
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes("door-camera"), actor=ACTOR)
    device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
    text, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    return text


def request_with(extension=None, *, names=("cam-1",), key=None):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.DER)


async def test_control_the_claimed_device_gets_a_leaf_for_its_own_name(tmp_path):
    async with new_plane(tmp_path) as plane:
        leaf, *_ = await plane.identity.enroll("cam-1", await claim_for(plane), request_for("cam-1"))
        assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "cam-1"
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert not constraints.ca


async def test_claim_used_twice(tmp_path):
    async with new_plane(tmp_path) as plane:
        claim = await claim_for(plane)
        await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        with pytest.raises(IdentityRefused) as refused:
            await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        assert refused.value.code == "claim.used"


async def test_claim_raced_a_hundred_ways_yields_one_certificate(tmp_path):
    async with new_plane(tmp_path) as plane:
        claim = await claim_for(plane)
        tries = [plane.identity.enroll("cam-1", claim, request_for("cam-1")) for _ in range(100)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, list) for outcome in outcomes) == 1
        assert {getattr(o, "code", "") for o in outcomes if not isinstance(o, list)} == {"claim.used"}


async def test_expired_claim(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        claim = await claim_for(plane)
        clock.forward(HOUR)
        with pytest.raises(IdentityRefused) as refused:
            await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        assert refused.value.code == "claim.expired"


async def test_claim_of_another_device_reads_like_an_unknown_one(tmp_path):
    async with new_plane(tmp_path) as plane:
        claim = await claim_for(plane)
        await enrolled(plane, "cam-2")
        told = []
        for text in (claim, "hfc_guessed"):
            with pytest.raises(IdentityRefused) as refused:
                await plane.identity.enroll("cam-2", text, request_for("cam-2"))
            told.append((refused.value.code, refused.value.sentence))
        assert told[0] == told[1]


async def test_request_for_another_name(tmp_path):
    async with new_plane(tmp_path) as plane:
        claim = await claim_for(plane)
        for der in (request_for("cam-2"), request_with(names=("cam-1", "cam-2")), request_with(names=())):
            with pytest.raises(HostileData) as refused:
                await plane.identity.enroll("cam-1", claim, der)
            assert refused.value.code == "csr.name"


@pytest.mark.parametrize(
    ("code", "der"),
    [
        ("csr.extension", request_with(x509.BasicConstraints(ca=True, path_length=None))),
        ("csr.extension", request_with(x509.SubjectAlternativeName([x509.DNSName("control-plane")]))),
        ("csr.weak_key", request_with(key=rsa.generate_private_key(65537, 1024))),
        ("csr.weak_key", request_with(key=ec.generate_private_key(ec.SECP224R1()))),
        ("csr.malformed", b"0\x82"),
        ("csr.too_large", b"0" * 100_000),
    ],
    ids=["ca-true", "foreign-san", "rsa-1024", "p-224", "truncated", "oversized"],
)
async def test_request_that_asks_for_too_much_or_offers_too_little(tmp_path, code, der):
    async with new_plane(tmp_path) as plane:
        claim = await claim_for(plane)
        with pytest.raises(HostileData) as refused:
            await plane.identity.enroll("cam-1", claim, der)
        assert refused.value.code == code
        await plane.identity.enroll("cam-1", claim, request_for("cam-1"))  # the claim was not spent


async def test_request_whose_name_is_no_text(tmp_path):
    """Rightly signed, with a BIT STRING where a name belongs: the parser meets it late, and raises something else."""
    async with new_plane(tmp_path) as plane:
        claim, key = await claim_for(plane), ec.generate_private_key(ec.SECP256R1())
        whole = request_for("cam-1", key)
        signed = x509.load_der_x509_csr(whole).tbs_certrequest_bytes
        odd = signed.replace(b"\x0c\x05cam-1", b"\x03\x05\x00am-1")
        assert odd != signed
        signature = key.sign(odd, ec.ECDSA(hashes.SHA256()))
        algorithm = bytes.fromhex("300a06082a8648ce3d040302")
        rest = odd + algorithm + bytes([3, len(signature) + 1, 0]) + signature
        with pytest.raises(HostileData) as refused:
            await plane.identity.enroll("cam-1", claim, b"\x30\x81" + bytes([len(rest)]) + rest)
        assert refused.value.code == "csr.malformed"


async def test_request_signed_by_another_key(tmp_path):
    async with new_plane(tmp_path) as plane:
        claim = await claim_for(plane)
        der = bytearray(request_for("cam-1"))
        der[-1] ^= 1
        with pytest.raises(HostileData) as refused:
            await plane.identity.enroll("cam-1", claim, bytes(der))
        assert refused.value.code in {"csr.signature", "csr.malformed"}


async def test_key_that_was_copied_with_an_image(tmp_path):
    async with new_plane(tmp_path) as plane:
        key = ec.generate_private_key(ec.SECP256R1())
        await plane.identity.enroll("cam-1", await claim_for(plane), request_for("cam-1", key))
        claim = await claim_for(plane, "cam-2")
        with pytest.raises(HostileData) as refused:
            await plane.identity.enroll("cam-2", claim, request_for("cam-2", key))
        assert refused.value.code == "identity.key_reused"


async def test_old_certificate_after_enrolling_again(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        with pytest.raises(IdentityRefused) as refused:
            await device.check_in()
        assert refused.value.code == "identity.revoked"


async def test_retired_name_never_gets_another_key(tmp_path):
    async with new_plane(tmp_path) as plane:
        claim = await claim_for(plane)
        device = plane.inventory.devices(plane.config.scope, DeviceFilter())[0]
        await plane.retirement.retire(device.key, why="lost", actor=ACTOR)
        with pytest.raises(HostileData) as refused:
            await plane.identity.enroll("cam-1", claim, request_for("cam-1"))
        assert refused.value.code == "device.retired"


async def test_claim_made_before_the_device_enrolled_with_another_one(tmp_path):
    async with new_plane(tmp_path) as plane:
        first = await claim_for(plane)
        key = plane.inventory.devices(plane.config.scope, DeviceFilter())[0].key
        second, _ = await plane.identity.create_claim(key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.enroll("cam-1", second, request_for("cam-1"))
        with pytest.raises(IdentityRefused) as refused:
            await plane.identity.enroll("cam-1", first, request_for("cam-1"))
        assert refused.value.code == "claim.withdrawn"


async def test_claim_made_before_the_device_was_revoked(tmp_path):
    async with new_plane(tmp_path) as plane:
        await plane.identity.enroll("cam-1", await claim_for(plane), request_for("cam-1"))
        key = plane.inventory.devices(plane.config.scope, DeviceFilter())[0].key
        before, _ = await plane.identity.create_claim(key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.revoke(key, why="stolen", actor=ACTOR)
        with pytest.raises(IdentityRefused) as refused:
            await plane.identity.enroll("cam-1", before, request_for("cam-1"))
        assert refused.value.code == "claim.withdrawn"
        after, _ = await plane.identity.create_claim(key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.enroll("cam-1", after, request_for("cam-1"))
