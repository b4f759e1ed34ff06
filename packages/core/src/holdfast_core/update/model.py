"""Releases' clearances, rollouts, and what became of each device in one: values.

1. A release may roll out once its repository's threshold signed it, enough people approved it who did not add it, and,
   where lab sites are named, lab devices ran it (`Validation`): before that it rolls out at lab sites only.
2. A rollout goes wave by wave; its waves are fixed when it starts, and every device is in one of them.
3. A device is in one rollout at a time (`Assignment`): the next takes it over once it has settled, never in between.
4. `Stage` says what is known of a device, not what was told to it: it is done only when it proved that it runs the
   release from the new slot and stayed healthy; where its model cannot attest, `Assignment.weak` says so.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.inventory.lifecycle import Labels
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.kept import Kept

POLICY = "policy"
"""The id of a scope's one policy."""
WAVES = 16
TURNS = 64
"""Turns of a rollout that are remembered; the record has all."""
PASSAGES = 16
"""Changes of release that are remembered of a device; the record has all."""
Share = Annotated[float, msgspec.Meta(ge=0, le=100)]
"""Percent."""


class Vote(msgspec.Struct, frozen=True):
    """One person's approval of a release."""

    actor: str
    at: Instant


class Validation(msgspec.Struct, frozen=True):
    """That a release was tried before production: which lab devices proved to run it, what the tests said."""

    devices: tuple[str, ...]
    results: Digest
    """Of the tests' report, as the tester keeps it."""
    ticket: str
    """The change's name in the operator's own system."""
    actor: str
    at: Instant
    weak: bool = False
    """Whether its model cannot attest, so that the lab devices' own word had to do."""


class Clearance(Kept, frozen=True, kw_only=True):
    """What people decided of a release; `id` is the release's name."""

    votes: tuple[Vote, ...] = ()
    validation: Validation | None = None


class UpdatePolicy(Kept, frozen=True, kw_only=True):
    """Who has to agree before a release rolls out; `id` is `POLICY`.

    `approvals` counts people other than the one who added the release. With `lab_sites`, devices elsewhere get a
    release only after its validation.
    """

    approvals: Annotated[int, msgspec.Meta(ge=0, le=8)] = 1
    lab_sites: tuple[str, ...] = ()


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which devices of a model; what is empty does not narrow."""

    model: str
    """The model's name, without its version."""
    sites: tuple[str, ...] = ()
    labels: Labels = ()
    devices: tuple[str, ...] = ()


