"""What one device runs, what its slots hold, the attempt under way, its part in a rollout, and what it ran before."""

from __future__ import annotations

from fastapi import APIRouter

from holdfast.ports.lookup import require_device
from holdfast.update.exposure import proves
from holdfast.update.memory import memory_of
from holdfast.web.api.callers import Reader, Served
from holdfast.web.api.rollout_pages import assignment_shape
from holdfast.web.api.rollout_shapes import AssignmentShape
from holdfast.web.api.shapes import DeviceName, Shape, Time, maybe
from holdfast_core.kernel.instants import rfc3339
from holdfast_core.update.model import Assignment, Passage, SlotHistory
from holdfast_core.wire.update import Attempt, Slot, UpdateReport

router = APIRouter(prefix="/devices/{device}/updates", tags=["rollouts"])


class SlotShape(Shape):
    """One slot: the release that was last written whole, and whether it may be booted."""

    slot: str
    release: str
    counter: int
    good: bool
    runs: bool


class AttemptShape(Shape):
    """An attempt to run a release: the one under way, or the last. `percent` is of fetching or writing."""

    directive: int
    release: str
    step: str
    ended: bool
    percent: int
    slot: str
    fetched: int
    code: str
    sentence: str


class PassageShape(Shape):
    """One change of what a device runs, or one that did not come about."""

    at: Time
    release: str
    slot: str
    outcome: str
    rollout: str
    code: str


class DeviceUpdates(Shape):
    """What a device says of its slots; every field is empty where it never said any.

    `proved` is the release that its evidence affirms now. `floor` is the highest counter that it confirmed; it takes
    nothing below. `frozen`: by its own sense of time the newest metadata that it verified has expired. `battery` is
    null with mains alone, in percent else.
    """

    device: str
    running: str
    counter: int
    proved: str
    hardware: list[str]
    installer: str
    floor: int
    mains: bool | None
    battery: int | None
    frozen: bool
    slots: list[SlotShape]
    attempt: AttemptShape | None
    assignment: AssignmentShape | None
    history: list[PassageShape]


@router.get("")
async def show_device_updates(device: DeviceName, caller: Reader, services: Served) -> DeviceUpdates:
    """Show what a device runs, what its slots hold, and how far its update has come."""
    key = caller.key(device)
    require_device(services.store, key)
    posture = services.store.posture(key)
    said = memory_of(posture).report
    assignment = services.store.kept(Assignment, key.scope, key.device)
    history = services.store.kept(SlotHistory, key.scope, key.device)
    seen = maybe(posture.last_seen if posture is not None else None)
    return DeviceUpdates(
        device=device,
        running=said.running.release if said else "",
        counter=said.running.counter if said else 0,
        proved=proves(posture, services.clock.now()),
        hardware=list(said.hardware) if said else [],
        installer=said.installer if said else "",
        floor=said.floor if said else 0,
        mains=said.power.mains if said and said.power else None,
        battery=said.power.percent if said and said.power else None,
        frozen=said.frozen if said else False,
        slots=[_slot(slot, said) for slot in said.slots] if said else [],
        attempt=_attempt(said.attempt) if said and said.attempt else None,
        assignment=assignment_shape(assignment, seen) if assignment is not None else None,
        history=[_passage(each) for each in reversed(history.passages)] if history is not None else [],
    )


def _slot(slot: Slot, said: UpdateReport) -> SlotShape:
    runs = slot.name == said.running.slot
    return SlotShape(slot=slot.name, release=slot.release, counter=slot.counter, good=slot.good, runs=runs)


def _attempt(attempt: Attempt) -> AttemptShape:
    return AttemptShape(
        directive=attempt.directive,
        release=attempt.release,
        step=attempt.step.value,
        ended=attempt.step.is_end,
        percent=attempt.percent,
        slot=attempt.slot,
        fetched=attempt.fetched,
        code=attempt.code,
        sentence=attempt.sentence,
    )


def _passage(passage: Passage) -> PassageShape:
    return PassageShape(
        at=rfc3339(passage.at),
        release=passage.release,
        slot=passage.slot,
        outcome=passage.outcome.value,
        rollout=passage.rollout,
        code=passage.code,
    )
