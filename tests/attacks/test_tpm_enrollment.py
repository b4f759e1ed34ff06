"""Ways to get a certificate for a key that is not in the TPM of the device it names."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, FakeClock, new_plane, plane_on, request_for
from holdfast.adapters.system import SystemClock
from holdfast.inventory.model_file import example_bytes
from holdfast_agent.tpm import DEVICE
from holdfast_core.formats.tpm.attest import parse_attestation
from holdfast_core.formats.tpm.keys import spki_digest_of
from holdfast_core.formats.tpm.public import (
    Algorithm,
    Attribute,
    Curve,
    EccPoint,
    Public,
    Scheme,
    parse_public,
    public_area,
)
from holdfast_core.formats.tpm.reader import tpm2b, u16
from holdfast_core.identity.endorsement import TpmBinding
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import HOUR, MINUTE
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.wire.tpm import Finish
from tpm_builders import first_step, maker, prepared, running_chip, second_step, wrapped

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def chip():
    """A genuine chip, and the keys it made."""
    with running_chip() as tcti, prepared(tcti) as made:
        yield made


@pytest.fixture(scope="module")
def other_chip():
    """Another genuine chip of the same maker."""
    with running_chip(2) as tcti, prepared(tcti) as made:
        yield made


def now():
    """The time of the chips' certificates, which are made while the tests run."""
    return FakeClock(SystemClock().now() + MINUTE)


def today(folder):
    return new_plane(folder, clock=now())


