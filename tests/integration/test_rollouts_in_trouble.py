"""Rollouts when the world does not keep to the plan: outages, aborts, overlaps, retirements, moved and lost devices.

Each of these once let a device get what nobody counted, or a wave open that nobody had tried, or hung for good.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from builders import FakeClock, new_plane, plane_on
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE
from holdfast_core.update.model import Assignment, RolloutState, Selection, Stage, Thresholds, Wave
from holdfast_core.wire.frame import DirectiveReport, DirectiveState
from holdfast_core.wire.update import Step
from release_builders import (
    ADDER,
    APPROVER,
    NAME,
    NEW,
    OLD,
    WHY,
    an_updater,
    begun,
    drafted,
    offered,
)

pytestmark = pytest.mark.anyio
LATER = "door-camera:3.0"


class Trouble:
    """A control plane and its cameras."""

    def __init__(self, plane, clock):
        self.plane, self.clock, self.scope = plane, clock, plane.config.scope
        self.rollouts, self.releases = plane.updating.rollouts, plane.updating.releases
        self.watch = plane.updating.watch
        self.cameras = []

    async def fleet(self, count, **about):
        for number in range(len(self.cameras), len(self.cameras) + count):
            self.cameras.append(await an_updater(self.plane, f"cam-{number:02d}", **about))
            await self.cameras[-1].say()
        return self.cameras

    def stage(self, camera):
        return self.plane.store.kept(Assignment, self.scope, camera.key.device).stage

    def now(self, name=NAME):
        return self.rollouts.require(self.scope, name)

    def tally(self, name=NAME, wave=0):
        return self.rollouts.view(self.now(name)).tallies[wave]

    async def next_rollout(self, *waves, name="next", **more):
        later = await offered(self.plane, "3.0", actor=ADDER)
        await self.releases.approve(self.scope, later.id, actor=APPROVER)
        draft = msgspec.structs.replace(drafted(self.plane, *waves, release=later.id), id=name, **more)
        await self.rollouts.create(draft, actor=ADDER)
        return await self.rollouts.start(self.scope, name, actor=APPROVER)


@pytest.fixture
async def trouble(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        yield Trouble(plane, clock)


@asynccontextmanager
async def down_for(folder, clock, before, hours):
    """The control plane again, after it was down."""
    clock.forward(hours * HOUR)
    async with plane_on(folder, clock=clock) as plane:
        after = Trouble(plane, clock)
        after.cameras = before.cameras
        for camera in after.cameras:
            camera.plane = plane
        yield after


async def test_a_device_that_was_away_when_its_release_was_aborted_does_not_install_it(trouble):
    away, *others = await trouble.fleet(4)
    await begun(trouble.plane, Wave("all"))
    for camera in trouble.cameras:
        await camera.say()
    await trouble.rollouts.abort(trouble.scope, NAME, why=WHY, actor=APPROVER)
    await trouble.next_rollout(Wave("canary", devices=(others[0].key.device,)), Wave("rest"))
    await away.say()
    assert (away.args.release, away.args.stop) == (NEW, True), "the order to install it is not left open"
    assert trouble.plane.updating.director.directed(away.key) is None
    await away.say(reports=(DirectiveReport(away.number, DirectiveState.DONE),))
    await away.say()
    assert away.args is None


async def test_an_outage_does_not_open_a_wave_that_one_canary_tried(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        before = Trouble(plane, clock)
        cameras = await before.fleet(12)
        names = tuple(camera.key.device for camera in cameras[:10])
        await begun(plane, Wave("canary", devices=names, soak_s=60), Wave("rest"))
        await cameras[0].say()
        await cameras[0].install()
        await cameras[0].confirm()
        clock.forward(5 * MINUTE)
        await cameras[0].say()
    async with down_for(tmp_path, clock, before, 3) as after:
        await after.watch.tick()
        assert (after.now().wave, after.now().state) == (0, RolloutState.RUNNING)
        clock.forward(3 * HOUR)
        await cameras[0].say()
        await after.watch.tick()
        assert (after.now().wave, after.now().turns[-1].code) == (0, "rollout.away"), "nine of ten never came back"


async def test_an_outage_halts_no_rollout_that_is_well(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        before = Trouble(plane, clock)
        for camera in await before.fleet(5):
            camera.number = 0
        await begun(plane, Wave("all"))
        for camera in before.cameras:
            await camera.say()
            await camera.install()
            await camera.confirm()
    async with down_for(tmp_path, clock, before, 72) as after:
        await after.watch.tick()
        assert after.now().state is RolloutState.RUNNING
        for camera in after.cameras:
            await camera.say()
        await after.watch.tick()
        assert after.now().state is RolloutState.FINISHED


async def test_silence_is_seen_while_others_speak(trouble):
    lively, *silent = await trouble.fleet(6)
    await begun(trouble.plane, Wave("all"))
    for camera in trouble.cameras:
        await camera.say()
    trouble.clock.forward(7 * DAY)
    watch = asyncio.create_task(trouble.watch.run())
    for percent in range(100):
        lively.at(Step.FETCHING, percent=percent)
        trouble.clock.forward(MINUTE)
        await lively.say()
        await asyncio.sleep(0.05)
        if trouble.now().state is RolloutState.HALTED:
            break
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch
    assert {trouble.stage(camera) for camera in silent} == {Stage.SILENT}
    assert trouble.now().state is RolloutState.HALTED


async def test_who_was_called_off_is_begun_with_again_and_counted(trouble):
    first, *others = await trouble.fleet(4)
    limits = Thresholds(failed=30.0, silent=30.0, succeeded=70)
    await begun(trouble.plane, Wave("all"), thresholds=limits)
    for camera in trouble.cameras:
        await camera.say()
    first.at(Step.FETCHING, percent=10)
    await first.say(reports=(DirectiveReport(first.number, DirectiveState.ACCEPTED),))
    for camera in others[:2]:
        camera.at(Step.FAILED, code="installer.failed")
        await camera.say(reports=(DirectiveReport(camera.number, DirectiveState.REFUSED, "installer.failed"),))
    await trouble.watch.tick()
    assert trouble.now().state is RolloutState.HALTED
    await first.say()
    assert first.args.stop
    await trouble.rollouts.retry(trouble.scope, NAME, why=WHY, actor=APPROVER)
    await trouble.rollouts.resume(trouble.scope, NAME, why=WHY, actor=APPROVER)
    first.attempt = msgspec.structs.replace(first.attempt, step=Step.STOPPED, code="update.stopped")
    await first.say(reports=(DirectiveReport(first.number, DirectiveState.DONE),))
    await first.say()
    assert (first.args.stop, first.args.trial, trouble.stage(first)) == (False, 2, Stage.DIRECTED)
    assert trouble.tally().exposed >= 1


async def test_a_narrower_rollout_takes_no_device_of_one_that_is_not_over(trouble):
    canary, *_ = await trouble.fleet(5)
    await begun(trouble.plane, Wave("canary", devices=(canary.key.device,)), Wave("rest"))
    only = Selection("door-camera", devices=(canary.key.device,))
    with pytest.raises(HostileData, match="not over") as refused:
        await trouble.next_rollout(Wave("all"), selection=only)
    assert refused.value.code == "rollout.busy"
    assert trouble.stage(canary) is Stage.WAITING
    assert (trouble.tally().all, trouble.now().wave) == (1, 0)


async def test_who_comes_to_a_site_that_the_release_is_not_cleared_for_does_not_get_it(trouble):
    await trouble.releases.set_policy(trouble.scope, approvals=1, lab_sites=("lab",), actor=ADDER)
    await trouble.fleet(2, site="lab")
    await begun(trouble.plane, Wave("all"))
    control, late = (await trouble.fleet(1, site="lab"))[-1], None
    late = (await trouble.fleet(1, site="berlin"))[-1]
    await trouble.watch.tick()
    for camera in (control, late):
        await camera.say()
    assert (trouble.stage(control), trouble.stage(late)) == (Stage.DIRECTED, Stage.WAITING)
    kept = trouble.plane.store.kept(Assignment, trouble.scope, late.key.device)
    assert (kept.code, late.args) == ("update.not_cleared", None)


async def test_a_device_whose_life_has_ended_leaves_its_rollout(trouble):
    gone, *_ = await trouble.fleet(3)
    await begun(trouble.plane, Wave("all"))
    for camera in trouble.cameras:
        await camera.say()
    await trouble.plane.retirement.retire(gone.key, why=WHY, actor=ADDER, at_once=True)
    trouble.clock.forward(DAY)
    for camera in trouble.cameras[1:]:
        await camera.say()
    await trouble.watch.tick()
    assert trouble.tally().all == 2
    assert trouble.now().state is RolloutState.RUNNING


async def test_a_resume_that_is_refused_changes_nobody(trouble):
    first, second = await trouble.fleet(2)
    await begun(trouble.plane, Wave("all"))
    for camera in trouble.cameras:
        await camera.say()
    first.at(Step.FAILED, code="installer.failed")
    await first.say(reports=(DirectiveReport(first.number, DirectiveState.REFUSED, "installer.failed"),))
    await trouble.watch.tick()
    await second.say()
    before = trouble.plane.store.kept(Assignment, trouble.scope, second.key.device)
    assert before.stage is Stage.WITHDRAWN
    with pytest.raises(HostileData, match="halt again"):
        await trouble.rollouts.resume(trouble.scope, NAME, why=WHY, actor=APPROVER)
    assert trouble.plane.store.kept(Assignment, trouble.scope, second.key.device) == before


async def test_an_older_release_is_directed_to_nobody_who_runs_a_newer_one(trouble):
    newer, older = await trouble.fleet(2)
    newer.runs = LATER
    await newer.say()
    await begun(trouble.plane, Wave("all"))
    for camera in trouble.cameras:
        await camera.say()
    kept = trouble.plane.store.kept(Assignment, trouble.scope, newer.key.device)
    assert (kept.stage, kept.code, newer.args) == (Stage.WAITING, "update.downgrade", None)
    assert trouble.stage(older) is Stage.DIRECTED


async def test_the_bound_on_an_hour_outlives_a_restart(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane:
        before = Trouble(plane, clock)
        cameras = await before.fleet(5)
        await begun(plane, Wave("all", per_hour=2))
        for camera in cameras[:3]:
            await camera.say()
        cameras[0].at(Step.FETCHING, percent=10)
        await cameras[0].say()
        assert [before.stage(each) for each in cameras[:3]] == [Stage.INSTALLING, Stage.DIRECTED, Stage.WAITING]
    async with down_for(tmp_path, clock, before, 0) as after:
        await cameras[3].say()
        assert after.stage(cameras[3]) is Stage.WAITING
        clock.forward(HOUR + MINUTE)
        await cameras[3].say()
        assert after.stage(cameras[3]) is Stage.DIRECTED


async def test_a_store_that_cannot_write_for_a_moment_ends_no_watch(trouble, monkeypatch):
    await trouble.fleet(2)
    await begun(trouble.plane, Wave("all"))
    looked = asyncio.Event()

    async def full() -> None:
        looked.set()
        raise WorldError("store.full", "The disk is full.", remedy="Make room.")

    monkeypatch.setattr(trouble.watch, "tick", full)
    watch = asyncio.create_task(trouble.watch.run())
    await asyncio.wait_for(looked.wait(), 5)
    await asyncio.sleep(0.2)
    assert not watch.done()
    watch.cancel()
    with suppress(asyncio.CancelledError):
        await watch


async def test_a_start_that_was_cut_off_can_be_made_again(trouble, monkeypatch):
    await trouble.fleet(3)
    await offered(trouble.plane, "2.0", actor=ADDER)
    await trouble.releases.approve(trouble.scope, NEW, actor=APPROVER)
    await trouble.rollouts.create(drafted(trouble.plane, Wave("all")), actor=ADDER)

    async def cut(*_args: object) -> None:
        raise WorldError("store.failed", "The power failed.", remedy="Wait.")

    with monkeypatch.context() as broken:
        broken.setattr(trouble.plane.updating.rollouts._turns, "take", cut)
        with pytest.raises(WorldError):
            await trouble.rollouts.start(trouble.scope, NAME, actor=APPROVER)
    assert trouble.now().state is RolloutState.DRAFT
    await trouble.rollouts.start(trouble.scope, NAME, actor=APPROVER)
    await trouble.cameras[0].say()
    assert trouble.stage(trouble.cameras[0]) is Stage.DIRECTED


async def test_what_somebody_put_on_a_device_later_halts_no_rollout_that_finished(trouble):
    await trouble.fleet(3)
    await begun(trouble.plane, Wave("all", soak_s=60))
    for camera in trouble.cameras:
        await camera.say()
        await camera.install()
        await camera.confirm()
    trouble.clock.forward(5 * MINUTE)
    for camera in trouble.cameras:
        await camera.say()
    await trouble.watch.tick()
    assert trouble.now().state is RolloutState.FINISHED
    trouble.cameras[0].runs, trouble.cameras[0].attempt = OLD, None
    await trouble.cameras[0].say()
    await trouble.watch.tick()
    assert (trouble.stage(trouble.cameras[0]), trouble.now().state) == (Stage.DONE, RolloutState.FINISHED)


async def test_a_rollout_that_is_over_keeps_its_picture_when_the_next_takes_its_devices(trouble):
    await trouble.fleet(3)
    await begun(trouble.plane, Wave("all", soak_s=60))
    for camera in trouble.cameras:
        await camera.say()
        await camera.install()
        await camera.confirm()
    trouble.clock.forward(5 * MINUTE)
    for camera in trouble.cameras:
        await camera.say()
    await trouble.watch.tick()
    before = trouble.rollouts.view(trouble.now())
    assert (before.tallies[0].done, before.weak) == (3, 3)
    await trouble.next_rollout(Wave("all"))
    after = trouble.rollouts.view(trouble.now())
    assert (after.tallies, after.exposed, after.weak) == (before.tallies, 3, 3)
    assert trouble.tally("next").waiting == 3
