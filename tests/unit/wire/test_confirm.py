"""Commit-confirmed changes: whatever happens in between, all of it stays or none of it does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.wire import confirm
from holdfast_core.wire.changes import Change, ContentChange, FolderChange, LinkChange, ModeChange
from holdfast_core.wire.confirm import (
    Answered,
    Applied,
    Apply,
    ApplyFailed,
    GaveUp,
    Journal,
    Moment,
    Phase,
    Settle,
    Ticked,
    Trial,
    Undo,
    Undone,
    begin,
    step,
)  # fmt: skip
from holdfast_core.wire.frame import DirectiveState

AT = Moment("boot-one", 100)
CHANGES: tuple[Change, ...] = (
    ModeChange("/etc/a", 0o666, 0o664),
    ContentChange("/etc/b", b"old\n\xff", b"new\n"),
    LinkChange("/c", "elsewhere", None),
    FolderChange("/etc/d"),
)
STATES = {
    change.path: (False, True) if isinstance(change, FolderChange) else (change.before, change.after)
    for change in CHANGES
}


def trial(phase: Phase = Phase.TRIAL) -> Trial:
    return Trial(7, "FS-06", CHANGES, 300, AT, after_seq=4, phase=phase)


def later(seconds: int) -> Moment:
    return Moment(AT.boot, AT.up_s + seconds)


def test_the_journal_comes_before_the_first_touch_and_before_the_first_undo() -> None:
    _, effects = begin(trial(Phase.APPLYING))
    assert effects == (Journal(), Apply(CHANGES))
    after, effects = step(trial(), GaveUp())
    assert effects == (Journal(), Undo(CHANGES))
    assert after is not None
    assert after.phase is Phase.UNDOING


def test_a_healthy_check_in_in_time_keeps_the_change() -> None:
    after, effects = step(trial(), Answered(5, healthy=True, at=later(299)))
    assert after is None
    assert isinstance(effects[0], Settle)
    assert effects[0].report.state is DirectiveState.DONE


@pytest.mark.parametrize(
    ("changes", "reboot", "said"),
    [
        (CHANGES, True, "4 paths were changed. It is in force after the next reboot."),
        (CHANGES, False, "4 paths were changed. A program that runs already reads it at its next start."),
        (CHANGES[:1], False, "1 path was changed."),
    ],
    ids=["after a reboot", "at the next start", "at once"],
)
def test_the_report_says_when_it_is_in_force(changes: tuple[Change, ...], said: str, *, reboot: bool) -> None:
    kept = msgspec.structs.replace(trial(), changes=changes, reboot=reboot)
    _, effects = step(kept, Answered(5, healthy=True, at=later(1)))
    assert isinstance(effects[0], Settle)
    assert effects[0].report.sentence == said


@pytest.mark.parametrize(
    "event",
    [
        Answered(5, healthy=False, at=later(1)),
        Answered(5, healthy=None, at=later(1)),
        Answered(5, healthy=True, at=later(300)),
        Answered(5, healthy=True, at=Moment("boot-two", 1)),
        Ticked(later(300)),
        Ticked(Moment("boot-two", 1), started=True),
        GaveUp(),
    ],
    ids=["unhealthy", "untold", "late", "after a reboot", "lapsed", "rebooted", "agent ends"],
)
def test_everything_else_takes_it_back(event: confirm.TrialEvent) -> None:
    after, effects = step(trial(), event)
    assert effects == (Journal(), Undo(CHANGES))
    assert after is not None
    over, effects = step(after, Undone())
    assert over is None
    assert isinstance(effects[0], Settle)
    assert (effects[0].report.state, effects[0].report.code) == (DirectiveState.REFUSED, "harden.reverted")


@pytest.mark.parametrize(
    "event",
    [Answered(4, healthy=True, at=later(1)), Ticked(later(1)), Ticked(later(1), started=True)],
    ids=["composed before the change", "time left", "restarted in time"],
)
def test_what_decides_nothing_leaves_the_trial_open(event: confirm.TrialEvent) -> None:
    assert step(trial(), event) == (trial(), ())


def test_a_half_made_change_is_taken_back_at_the_next_start() -> None:
    half = trial(Phase.APPLYING)
    assert step(half, Answered(5, healthy=True, at=later(1))) == (half, ())
    assert step(half, Ticked(later(1), started=True))[1] == (Journal(), Undo(CHANGES))
    assert step(half, ApplyFailed("no"))[1] == (Journal(), Undo(CHANGES))


def test_once_it_is_being_taken_back_nothing_keeps_it() -> None:
    undoing = trial(Phase.UNDOING)
    assert step(undoing, Answered(5, healthy=True, at=later(1))) == (undoing, ())
    assert step(undoing, Applied()) == (undoing, ())
    assert step(undoing, Ticked(later(1), started=True)) == (undoing, (Undo(CHANGES),))


class World:
    """Files with modes, a disk with a journal, and a process that can die after any single action."""

    def __init__(self, lives: list[int]) -> None:
        self.files = {path: before for path, (before, _) in STATES.items()}
        self.disk: Trial | None = None
        self.reports: list[str] = []
        self.memory: Trial | None = None
        self._lives = iter(lives)
        self._left = next(self._lives, 10**6)

    def act(self) -> None:
        if self._left == 0:
            self._left = next(self._lives, 10**6)
            raise KeyboardInterrupt
        self._left -= 1

    def do(self, result: confirm.Next) -> None:
        self.memory, effects = result
        for effect in effects:
            self.effect(effect)

    def effect(self, effect: confirm.TrialEffect) -> None:
        match effect:
            case Journal():
                self.act()
                self.disk = self.memory
            case Settle(report):
                self.act()
                self.disk = self.memory
                self.reports.append(report.state.value)
            case Apply(changes):
                for change in changes:
                    self.act()
                    self.files[change.path] = STATES[change.path][1]
                self.feed(Applied())
            case Undo(changes):
                for change in changes:
                    self.act()
                    self.files[change.path] = STATES[change.path][0]
                self.feed(Undone())

    def feed(self, event: confirm.TrialEvent) -> None:
        if self.memory is not None:
            self.do(step(self.memory, event))

    def restart(self, at: Moment) -> None:
        self.memory = None if self.disk is None else msgspec.json.decode(msgspec.json.encode(self.disk), type=Trial)
        self.feed(Ticked(at, started=True))


@given(
    st.lists(st.integers(0, 12), max_size=6),
    st.lists(st.tuples(st.sampled_from(["healthy", "sick", "tick", "lapse", "reboot"]), st.integers(0, 9)), max_size=6),
)
def test_a_crash_at_any_step_leaves_all_of_the_change_or_none(lives: list[int], events: list[tuple[str, int]]) -> None:
    world = World(lives)
    at = AT
    steps = [("begin", 0), *events, ("lapse", 0)]
    for what, seq in steps:
        at = (
            Moment(at.boot + "x", 1) if what == "reboot" else Moment(at.boot, at.up_s + (400 if what == "lapse" else 1))
        )
        try:
            if what == "begin":
                world.do(begin(trial(Phase.APPLYING)))
            elif what in {"healthy", "sick"}:
                world.feed(Answered(seq, healthy=what == "healthy", at=at))
            elif what == "reboot":
                world.restart(at)
            else:
                world.feed(Ticked(at))
        except KeyboardInterrupt:
            revive(world, at)
    revive(world, at)
    before = {path: states[0] for path, states in STATES.items()}
    after = {path: states[1] for path, states in STATES.items()}
    assert world.disk is None
    assert world.files == (after if world.reports[-1:] == ["done"] else before)
    assert len(world.reports) <= 1


def revive(world: World, at: Moment) -> None:
    """Start the process again until it lives through its start."""
    while True:
        try:
            world.restart(at)
        except KeyboardInterrupt:
            continue
        return
