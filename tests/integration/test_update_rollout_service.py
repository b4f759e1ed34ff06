"""Whole rollouts through check-ins: from a draft to the last wave, with failures, silence and people in between."""

from __future__ import annotations

import msgspec
import pytest

from attest_builders import booted
from attesting_builders import Attester, Builder, added, an_attester, stated
from builders import FakeClock, new_plane, plane_on
from holdfast.bootstrap import Plane
from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_core.kernel.instants import DAY, MINUTE
from holdfast_core.supply.model import PayloadKind, Release
from holdfast_core.update.model import (
    Assignment,
    Rollout,
    RolloutState,
    Selection,
    SlotHistory,
    Stage,
    Wave,
)
from holdfast_core.wire.frame import DirectiveReport, DirectiveState, Section
from holdfast_core.wire.update import Attempt, Running, Step, UpdateReport
from release_builders import (
    ADDER,
    APPROVER,
    HARDWARE,
    MODEL,
    NAME,
    NEW,
    WHY,
    Updater,
    an_updater,
    begun,
    drafted,
    offered,
    published,
)

pytestmark = pytest.mark.anyio


async def cameras(plane: Plane, count: int, **more: object) -> list[Updater]:
    found = [await an_updater(plane, f"cam-{number:02d}", **more) for number in range(count)]  # type: ignore[arg-type]
    for each in found:
        await each.say()
    return found


def stage(plane: Plane, device: str) -> Stage:
    return part(plane, device).stage


def part(plane: Plane, device: str) -> Assignment:
    found = plane.store.kept(Assignment, plane.config.scope, device)
    assert found is not None
    return found


def wave_of(plane: Plane, devices: list[Updater], number: int) -> list[Updater]:
    return [each for each in devices if part(plane, each.key.device).wave == number]


def now(plane: Plane) -> Rollout:
    return plane.updating.rollouts.require(plane.config.scope, NAME)


async def soaked(plane: Plane, clock: FakeClock, devices: list[Updater]) -> None:
    """Let the devices stay well for the soak time, calling now and then."""
    for _ in range(7):
        clock.forward(10 * MINUTE)
        for each in devices:
            await each.say()
    await plane.updating.watch.tick()


async def updated(plane: Plane, clock: FakeClock, devices: list[Updater]) -> None:
    """Let the devices take the release and stay well on it."""
    for each in devices:
        await each.say()
        assert each.args is not None, each.key
        assert (each.args.release, each.args.path) == (NEW, f"{MODEL}/2.0/rootfs-2.0.img")
        await each.install()
        assert each.order == "confirm"
        await each.confirm()
        assert stage(plane, each.key.device) is Stage.SOAKING
    await soaked(plane, clock, devices)


async def test_a_rollout_goes_wave_by_wave_to_its_end(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 8)
        await begun(plane)
        canary, rest = wave_of(plane, devices, 0), wave_of(plane, devices, 1)
        assert len(canary) == 1
        for each in rest:
            await each.say()
            assert each.args is None, "its wave is not open"
        await updated(plane, clock, canary)
        assert (now(plane).wave, stage(plane, canary[0].key.device)) == (1, Stage.DONE)
        for each in rest:
            await each.say()
        await plane.updating.watch.tick()
        assert now(plane).state is RolloutState.RUNNING
        await updated(plane, clock, rest)
        assert now(plane).state is RolloutState.FINISHED
        assert [turn.what for turn in now(plane).turns] == ["created", "started", "advanced", "finished"]
        view = plane.updating.rollouts.view(now(plane))
        assert (view.exposed, view.weak) == (8, 8), "a model that cannot attest is done by its own word"
        history = plane.store.kept(SlotHistory, plane.config.scope, canary[0].key.device)
        assert history is not None
        assert [(each.release, each.outcome) for each in history.passages] == [(NEW, Stage.SOAKING)]


