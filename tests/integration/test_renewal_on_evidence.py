"""A certificate that is renewed only on fresh, affirming evidence."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from builders import FakeClock, enrolled, new_plane, plane_on, request_for, settled
from est_client import new_key
from holdfast_core.attestation.model import Freshness
from holdfast_core.identity.lifetimes import renewal_due
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import DAY, MINUTE
from holdfast_core.record.model import Kind
from holdfast_core.wire.frame import DirectiveReport, DirectiveState
from sealed_builders import LIFE, attested, device_demanding, on_record, reason_of

pytestmark = pytest.mark.anyio
CODE = "identity.attestation_required"


async def refused(device, request=None):
    with pytest.raises(IdentityRefused) as refusal:
        await device.plane.renewal.renew(device.fingerprint, request or request_for("cam-1"))
    assert refusal.value.remedy
    return refusal.value.code, refusal.value.http_status, refusal.value.sentence


def renewals(reply):
    return [each for each in reply.directives if each.kind == "renew"]


async def due(device):
    """Go to when the device's certificate is due."""
    credential = device.plane.store.credential(device.fingerprint)
    clock = device.plane.clock
    clock.at = renewal_due(credential.spki, credential.issued_at, credential.not_after) + MINUTE


async def test_control_a_model_that_demands_nothing_renews_as_ever(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await due(device)
        assert len(renewals(await device.check_in())) == 1
        assert await plane.renewal.renew(device.fingerprint, request_for("cam-1"))


async def test_it_renews_once_it_is_affirmed_and_not_before(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_demanding(plane)
        before = plane.store.credential(device.fingerprint)
        code, status, sentence = await refused(device)
        assert (code, status) == (CODE, 403)
        assert "has not attested since it enrolled" in sentence
        assert plane.store.credential(device.fingerprint) == before, "nothing of it was kept"
        await attested(device)
        assert await plane.renewal.renew(device.fingerprint, request_for("cam-1"))
        assert len(on_record(plane, Kind.CREDENTIAL_RENEWED)) == 1


@pytest.mark.parametrize("tier", [Tier.NONE, Tier.WARNING, Tier.CONTRAINDICATED])
async def test_any_other_tier_renews_nothing(tmp_path, tier):
    async with new_plane(tmp_path) as plane:
        device = await device_demanding(plane)
        await attested(device, tier)
        _, _, sentence = await refused(device)
        assert f"{tier.value} (attestation.test_{tier.value})" in sentence


async def test_evidence_that_lapsed_a_boot_that_is_not_confirmed_or_evidence_that_did_not_count(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await device_demanding(plane)
        await attested(device, freshness=Freshness.PENDING)
        assert "not confirmed yet" in (await refused(device))[2]
        await attested(device, refused=reason_of(Tier.WARNING))
        assert "did not count (attestation.test_warning)" in (await refused(device))[2]
        await attested(device)
        clock.forward(LIFE)
        assert "too long ago" in (await refused(device))[2]


async def test_it_is_refused_the_same_after_a_restart(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await device_demanding(plane)
        await attested(device, Tier.WARNING)
    async with plane_on(tmp_path, clock=clock) as plane:
        device.plane = plane
        assert (await refused(device))[0] == CODE
        await attested(device)
        assert await plane.renewal.renew(device.fingerprint, request_for("cam-1"))


async def test_one_that_expired_is_asked_for_evidence_too_and_comes_back_with_a_claim(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await device_demanding(plane, leaf_days=7)
        await attested(device)
        clock.forward(8 * DAY)
        assert (await refused(device))[0] == CODE
        claim, _ = await plane.identity.create_claim(device.key, lifetime=DAY, actor="token:test")
        assert await plane.identity.enroll("cam-1", claim, request_for("cam-1"))


async def test_a_granted_renewal_whose_answer_was_lost_is_given_again_without_evidence(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, request = await device_demanding(plane), request_for("cam-1", new_key())
        await attested(device)
        first = await plane.renewal.renew(device.fingerprint, request)
        clock.forward(LIFE)
        again = await plane.renewal.renew(device.fingerprint, request)
        assert [digest_of(each.tbs_certificate_bytes) for each in again] == [
            digest_of(each.tbs_certificate_bytes) for each in first
        ]
        assert len(renewals(await device.check_in())) == 1, "it never arrived, so it is asked to repeat it"


async def test_a_thief_of_the_certificate_is_found_though_he_cannot_attest(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await device_demanding(plane)
        await attested(device)
        await plane.renewal.renew(device.fingerprint, request_for("cam-1"))
        clock.forward(LIFE)
        assert (await refused(device))[0] == "identity.renewed_twice"
        assert plane.store.posture(device.key).hold is not None


async def test_a_device_is_asked_to_renew_only_when_it_would_not_be_refused(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_demanding(plane)
        await due(device)
        assert renewals(await device.check_in()) == []
        await attested(device, Tier.WARNING)
        assert renewals(await device.check_in()) == []
        await attested(device)
        assert len(renewals(await device.check_in())) == 1


async def test_one_that_was_refused_on_the_way_is_asked_again_when_it_is_affirmed(tmp_path):
    """The directive went out, the appraisal lapsed before the device could renew: it must not wait for ever."""
    async with new_plane(tmp_path) as plane:
        device = await device_demanding(plane)
        await due(device)
        await attested(device)
        (asked,) = renewals(await device.check_in())
        await attested(device, Tier.WARNING)
        report = DirectiveReport(asked.id, DirectiveState.REFUSED, CODE)
        assert renewals(await device.check_in(reports=(report,))) == []
        await attested(device)
        (again,) = renewals(await device.check_in())
        assert again.id > asked.id
        assert [each.id for each in renewals(await device.check_in())] == [again.id], "and not once more each time"
        certificate, *_ = await plane.renewal.renew(device.fingerprint, request_for("cam-1"))
        device.fingerprint = digest_of(certificate.public_bytes(Encoding.DER))
        assert renewals(await device.check_in(reports=settled(again.id))) == []


async def test_one_that_refused_for_another_reason_is_not_asked_again(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await device_demanding(plane)
        await due(device)
        await attested(device)
        (asked,) = renewals(await device.check_in())
        report = DirectiveReport(asked.id, DirectiveState.REFUSED, "agent.disk")
        assert renewals(await device.check_in(reports=(report,))) == []
        assert renewals(await device.check_in()) == []
