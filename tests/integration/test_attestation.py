"""A device proves what it booted, check-in by check-in, and what people see of it."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attest_builders import booted
from attesting_builders import Builder, added, an_attester, ask_of, stated
from builders import ACTOR, START, FakeClock, data_folder, new_plane, plane_on
from holdfast.attestation.service import freshness_of
from holdfast.ports.attested import state_of
from holdfast_core.attestation.ear import open_result
from holdfast_core.attestation.model import AttestationKey, Freshness
from holdfast_core.attestation.reference import Standing
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND, Instant
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.wire.frame import Level

pytestmark = pytest.mark.anyio
WHY = "because the test says so"


def appraisal_of(device):
    return device.plane.store.posture(device.key).appraisal("attestation")


async def kinds_of(plane):
    return [parse_entry(leaf.data).kind for leaf in await plane.record.leaves(0, 10_000)]


async def attested(plane, builder=None, **asked):
    """A device that attested once."""
    builder = builder or Builder()
    await added(plane, builder, stated())
    device = await an_attester(plane, **asked)
    await device.audit()
    await device.tell()
    device.log = device.tpm.boot()
    reply = await device.attest(log=device.log)
    return device, builder, reply


async def test_a_device_that_asks_gets_a_nonce_and_is_told_what_to_quote(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await an_attester(plane)
        reply = await device.tell()
        assert reply.wants == ("attestation",)
        assert ask_of(reply).registers == (0, 4, 7, 8, 9)
        assert ask_of(reply).nonce_s > 0
        assert appraisal_of(device) is None


async def test_a_device_that_proves_its_boot_is_trusted(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, reply = await attested(plane)
        assert (reply.verdict.level, reply.wants) == (Level.TRUSTED, ())
        assert appraisal_of(device).tier is Tier.AFFIRMING
        assert appraisal_of(device).reasons[0].sentence == "The device proved that it booted site-gateway:1.0.0."
        assert Kind.ATTESTATION_APPRAISED in await kinds_of(plane)


async def test_without_evidence_a_device_that_owes_it_is_restricted(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await an_attester(plane)
        reply = await device.audit()
        assert reply.verdict.level is Level.RESTRICTED
        assert "attestation.missing" in {reason.code for reason in reply.verdict.reasons}


async def test_when_nothing_changed_one_round_trip_with_a_digest_is_enough(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, _ = await attested(plane)
        size = plane.store.log_size()
        reply = await device.attest()
        assert (reply.wants, appraisal_of(device).tier) == ((), Tier.AFFIRMING)
        assert plane.store.log_size() == size
        assert len(device.last) < 2_000


async def test_an_unknown_log_is_asked_for_and_then_read(tmp_path):
    async with new_plane(tmp_path) as plane:
        await added(plane, Builder(), stated())
        device = await an_attester(plane)
        await device.tell()
        device.log = device.tpm.boot()
        reply = await device.attest()
        assert set(reply.wants) == {"boot-log", "attestation"}
        assert appraisal_of(device) is None
        assert (await device.attest(log=device.log)).wants == ()
        assert appraisal_of(device).tier is Tier.AFFIRMING


async def test_a_nonce_is_good_once_and_until_a_little_after_the_device_was_due(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, _, _ = await attested(plane)
        used = device.nonce
        await device.attest()
        before = appraisal_of(device)
        device.nonce = used
        assert (await device.attest()).wants == ("attestation",)
        assert appraisal_of(device) == before
        assert state_of(plane.store.posture(device.key)).refused.code == "attestation.nonce_used"
        clock.forward(2 * HOUR)
        assert (await device.attest()).wants == ("attestation",)
        assert state_of(plane.store.posture(device.key)).refused.code == "attestation.nonce_expired"
        assert (await device.attest()).wants == ()


async def test_stale_falls_by_itself_also_over_a_restart(tmp_path):
    folder, clock = data_folder(tmp_path), FakeClock()
    async with plane_on(folder, clock=clock) as plane:
        device, _, reply = await attested(plane)
        assert reply.verdict.level is Level.TRUSTED
        key = device.key
        assert freshness_of(plane.store.posture(key), clock.now()) is Freshness.FRESH
    clock.forward(2 * HOUR)
    async with plane_on(folder, clock=clock) as plane:
        assert freshness_of(plane.store.posture(key), clock.now()) is Freshness.STALE
        await plane.verdicts.sweep()
        verdict = plane.store.posture(key).verdict
        assert verdict.level is Level.RESTRICTED
        assert "attestation.stale" in {reason.code for reason in verdict.reasons}


async def test_a_restart_in_mid_conversation_is_gone_on_from(tmp_path):
    folder, clock = data_folder(tmp_path), FakeClock()
    async with plane_on(folder, clock=clock) as plane:
        device, _, _ = await attested(plane)
    async with plane_on(folder, clock=clock) as plane:
        device.plane = plane
        assert (await device.attest()).wants == ()
        assert appraisal_of(device).tier is Tier.AFFIRMING


async def test_an_unknown_boot_quarantines_and_a_good_one_heals(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, _ = await attested(plane)
        good = device.log
        device.log = device.tpm.boot(booted("6.6.6"))
        reply = await device.attest(log=device.log)
        assert reply.verdict.level is Level.QUARANTINED
        explained = await plane.attesting.references.explain(device.key)
        assert "Nearest is site-gateway:1.0.0" in explained.summary
        assert any("kernel 6.6.6" in each.sentence for each in explained.differences)
        assert device.tpm.boot() == good
        device.log = good
        assert (await device.attest(log=good)).verdict.level is Level.TRUSTED


async def test_during_a_rollout_both_releases_are_good_and_afterwards_the_old_one_is_not(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, builder, _ = await attested(plane)
        await added(plane, builder, stated("2.0.0", svn=2, made_at=Instant(START + 1)))
        scope, references = plane.config.scope, plane.attesting.references
        await references.retire(scope, "site-gateway:1.0.0", Instant(START + DAY), why=WHY, actor=ACTOR)
        assert (await device.attest()).verdict.level is Level.TRUSTED
        device.log = device.tpm.boot(booted("2.0.0"))
        assert (await device.attest(log=device.log)).verdict.level is Level.TRUSTED
        assert [standing for _, standing in references.listed(scope)] == [Standing.CURRENT, Standing.CURRENT]
        clock.forward(2 * DAY)
        assert [standing for _, standing in references.listed(scope)] == [Standing.CURRENT, Standing.SUPERSEDED]
        device.log = device.tpm.boot()
        await device.audit()
        reply = await device.attest(log=device.log)
        assert reply.verdict.level is Level.QUARANTINED
        assert reply.verdict.reasons[0].code == "attestation.release_superseded"


async def test_a_revoked_release_falls_at_once_for_every_device_that_runs_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, reply = await attested(plane)
        assert reply.verdict.level is Level.TRUSTED
        references = plane.attesting.references
        _, devices = await references.revoke(plane.config.scope, "site-gateway:1.0.0", why=WHY, actor=ACTOR)
        assert devices == 1
        assert plane.store.posture(device.key).verdict.level is Level.QUARANTINED
        reply = await device.attest()
        assert reply.verdict.reasons[0].code == "attestation.release_revoked"


async def test_evidence_by_another_key_is_an_incident(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, _ = await attested(plane)
        mine, other = device.tpm, type(device.tpm)()
        other.values, other.resets, other.clock = mine.values, mine.resets, mine.clock
        device.tpm = other
        reply = await device.attest()
        assert reply.verdict.level is Level.QUARANTINED
        incident = plane.store.open_incident(device.key, "attestation")
        assert incident.reasons[0].code == "attestation.signature"


async def test_every_evidence_is_kept_and_its_verdict_comes_out_again(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, builder, _ = await attested(plane)
        clock.forward(10 * MINUTE)
        await device.attest()
        await device.tell(device.tpm.evidence("never-was-a-nonce", device=device.key.device))
        await added(plane, builder, stated("2.0.0", svn=2, made_at=Instant(START + 1)))
        await plane.attesting.references.revoke(plane.config.scope, "site-gateway:1.0.0", why=WHY, actor=ACTOR)
        clock.forward(SECOND)
        await device.attest()
        service = plane.attesting.service
        kept = await service.evidences(device.key, before=None, limit=10)
        assert [each.taken for each in kept] == [True, False, True, True]
        for each in kept:
            replayed = await service.replay(device.key, each.number)
            assert (replayed.same, replayed.chained) == (True, True), each.number
        assert kept[0].result.tier is Tier.CONTRAINDICATED
        assert kept[-1].result.tier is Tier.AFFIRMING


async def test_an_evidence_that_was_changed_on_disk_breaks_the_chain(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, _ = await attested(plane)
        await device.attest()
        first = await plane.store.evidence(device.key, 1)
        await plane.store.commit([msgspec.structs.replace(first, result=msgspec.structs.replace(first.result, svn=9))])
        assert not (await plane.attesting.service.replay(device.key, 2)).chained
        assert not (await plane.attesting.service.replay(device.key, 1)).same


async def test_a_result_is_signed_and_says_when_it_is_stale(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, _, _ = await attested(plane)
        service, key = plane.attesting.service, plane.attesting.service._signer.key
        claims = open_result(service.result(device.key), key)["submods"]["gate-1"]
        assert (claims["ear.status"], claims["holdfast.freshness"]) == (2, "fresh")
        assert claims["ear.trustworthiness-vector"] == {"instance-identity": 2, "executables": 3}
        clock.forward(3 * HOUR)
        claims = open_result(service.result(device.key), key)["submods"]["gate-1"]
        assert (claims["ear.status"], claims["holdfast.freshness"]) == (0, "stale")
        token = service.result(device.key)
        with pytest.raises(HostileData) as caught:
            open_result(token.replace(token[60], "A" if token[60] != "A" else "B", 1), key)
        assert caught.value.code in {"result.signature", "result.malformed"}


async def test_values_learned_from_a_device_name_it_and_the_reason(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await an_attester(plane)
        await device.tell()
        device.log = device.tpm.boot(booted("0.9.0"))
        await device.attest(log=device.log)
        assert appraisal_of(device).tier is Tier.NONE
        references = plane.attesting.references
        learned = await references.learn(device.key, version="0.9.0", svn=0, why=WHY, actor=ACTOR)
        assert (learned.statement.learned.device, learned.statement.learned.why) == ("gate-1", WHY)
        await device.attest()
        assert appraisal_of(device).tier is Tier.AFFIRMING
        assert Kind.RELEASE_LEARNED in await kinds_of(plane)


async def test_a_release_is_taken_from_trusted_keys_only_and_never_changes(tmp_path):
    async with new_plane(tmp_path) as plane:
        builder, stranger = Builder(), Builder()
        (reference,) = await added(plane, builder, stated())
        scope, references = plane.config.scope, plane.attesting.references
        assert (await references.add(scope, builder.envelope(stated()), actor=ACTOR)) == reference
        for envelope, code in (
            (stranger.envelope(stated("2.0.0")), "dsse.signature"),
            (builder.envelope(stated(svn=5)), "reference.exists"),
            (builder.envelope_of(b"{}", "another/type"), "dsse.type"),
            (builder.envelope_of(b"{}"), "reference.malformed"),
            (b"{}", "dsse.malformed"),
        ):
            with pytest.raises(HostileData) as caught:
                await references.add(scope, envelope, actor=ACTOR)
            assert caught.value.code == code


async def test_a_clone_stays_out_until_a_person_resets_the_device(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device, _, _ = await attested(plane)
        tpm = device.tpm
        clone = type(tpm)(tpm.key, values=dict(tpm.values), resets=tpm.resets, clock=tpm.clock)
        for each, clock_now in ((tpm, HOUR), (clone, MINUTE), (tpm, HOUR + MINUTE)):
            clock.forward(MINUTE if each is not tpm or clock_now != HOUR else HOUR)
            await device.audit()
            device.tpm, each.clock = each, 60_100 + clock_now
            reply = await device.attest()
        assert reply.verdict.reasons[0].code == "attestation.cloned"
        assert plane.store.open_incident(device.key, "attestation") is not None
        assert (await device.attest()).verdict.level is Level.QUARANTINED
        await plane.attesting.service.reset(device.key, why=WHY, actor=ACTOR)
        await device.attest()
        assert appraisal_of(device).tier is Tier.AFFIRMING


async def test_a_chips_key_is_not_replaced_by_a_tokens(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await an_attester(plane)
        public = device.tpm.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(HostileData) as caught:
            await plane.attesting.service.bind_token_key(device.key, public, actor=ACTOR)
        assert caught.value.code == "attestation.key_in_chip"


async def renewed(device):
    """The chip has another key, which sees other counters; the server has bound it."""
    store, key = device.plane.store, device.key
    bound = store.kept(AttestationKey, key.scope, key.device)
    new = type(device.tpm)(values=device.tpm.values, resets=3_000_000_000, restarts=7, clock=device.tpm.clock)
    other = msgspec.structs.replace(bound, public=new.area, previous=bound.public, ek="chip")
    await store.commit([other])
    return new


async def test_another_key_of_the_same_chip_has_counters_of_its_own(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, _ = await attested(plane)
        posture = plane.store.posture(device.key)
        assert state_of(posture).counters.resets == device.tpm.resets
        bound = plane.store.kept(AttestationKey, device.key.scope, device.key.device)
        await plane.store.commit([msgspec.structs.replace(bound, ek="chip")])
        await device.attest()
        device.tpm = await renewed(device)
        for _ in range(4):
            await device.attest(log=device.log)
            assert appraisal_of(device).tier is Tier.AFFIRMING
            device.tpm = await renewed(device)
            device.tpm.resets -= 1_000_000_000
        assert not state_of(plane.store.posture(device.key)).cloned


async def test_a_device_that_lost_the_answer_of_its_renewal_goes_on_with_the_key_before(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, _ = await attested(plane)
        old, new = device.tpm, await renewed(device)
        await device.attest(log=device.log)
        assert (appraisal_of(device).tier, plane.store.open_incident(device.key, "attestation")) == (
            Tier.AFFIRMING,
            None,
        )
        device.tpm = new
        await device.attest()
        assert appraisal_of(device).tier is Tier.AFFIRMING
        device.tpm = old
        assert (await device.attest()).verdict.reasons[0].code == "attestation.signature"
        for kept in await plane.attesting.service.evidences(device.key, before=None, limit=9):
            assert (await plane.attesting.service.replay(device.key, kept.number)).same


async def test_what_is_remembered_of_a_device_is_small(tmp_path):
    async with new_plane(tmp_path) as plane:
        device, _, _ = await attested(plane)
        await device.attest()
        assert len(plane.store.posture(device.key).sections["attestation"].body) < 1_500
