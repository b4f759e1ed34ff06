"""What the operator API says of rollouts, and takes to make one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from holdfast.update.rollouts import View
from holdfast.web.api.shapes import ReasonShape, Sentence, Shape, Text, Time, maybe
from holdfast_core.inventory.lifecycle import parse_labels
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import rfc3339
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.update.model import (
    WAVES,
    Assignment,
    Guards,
    Rollout,
    RolloutState,
    Selection,
    Stage,
    Thresholds,
    Turn,
    Wave,
)
from holdfast_core.update.rollout import Tally, judge

NAMED_DEVICES = 10_000
"""Devices that a selection or a wave names one by one."""
NAMED_SITES = 256
LONGEST_S = 366 * 86_400
LARGEST_COUNT = 10_000_000
LARGEST_KBIT_S = 10_000_000
_HALTED = "Look at what they say: holdfast rollout devices --bad. Then abort it, retry, or resume it."

Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[int, Field(ge=0, le=LONGEST_S)]
Count = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
WaveName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$")]
LabelMap = Annotated[dict[Text, Text], Field(max_length=LIMITS.labels, default_factory=dict)]
DeviceIds = Annotated[list[Text], Field(max_length=NAMED_DEVICES, default_factory=list)]


class SelectionShape(Shape):
    """Which devices of the release's model; what is empty does not narrow."""

    sites: Annotated[list[Text], Field(max_length=NAMED_SITES, default_factory=list)]
    labels: LabelMap
    devices: DeviceIds


class WaveShape(Shape):
    """One wave: the devices that `devices` or all of `labels` name, else as many as bring it up to `percent`.

    `at_once` bounds the devices under way together, `per_hour` those that are begun with in an hour; 0: no bound.
    """

    name: WaveName
    percent: Percent = 100.0
    labels: LabelMap
    devices: DeviceIds
    soak_s: Seconds = 3_600
    at_once: Count = 0
    per_hour: Count = 0


class ThresholdsShape(Shape):
    """When a wave is bad, and when it is good; the values are those of the rules where none are given."""

    failed: Percent = Thresholds().failed
    silent: Percent = Thresholds().silent
    least: Count = Thresholds().least
    sample: Count = Thresholds().sample
    succeeded: Percent = Thresholds().succeeded
    patience_s: Seconds = Thresholds().patience_s
    deadline_s: Seconds = Thresholds().deadline_s


class GuardsShape(Shape):
    """What a device heeds before it begins."""

    battery: Annotated[int, Field(ge=0, le=100)] = Guards().battery
    kbit_s: Annotated[int, Field(ge=0, le=LARGEST_KBIT_S)] = Guards().kbit_s
    confirm_s: Annotated[int, Field(ge=1, le=86_400)] = Guards().confirm_s


class NewRollout(Shape):
    """A rollout to keep as a draft. `back`: when it halts, devices on trial are told to fall back at once."""

    name: Text
    release: Text
    selection: Annotated[SelectionShape, Field(default_factory=lambda: SelectionShape.model_validate({}))]
    waves: Annotated[list[WaveShape], Field(min_length=1, max_length=WAVES)]
    thresholds: ThresholdsShape = ThresholdsShape()
    guards: GuardsShape = GuardsShape()
    back: bool = False


class TallyShape(Shape):
    """How many devices of a wave are where.

    `away` of the waiting have not been heard of for too long and are in no share; `members` are all but those. `bad`
    failed or fell back. `exposed` were given the release.
    """

    members: int
    waiting: int
    away: int
    directed: int
    installing: int
    tried: int
    soaking: int
    done: int
    failed: int
    fell_back: int
    silent: int
    withdrawn: int
    bad: int
    exposed: int


class WaveView(WaveShape):
    """A wave as it stands; `state` is ``waiting``, ``open`` or ``good``."""

    state: str
    tally: TallyShape


class TurnShape(Shape):
    """Something that happened to a rollout."""

    at: Time
    what: str
    wave: str
    by: str
    code: str
    why: str


class RolloutShape(Shape):
    """A rollout in a list; `wave` is the last one that is open, `halted` why it stands still."""

    rollout: str
    release: str
    model: str
    state: str
    wave: str
    devices: int
    done: int
    bad: int
    silent: int
    exposed: int
    weak: int
    halted: ReasonShape | None
    created_at: Time
    by: str
    started_at: Time | None


class RolloutList(Shape):
    """Rollouts, the newest first."""

    items: list[RolloutShape]


class RolloutPage(RolloutShape):
    """A rollout whole. `selected` is how many devices it is for, before it starts too."""

    selected: int
    selection: SelectionShape
    waves: list[WaveView]
    thresholds: ThresholdsShape
    guards: GuardsShape
    back: bool
    opened_at: Time | None
    turns: list[TurnShape]


class AssignmentShape(Shape):
    """One device in a rollout; `stage` since `at`, `weak` where it is done by its own word alone."""

    device: str
    rollout: str
    wave: int
    release: str
    stage: str
    at: Time
    trial: int
    directed_at: Time | None
    before: str
    slot: str
    percent: int
    code: str
    sentence: str
    weak: bool
    last_seen: Time | None


