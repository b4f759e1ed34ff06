"""One device, or one caller, tries to harm the others: their commits, their verdicts, their names."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from builders import ACTOR, FakeClock, enrolled, new_plane, request_for
from holdfast.inventory.model_file import example_bytes
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.identity.model import Permission
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR, MINUTE, SECOND
from holdfast_core.wire.frame import Level, Section

pytestmark = pytest.mark.anyio
CONTACT = 900


@pytest.mark.parametrize(
    "field",
    [
        b'"sections":{"health":{"body":{"ok":true},"age_s":4611686018427387904}}',
        b'"sections":{},"pin":{"size":18446744073709551616,"root":"x"}',
        b'"sections":{},"reports":[{"id":9223372036854775808,"state":"done"}]',
        b'"sections":{"health":{"body":{"ok":true},"age_s":100000000000}}',
    ],
)
async def test_number_too_large_is_refused_to_its_sender_and_nobody_else_hears_of_it(tmp_path, field):
    async with new_plane(tmp_path) as plane:
        bad, good = await enrolled(plane, "bad-1"), await enrolled(plane, "good-1")
        message = b'{"v":1,"boot":"boot-0001","seq":1,' + field + b"}"
        refused, reply = await asyncio.gather(bad.send(message), good.check_in(), return_exceptions=True)
        assert isinstance(refused, HostileData)
        assert refused.code == "checkin.malformed"
        assert reply.verdict.level is Level.TRUSTED


async def test_change_that_cannot_be_written_fails_alone(tmp_path):
    async with new_plane(tmp_path) as plane:
        good = await enrolled(plane)
        device = plane.inventory.device(good.key)
        poisoned = msgspec.structs.replace(device, created_at=2**70)
        failed, reply = await asyncio.gather(plane.store.commit([poisoned]), good.check_in(), return_exceptions=True)
        assert isinstance(failed, OverflowError)
        assert reply.verdict.level is Level.TRUSTED


async def test_device_whose_verdict_cannot_be_looked_at_holds_up_no_other(tmp_path, monkeypatch):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        bad, good = await enrolled(plane, "bad-1"), await enrolled(plane, "good-1")
        await bad.check_in()
        await good.check_in()
        settle = plane.verdicts.settle

        def broken(device, posture, now):
            if device.key == bad.key:
                raise ValueError("whatever nobody thought of")
            return settle(device, posture, now)

        monkeypatch.setattr(plane.verdicts, "settle", broken)
        clock.forward(3 * CONTACT * SECOND + MINUTE)
        assert await plane.verdicts.sweep() == 1
        assert plane.store.posture(good.key).verdict.level is Level.RESTRICTED


@pytest.mark.parametrize("sign", ["\x1b", "\U0010ffff", '"', "\\", "\x00", "é"])
async def test_proofs_made_to_burst_the_record_leave_the_verdict_to_be_written(tmp_path, sign):
    """Sixteen failures with the longest proofs there may be: the verdict falls, and falls again by silence."""
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        device = await enrolled(plane)
        await device.check_in()
        compiled = plane.baseline.show(plane.store.models(plane.config.scope)[0])
        worst = sorted(compiled.baseline.lines, key=lambda line: line.severity.rank)
        asked = [line.control for line in worst if line.control in compiled.plan.controls][:20]
        found = [Finding(c, Outcome.FAIL, proof=(sign * 512,), reason=sign * 512) for c in asked]
        body = msgspec.json.encode(Findings(digest_of(canonical(compiled.plan)), tuple(found)))
        health = msgspec.json.encode({"ok": False, "detail": sign * 300})
        sections = {"baseline": Section(body=msgspec.Raw(body)), "health": Section(body=msgspec.Raw(health))}
        assert (await device.check_in(sections=sections)).verdict.level is Level.QUARANTINED
        clock.forward(3 * CONTACT * SECOND + MINUTE)
        assert await plane.verdicts.sweep() in {0, 1}


async def test_audit_of_an_older_baseline_is_not_kept_alive_by_its_digest(tmp_path, monkeypatch):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        digest = digest_of(device.findings())
        by_digest = {"baseline": Section(digest=digest), "health": Section(body=msgspec.Raw(b'{"ok":true}'))}
        assert (await device.check_in(sections=by_digest)).wants == ()  # the control
        compiler = plane.baseline._compiler
        compiled = compiler.compiled

        def anew(stored, now):
            return msgspec.structs.replace(compiled(stored, now), basis=digest_of(b"another baseline"))

        monkeypatch.setattr(compiler, "compiled", anew)
        assert (await device.check_in(sections=by_digest)).wants == ("baseline",)


async def test_leaving_a_high_finding_out_does_not_look_better_than_reporting_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        compiled = plane.baseline.show(plane.store.models(plane.config.scope)[0])
        high = next(e.line.control for e in compiled.judge.entries if hasattr(e, "line") and e.line.severity == "high")
        plan = digest_of(canonical(compiled.plan))

        async def level(*found):
            body = msgspec.json.encode(Findings(plan, found))
            sections = {
                "baseline": Section(body=msgspec.Raw(body)),
                "health": Section(body=msgspec.Raw(b'{"ok":true}')),
            }
            return (await device.check_in(sections=sections)).verdict.level

        others = [Finding(c, Outcome.PASS) for c in compiled.plan.controls if c != high]
        assert await level(*others, Finding(high, Outcome.PASS)) is Level.TRUSTED  # the control
        assert await level(*others, Finding(high, Outcome.FAIL)) is Level.RESTRICTED
        assert await level(*others) is Level.RESTRICTED


async def test_one_key_for_four_devices_at_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        scope, key = plane.config.scope, ec.generate_private_key(ec.SECP256R1())
        model = await plane.inventory.add_model(scope, example_bytes("door-camera"), actor=ACTOR)
        calls = []
        for name in ("a-1", "a-2", "a-3", "a-4"):
            device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
            claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
            calls.append(plane.identity.enroll(name, claim, request_for(name, key)))
        ended = await asyncio.gather(*calls, return_exceptions=True)
        refused = [error.code for error in ended if isinstance(error, HoldfastError)]
        assert refused == ["identity.key_reused"] * 3


async def test_models_and_tokens_of_one_name_at_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        scope, text = plane.config.scope, example_bytes("door-camera")
        files = [text.replace(b"8554", str(9000 + number).encode()) for number in range(4)]
        models = await asyncio.gather(
            *(plane.inventory.add_model(scope, file, actor=ACTOR) for file in files), return_exceptions=True
        )
        assert [getattr(made, "code", "added") for made in models].count("added") == 1
        make = plane.tokens.create
        tokens = await asyncio.gather(
            *(make(scope, "robot", permission=Permission.ADMIN, lifetime=HOUR, actor=ACTOR) for _ in range(4)),
            return_exceptions=True,
        )
        assert [getattr(made, "code", "made") for made in tokens].count("made") == 1


async def test_retired_device_that_is_quarantined_at_the_same_moment_stays_retired(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await asyncio.gather(
            plane.retirement.retire(device.key, why="scrapped", actor=ACTOR),
            plane.response.quarantine(device.key, why="smoke", actor=ACTOR),
            return_exceptions=True,
        )
        assert plane.store.posture(device.key).verdict.level is Level.RETIRED


async def test_incident_that_four_people_close_is_closed_once(tmp_path):
    async with new_plane(tmp_path) as plane:
        device = await enrolled(plane)
        await device.check_in()
        await device.check_in(failing=("ACC-05",))
        close = plane.response.close_incident
        ended = await asyncio.gather(
            *(close(device.key, "verdict", why="drill", actor=ACTOR) for _ in range(4)), return_exceptions=True
        )
        assert [getattr(made, "code", "closed") for made in ended].count("closed") == 1