class Wave(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a rollout.

    Its members are those that `devices` or all of `labels` name; without either, as many as bring the rollout up to
    `percent` of its devices, at least one.
    """

    name: str
    percent: Share = 100.0
    labels: Labels = ()
    devices: tuple[str, ...] = ()
    soak_s: int = 3_600
    """How long a device has to stay healthy on the release before it counts as done."""
    at_once: int = 0
    """Devices that may be under way together; 0: no bound."""
    per_hour: int = 0
    """Devices that are begun with in an hour; 0: no bound."""


class Thresholds(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a wave is bad, and when it is good. Shares are percent.

    A wave is bad once the devices that failed are this share of the whole wave, or of those that have begun, where
    these are at least `sample` and those that failed at least `least`. Silent devices are counted apart, alike, and
    together with those that failed against the larger of both shares.

    In a first wave of 100 devices the defaults let a release on which 10 % fail go on in 0.8 % of all cases, and halt
    one on which 0.5 % fail in 0.2 % (binomial). A smaller wave tells less: one failure halts a wave of up to 25.
    """

    failed: Share = 4.0
    silent: Share = 4.0
    least: int = 6
    sample: int = 20
    succeeded: Share = 96.0
    """Of the devices that are not away: done before the next wave opens. What is left could not make the wave bad."""
    patience_s: int = 0
    """Silence of a device that was directed until it counts as silent; 0: from its model's contact interval."""
    deadline_s: int = 2 * 86_400
    """From directing a device until it must have confirmed; one that a guard holds back has longer."""


class Guards(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device heeds before it begins; its model's maintenance window always."""

    battery: Annotated[int, msgspec.Meta(ge=0, le=100)] = 50
    kbit_s: int = 0
    """The most that a download may take; 0: the model's own bound, where it has one."""
    confirm_s: int = 900


class RolloutState(StrEnum):
    """Where a rollout is."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    """A person stopped it; nobody is begun with."""
    HALTED = "halted"
    """A wave crossed a threshold; only a person lets it go on."""
    ABORTED = "aborted"
    FINISHED = "finished"
    """Its last wave is good; devices that come later still get the release."""

    @property
    def is_over(self) -> bool:
        """Whether it ends no more."""
        return self in (RolloutState.ABORTED, RolloutState.FINISHED)


class Turn(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a rollout: what, in which wave, by whom, and why."""

    at: Instant
    what: str
    wave: int = 0
    by: str = "server"
    code: str = ""
    why: str = ""


class Rollout(Kept, frozen=True, kw_only=True):
    """One release on its way to many devices; `id` is its name. `wave` is the last one that is open."""

    release: str
    selection: Selection
    waves: Annotated[tuple[Wave, ...], msgspec.Meta(min_length=1, max_length=WAVES)]
    thresholds: Thresholds = Thresholds()
    guards: Guards = Guards()
    back: bool = False
    """Whether devices that are on trial when it halts are told to fall back at once."""
    state: RolloutState = RolloutState.DRAFT
    wave: int = 0
    created_at: Instant = Instant(0)
    by: str = ""
    started_at: Instant | None = None
    opened_at: Instant | None = None
    """When the last open wave opened."""
    turns: tuple[Turn, ...] = ()

    @property
    def begins(self) -> bool:
        """Whether devices may be begun with."""
        return self.state in (RolloutState.RUNNING, RolloutState.FINISHED)

    def turned(self, turn: Turn) -> Rollout:
        """With one more turn."""
        return msgspec.structs.replace(self, turns=(*self.turns, turn)[-TURNS:])


class Stage(StrEnum):
    """What is known of a device in a rollout."""

    WAITING = "waiting"
    DIRECTED = "directed"
    INSTALLING = "installing"
    TRIED = "tried"
    """It says that it runs the release on trial; nothing proves it yet."""
    SOAKING = "soaking"
    """It proved that it runs the release, and confirmed it."""
    DONE = "done"
    FAILED = "failed"
    """It could not install the release, or it is not well on it."""
    FELL_BACK = "fell-back"
    SILENT = "silent"
    """It was directed, and has said nothing for too long."""
    WITHDRAWN = "withdrawn"
    """It was called off before it booted the release."""

    @property
    def is_bad(self) -> bool:
        """Whether it counts against the wave."""
        return self in _BAD

    @property
    def under_way(self) -> bool:
        """Whether something was begun that has not come to an end."""
        return self in _UNDER_WAY

    @property
    def is_exposed(self) -> bool:
        """Whether the device was given the release at all."""
        return self not in (Stage.WAITING, Stage.WITHDRAWN)


_BAD = frozenset({Stage.FAILED, Stage.FELL_BACK})
_UNDER_WAY = frozenset({Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED, Stage.SILENT})


class Assignment(Kept, frozen=True, kw_only=True):
    """One device in one rollout; `id` is the device's."""

    rollout: str
    wave: int
    release: str
    counter: int
    """The release's."""
    stage: Stage = Stage.WAITING
    at: Instant
    """Since when it is in this stage."""
    trial: int = 1
    """Which try at it this is."""
    directed_at: Instant | None = None
    tried_at: Instant | None = None
    before: str = ""
    """What the device ran when it was directed, as it says."""
    slot: str = ""
    """The slot it ran from then."""
    percent: int = 0
    code: str = ""
    sentence: str = ""
    weak: bool = False
    """Whether it is done by its own word alone, for its model cannot attest."""
    heard: Stage = Stage.WAITING
    """The stage before it fell silent."""


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of what a device runs, or one that did not come about."""

    at: Instant
    release: str
    slot: str
    outcome: Stage
    rollout: str = ""
    code: str = ""


class SlotHistory(Kept, frozen=True, kw_only=True):
    """What a device ran, newest last; `id` is the device's."""

    passages: tuple[Passage, ...] = ()

    def with_passage(self, passage: Passage) -> SlotHistory:
        """With one more; the oldest beyond `PASSAGES` goes."""
        return msgspec.structs.replace(self, passages=(*self.passages, passage)[-PASSAGES:])
