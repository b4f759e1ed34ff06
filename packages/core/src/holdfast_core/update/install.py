"""What a device remembers of its updates: the attempt under way, how earlier ones ended, and the floors.

1. All of it is one value, written whole before anything is done that it speaks of (`machine`).
2. The floors are what was confirmed, never what was only tried.
3. How an attempt ended is remembered by release and trial, so that one that failed is not begun again by itself.
4. What the installer cannot tell of a slot's content (release and counter) is remembered here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdfast_core.update.agreement import Target
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.frame import DirectiveReport, DirectiveState
from holdfast_core.wire.update import SLOTS, Attempt, Step, UpdateArgs

REMEMBERED = 16
"""Ended attempts that are remembered."""


class Phase(StrEnum):
    """How far an attempt is, finer than `Step`, for each is another place to begin again after a power cut."""

    ASKED = "asked"
    """Nothing was verified yet."""
    WAITING = "waiting"
    """Both repositories agree on it; it waits for what it needs to be fetched."""
    FETCHING = "fetching"
    FETCHED = "fetched"
    WRITING = "writing"
    READING = "reading"
    """Written; to be read back."""
    WRITTEN = "written"
    """Read back; it waits for what it needs to be booted."""
    ARMING = "arming"
    """It may be armed, or not yet."""
    ARMED = "armed"
    DISARMING = "disarming"
    """Called off after it may have been armed; `Install.ending` comes next."""
    TRIAL = "trial"
    """It runs, and has not passed its self-test in this boot."""
    BOOTED = "booted"
    CONFIRMING = "confirming"
    REVERTING = "reverting"
    REVERTED = "reverted"
    """The next boot is the release before."""
    CONFIRMED = "confirmed"
    FAILED = "failed"
    FELL_BACK = "fell-back"
    STOPPED = "stopped"

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return self in _ENDS

    @property
    def on_trial(self) -> bool:
        """Whether the release has been booted."""
        return self in _ON_TRIAL


_ENDS = frozenset({Phase.CONFIRMED, Phase.FAILED, Phase.FELL_BACK, Phase.STOPPED})
_ON_TRIAL = frozenset({Phase.TRIAL, Phase.BOOTED, Phase.CONFIRMING, Phase.REVERTING, Phase.REVERTED})
_STEPS = {
    Phase.ASKED: Step.WAITING,
    Phase.READING: Step.WRITING,
    Phase.ARMING: Step.WRITTEN,
    Phase.DISARMING: Step.ARMED,
    Phase.TRIAL: Step.ARMED,
    Phase.CONFIRMING: Step.BOOTED,
}


class Install(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt. `directive` is 0 where a person carried the release to the device."""

    directive: int
    args: UpdateArgs
    phase: Phase = Phase.ASKED
    target: Target | None = None
    """What both repositories say of it."""
    slot: str = ""
    """The slot it is written to."""
    boot: str = ""
    """The boot in which it was armed, or in which it runs on trial."""
    arms: int = 0
    writes: int = 0
    spoiled: int = 0
    """Downloads that were thrown away."""
    passed: bool = False
    """Whether it passed its self-test in this boot."""
    after_seq: int = 0
    """The last check-in that was composed before it did."""
    heard: bool = False
    """Whether the server was heard of since."""
    returns: int = 0
    """Boots that were to be of the release before, and were of this one again."""
    ending: Phase = Phase.STOPPED
    code: str = ""
    sentence: str = ""
    percent: int = 0
    fetched: int = 0
    """Bytes that came over the network."""
    failures: int = 0
    """In a row, of one and the same doing."""
    again: Moment | None = None
    """Not to be tried again before."""

    @property
    def step(self) -> Step:
        """How far it is, as it is told."""
        if self.phase in (Phase.REVERTING, Phase.REVERTED):
            return Step.BOOTED if self.passed else Step.ARMED
        return _STEPS.get(self.phase) or Step(self.phase.value)


class Holds(msgspec.Struct, frozen=True):
    """What a slot was last given: a release by name, its counter and security version number."""

    slot: str
    release: str
    counter: int
    svn: int


class Tried(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an attempt ended."""

    directive: int
    release: str
    trial: int
    phase: Phase
    code: str = ""
    sentence: str = ""


class Journal(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a device remembers of updates; all of it is durable."""

    floor: int = 0
    """The highest release counter that was confirmed."""
    svn_floor: int = 0
    """The highest security version number that was confirmed."""
    install: Install | None = None
    holds: Annotated[tuple[Holds, ...], msgspec.Meta(max_length=SLOTS)] = ()
    tried: Annotated[tuple[Tried, ...], msgspec.Meta(max_length=REMEMBERED)] = ()

    @property
    def under_way(self) -> Install | None:
        """The attempt that has not ended, if there is one."""
        return None if self.install is None or self.install.phase.is_end else self.install

    def in_slot(self, slot: str) -> Holds | None:
        """What `slot` was last given, as far as it is remembered."""
        return next((each for each in self.holds if each.slot == slot), None)

    def holding(self, holds: Holds) -> Journal:
        """With another content of one slot."""
        others = tuple(each for each in self.holds if each.slot != holds.slot)
        return msgspec.structs.replace(self, holds=(*others, holds)[-SLOTS:])

    def ended(self, install: Install) -> Journal:
        """With the attempt ended, and remembered."""
        args = install.args
        tried = Tried(install.directive, args.release, args.trial, install.phase, install.code, install.sentence)
        return msgspec.structs.replace(self, install=install, tried=(*self.tried, tried)[-REMEMBERED:])

    def outcome(self, directive: int, args: UpdateArgs) -> DirectiveReport | None:
        """How the directive ended, if it did.

        A trial that failed is not made again under another number. One that succeeded or was called off may be.
        """
        for tried in reversed(self.tried):
            same = (tried.release, tried.trial) == (args.release, args.trial)
            if same and (tried.directive == directive or tried.phase in (Phase.FAILED, Phase.FELL_BACK)):
                state = DirectiveState.DONE if tried.phase is Phase.CONFIRMED else DirectiveState.REFUSED
                return DirectiveReport(directive, state, tried.code, tried.sentence)
        return None


def model_of(journal: Journal, release: str) -> str:
    """The model of a device that was never told it: of what runs in it for good, else of what it first confirmed.

    Args:
        journal: what it remembers of its updates.
        release: what runs in it for good, ``MODEL:VERSION``; empty, or another form of name, where nobody knows.
    """
    confirmed = (each.release for each in journal.tried if each.phase is Phase.CONFIRMED)
    named = (each for each in (release, *confirmed) if ":" in each)
    return next(named, "").partition(":")[0]


def attempt_of(journal: Journal) -> Attempt | None:
    """The attempt under way, or the last, as section ``update`` tells it."""
    install = journal.install
    if install is None:
        return None
    return Attempt(
        install.directive,
        install.args.release,
        install.step,
        install.target.offer.counter if install.target else 0,
        install.percent,
        install.code,
        install.sentence,
        install.slot,
        install.fetched,
    )
