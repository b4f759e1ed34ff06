"""Rollouts and their devices as the operator API shows them."""

from __future__ import annotations

from holdfast.update.rollouts import View
from holdfast.web.api.rollout_shapes import (
    AssignmentShape,
    GuardsShape,
    RolloutPage,
    RolloutShape,
    SelectionShape,
    TallyShape,
    ThresholdsShape,
    TurnShape,
    WaveView,
)
from holdfast.web.api.shapes import ReasonShape, maybe
from holdfast_core.kernel.instants import rfc3339
from holdfast_core.update.model import Assignment, Guards, Rollout, RolloutState, Thresholds, Turn
from holdfast_core.update.rollout import Tally, judge


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
    look = (
        f"Look at what they say: holdfast rollout devices {view.rollout.id} --bad. Then abort it, retry, or resume it."
    )
    remedy = now.remedy if now is not None and now.code == turn.code else look
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