class AssignmentList(Shape):
    """Devices in id order; `next` is what to send as `after` for the next page, null at the end."""

    items: list[AssignmentShape]
    next: str | None


class Resume(Shape):
    """Why it goes on; `anyway` forgives the devices that made it halt, and opens the next wave."""

    why: Sentence
    anyway: bool = False


def rollout_of(new: NewRollout, scope: Scope, model: str) -> Rollout:
    """What was sent, as a rollout.

    Raises:
        HostileData: ``device.labels``.
    """
    chosen = new.selection
    return Rollout(
        scope,
        new.name,
        release=new.release,
        selection=Selection(
            model, tuple(sorted(set(chosen.sites))), _labels(chosen.labels), tuple(sorted(set(chosen.devices)))
        ),
        waves=tuple(_wave(each) for each in new.waves),
        thresholds=Thresholds(**new.thresholds.model_dump()),
        guards=Guards(**new.guards.model_dump()),
        back=new.back,
    )


def _labels(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return parse_labels(tuple(given.items()))


def _wave(given: WaveShape) -> Wave:
    return Wave(
        given.name,
        percent=given.percent,
        labels=_labels(given.labels),
        devices=tuple(sorted(set(given.devices))),
        soak_s=given.soak_s,
        at_once=given.at_once,
        per_hour=given.per_hour,
    )


def rollout_shape(view: View) -> RolloutShape:
    """A rollout as it is listed."""
    rollout, tallies = view.rollout, view.tallies
    return RolloutShape(
        rollout=rollout.id,
        release=rollout.release,
        model=rollout.selection.model,
        state=rollout.state.value,
        wave=rollout.waves[rollout.wave].name,
        devices=sum(each.all for each in tallies),
        done=sum(each.done for each in tallies),
        bad=sum(each.bad for each in tallies),
        silent=sum(each.silent for each in tallies),
        exposed=view.exposed,
        weak=view.weak,
        halted=_halted(view),
        created_at=rfc3339(rollout.created_at),
        by=rollout.by,
        started_at=maybe(rollout.started_at),
    )


def rollout_page(view: View, selected: int) -> RolloutPage:
    """A rollout as it is shown."""
    rollout = view.rollout
    return RolloutPage(
        **dict(rollout_shape(view)),
        selected=selected,
        selection=SelectionShape(
            sites=list(rollout.selection.sites),
            labels=dict(rollout.selection.labels),
            devices=list(rollout.selection.devices),
        ),
        waves=[_wave_view(rollout, number, each) for number, each in enumerate(view.tallies)],
        thresholds=ThresholdsShape(**_fields(rollout.thresholds)),
        guards=GuardsShape(**_fields(rollout.guards)),
        back=rollout.back,
        opened_at=maybe(rollout.opened_at),
        turns=[_turn(rollout, each) for each in rollout.turns],
    )


def _fields(struct: Thresholds | Guards) -> dict[str, int]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _wave_view(rollout: Rollout, number: int, counted: Tally) -> WaveView:
    wave = rollout.waves[number]
    if rollout.state is RolloutState.DRAFT or number > rollout.wave:
        state = "waiting"
    else:
        state = "good" if number < rollout.wave or rollout.state is RolloutState.FINISHED else "open"
    return WaveView(
        name=wave.name,
        percent=wave.percent,
        labels=dict(wave.labels),
        devices=list(wave.devices),
        soak_s=wave.soak_s,
        at_once=wave.at_once,
        per_hour=wave.per_hour,
        state=state,
        tally=_tally(counted),
    )


def _tally(counted: Tally) -> TallyShape:
    return TallyShape(**{name: getattr(counted, name) for name in TallyShape.model_fields})


def _turn(rollout: Rollout, turn: Turn) -> TurnShape:
    return TurnShape(
        at=rfc3339(turn.at),
        what=turn.what,
        wave=rollout.waves[turn.wave].name,
        by=turn.by,
        code=turn.code,
        why=turn.why,
    )


def _halted(view: View) -> ReasonShape | None:
    """Why a rollout stands still, in the words of the moment when it halted; what to do about it, by today's counts."""
    if view.rollout.state is not RolloutState.HALTED:
        return None
    turn = next((each for each in reversed(view.rollout.turns) if each.what == RolloutState.HALTED.value), None)
    if turn is None:
        return None
    now = judge(view.rollout, view.tallies).reason
    remedy = now.remedy if now is not None and now.code == turn.code else _HALTED
    return ReasonShape(code=turn.code, sentence=turn.why, remedy=remedy)


def assignment_shape(assignment: Assignment, last_seen: str | None) -> AssignmentShape:
    """A device's part in a rollout, as it is sent."""
    return AssignmentShape(
        device=assignment.id,
        rollout=assignment.rollout,
        wave=assignment.wave,
        release=assignment.release,
        stage=assignment.stage.value,
        at=rfc3339(assignment.at),
        trial=assignment.trial,
        directed_at=maybe(assignment.directed_at),
        before=assignment.before,
        slot=assignment.slot,
        percent=assignment.percent,
        code=assignment.code,
        sentence=assignment.sentence,
        weak=assignment.weak,
        last_seen=last_seen,
    )


BAD = (Stage.FAILED, Stage.FELL_BACK, Stage.SILENT)
"""What somebody looks at first."""
