"""Rollouts over the operator API: drafts, plans, acts, devices; who may, and what is refused."""

from __future__ import annotations

import pytest

from api_builders import anybody, holder, problem_of, remote_app
from builders import FakeClock, new_plane
from holdfast.web.api.app import LARGEST_ROLLOUT
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import MINUTE
from release_builders import (
    ADDER,
    APPROVER,
    HARDWARE,
    MODEL,
    NAME,
    NEW,
    OLD,
    WHY,
    Updater,
    an_updater,
    begun,
    drafted,
    offered,
)

pytestmark = pytest.mark.anyio
HERE = f"/rollouts/{NAME}"
BECAUSE = {"why": WHY}
WAVES = [{"name": "canary", "percent": 1}, {"name": "rest"}]


def draft(**more):
    return {"name": NAME, "release": NEW, "waves": WAVES, **more}


async def ready(plane, count: int = 4) -> list[Updater]:
    """Devices that said what they run, and a release that somebody approved."""
    devices = [await an_updater(plane, f"cam-{number}", site="berlin") for number in range(count)]
    for each in devices:
        await each.say()
    await offered(plane, "2.0", actor=ADDER)
    await plane.updating.releases.approve(plane.config.scope, NEW, actor=APPROVER)
    return devices


async def test_a_draft_is_kept_as_it_was_written_and_begins_with_nobody(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        devices = await ready(plane)
        written = draft(
            selection={"sites": ["berlin"], "labels": {}, "devices": []},
            waves=[
                {"name": "first", "devices": ["cam-1"], "soak_s": 60, "at_once": 1, "per_hour": 2},
                {"name": "rest", "percent": 100},
            ],
            thresholds={"failed": 2.5, "least": 1},
            guards={"battery": 80},
            back=True,
        )
        answer = await operator.post("/rollouts", json=written)
        assert answer.status_code == 201
        page = answer.json()
        assert (page["state"], page["release"], page["model"], page["by"]) == ("draft", NEW, MODEL, "token:robot")
        assert (page["selected"], page["devices"], page["exposed"], page["started_at"]) == (4, 0, 0, None)
        first, rest = page["waves"]
        assert (first["devices"], first["soak_s"], first["at_once"], first["per_hour"]) == (["cam-1"], 60, 1, 2)
        assert (rest["percent"], rest["soak_s"], rest["state"]) == (100, 3600, "waiting")
        assert (page["thresholds"]["failed"], page["thresholds"]["least"]) == (2.5, 1)
        assert (page["guards"]["battery"], page["back"], page["selection"]["sites"]) == (80, True, ["berlin"])
        assert (await operator.get(HERE)).json() == page
        assert [each["rollout"] for each in (await operator.get("/rollouts")).json()["items"]] == [NAME]
        for each in devices:
            await each.say()
            assert each.args is None
        assert problem_of(await operator.post("/rollouts", json=written)) == (409, "rollout.exists")


async def test_a_rollout_is_planned_started_looked_at_and_stopped(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        devices = await ready(plane)
        await operator.post("/rollouts", json=draft(waves=[{"name": "all", "soak_s": 60, "at_once": 2}]))
        plan = (await operator.get(f"{HERE}/plan")).json()
        assert (plan["devices"], plan["peak"], [wave["name"] for wave in plan["waves"]]) == (4, 2, ["all"])
        assert plan["waves"][0]["loud"]["devices"] <= 4
        assert plan["assumed"]
        page = (await operator.post(f"{HERE}/start")).json()
        assert (page["state"], page["waves"][0]["state"], page["waves"][0]["tally"]["waiting"]) == (
            "running",
            "open",
            4,
        )
        for each in devices:
            await each.say()
        page = (await operator.get(HERE)).json()
        assert (page["exposed"], page["waves"][0]["tally"]["directed"]) == (2, 2)
        update = (await operator.get("/devices/cam-0/updates")).json()
        assert (update["running"], update["hardware"], update["assignment"]["stage"]) == (OLD, [HARDWARE], "directed")
        seen = (await operator.get(f"/update/releases/{NEW}")).json()["spread"]
        assert seen == {"running": 0, "proved": 0, "given": 2}
        paused = (await operator.post(f"{HERE}/pause", json=BECAUSE)).json()
        assert (paused["state"], paused["turns"][-1]["why"]) == ("paused", WHY)
        assert problem_of(await operator.post(f"{HERE}/pause", json=BECAUSE)) == (409, "rollout.state")
        assert (await operator.post(f"{HERE}/resume", json=BECAUSE)).json()["state"] == "running"
        assert (await operator.post(f"{HERE}/retry", json=BECAUSE)).json()["turns"][-1]["what"] == "retried"
        assert (await operator.post(f"{HERE}/abort", json=BECAUSE)).json()["state"] == "aborted"
        assert problem_of(await operator.post(f"{HERE}/start")) == (409, "rollout.state")


async def test_devices_come_in_pages_by_stage_and_bad_ones_alone(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.READ) as reader:
        devices = [await an_updater(plane, f"cam-{number}") for number in range(5)]
        for each in devices:
            await each.say()
        await begun(plane)
        for each in devices:
            await each.say()
        (canary,) = [each for each in devices if each.args is not None]
        await canary.install()
        await canary.fall_back()
        await plane.updating.watch.tick()
        first = (await reader.get(f"{HERE}/devices?limit=3")).json()
        assert ([each["device"] for each in first["items"]], first["next"]) == (["cam-0", "cam-1", "cam-2"], "cam-2")
        rest = (await reader.get(f"{HERE}/devices?limit=3&after=cam-2")).json()
        assert ([each["device"] for each in rest["items"]], rest["next"]) == (["cam-3", "cam-4"], None)
        (bad,) = (await reader.get(f"{HERE}/devices?bad=true")).json()["items"]
        assert (bad["device"], bad["stage"], bad["code"]) == (
            canary.key.device,
            "fell-back",
            "update.fell_back_self_test",
        )
        assert bad["last_seen"]
        waiting = (await reader.get(f"{HERE}/devices?stage=waiting&stage=done")).json()["items"]
        assert len(waiting) == 4
        page = (await reader.get(HERE)).json()
        assert (page["state"], page["bad"], page["halted"]["code"]) == ("halted", 1, "rollout.failures")
        assert "canary" in page["halted"]["sentence"]
        assert page["halted"]["remedy"]
        for query in ("stage=lost", "limit=0", "limit=1001", "bad=perhaps", "after=" + "x" * 600):
            assert problem_of(await reader.get(f"{HERE}/devices?{query}")) == (422, "request.invalid"), query


@pytest.mark.parametrize(
    "wrong",
    [
        {"waves": []},
        {"waves": [{"name": "w"}] * 17},
        {"waves": [{"name": ""}]},
        {"waves": [{"name": "x" * 64}]},
        {"waves": [{"name": "a\n"}]},
        {"waves": [{"name": "w", "percent": 101}]},
        {"waves": [{"name": "w", "percent": -1}]},
        {"waves": [{"name": "w", "percent": "NaN"}]},
        {"waves": [{"name": "w", "soak_s": -1}]},
        {"waves": [{"name": "w", "soak_s": 2**53}]},
        {"waves": [{"name": "w", "at_once": -1}]},
        {"waves": [{"name": "w", "surprise": 1}]},
        {"thresholds": {"failed": 101}},
        {"thresholds": {"deadline_s": -1}},
        {"guards": {"battery": 101}},
        {"guards": {"confirm_s": 0}},
        {"back": "perhaps"},
        {"selection": {"devices": ["x"] * 10_001}},
        {"surprise": 1},
    ],
)
async def test_what_is_no_rollout_is_refused(tmp_path, wrong):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await offered(plane, "2.0")
        assert problem_of(await operator.post("/rollouts", json=draft(**wrong))) == (422, "request.invalid")
        assert (await operator.get("/rollouts")).json() == {"items": []}


async def test_what_the_rules_refuse_is_a_problem(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:

        async def refused(**more):
            return problem_of(await operator.post("/rollouts", json=draft(**more)))

        assert await refused() == (404, "release.unknown")
        await offered(plane, "2.0", actor=ADDER)
        assert await refused(name="Not A Name") == (400, "name.invalid")
        assert await refused(waves=[{"name": "a"}, {"name": "a"}]) == (400, "rollout.waves")
        falling = [{"name": "a", "percent": 50}, {"name": "b", "percent": 10}]
        assert await refused(waves=falling) == (400, "rollout.waves")
        assert await refused(thresholds={"failed": 0}) == (400, "rollout.thresholds")
        assert await refused(waves=[{"name": "a", "labels": {"NO KEY": "x"}}]) == (400, "device.labels")
        large = {"name": "x" * (LARGEST_ROLLOUT + 1)}
        assert problem_of(await operator.post("/rollouts", json=large)) == (413, "http.body_too_large")
        assert (await operator.post("/rollouts", json=draft())).is_success
        for path in ("", "/plan", "/devices"):
            assert problem_of(await operator.get(f"/rollouts/other{path}")) == (404, "rollout.unknown")
        assert problem_of(await operator.post(f"{HERE}/start")) == (400, "rollout.nobody")
        for act in ("pause", "resume", "retry", "abort"):
            assert problem_of(await operator.post(f"{HERE}/{act}", json={"why": " "})) == (400, "why.missing"), act
            assert problem_of(await operator.post(f"{HERE}/{act}", json={})) == (422, "request.invalid"), act
            unknown = await operator.post(f"/rollouts/other/{act}", json=BECAUSE)
            assert problem_of(unknown) == (404, "rollout.unknown"), act


async def test_what_is_missing_before_it_may_start_is_told_all_at_once(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane) as admin:
        await an_updater(plane, "cam-1", site="berlin")
        await offered(plane, "2.0", actor=ADDER)
        await admin.post("/update/policy", json={"approvals": 2, "lab_sites": ["lab"]})
        await admin.post("/rollouts", json=draft())
        answer = await admin.post(f"{HERE}/start")
        assert problem_of(answer) == (409, "rollout.not_cleared")
        assert "2 more approval(s)" in answer.json()["detail"]
        assert "validation" in answer.json()["detail"]


async def test_who_may_do_what(tmp_path):
    async with new_plane(tmp_path) as plane:
        await ready(plane)
        acts = ("start", "pause", "resume", "retry", "abort")
        async with holder(plane, Permission.OPERATE, name="operator") as operator:
            assert (await operator.post("/rollouts", json=draft())).is_success
            for path in ("/rollouts", HERE, f"{HERE}/plan", f"{HERE}/devices", "/devices/cam-0/updates"):
                assert (await operator.get(path)).is_success, path
        async with holder(plane, Permission.READ, name="reader") as reader:
            assert problem_of(await reader.post("/rollouts", json=draft())) == (403, "token.permission")
            for act in acts:
                refused = await reader.post(f"{HERE}/{act}", json=BECAUSE)
                assert problem_of(refused) == (403, "token.permission"), act
            assert (await reader.get(HERE)).json()["state"] == "draft"
        async with holder(plane, scope=Scope("other", "production"), name="theirs") as theirs:
            assert (await theirs.get("/rollouts")).json() == {"items": []}
            for act in acts:
                assert problem_of(await theirs.post(f"{HERE}/{act}", json=BECAUSE)) == (404, "rollout.unknown"), act
            assert problem_of(await theirs.get("/devices/cam-0/updates")) == (404, "device.unknown")
            assert problem_of(await theirs.get(f"{HERE}/devices")) == (404, "rollout.unknown")
        async with anybody(remote_app(plane)) as nobody:
            for act in acts:
                assert problem_of(await nobody.post(f"{HERE}/{act}", json=BECAUSE)) == (401, "token.required"), act


async def test_what_a_device_runs_and_ran_is_shown(tmp_path):
    clock = FakeClock()
    async with new_plane(tmp_path, clock=clock) as plane, holder(plane, Permission.READ) as reader:
        (device,) = await ready(plane, 1)
        path = "/devices/cam-0/updates"
        before = (await reader.get(path)).json()
        assert (before["assignment"], before["history"], before["attempt"]) == (None, [], None)
        await plane.updating.rollouts.create(drafted(plane), actor=ADDER)
        await plane.updating.rollouts.start(plane.config.scope, NAME, actor=APPROVER)
        await device.say()
        await device.install()
        during = (await reader.get(path)).json()
        assert (during["attempt"]["step"], during["attempt"]["ended"], during["running"]) == ("booted", False, NEW)
        await device.confirm()
        clock.forward(MINUTE)
        after = (await reader.get(path)).json()
        assert (after["attempt"]["ended"], after["assignment"]["stage"], after["assignment"]["weak"]) == (
            True,
            "soaking",
            True,
        )
        assert [(each["release"], each["outcome"], each["slot"]) for each in after["history"]] == [
            (NEW, "soaking", "b")
        ]
        assert [(slot["slot"], slot["runs"]) for slot in after["slots"]] == [("b", True), ("a", False)]
        assert problem_of(await reader.get("/devices/nobody/updates")) == (404, "device.unknown")
        assert problem_of(await reader.get("/devices/NOBODY/updates")) == (400, "name.invalid")
