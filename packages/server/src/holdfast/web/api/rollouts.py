"""Rollouts: making one, looking ahead, starting, stopping, and what became of each device.

1. Making, starting and stopping are an operator's; the rule that nobody approves what they added stands at releases.
2. Every act but the first two needs a reason, and stands in the record.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from holdfast.update.rollouts import View
from holdfast.web.api.callers import Operator, Principal, Reader, Served
from holdfast.web.api.rollout_pages import assignment_shape, rollout_page, rollout_shape
from holdfast.web.api.rollout_shapes import (
    BAD,
    AssignmentList,
    NewRollout,
    Resume,
    RolloutList,
    RolloutPage,
    rollout_of,
)
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, Json, Limit, Text, Why, maybe, plain
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.update.model import Rollout, RolloutState, Stage

router = APIRouter(prefix="/rollouts", tags=["rollouts"])

RolloutName = Annotated[str, Path(description="The rollout's name.")]


@router.get("")
async def list_rollouts(caller: Reader, services: Served) -> RolloutList:
    """List the rollouts, the newest first."""
    return RolloutList(items=[rollout_shape(view) for view in services.rollouts.listed(caller.scope)])


@router.post("", status_code=201)
async def create_rollout(new: NewRollout, caller: Operator, services: Served) -> RolloutPage:
    """Keep a rollout as a draft: nothing happens to any device."""
    release = services.releases.require(caller.scope, new.release)
    wanted = rollout_of(new, caller.scope, release.model)
    return _page(await services.rollouts.create(wanted, actor=caller.actor), services)


@router.get("/{rollout}")
async def show_rollout(rollout: RolloutName, caller: Reader, services: Served) -> RolloutPage:
    """Show a rollout: every wave as it stands, what it would take to halt it, and everything that happened."""
    return _page(_required(rollout, caller, services), services)


@router.get("/{rollout}/plan")
async def plan_rollout(rollout: RolloutName, caller: Reader, services: Served) -> Json:
    """Foresee a rollout as it stands: when each wave opens and ends, and how many devices a bad release would reach."""
    planned = await services.planner.plan(_required(rollout, caller, services))
    told: Json = plain(planned)
    return told


@router.get("/{rollout}/devices")
async def list_rollout_devices(
    rollout: RolloutName,
    caller: Reader,
    services: Served,
    *,
    stage: Annotated[list[Stage] | None, Query(description="Only devices in one of these stages.")] = None,
    bad: Annotated[bool, Query(description="Only those that failed, fell back or fell silent.")] = False,
    after: Annotated[Text, Query(description="The id after which the page starts.")] = "",
    limit: Limit = PAGE,
) -> AssignmentList:
    """List the devices of a rollout, and how far each has come."""
    stages = (*(stage or ()), *(BAD if bad else ()))
    # One more than asked for tells whether there is a next page.
    found = services.rollouts.devices(_required(rollout, caller, services), stages, after=after, limit=limit + 1)
    items = []
    for each in found[:limit]:
        posture = services.store.posture(DeviceKey(each.scope, DeviceId(each.id)))
        items.append(assignment_shape(each, maybe(posture.last_seen if posture is not None else None)))
    return AssignmentList(items=items, next=items[-1].device if len(found) > limit else None)


@router.post("/{rollout}/start")
async def start_rollout(rollout: RolloutName, caller: Operator, services: Served) -> RolloutPage:
    """Begin: every device gets its wave, and the first wave opens."""
    return _page(await services.rollouts.start(caller.scope, rollout, actor=caller.actor), services)


@router.post("/{rollout}/pause")
async def pause_rollout(rollout: RolloutName, why: Why, caller: Operator, services: Served) -> RolloutPage:
    """Begin with nobody more; what is under way goes on."""
    moved = await services.rollouts.pause(caller.scope, rollout, why=why.why, actor=caller.actor)
    return _page(moved, services)


@router.post("/{rollout}/resume")
async def resume_rollout(rollout: RolloutName, resume: Resume, caller: Operator, services: Served) -> RolloutPage:
    """Go on after a pause or a halt."""
    moved = await services.rollouts.resume(
        caller.scope, rollout, why=resume.why, actor=caller.actor, anyway=resume.anyway
    )
    return _page(moved, services)


@router.post("/{rollout}/retry")
async def retry_rollout(rollout: RolloutName, why: Why, caller: Operator, services: Served) -> RolloutPage:
    """Let the devices that failed, fell back or were called off try once more, when the rollout goes on."""
    moved = await services.rollouts.retry(caller.scope, rollout, why=why.why, actor=caller.actor)
    return _page(moved, services)


@router.post("/{rollout}/abort")
async def abort_rollout(rollout: RolloutName, why: Why, caller: Operator, services: Served) -> RolloutPage:
    """End a rollout for good; what has not booted the release is called off."""
    moved = await services.rollouts.abort(caller.scope, rollout, why=why.why, actor=caller.actor)
    return _page(moved, services)


def _required(name: str, caller: Principal, services: Services) -> Rollout:
    return services.rollouts.require(caller.scope, name)


def _page(rollout: Rollout, services: Services) -> RolloutPage:
    view: View = services.rollouts.view(rollout)
    if rollout.state is RolloutState.DRAFT:
        selected = len(services.rollouts.candidates(rollout))
    else:
        selected = sum(each.all for each in view.tallies)
    return rollout_page(view, selected)
