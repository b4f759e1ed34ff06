"""Ways out of a quarantine, ways back to an old release, ways to fill the disk; each beside the honest act."""

from __future__ import annotations

import msgspec
import pytest

from attest_builders import SoftTpm, booted, log_of
from attesting_builders import Builder, added, an_attester, log_body, stated
from builders import ACTOR, START, FakeClock, new_plane, request_for
from holdfast.attestation import appraiser
from holdfast.attestation.appraiser import state_of
from holdfast_core.attestation.reference import Measurement
from holdfast_core.formats.eventlog import kinds
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, Instant
from holdfast_core.wire.attestation import BOOT_LOG, SECTION, Unable
from holdfast_core.wire.frame import Level, Section

pytestmark = pytest.mark.anyio
WHY = "because the test says so"


async def proved(plane, *releases, **asked):
    builder = Builder()
    await added(plane, builder, *(releases or (stated(),)))
    device = await an_attester(plane, **asked)
    await device.audit()
    await device.tell()
    device.log = device.tpm.boot()
    await device.attest(log=device.log)
    assert appraisal_of(device).tier is Tier.AFFIRMING
    return device, builder


def appraisal_of(device):
    return device.plane.store.posture(device.key).appraisal("attestation")


async def caught(device):
    """The device booted something else, and told so."""
    device.log = device.tpm.boot(booted("6.6.6"))
    reply = await device.attest(log=device.log)
    assert reply.verdict.level is Level.QUARANTINED


async def healed(device):
    device.log = device.tpm.boot()
    await device.audit()
    assert (await device.attest(log=device.log)).verdict.level is Level.TRUSTED


async def test_silence_ends_no_quarantine(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, _ = await proved(plane)
        await caught(device)
        clock.forward(6 * DAY)
        await plane.verdicts.sweep()
        assert plane.store.posture(device.key).verdict.level is Level.QUARANTINED
        await device.tell(Unable("no-tpm"))
        assert appraisal_of(device).tier is Tier.CONTRAINDICATED
        await healed(device)


async def test_evidence_that_says_it_is_old_ends_no_quarantine(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        await caught(device)
        said = device.tpm.evidence(device.nonce, device=device.key.device)
        old = Section(body=msgspec.Raw(msgspec.json.encode(said)), age_s=9 * 365 * 86_400)
        log = Section(digest=digest_of(log_body(device.log)))
        reply = await device.check_in(sections={SECTION: old, BOOT_LOG: log})
        assert reply.verdict.level is Level.QUARANTINED
        await healed(device)


async def test_enrolling_again_ends_no_quarantine_and_loses_no_evidence(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        await caught(device)
        kept = state_of(plane.store.posture(device.key)).number
        claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
        await plane.identity.enroll(device.key.device, claim, request_for(device.key.device))
        posture = plane.store.posture(device.key)
        assert (posture.verdict.level, state_of(posture).number) == (Level.QUARANTINED, kept)
        assert (await plane.store.evidence(device.key, 1)).taken


async def test_going_back_to_a_release_with_a_lower_security_version_number(tmp_path):
    """Both releases are current; a device that never was further may run the older one."""
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane, stated(), stated("2.0.0", svn=9, made_at=Instant(START + 1)))
        device.log = device.tpm.boot(booted("2.0.0"))
        assert (await device.attest(log=device.log)).verdict.level is Level.TRUSTED
        device.log = device.tpm.boot()
        reply = await device.attest(log=device.log)
        assert reply.verdict.level is Level.QUARANTINED
        assert reply.verdict.reasons[0].code == "attestation.release_downgraded"
        await plane.attesting.service.reset(device.key, why=WHY, actor=ACTOR)
        assert (await device.attest(log=device.log)).verdict.level is Level.TRUSTED


async def test_a_release_that_nobody_may_go_back_to_is_not_added_later(tmp_path):
    async with new_plane(tmp_path) as plane:
        builder = Builder()
        await added(plane, builder, stated("2.0.0", svn=2))
        with pytest.raises(HostileData) as refused:
            await added(plane, builder, stated("1.0.0", svn=1))
        assert refused.value.code == "reference.svn_behind"
        await added(plane, builder, stated("2.0.1", svn=2))


async def test_a_later_release_that_says_less(tmp_path):
    """It names the kernel only; with it, any boot loader would do."""
    async with new_plane(tmp_path) as plane:
        device, builder = await proved(plane)
        whole = stated("1.0.1", made_at=Instant(START + 1))
        less = msgspec.structs.replace(whole, measurements=tuple(m for m in whole.measurements if m.register == 9))
        await added(plane, builder, less)
        boot = [(r, k, b"any loader" if r == 4 else d) for r, k, d in booted("1.0.1")]
        device.log = device.tpm.boot(boot)
        reply = await device.attest(log=device.log)
        assert reply.verdict.level is Level.RESTRICTED
        assert reply.verdict.reasons[0].code == "attestation.registers_unjudged"
        assert {m.register for m in less.measurements} == {9}
        assert Measurement(4, "0" * 64, "x") not in less.measurements


async def test_logs_that_nobody_signed_are_not_kept(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        scope = device.key.scope
        assert await plane.store.blob(scope, digest_of(log_body(device.log))) is not None
        junk = log_of([(0, kinds.IPL, b"junk")] * 40)
        await device.check_in(sections={BOOT_LOG: Section(body=msgspec.Raw(log_body(junk)))})
        other = SoftTpm(values=device.tpm.values, resets=device.tpm.resets)
        said = other.evidence(device.plane.store.posture(device.key).nonce, device=device.key.device)
        await device.tell(said, log=junk)
        assert await plane.store.blob(scope, digest_of(log_body(junk))) is None


async def test_more_evidence_in_a_day_than_is_kept_of_one_device(tmp_path, monkeypatch):
    monkeypatch.setattr(appraiser, "DAILY_BYTES", 3_000)
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, _ = await proved(plane)
        for _ in range(12):
            clock.forward(MINUTE)
            await device.attest()
        state = state_of(plane.store.posture(device.key))
        assert state.refused.code == "attestation.too_much"
        assert state.number < 8
        clock.forward(DAY)
        await device.audit()
        await device.attest()
        assert state_of(plane.store.posture(device.key)).refused is None


async def test_refused_evidence_that_repeats_itself_is_kept_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _ = await proved(plane)
        for number in range(5):
            await device.tell(device.tpm.evidence(f"never-a-nonce-{number}", device=device.key.device))
        assert state_of(plane.store.posture(device.key)).number == 2
        assert appraisal_of(device).tier is Tier.AFFIRMING
