"""What the operator API says of rollouts, and takes to make one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from holdfast.web.api.shapes import ReasonShape, Sentence, Shape, Text, Time
from holdfast_core.inventory.lifecycle import parse_labels
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.update.model import (
    WAVES,
    Guards,
    Rollout,
    Selection,
    Stage,
    Thresholds,
    Wave,
)

NAMED_DEVICES = 10_000
"""Devices that a selection or a wave names one by one."""
NAMED_SITES = 256
LONGEST_S = 366 * 86_400
LARGEST_COUNT = 10_000_000
LARGEST_KBIT_S = 10_000_000

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


BAD = (Stage.FAILED, Stage.FELL_BACK, Stage.SILENT)
"""What somebody looks at first."""