async def expect(plane, *names, pin=None):
    """Devices in the inventory; the first has the chip `pin`."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes("door-camera"), actor=ACTOR)
    for name in names:
        await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
    if pin is not None:
        digest = spki_digest_of(parse_public(pin.endorsement.public))
        await plane.chips.pin(DeviceKey(scope, DeviceId(names[0])), digest, actor=ACTOR)


async def trust(plane, *, first_use=False):
    await plane.chips.trust(plane.config.scope, "maker", maker().issuer, first_use=first_use, actor=ACTOR)


async def claim_for(plane, name):
    key = DeviceKey(plane.config.scope, DeviceId(name))
    text, _ = await plane.identity.create_claim(key, lifetime=HOUR, actor=ACTOR)
    return text


async def enroll(plane, chip, name, *, begin=None, finish=None):
    """The whole exchange; `begin` and `finish` replace parts of the steps."""
    opened_chip, keys = chip
    challenge = plane.tpm.begin(first_step(keys, name, **(begin or {})))
    return await plane.tpm.finish(second_step(opened_chip, keys, name, challenge, **(finish or {})))


async def refused(work):
    with pytest.raises((HostileData, WorldError)) as caught:
        await work
    return caught.value.code


def certified(plane):
    return len(list(plane.store.credentials()))


async def kinds(plane):
    return [parse_entry(leaf.data).kind for leaf in await plane.store.leaves(0, 500)]


async def incidents(plane, name):
    return await plane.store.incidents(plane.config.scope, device=name, limit=10)


# What works, beside which every attack stands.


async def test_pinned_chip_enrolls(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        certificate, *_ = await enroll(plane, chip, "cam-1")
        credential = plane.store.credential(digest_of(certificate.public_bytes(Encoding.DER)))
        assert credential.spki == spki_digest_of(parse_public(chip[1].key.public))
        assert credential.method == "tpm"


async def test_chip_of_a_trusted_maker_enrolls_with_a_claim_and_is_bound(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane)
        await enroll(plane, chip, "cam-1", begin={"claim": await claim_for(plane, "cam-1")})
        (binding,) = plane.chips.bindings(plane.config.scope)
        assert binding.device == "cam-1"
        assert Kind.TPM_BOUND in await kinds(plane)


async def test_chip_of_a_root_that_is_trusted_at_first_use_enrolls_without_a_claim(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane, first_use=True)
        assert await enroll(plane, chip, "cam-1")


async def test_binding_survives_a_restart_and_brings_a_long_expired_device_back(tmp_path, chip):
    clock = now()
    async with new_plane(tmp_path, clock=clock) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        await enroll(plane, chip, "cam-1")
    clock.forward(400 * 24 * HOUR)
    async with plane_on(tmp_path, clock=clock) as plane:
        with running_chip() as tcti, prepared(tcti) as anew:
            assert await enroll(plane, anew, "cam-1")
        assert certified(plane) == 2


# A software key posing as a TPM.


def software_public(key, *attributes, scheme=True):
    """A public area for a key that is in no chip, claiming whatever it likes."""
    numbers = key.public_key().public_numbers()
    flags = Attribute(0)
    for attribute in attributes:
        flags |= attribute
    public = Public(
        hash=Algorithm.SHA256,
        attributes=flags,
        policy=b"",
        symmetric=None,
        scheme=Scheme(Algorithm.ECDSA, Algorithm.SHA256) if scheme else None,
        unique=EccPoint(Curve.P256, numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")),
        data=b"",
    )
    return tpm2b(public_area(public))


INSIDE = (Attribute.FIXED_TPM, Attribute.FIXED_PARENT, Attribute.SENSITIVE_DATA_ORIGIN, Attribute.SIGN)


def software_signed(key, attestation):
    r, s = decode_dss_signature(key.sign(attestation, ec.ECDSA(hashes.SHA256())))
    return u16(Algorithm.ECDSA) + u16(Algorithm.SHA256) + tpm2b(r.to_bytes(32, "big")) + tpm2b(s.to_bytes(32, "big"))


async def test_software_endorsement_key_with_no_certificate(tmp_path):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane, first_use=True)
        with running_chip(3, certified=False) as tcti, prepared(tcti) as homemade:
            assert await refused(enroll(plane, homemade, "cam-1")) == "tpm.ek_unknown"
        assert certified(plane) == 0


async def test_software_endorsement_key_with_another_chips_certificate(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane, first_use=True)
        borrowed = {"certificates": chip[1].endorsement.certificates}
        with running_chip(3, certified=False) as tcti, prepared(tcti) as homemade:
            assert await refused(enroll(plane, homemade, "cam-1", begin=borrowed)) == "tpm.ek_certificate_key"


async def test_chip_of_a_maker_nobody_trusts(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        begin = {"claim": await claim_for(plane, "cam-1")}
        assert await refused(enroll(plane, chip, "cam-1", begin=begin)) == "tpm.ek_untrusted"


async def test_software_attestation_key_cannot_open_the_secret(tmp_path, chip):
    """The chip opens a secret only for an object that is loaded in it, under the name the server computed."""
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        forged = software_public(ec.generate_private_key(ec.SECP256R1()), *INSIDE, Attribute.RESTRICTED)
        challenge = plane.tpm.begin(first_step(chip[1], "cam-1", ak=forged))
        with pytest.raises(WorldError) as failed:
            chip[0].activate(challenge)
        assert "integrity" in failed.value.sentence


async def test_secret_wrapped_for_another_attestation_key(tmp_path, chip):
    """Wrong AK name: the exchange was begun for one key, and finished with a secret for another."""
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, keys = chip
        name = parse_public(keys.ak.public).name
        guessed = opened_chip.activate(wrapped(keys.endorsement.public, name, b"x" * 32))
        challenge = plane.tpm.begin(first_step(keys, "cam-1"))
        wrong = second_step(opened_chip, keys, "cam-1", challenge, secret=guessed)
        assert await refused(plane.tpm.finish(wrong)) == "tpm.secret_wrong"
        assert await plane.tpm.finish(second_step(opened_chip, keys, "cam-1", challenge))


async def test_software_device_key_that_says_it_is_in_the_chip(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        key = ec.generate_private_key(ec.SECP256R1())
        forged = {"key": software_public(key, *INSIDE, scheme=False), "request": request_for("cam-1", key)}
        assert await refused(enroll(plane, chip, "cam-1", finish=forged)) == "tpm.attest_name"


async def test_software_device_key_with_an_attestation_it_wrote_itself(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, keys = chip
        key = ec.generate_private_key(ec.SECP256R1())
        public = software_public(key, *INSIDE, scheme=False)
        challenge = plane.tpm.begin(first_step(keys, "cam-1"))
        honest = second_step(opened_chip, keys, "cam-1", challenge)
        own, forged_name = parse_public(keys.key.public).name, parse_public(public).name
        forged = honest.attestation.replace(own, forged_name)
        assert forged != honest.attestation
        step = msgspec.structs.replace(
            honest,
            key=public,
            attestation=forged,
            signature=software_signed(key, forged),
            request=request_for("cam-1", key),
        )
        assert await refused(plane.tpm.finish(step)) == "tpm.attest_signature"


async def test_request_for_a_software_key_beside_the_certified_one(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        assert (
            await refused(enroll(plane, chip, "cam-1", finish={"request": request_for("cam-1")})) == "tpm.request_key"
        )


async def test_key_that_may_leave_the_chip(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, _ = chip
        loose = opened_chip._make("loose", "ecc256", "sensitivedataorigin|userwithauth|noda|sign")
        assert await refused(enroll(plane, chip, "cam-1", finish={"key": loose.public})) == "tpm.key_template"


@pytest.mark.parametrize("missing", [Attribute.RESTRICTED, Attribute.FIXED_TPM, Attribute.SENSITIVE_DATA_ORIGIN])
async def test_attestation_key_that_signs_for_others(tmp_path, chip, missing):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        attributes = [a for a in (*INSIDE, Attribute.RESTRICTED) if a is not missing]
        weak = software_public(ec.generate_private_key(ec.SECP256R1()), *attributes)
        assert await refused(enroll(plane, chip, "cam-1", begin={"ak": weak})) == "tpm.ak_template"


async def test_attestation_that_no_tpm_made(tmp_path, chip):
    """An unrestricted key of the chip signs anything; what it signs does not count, and neither does its form."""
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, keys = chip
        challenge = plane.tpm.begin(first_step(keys, "cam-1"))
        honest = second_step(opened_chip, keys, "cam-1", challenge)
        by_device_key = b"\xffTCH" + honest.attestation[4:]
        with pytest.raises(HostileData) as caught:
            parse_attestation(by_device_key)
        assert caught.value.code == "tpm.not_generated"
        step = msgspec.structs.replace(honest, attestation=by_device_key)
        assert await refused(plane.tpm.finish(step)) == "tpm.attest_signature"


# Replay.


async def test_replayed_activation(tmp_path):
    with running_chip() as tcti, prepared(tcti) as (opened_chip, keys):
        async with today(tmp_path) as plane:
            await expect(plane, "cam-1", pin=keys)
            challenge = plane.tpm.begin(first_step(keys, "cam-1"))
            step = second_step(opened_chip, keys, "cam-1", challenge)
            await plane.tpm.finish(step)
            fresh = msgspec.structs.replace(keys, key=opened_chip._make("key", "ecc256", DEVICE))
            assert await refused(plane.tpm.finish(step)) == "tpm.session_spent"
            again = second_step(opened_chip, fresh, "cam-1", challenge)
            assert await refused(plane.tpm.finish(again)) == "tpm.session_spent"
            assert certified(plane) == 1
            assert await enroll(plane, (opened_chip, fresh), "cam-1")


async def test_attestation_of_an_earlier_exchange(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, keys = chip
        earlier = second_step(opened_chip, keys, "cam-1", plane.tpm.begin(first_step(keys, "cam-1")))
        replayed = {"attestation": earlier.attestation, "signature": earlier.signature}
        assert await refused(enroll(plane, chip, "cam-1", finish=replayed)) == "tpm.attest_nonce"


async def test_one_exchange_finished_a_hundred_ways(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, keys = chip
        step = second_step(opened_chip, keys, "cam-1", plane.tpm.begin(first_step(keys, "cam-1")))
        ends = await asyncio.gather(*(plane.tpm.finish(step) for _ in range(100)), return_exceptions=True)
        assert sum(isinstance(end, list) for end in ends) == 1
        assert {end.code for end in ends if not isinstance(end, list)} == {"tpm.session_spent"}
        assert certified(plane) == 1


async def test_exchange_that_took_too_long(tmp_path, chip):
    clock = now()
    async with new_plane(tmp_path, clock=clock) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, keys = chip
        step = second_step(opened_chip, keys, "cam-1", plane.tpm.begin(first_step(keys, "cam-1")))
        clock.forward(6 * MINUTE)
        assert await refused(plane.tpm.finish(step)) == "tpm.session_invalid"


async def test_session_that_was_changed(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        opened_chip, keys = chip
        step = second_step(opened_chip, keys, "cam-1", plane.tpm.begin(first_step(keys, "cam-1")))
        middle = len(step.session) // 2
        other = "A" if step.session[middle] != "A" else "B"
        changed = step.session[:middle] + other + step.session[middle + 1 :]
        for session in (changed, "", "gAAAAA", step.session[:-4], "\u2014"):
            wrong = msgspec.structs.replace(step, session=session)
            assert await refused(plane.tpm.finish(wrong)) == "tpm.session_invalid"
        assert await plane.tpm.finish(step)


async def test_one_chip_that_finishes_without_end_leaves_the_others_their_turn(tmp_path, chip, other_chip):
    """What was used is remembered for ten minutes; one chip, however fast, must not fill what there is for all."""
    clock = now()
    async with new_plane(tmp_path, clock=clock) as plane:
        plane.tpm._limits = msgspec.structs.replace(plane.tpm._limits, tpm_finished=6, tpm_finished_per_chip=3)
        await expect(plane, "cam-1", "cam-2", pin=chip[1])
        await plane.chips.pin(
            DeviceKey(plane.config.scope, DeviceId("cam-2")),
            spki_digest_of(parse_public(other_chip[1].endorsement.public)),
            actor=ACTOR,
        )
        for _ in range(3):
            assert await refused(enroll(plane, chip, "cam-1", finish={"attestation": b""})) == "tpm.attest_signature"
        for _ in range(5):
            assert await refused(enroll(plane, chip, "cam-1")) == "tpm.busy"
        await enroll(plane, other_chip, "cam-2")
        clock.forward(11 * MINUTE)
        await enroll(plane, chip, "cam-1")


# One chip, two names; two chips, one name.


async def test_cloned_endorsement_key_under_a_second_name(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", "cam-2", pin=chip[1])
        await trust(plane, first_use=True)
        await enroll(plane, chip, "cam-1")
        with running_chip() as tcti, prepared(tcti) as clone:
            assert await refused(enroll(plane, clone, "cam-2")) == "tpm.ek_bound"
        (incident,) = [found for found in await incidents(plane, "cam-1") if found.cause == "clone"]
        assert incident.reasons[0].code == "tpm.ek_under_two_names"
        assert plane.store.posture(incident.key).verdict.level == "quarantined"
        assert certified(plane) == 1


async def test_bystander_with_the_public_half_of_a_chip_raises_no_alarm(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", "cam-2", pin=chip[1])
        await enroll(plane, chip, "cam-1")
        _, keys = chip
        challenge = plane.tpm.begin(first_step(keys, "cam-2"))
        step = Finish(challenge.session, b"?" * 32, keys.key.public, b"", b"", b"")
        assert await refused(plane.tpm.finish(step)) == "tpm.secret_wrong"
        assert await incidents(plane, "cam-1") == []


async def test_new_chip_takes_the_name_of_a_device_that_has_one(tmp_path, chip, other_chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        await trust(plane, first_use=True)
        begin = {"claim": await claim_for(plane, "cam-1")}
        assert await refused(enroll(plane, other_chip, "cam-1", begin=begin)) == "tpm.device_bound"


async def test_stranger_with_a_genuine_chip_names_a_device_that_is_expected(tmp_path, other_chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane)
        assert await refused(enroll(plane, other_chip, "cam-1")) == "tpm.claim_required"


async def test_stranger_with_a_genuine_chip_takes_over_a_device_that_enrolled_without(tmp_path, other_chip):
    """A root that is trusted at first use admits a device that was never here, not one that lives already."""
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane, first_use=True)
        await plane.identity.enroll("cam-1", await claim_for(plane, "cam-1"), request_for("cam-1"))
        assert await refused(enroll(plane, other_chip, "cam-1")) == "tpm.claim_required"
        assert certified(plane) == 1


async def test_claim_of_another_device(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", "cam-2", pin=chip[1])
        begin = {"claim": await claim_for(plane, "cam-2")}
        assert await refused(enroll(plane, chip, "cam-1", begin=begin)) == "claim.unknown"


async def test_one_claim_for_two_chips(tmp_path, chip, other_chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane)
        claim = await claim_for(plane, "cam-1")
        steps = []
        for opened_chip, keys in (chip, other_chip):
            challenge = plane.tpm.begin(first_step(keys, "cam-1", claim=claim))
            steps.append(second_step(opened_chip, keys, "cam-1", challenge))
        ends = await asyncio.gather(*(plane.tpm.finish(step) for step in steps), return_exceptions=True)
        assert sum(isinstance(end, list) for end in ends) == 1
        assert len(plane.chips.bindings(plane.config.scope)) == 1


# After the end.


async def test_chip_of_a_retired_device(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        await enroll(plane, chip, "cam-1")
        key = DeviceKey(plane.config.scope, DeviceId("cam-1"))
        await plane.retirement.retire(key, why="sold", actor=ACTOR)
        with running_chip() as tcti, prepared(tcti) as restored:
            assert await refused(enroll(plane, restored, "cam-1")) == "tpm.device_retired"
        reasons = [reason.code for incident in await incidents(plane, "cam-1") for reason in incident.reasons]
        assert "retired.tpm" in reasons
        assert certified(plane) == 1


async def test_chip_of_a_retired_device_under_a_fresh_name(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", "cam-2", pin=chip[1])
        await trust(plane, first_use=True)
        await enroll(plane, chip, "cam-1")
        key = DeviceKey(plane.config.scope, DeviceId("cam-1"))
        await plane.retirement.retire(key, why="sold", actor=ACTOR)
        with running_chip() as tcti, prepared(tcti) as restored:
            assert await refused(enroll(plane, restored, "cam-2")) == "tpm.ek_bound"
            digest = spki_digest_of(parse_public(chip[1].endorsement.public))
            await plane.chips.release(plane.config.scope, digest, why="bought back", actor=ACTOR)
            assert await enroll(plane, restored, "cam-2")


async def test_revoked_device_brings_itself_back_with_its_chip(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        await enroll(plane, chip, "cam-1")
        key = DeviceKey(plane.config.scope, DeviceId("cam-1"))
        await plane.identity.revoke(key, why="stolen", actor=ACTOR)
        with running_chip() as tcti, prepared(tcti) as anew:
            assert await refused(enroll(plane, anew, "cam-1")) == "tpm.revoked"
            assert await enroll(plane, anew, "cam-1", begin={"claim": await claim_for(plane, "cam-1")})


async def test_quarantined_device_gets_itself_a_fresh_certificate(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        await enroll(plane, chip, "cam-1")
        key = DeviceKey(plane.config.scope, DeviceId("cam-1"))
        await plane.response.quarantine(key, why="it scans its neighbours", actor=ACTOR)
        with running_chip() as tcti, prepared(tcti) as anew:
            assert await refused(enroll(plane, anew, "cam-1")) == "tpm.held"
        assert certified(plane) == 1


async def test_claim_for_a_software_key_of_a_device_that_has_a_chip(tmp_path, chip):
    """Who steals a claim, or has root on the device, does not get the identity out of the chip with it."""
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        claim = await claim_for(plane, "cam-1")
        assert await refused(plane.identity.enroll("cam-1", claim, request_for("cam-1"))) == "tpm.required"
        assert certified(plane) == 0
        assert await enroll(plane, chip, "cam-1", begin={"claim": claim})


async def test_renewal_with_a_software_key_over_the_chips_connection(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        certificate, *_ = await enroll(plane, chip, "cam-1")
        fingerprint = digest_of(certificate.public_bytes(Encoding.DER))
        assert await refused(plane.renewal.renew(fingerprint, request_for("cam-1"))) == "tpm.required"
        assert certified(plane) == 1


async def test_answer_that_was_lost_locks_nobody_out(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1", pin=chip[1])
        key = DeviceKey(plane.config.scope, DeviceId("cam-1"))
        certificate, *_ = await enroll(plane, chip, "cam-1")
        device = DeviceInTest(plane, plane.store.device(key), digest_of(certificate.public_bytes(Encoding.DER)))
        await device.check_in()
        for _ in range(2):
            with running_chip() as tcti, prepared(tcti) as anew:
                last, *_ = await enroll(plane, anew, "cam-1")
            await device.check_in()
        device.fingerprint = digest_of(last.public_bytes(Encoding.DER))
        await device.check_in()
        in_force = [c for c in plane.store.credentials_of(key) if c.revoked_at is None]
        assert [credential.fingerprint for credential in in_force] == [device.fingerprint]
        assert [incident for incident in await incidents(plane, "cam-1") if incident.cause != "verdict"] == []


async def test_one_fresh_chip_races_under_two_names(tmp_path):
    """Neither is bound yet when both finish: one wins, and the chip is bound once."""
    with running_chip() as tcti, prepared(tcti) as chip:
        async with today(tmp_path) as plane:
            await expect(plane, "cam-1", "cam-2")
            await trust(plane, first_use=True)
            opened_chip, keys = chip
            steps = []
            for name in ("cam-1", "cam-2"):
                challenge = plane.tpm.begin(first_step(keys, name))
                steps.append(second_step(opened_chip, keys, name, challenge))
            ends = await asyncio.gather(*(plane.tpm.finish(step) for step in steps), return_exceptions=True)
            assert sum(isinstance(end, list) for end in ends) == 1
            assert len(plane.chips.bindings(plane.config.scope)) == 1
            assert certified(plane) == 1


async def test_chip_of_another_environment(tmp_path, chip):
    async with today(tmp_path) as plane:
        await expect(plane, "cam-1")
        await trust(plane, first_use=True)
        elsewhere = Scope("home", "test")
        bound = TpmBinding(
            elsewhere, spki_digest_of(parse_public(chip[1].endorsement.public)).removeprefix("sha256:"),
            device=DeviceId("cam-9"), bound_at=plane.clock.now(), by=ACTOR,
        )  # fmt: skip
        device = msgspec.structs.replace(
            plane.store.device(DeviceKey(plane.config.scope, DeviceId("cam-1"))),
            key=DeviceKey(elsewhere, DeviceId("cam-9")),
        )
        await plane.store.commit([bound, device])
        assert await refused(enroll(plane, chip, "cam-1")) == "tpm.ek_bound"
        assert certified(plane) == 0
