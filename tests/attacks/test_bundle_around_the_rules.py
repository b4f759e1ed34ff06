"""Carrying to a site what may not roll out there: a bundle is no way around approvals, validations or a halt."""

from __future__ import annotations

import base64
import json

import pytest

from api_builders import holder, problem_of
from builders import new_plane
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY
from holdfast_core.update.model import RolloutState, Wave
from holdfast_core.wire.update import Step
from release_builders import ADDER, APPROVER, NAME, NEW, WHY, Updater, an_updater, begun, offered

pytestmark = pytest.mark.anyio
SITE = "mine-4"


async def carried(plane, *, release=None) -> tuple[str, ...]:
    """What a bundle for the site carries, or the code of why there is none."""
    try:
        made = await plane.updating.bundling.make(plane.config.scope, SITE, release=release, life=DAY, actor=ADDER)
    except HostileData as error:
        return (error.code,)
    return made.releases


async def cameras(plane, count=1) -> list[Updater]:
    """Cameras at the site that said what they run."""
    found = [await an_updater(plane, f"cam-{number}", site=SITE) for number in range(count)]
    for each in found:
        await each.say()
    return found


async def test_whoever_adds_a_release_does_not_carry_it_past_those_who_have_to_approve(tmp_path):
    async with new_plane(tmp_path) as plane:
        await cameras(plane)
        scope, releases = plane.config.scope, plane.updating.releases
        await releases.set_policy(scope, approvals=2, lab_sites=(), actor=APPROVER)
        made = await offered(plane, "2.0", actor=ADDER)
        assert await carried(plane, release=made) == ("bundle.not_cleared",)
        await releases.approve(scope, NEW, actor=APPROVER)
        assert await carried(plane, release=made) == ("bundle.not_cleared",), "one of two"
        assert not [each for each in await plane.store.leaves(0, 500) if b"bundle.made" in each.data]
        await releases.approve(scope, NEW, actor="token:another")
        assert await carried(plane, release=made) == (NEW,), "the control"


async def test_what_the_lab_did_not_validate_is_carried_to_the_lab_only(tmp_path):
    async with new_plane(tmp_path) as plane:
        await cameras(plane)
        scope, releases = plane.config.scope, plane.updating.releases
        made = await offered(plane, "2.0", actor=ADDER)
        await releases.approve(scope, NEW, actor=APPROVER)
        await releases.set_policy(scope, approvals=1, lab_sites=("lab",), actor=APPROVER)
        assert await carried(plane, release=made) == ("bundle.not_cleared",)
        await releases.set_policy(scope, approvals=1, lab_sites=(SITE,), actor=APPROVER)
        assert await carried(plane, release=made) == (NEW,), "the control"


async def test_the_policy_that_became_stricter_holds_for_what_devices_are_directed_to_already(tmp_path):
    async with new_plane(tmp_path) as plane:
        (device,) = await cameras(plane)
        await begun(plane, Wave("all"))
        await device.say()
        assert await carried(plane) == (NEW,), "the control"
        await plane.updating.releases.set_policy(plane.config.scope, approvals=3, lab_sites=(), actor=APPROVER)
        assert await carried(plane) == ("bundle.not_cleared",)


async def test_over_the_api_it_is_a_conflict_that_says_what_is_missing(tmp_path):
    async with new_plane(tmp_path) as plane, holder(plane, Permission.OPERATE) as operator:
        await cameras(plane)
        await offered(plane, "2.0", actor=ADDER)
        answer = await operator.post("/update/bundles", json={"site": SITE, "release": NEW})
        assert problem_of(answer) == (409, "bundle.not_cleared")
        assert "1 more approval(s)" in answer.json()["detail"]
        await plane.updating.releases.approve(plane.config.scope, NEW, actor=APPROVER)
        assert (await operator.post("/update/bundles", json={"site": SITE, "release": NEW})).is_success


async def test_a_release_whose_rollout_was_aborted_is_not_carried_to_devices_that_never_heard_of_it(tmp_path):
    async with new_plane(tmp_path) as plane:
        devices = await cameras(plane, 2)
        await begun(plane, Wave("all"))
        for device in devices:
            await device.say()
        assert await carried(plane) == (NEW,), "the control"
        await plane.updating.rollouts.abort(plane.config.scope, NAME, why=WHY, actor=APPROVER)
        assert await carried(plane) == ("bundle.empty",), "none of them has called since"
        for device in devices:
            await device.say()
        assert await carried(plane) == ("bundle.empty",)


async def test_a_device_that_failed_is_left_out_while_the_rollout_of_the_others_goes_on(tmp_path):
    async with new_plane(tmp_path) as plane:
        bad, *others = await cameras(plane, 40)
        await begun(plane, Wave("all"))
        for device in (bad, *others):
            await device.say()
        bad.at(Step.FAILED, code="update.write", sentence="The slot could not be written.")
        await bad.say()
        scope, updating = plane.config.scope, plane.updating
        assert updating.rollouts.require(scope, NAME).state is RolloutState.RUNNING
        made = await updating.bundling.make(scope, SITE, release=None, life=DAY, actor=ADDER)
        assert made.releases == (NEW,), "the control: the others"
        said = made.files["bundle.json"]
        payload = json.loads(base64.b64decode(json.loads(said)["payload"]))
        (target,) = payload["targets"]
        assert bad.key.device not in target["devices"]
        assert len(target["devices"]) == len(others)
