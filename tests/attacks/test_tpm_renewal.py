"""Ways to go on with a key in a TPM without the fresh evidence that the device's model demands before a renewal."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, FakeClock, new_plane, plane_on, request_for
from holdfast.adapters.system import SystemClock
from holdfast.inventory.model_file import example_bytes
from holdfast_core.attestation.model import Freshness
from holdfast_core.formats.tpm.keys import spki_digest_of
from holdfast_core.formats.tpm.public import parse_public
from holdfast_core.identity.issuers import Rollover
from holdfast_core.identity.model import Method, Revocation
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE
from sealed_builders import DEMAND, LIFE, attested, reason_of
from tpm_builders import first_step, prepared, running_chip, second_step

pytestmark = pytest.mark.anyio
CODE = "identity.attestation_required"


@pytest.fixture(scope="module")
def chip():
    """A genuine chip, and the keys it made."""
    with running_chip() as tcti, prepared(tcti) as made:
        yield made


@pytest.fixture
def clock():
    """The time of the chips' certificates, which are made while the tests run."""
    return FakeClock(SystemClock().now() + MINUTE)


class TpmDevice(DeviceInTest):
    """A device whose key is in a chip; it renews as the agent does: by enrolling again, with new keys."""

    def __init__(self, plane, device, chip):
        super().__init__(plane, device, "")
        self._chip, self._keys = chip

    async def enroll(self, claim=""):
        """The certificate that it gets; it is not used yet."""
        ak, key = self._chip.make_keys()
        keys = msgspec.structs.replace(self._keys, ak=ak, key=key)
        challenge = self.plane.tpm.begin(first_step(keys, "cam-1", claim=claim))
        certificate, *_ = await self.plane.tpm.finish(second_step(self._chip, keys, "cam-1", challenge))
        return digest_of(certificate.public_bytes(Encoding.DER))

    async def comes(self, claim=""):
        """Enroll, and use what came of it."""
        self.fingerprint = await self.enroll(claim)
        await self.check_in()

    async def claim(self):
        text, _ = await self.plane.identity.create_claim(self.key, lifetime=HOUR, actor=ACTOR)
        return text

    @property
    def credentials(self):
        return sorted(self.plane.store.credentials_of(self.key), key=lambda each: each.issued_at)


async def pinned(device, chip):
    """The device, once a person said that the chip is in it."""
    await device.plane.chips.pin(device.key, spki_digest_of(parse_public(chip[1].endorsement.public)), actor=ACTOR)
    return device


async def expected(plane, chip, demand=DEMAND):
    """A device in the inventory."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, example_bytes("door-camera") + demand, actor=ACTOR)
    device = await plane.inventory.add_device(scope, Row(1, DeviceId("cam-1"), model.reference), actor=ACTOR)
    return TpmDevice(plane, device, chip)


async def in_use(plane, chip, demand=DEMAND):
    """A device that enrolled with its chip and checked in."""
    device = await pinned(await expected(plane, chip, demand), chip)
    await device.comes()
    return device


async def refused(device):
    before = (device.credentials, device.plane.store.posture(device.key))
    with pytest.raises(IdentityRefused) as refusal:
        await device.enroll()
    assert refusal.value.remedy
    assert (device.credentials, device.plane.store.posture(device.key)) == before, "nothing came of it"
    return refusal.value.code, refusal.value.http_status


# What works, beside which every attack stands.


async def test_control_a_model_that_demands_nothing_lets_its_chip_renew_as_ever(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip, b"")
        await device.comes()
        assert [each.revoked_code for each in device.credentials] == [Revocation.SUPERSEDED, Revocation.UNSPECIFIED]


async def test_control_an_affirmed_chip_renews_and_attests_anew_before_the_next_time(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        await attested(device)
        await device.comes()
        assert await refused(device) == (CODE, 403), "its appraisals began anew with its keys"
        await attested(device)
        await device.comes()
        assert len(device.credentials) == 3


async def test_control_a_first_enrollment_that_was_never_used_is_repeated_as_it_came(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await pinned(await expected(plane, chip), chip)
        await device.enroll()
        await device.comes()
        assert len(device.credentials) == 2


# Without evidence.


async def test_chip_renews_by_enrolling_again_though_it_never_attested(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        assert await refused(device) == (CODE, 403)
    async with plane_on(tmp_path, clock=clock) as plane:
        device.plane = plane
        assert await refused(device) == (CODE, 403), "also after a restart"
        await attested(device)
        assert await device.enroll()


@pytest.mark.parametrize("tier", [Tier.NONE, Tier.WARNING, Tier.CONTRAINDICATED])
async def test_chip_of_a_device_that_is_not_affirmed(tmp_path, chip, clock, tier):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        await attested(device, tier)
        assert await refused(device) == (CODE, 403)


async def test_chip_with_evidence_that_lapsed_or_a_boot_that_is_not_confirmed(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        await attested(device, freshness=Freshness.PENDING)
        assert await refused(device) == (CODE, 403)
        await attested(device, refused=reason_of(Tier.WARNING))
        assert await refused(device) == (CODE, 403)
        await attested(device)
        clock.forward(LIFE)
        assert await refused(device) == (CODE, 403)


async def test_chip_that_was_renewed_once_and_used_that_does_not_go_on_from_there(tmp_path, chip, clock):
    """What exempts a repeated renewal ends with the first use of what was granted."""
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        await attested(device)
        await device.enroll()
        await device.comes()
        assert await refused(device) == (CODE, 403)


# Who must not be locked out by it.


async def test_answer_that_was_lost_is_given_again_though_the_old_evidence_lapsed(tmp_path, chip, clock):
    """The attestation key is the new one's from the grant on: who lost the answer cannot attest with the old one."""
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        await attested(device)
        await device.enroll()
        await device.check_in()
        clock.forward(LIFE)
        await device.comes()
        assert sum(each.revoked_at is None for each in device.credentials) == 1


async def test_person_lets_one_in_by_a_claim(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        assert await refused(device) == (CODE, 403)
        await device.comes(await device.claim())
        assert await refused(device) == (CODE, 403), "the claim was for once"


async def test_device_that_slept_past_its_end_comes_back_and_has_attested_nothing(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        clock.at = device.credentials[-1].not_after
        clock.forward(-1)
        assert await refused(device) == (CODE, 403)
        clock.forward(1)
        await device.comes()
        assert await refused(device) == (CODE, 403)
        clock.forward(400 * DAY)
        await device.comes()


async def test_device_whose_issuer_was_ended_comes_back(tmp_path, chip, clock):
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await in_use(plane, chip)
        for step in Rollover:
            assert await refused(device) == (CODE, 403)
            await plane.rollover.move(plane.config.scope, step, actor=ACTOR, force=True)
        await device.comes()


async def test_device_takes_its_key_from_a_file_into_its_chip(tmp_path, chip, clock):
    """Before that step there is no key that it could attest with; a person pinned the chip."""
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await expected(plane, chip)
        certificate, *_ = await plane.identity.enroll("cam-1", await device.claim(), request_for("cam-1"))
        device.fingerprint = digest_of(certificate.public_bytes(Encoding.DER))
        await device.check_in()
        await pinned(device, chip)
        await device.comes()
        assert [each.method for each in device.credentials] == [Method.CLAIM, Method.TPM]
        assert await refused(device) == (CODE, 403)
