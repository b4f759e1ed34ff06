"""A commit-confirmed change: kept only if the device checks in healthy after it, else taken back.

1. Pure: `step` takes a trial and an event and returns the trial and what to do, in order.
2. `Journal` comes before the first touch and before the first undo, so that at every moment the disk knows what may
   have been changed and what it was before. Doing and undoing are idempotent.
3. A change counts as good only by a check-in that was composed after it, was answered, and said that the essential
   function goes on, in the same boot and within the time allowed. Everything else takes it back: an unhealthy
   check-in, a lapse, a reboot, a crash before all of it was done.
4. The journal carries every change whole, before and after, so a trial is bounded in paths and in bytes: the state is
   written anew at every check-in, to flash that wears.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.wire.changes import Change, ContentChange
from holdfast_core.wire.frame import DirectiveReport, DirectiveState

MAX_CHANGES = 64
"""Changes in one trial."""
MAX_TRIAL_BYTES = 64 * 1024
"""What the changes of one trial weigh (`changes.weight`)."""
MIN_CONFIRM_S = 10
MAX_CONFIRM_S = 86_400


class Moment(msgspec.Struct, frozen=True):
    """A time on the device: the boot it is in, and the seconds since then; no wall clock, which may be lost."""

    boot: str
    up_s: int

    def since(self, earlier: Moment) -> int | None:
        """Seconds from `earlier` to here, or `None` when a reboot lies between."""
        return max(0, self.up_s - earlier.up_s) if earlier.boot == self.boot else None


class Phase(StrEnum):
    """How far a trial is."""

    APPLYING = "applying"
    TRIAL = "trial"
    UNDOING = "undoing"


class Trial(msgspec.Struct, frozen=True):
    """A change under way: what asked for it, what it does, since when, and the last check-in composed before it."""

    directive: int
    control: str
    changes: Annotated[tuple[Change, ...], msgspec.Meta(max_length=MAX_CHANGES)]
    confirm_s: int
    begun: Moment
    after_seq: int
    phase: Phase = Phase.APPLYING
    why: str = ""
    """Why it is being taken back."""
    reboot: bool = False
    """Whether it is in force only after a reboot."""

    def lapsed(self, at: Moment) -> bool:
        """Whether the time to confirm is over; a reboot ends it, because it cannot be measured across."""
        waited = at.since(self.begun)
        return waited is None or waited >= self.confirm_s


class Applied(msgspec.Struct, frozen=True):
    """All changes are made."""


class ApplyFailed(msgspec.Struct, frozen=True):
    """A change could not be made; `sentence` says which and why."""

    sentence: str


class Answered(msgspec.Struct, frozen=True):
    """The check-in `seq` was answered; `healthy` is what it said of the essential function, `None` if nothing."""

    seq: int
    healthy: bool | None
    at: Moment


class Ticked(msgspec.Struct, frozen=True):
    """Time passed, or the agent started again (`started`)."""

    at: Moment
    started: bool = False


class GaveUp(msgspec.Struct, frozen=True):
    """Nobody will be there to see the time run out: the agent ends."""

    sentence: str = "No healthy check-in followed before the agent ended."


class Undone(msgspec.Struct, frozen=True):
    """All changes are taken back; `left` are paths that somebody else changed meanwhile, left as they are."""

    left: tuple[str, ...] = ()


TrialEvent = Applied | ApplyFailed | Answered | Ticked | GaveUp | Undone


class Journal(msgspec.Struct, frozen=True):
    """Make the trial durable before going on."""


class Apply(msgspec.Struct, frozen=True):
    """Make the changes, those already made included."""

    changes: tuple[Change, ...]


class Undo(msgspec.Struct, frozen=True):
    """Take the changes back, those never made included."""

    changes: tuple[Change, ...]


class Settle(msgspec.Struct, frozen=True):
    """Report how the directive ended, durable in one write with the end of the trial."""

    report: DirectiveReport


TrialEffect = Journal | Apply | Undo | Settle
Next = tuple[Trial | None, tuple[TrialEffect, ...]]


def begin(trial: Trial) -> Next:
    """Start `trial`."""
    return trial, (Journal(), Apply(trial.changes))


def step(trial: Trial, event: TrialEvent) -> Next:
    """The trial after `event` (`None` when it is over), and what to do."""
    if trial.phase is Phase.UNDOING:
        return _undoing(trial, event)
    match event:
        case Applied():
            return msgspec.structs.replace(trial, phase=Phase.TRIAL), (Journal(),)
        case ApplyFailed(sentence) | GaveUp(sentence):
            return _undo(trial, sentence)
        case Answered():
            return _answered(trial, event)
        case Ticked(at, started):
            return _ticked(trial, at, started=started)
    return trial, ()


def _undoing(trial: Trial, event: TrialEvent) -> Next:
    """Only the end of the undoing counts now; a start after a crash in the middle of it begins it anew."""
    if isinstance(event, Undone):
        return None, (Settle(_reverted(trial, event.left)),)
    return trial, (Undo(trial.changes),) if isinstance(event, Ticked) else ()


def _answered(trial: Trial, event: Answered) -> Next:
    if trial.phase is not Phase.TRIAL or event.seq <= trial.after_seq:
        return trial, ()  # it was composed before the change and proves nothing about it
    if trial.lapsed(event.at):
        return _undo(trial, "The healthy check-in came too late.")
    if event.healthy is not True:
        return _undo(trial, "The essential function did not go on.")
    report = DirectiveReport(trial.directive, DirectiveState.DONE, "", _kept(trial))
    return None, (Settle(report),)


def _ticked(trial: Trial, at: Moment, *, started: bool) -> Next:
    if started and trial.phase is Phase.APPLYING:
        return _undo(trial, "The agent was interrupted in the middle of the change.")
    if trial.lapsed(at):
        reboot = at.boot != trial.begun.boot
        why = "The device rebooted before a healthy check-in." if reboot else "No healthy check-in came in time."
        return _undo(trial, why)
    return trial, ()


def _undo(trial: Trial, why: str) -> Next:
    return msgspec.structs.replace(trial, phase=Phase.UNDOING, why=why), (Journal(), Undo(trial.changes))


def _reverted(trial: Trial, left: tuple[str, ...]) -> DirectiveReport:
    sentence = f"{trial.why} The change was taken back."
    if left:
        sentence += f" Left alone, since somebody changed them meanwhile: {', '.join(left)}."
    return DirectiveReport(trial.directive, DirectiveState.REFUSED, "harden.reverted", sentence[:512])


def _kept(trial: Trial) -> str:
    count = len({change.path for change in trial.changes})
    said = f"{count} {'path was' if count == 1 else 'paths were'} changed."
    if trial.reboot:
        return f"{said} It is in force after the next reboot."
    if any(isinstance(change, ContentChange) for change in trial.changes):
        return f"{said} A program that runs already reads it at its next start."
    return said