async def test_a_canary_that_falls_back_halts_the_rollout(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 8)
        await begun(plane)
        (canary,) = wave_of(plane, devices, 0)
        await canary.say()
        await canary.install()
        await canary.fall_back()
        assert stage(plane, canary.key.device) is Stage.FELL_BACK
        await plane.updating.watch.tick()
        halted = now(plane)
        assert (halted.state, halted.turns[-1].code) == (RolloutState.HALTED, "rollout.failures")
        for each in devices:
            await each.say()
            assert each.args is None or each is canary, "nobody is begun with once it halted"
        assert plane.updating.rollouts.view(halted).exposed == 1
        scope = plane.config.scope
        with pytest.raises(HoldfastError) as refused:
            await plane.updating.rollouts.resume(scope, NAME, why=WHY, actor=APPROVER)
        assert refused.value.code == "rollout.still_bad"
        await plane.updating.rollouts.retry(scope, NAME, why=WHY, actor=APPROVER)
        await plane.updating.rollouts.resume(scope, NAME, why=WHY, actor=APPROVER)
        await canary.say()
        assert canary.args is not None
        assert canary.args.trial == 2
        await canary.install()
        await canary.confirm()
        await soaked(plane, clock, [canary])
        assert now(plane).wave == 1


async def test_what_is_under_way_is_called_off_when_the_rollout_is_aborted(tmp_path):
    async with new_plane(tmp_path) as plane:
        devices = await cameras(plane, 4)
        await begun(plane, Wave("all"))
        for each in devices:
            await each.say()
        first, second, *_ = devices
        await second.install()
        first.at(Step.FETCHING, percent=10)
        await first.say()
        await plane.updating.rollouts.abort(plane.config.scope, NAME, why=WHY, actor=APPROVER)
        await first.say()
        assert first.args is not None
        assert first.args.stop
        assert first.attempt is not None
        first.attempt = msgspec.structs.replace(first.attempt, step=Step.STOPPED)
        await first.say(reports=(DirectiveReport(first.number, DirectiveState.DONE),))
        assert stage(plane, first.key.device) is Stage.WITHDRAWN
        await second.say()
        assert second.order == "confirm", "what runs on trial and is well goes on"


async def test_devices_on_trial_fall_back_where_the_rollout_says_so(tmp_path):
    async with new_plane(tmp_path) as plane:
        devices = await cameras(plane, 2)
        await begun(plane, Wave("all"), back=True)
        await devices[0].say()
        await plane.updating.rollouts.abort(plane.config.scope, NAME, why=WHY, actor=APPROVER)
        await devices[0].install()
        assert devices[0].order == "revert"


async def test_a_device_that_falls_silent_is_found_and_halts_a_small_wave(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 4)
        await begun(plane, Wave("all"))
        for each in devices:
            await each.say()
        for _ in range(40):
            clock.forward(5 * MINUTE)
            for each in devices[1:]:
                await each.say()
        await plane.updating.watch.tick()
        assert stage(plane, devices[0].key.device) is Stage.SILENT
        halted = now(plane)
        assert (halted.state, halted.turns[-1].code) == (RolloutState.HALTED, "rollout.silence")
        await devices[0].say()
        assert stage(plane, devices[0].key.device) is Stage.WITHDRAWN, "it never set out, and the rollout has halted"


async def test_devices_that_an_aborted_rollout_directed_get_the_next_one(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 2)
        await begun(plane, Wave("all"))
        for each in devices:
            await each.say()
        scope, rollouts = plane.config.scope, plane.updating.rollouts
        await rollouts.abort(scope, NAME, why=WHY, actor=APPROVER)
        await devices[0].say()
        assert devices[0].args.stop
        assert stage(plane, devices[0].key.device) is Stage.WITHDRAWN
        later = await offered(plane, "3.0", actor=ADDER)
        await plane.updating.releases.approve(scope, later.id, actor=APPROVER)
        await published(plane, later.id)
        again = msgspec.structs.replace(drafted(plane, Wave("all"), release=later.id), id="next")
        await rollouts.create(again, actor=ADDER)
        await rollouts.start(scope, "next", actor=APPROVER)
        for each in devices:
            await each.say()
            assert each.args.release == later.id, "also who never heard that the first was aborted"


async def test_a_rollout_whose_first_wave_is_busy_elsewhere_does_not_begin(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 2)
        await begun(plane, Wave("all"))
        for each in devices:
            await each.say()
        scope, rollouts = plane.config.scope, plane.updating.rollouts
        later = await offered(plane, "3.0", actor=ADDER)
        await plane.updating.releases.approve(scope, later.id, actor=APPROVER)
        await published(plane, later.id)
        narrow = drafted(plane, Wave("all"), release=later.id)
        one = msgspec.structs.replace(narrow.selection, devices=(devices[0].key.device,))
        await rollouts.create(msgspec.structs.replace(narrow, id="next", selection=one), actor=ADDER)
        with pytest.raises(HostileData) as refused:
            await rollouts.start(scope, "next", actor=APPROVER)
        assert refused.value.code == "rollout.busy"
        assert rollouts.require(scope, "next").state is RolloutState.DRAFT


