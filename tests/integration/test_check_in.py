"""The loop: evidence in, verdict and desired state out, everything on record."""

from __future__ import annotations

import msgspec
import pytest

from builders import ACTOR, START, FakeClock, data_folder, enrolled, new_plane, plane_on, settled
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.trust.model import Facts, Policy
from holdfast_core.trust.rules import decide
from holdfast_core.wire.codec import encode
from holdfast_core.wire.frame import Level, Section

pytestmark = pytest.mark.anyio
CONTACT = 900


async def entries(plane):
    return [parse_entry(leaf.data) for leaf in await plane.record.leaves(0, 10_000)]


async def test_a_device_that_enrolls_and_audits_is_trusted_and_active(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        reply = await device.check_in()
        assert reply.verdict.level is Level.TRUSTED
        assert plane.inventory.device(device.key).lifecycle == "active"
        assert [directive.kind for directive in reply.directives] == ["plan"]
        kinds = [entry.kind for entry in await entries(plane)]
        assert kinds[-4:] == [
            Kind.DEVICE_ENROLLED,
            Kind.VERDICT_CHANGED,
            Kind.VERDICT_CHANGED,
            Kind.DIRECTIVE_ISSUED,
        ]


async def test_a_settled_plan_is_not_sent_again(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        first = await device.check_in()
        assert (await device.check_in()).directives == first.directives
        assert (await device.check_in(reports=settled(1))).directives == ()
        assert (await device.check_in()).directives == ()


async def test_a_check_in_with_nothing_new_is_small_and_leaves_no_leaf(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await device.check_in(reports=settled(1))
        size = plane.store.log_size()
        digest = digest_of(device.findings())
        sections = {"baseline": Section(digest=digest), "health": Section(body=msgspec.Raw(b'{"ok":true}'))}
        data = device.message(sections=sections)
        reply = await device.send(data)
        assert len(data) < 2_000
        assert len(encode(reply)) < 2_000
        assert reply.verdict.level is Level.TRUSTED
        assert plane.store.log_size() == size


async def test_a_check_in_with_nothing_new_is_small_also_in_the_worst_state(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        compiled = plane.baseline.show(plane.store.models(plane.config.scope)[0])
        found = tuple(Finding(c, Outcome.FAIL, ("/a" * 200,), "Long. " * 60) for c in compiled.plan.controls)
        body = msgspec.json.encode(Findings(digest_of(canonical(compiled.plan)), found))
        well = Section(body=msgspec.Raw(b'{"ok":true}'))
        whole = {"baseline": Section(body=msgspec.Raw(body)), "health": well}
        await device.check_in(sections=whole)
        await device.check_in(sections=whole, reports=settled(1, 2))
        data = device.message(sections={"baseline": Section(digest=digest_of(body)), "health": well})
        reply = await device.send(data)
        assert (reply.verdict.level, reply.directives) == (Level.QUARANTINED, ())
        assert reply.verdict.reasons
        assert len(encode(reply)) < 2_000


async def test_an_unknown_digest_is_answered_by_asking_for_the_body(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        reply = await device.check_in(sections={"baseline": Section(digest=digest_of(b"never seen"))})
        assert reply.wants == ("baseline",)
        assert reply.verdict.level is Level.RESTRICTED


async def test_a_critical_failure_quarantines_and_its_repair_restores_trust(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in(reports=())
        fallen = await device.check_in(failing=("ACC-05",), reports=settled(1))
        assert fallen.verdict.level is Level.QUARANTINED
        assert fallen.verdict.reasons[0].code == "baseline.fail.ACC-05"
        assert fallen.verdict.reasons[0].remedy
        assert [d.kind for d in fallen.directives] == ["network-profile"]
        assert [i.title for i in plane.store.open_incidents(plane.config.scope)] == ["cam-1 is quarantined"]
        risen = await device.check_in()
        assert risen.verdict.level is Level.TRUSTED
        assert plane.store.open_incidents(plane.config.scope) == []
        assert bytes(risen.directives[0].args) == b'{"profile":"normal"}'


async def test_a_device_whose_essential_function_is_down_is_restricted(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        reply = await device.check_in(healthy=False)
        assert reply.verdict.level is Level.RESTRICTED
        assert [reason.code for reason in reply.verdict.reasons] == ["health.essential_function_down"]


async def test_a_silent_device_falls_by_itself_and_says_why(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
        assert await plane.verdicts.sweep() == 0
        clock.forward(3 * CONTACT * SECOND + MINUTE)
        assert await plane.verdicts.sweep() == 1
        posture = plane.store.posture(device.key)
        assert posture.verdict.level is Level.RESTRICTED
        assert "checkin.silent" in [reason.code for reason in posture.verdict.reasons]
        assert (await entries(plane))[-2].kind is Kind.VERDICT_CHANGED
        assert await plane.verdicts.sweep() == 0


async def test_a_verdict_that_lapsed_while_the_server_was_down_falls_at_its_start(tmp_path):
    folder, clock = data_folder(tmp_path), FakeClock()
    async with plane_on(folder, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
    clock.forward(DAY)
    async with plane_on(folder, clock=clock) as plane:
        assert await plane.verdicts.sweep() == 1
        assert plane.store.posture(device.key).verdict.level is Level.RESTRICTED


async def test_stale_audit_reads_as_none(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
        digest = digest_of(device.findings())
        clock.forward(HOUR)
        old = Section(digest=digest, age_s=400 * 86_400)
        reply = await device.check_in(sections={"baseline": old, "health": Section(body=msgspec.Raw(b'{"ok":true}'))})
        assert reply.verdict.level is Level.RESTRICTED
        assert [reason.code for reason in reply.verdict.reasons] == ["baseline.stale"]


async def test_every_past_verdict_is_recomputed_from_what_was_recorded(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        for failing in ((), ("ACC-05",), (), ("FS-06",)):
            await device.check_in(failing=failing)
            clock.forward(MINUTE)
        await plane.response.quarantine(device.key, why="a test", actor=ACTOR)
        clock.forward(DAY)
        await plane.response.release(device.key, why="over", actor=ACTOR)
        changes = [entry for entry in await entries(plane) if entry.kind is Kind.VERDICT_CHANGED]
        assert len(changes) >= 6
        for entry in changes:
            data = msgspec.json.decode(bytes(entry.data))
            facts = msgspec.convert(data["facts"], Facts)
            policy = msgspec.convert(data["policy"], Policy)
            verdict = decide(facts, policy, entry.at)
            assert verdict.level.value == data["after"]
            assert [reason.code for reason in verdict.reasons] == data["reasons"]
            assert verdict.until == data["until"]


async def test_the_appraisal_under_a_verdict_is_recomputed_from_the_kept_body(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in(failing=("ACC-05",))
        report = await plane.baseline.report(device.key)
        failed = [judged.control for judged in report.judged if judged.outcome == "fail"]
        assert failed == ["ACC-05"]


async def test_times_in_the_record_are_the_servers(tmp_path):
    async with new_plane(tmp_path) as plane:
        await enrolled(plane)
        assert {entry.at for entry in await entries(plane)} == {START}