async def test_a_device_that_is_away_holds_nobody_up_and_catches_up_later(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        away = await an_updater(plane, "away-1")
        await away.say()
        clock.forward(DAY)
        devices = await cameras(plane, 5)
        await begun(plane, Wave("all"))
        await updated(plane, clock, devices)
        assert now(plane).state is RolloutState.FINISHED
        tally = plane.updating.rollouts.view(now(plane)).tallies[0]
        assert (tally.done, tally.away, tally.members) == (5, 1, 5)
        clock.forward(5 * DAY)
        await updated(plane, clock, [away])
        assert stage(plane, "away-1") is Stage.DONE


async def test_a_device_that_came_after_the_start_is_taken_into_the_last_wave(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 3)
        await begun(plane, Wave("all"))
        await updated(plane, clock, devices)
        late = await an_updater(plane, "late-1")
        await late.say()
        await plane.updating.watch.tick()
        await updated(plane, clock, [late])
        assert stage(plane, "late-1") is Stage.DONE


async def test_no_more_devices_are_under_way_than_the_wave_allows(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 6)
        await begun(plane, Wave("all", at_once=2, soak_s=60))
        for each in devices:
            await each.say()
        assert sum(each.args is not None for each in devices) == 2
        (first, *_) = [each for each in devices if each.args is not None]
        await first.install()
        await first.confirm()
        for each in devices:
            await each.say()
        assert sum(each.args is not None and each is not first for each in devices) == 2


async def test_lab_devices_first_then_a_validation_then_everywhere(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        scope, releases, rollouts = plane.config.scope, plane.updating.releases, plane.updating.rollouts
        bench = await an_updater(plane, "bench", site="lab")
        far = await an_updater(plane, "far", site="berlin")
        for each in (bench, far):
            await each.say()
        await releases.set_policy(scope, approvals=1, lab_sites=("lab",), actor=ADDER)
        await offered(plane, "2.0", actor=ADDER)
        await releases.approve(scope, NEW, actor=APPROVER)
        await rollouts.create(drafted(plane), actor=ADDER)
        with pytest.raises(HoldfastError) as refused:
            await rollouts.start(scope, NAME, actor=APPROVER)
        assert refused.value.code == "rollout.not_cleared"
        assert "validation" in refused.value.sentence
        lab = msgspec.structs.replace(
            drafted(plane, Wave("lab", soak_s=60)), id="lab", selection=Selection(MODEL, sites=("lab",))
        )
        await rollouts.create(lab, actor=ADDER)
        await rollouts.start(scope, "lab", actor=APPROVER)
        await bench.say()
        await bench.install()
        await bench.confirm()
        digest = "sha256:" + "0" * 64
        await releases.validate(scope, NEW, devices=["bench"], results=digest, ticket="CHG-7", actor=APPROVER)
        await rollouts.start(scope, NAME, actor=APPROVER)
        await far.say()
        await plane.updating.watch.tick()
        assert part(plane, "far").rollout == NAME


async def test_a_restart_of_the_server_forgets_nothing(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 3)
        await begun(plane, Wave("all"))
        await devices[0].say()
        await devices[0].install()
        before = plane.updating.rollouts.view(now(plane))
    async with plane_on(tmp_path, clock=clock) as plane:
        assert plane.updating.rollouts.view(now(plane)) == before
        for each in devices:
            each.plane = plane
        await devices[0].confirm()
        for each in devices[1:]:
            await each.say()
            await each.install()
            await each.confirm()
        await soaked(plane, clock, devices)
        assert now(plane).state is RolloutState.FINISHED


# A model that attests: nothing that a device says is enough.


class Gateway:
    """An attesting gateway, its updates and its boots."""

    def __init__(self, device: Attester) -> None:
        self.device, self.runs, self.slot, self.attempt, self.number = device, "site-gateway:1.0.0", "a", None, 0
        self.directed = False

    def section(self) -> Section:
        counter = {"site-gateway:1.0.0": 1, "site-gateway:1.1.0": 2}[self.runs]
        report = UpdateReport(Running(self.slot, self.runs, counter), (HARDWARE,), "file", attempt=self.attempt)
        return Section(body=msgspec.Raw(msgspec.json.encode(report)))

    async def tell(self, *, attest: bool = False):
        sections = {"update": self.section()}
        if attest:
            evidence = self.device.tpm.evidence(self.device.nonce, device=self.device.key.device)
            reply = await self.device.tell(evidence, log=self.device.log, sections=sections)
        else:
            reply = await self.device.tell(sections=sections)
        for each in reply.directives:
            if each.kind == "update":
                self.number, self.directed = each.id, True
        return reply

    def at(self, step: Step) -> None:
        self.attempt = Attempt(self.number, "site-gateway:1.1.0", step, counter=2)


async def gateway_on_trial(plane: Plane) -> Gateway:
    """A gateway that booted what it says is the new release."""
    builder = Builder()
    await added(plane, builder, stated("1.0.0"), stated("1.1.0"))
    device = await an_attester(plane)
    await device.audit()
    gateway = Gateway(device)
    await gateway.tell()
    device.log = device.tpm.boot(booted("1.0.0"))
    await gateway.tell(attest=True)
    await begun(plane, Wave("all", soak_s=600), model="site-gateway", release="site-gateway:1.1.0")
    await gateway.tell()
    assert gateway.directed
    gateway.runs, gateway.slot = "site-gateway:1.1.0", "b"
    gateway.at(Step.BOOTED)
    return gateway


def order(reply) -> str:
    return msgspec.json.decode(bytes(reply.answers["update"])).get("order", "wait")


async def test_an_attesting_device_is_done_by_its_proof_and_not_by_its_word(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        gateway = await gateway_on_trial(plane)
        clock.forward(MINUTE)
        reply = await gateway.tell()
        assert (stage(plane, "gate-1"), order(reply)) == (Stage.TRIED, "wait")
        gateway.at(Step.CONFIRMED)
        await gateway.tell()
        assert stage(plane, "gate-1") is Stage.TRIED, "its word alone, and evidence from before the boot, are nothing"
        gateway.at(Step.BOOTED)
        gateway.device.log = gateway.device.tpm.boot(booted("1.1.0"))
        clock.forward(MINUTE)
        await gateway.tell(attest=True)
        reply = await gateway.tell()
        assert order(reply) == "confirm"
        gateway.at(Step.CONFIRMED)
        await gateway.tell()
        assert stage(plane, "gate-1") is Stage.SOAKING
        clock.forward(11 * MINUTE)
        await gateway.tell()
        assert (stage(plane, "gate-1"), part(plane, "gate-1").weak) == (Stage.DONE, False)


async def test_a_device_that_booted_something_else_is_told_to_fall_back(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        gateway = await gateway_on_trial(plane)
        await gateway.tell()
        strange = (*booted("1.1.0")[:2], (9, booted("1.1.0")[2][1], b"somebody's kernel"), *booted("1.1.0")[3:])
        gateway.device.log = gateway.device.tpm.boot(strange)
        clock.forward(MINUTE)
        await gateway.tell(attest=True)
        reply = await gateway.tell()
        assert (stage(plane, "gate-1"), order(reply)) == (Stage.FAILED, "revert")
        assert part(plane, "gate-1").code == "attestation.unrecognized_boot"


async def test_a_plan_foresees_the_waves_and_the_worst(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        devices = await cameras(plane, 10)
        scope = plane.config.scope
        gone = await an_updater(plane, "gone-1")
        assert gone
        await offered(plane, "2.0", actor=ADDER)
        draft = await plane.updating.rollouts.create(
            drafted(plane, Wave("canary", 10.0, soak_s=600), Wave("rest", soak_s=600)), actor=ADDER
        )
        plan = await plane.updating.planner.plan(draft)
        assert (plan.devices, plan.away) == (len(devices), 1)
        assert [wave.devices + wave.away for wave in plan.waves] == [2, 9]
        assert plan.ends_s is not None
        loud, mute = plan.waves[0].loud, plan.waves[0].mute
        assert loud is not None
        assert mute is not None
        assert loud.devices <= 2
        release = plane.store.kept(Release, scope, NEW)
        assert release is not None
        assert release.payload is not None
        assert release.payload.kind is PayloadKind.FILE
        assert plan.bytes == release.payload.size * len(devices)
        await plane.updating.releases.approve(scope, NEW, actor=APPROVER)
        started = await plane.updating.rollouts.start(scope, NAME, actor=APPROVER)
        again = await plane.updating.planner.plan(started)
        assert [wave.devices for wave in again.waves] == [wave.devices for wave in plan.waves]
