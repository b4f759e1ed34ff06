"""The install machine: from a directive to a confirmed release, or back, whatever happens in between.

1. Pure: `step` takes the journal and an event and returns the journal and the effects, to be carried out in order.
   `Save` means: make the journal as it is now durable before going on.
2. The journal is durable before anything is done outside that it speaks of. What it says with what the boot loader
   says (`Started`) leads on to the right step after a power cut anywhere.
3. `Ticked` names the next thing to do in every phase (`_NEXT`); doing it again does no harm. What it answers leads on
   (`_DONE`). A download that finished is not begun again; a slot that was not read back in this process is not armed.
4. Once armed, running the old slot in a later boot means that the release was tried and fell back. What may have been
   armed is armed again, but not for ever (`MOST_ARMS`).
5. A release on trial is kept only after its self-test passed and the server, in answer to a check-in made after that,
   said so. Without it the device falls back, `UpdateArgs.confirm_s` after the boot. A release that a person carried
   (`directive` 0) is confirmed by its self-test alone.
6. The floors rise in the write that ends a confirmed attempt, so after the boot loader took it for lasting.
7. Before it boots an attempt can be called off, after it not: then it is confirmed, or falls back. Where there is
   nothing whole to fall back to, or what is there does not boot (`MOST_RETURNS`), it fails where it runs, unconfirmed,
   and another release may be written.
8. What may pass is tried again after growing pauses; what lies in the release or its metadata ends the attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast_core.update import events as ev
from holdfast_core.update.events import Effect, Event
from holdfast_core.update.install import Holds, Install, Journal, Phase
from holdfast_core.update.install_changes import SAVED, TOLD, Next, called_off, end, give_up, on_phase, with_install
from holdfast_core.update.install_trial import answered, confirm_s, confirmed, lapsed, self_tested, started
from holdfast_core.wire.confirm import Moment

HELD_S = 60
"""Between two looks at a guard."""
FIRST_PAUSE_S = 30
LONGEST_PAUSE_S = 3_600
REBOOT_AGAIN_S = 600
"""A reboot that did not come about is asked for again after so long."""
GIVE_UP = 5
"""Failures in a row of something on the device itself."""
MOST_WRITES = 3
"""Of one attempt: a slot that reads back wrong is written again."""
MOST_SPOILED = 2
"""Downloads of one attempt that turn out wrong."""
NO_WAY_BACK = "installer.no_way_back"
"""How an installer says that the slot before holds nothing to go back to."""
SAVED_PERCENT = 10
"""The journal is written that often while a payload comes: flash wears."""

_NEXT: dict[Phase, Effect] = {
    Phase.ASKED: ev.Resolve(),
    Phase.WAITING: ev.Look(ev.Stage.FETCH),
    Phase.FETCHING: ev.Fetch(),
    Phase.FETCHED: ev.Verify(),
    Phase.WRITING: ev.Write(),
    Phase.READING: ev.ReadBack(),
    Phase.WRITTEN: ev.Look(ev.Stage.BOOT),
    Phase.ARMING: ev.Arm(),
    Phase.ARMED: ev.Reboot(),
    Phase.DISARMING: ev.Revert(),
    Phase.TRIAL: ev.SelfTest(),
    Phase.CONFIRMING: ev.Confirm(),
    Phase.REVERTING: ev.Revert(),
    Phase.REVERTED: ev.Reboot(),
}
"""What there is to do in a phase. In `BOOTED` the server's word is waited for."""

_DONE: dict[tuple[Phase, type], tuple[Phase, tuple[Effect, ...]]] = {
    (Phase.WAITING, ev.Free): (Phase.FETCHING, SAVED),
    (Phase.FETCHED, ev.Verified): (Phase.WRITING, SAVED),
    (Phase.READING, ev.ReadBackDone): (Phase.WRITTEN, SAVED),
    (Phase.WRITTEN, ev.Free): (Phase.ARMING, SAVED),
    (Phase.ARMING, ev.Armed): (Phase.ARMED, TOLD),
    (Phase.REVERTING, ev.Reverted): (Phase.REVERTED, SAVED),
}
"""What leads on without more to be said of it."""


def step(journal: Journal, event: Event) -> Next:
    """The journal after `event`, and what to do."""
    if isinstance(event, ev.Asked):
        return _asked(journal, event)
    install = journal.under_way
    if install is None:
        return journal, ()
    plain = _DONE.get((install.phase, type(event)))
    if plain is not None:
        phase, effects = plain
        return with_install(journal, on_phase(install, phase)), effects
    handler = _HANDLERS.get(type(event))
    return handler(journal, install, event) if handler is not None else (journal, ())


# Asking


def _asked(journal: Journal, event: ev.Asked) -> Next:
    under_way, args = journal.under_way, event.args
    if args.stop:
        return journal, ()  # `CalledOff` says it, where there is something to call off
    if under_way is None:
        # What a device came with, and runs for good, needs no confirmation to count as confirmed.
        journal = msgspec.structs.replace(journal, floor=max(journal.floor, event.counter))
        install = Install(event.directive, args)
        if event.runs == args.release:
            done = on_phase(install, Phase.CONFIRMED, sentence="It runs already.")
            return journal.ended(done), TOLD
        return with_install(journal, install), SAVED
    if (under_way.args.release, under_way.args.trial) != (args.release, args.trial):
        return journal, ()
    if (under_way.directive, under_way.args) == (event.directive, args):
        return journal, ()
    adopted = msgspec.structs.replace(under_way, directive=event.directive, args=args)
    return with_install(journal, adopted), SAVED


# Doing one thing after another


def _ticked(journal: Journal, install: Install, event: ev.Ticked) -> Next:
    at = event.at
    if install.phase in (Phase.TRIAL, Phase.BOOTED) and at.boot == install.boot and at.up_s >= confirm_s(install.args):
        return lapsed(journal, install)
    if install.again is not None and install.again.boot == at.boot and at.up_s < install.again.up_s:
        return journal, ()
    effect = _NEXT.get(install.phase)
    if effect is None:
        return journal, ()
    if isinstance(effect, ev.Arm):
        return _arm(journal, install, at)
    if isinstance(effect, ev.Reboot):
        pending = msgspec.structs.replace(install, again=Moment(at.boot, at.up_s + REBOOT_AGAIN_S))
        return with_install(journal, pending), (effect,)
    return journal, (effect,)


def _arm(journal: Journal, install: Install, at: Moment) -> Next:
    arms = install.arms + (at.boot != install.boot)
    arming = msgspec.structs.replace(install, boot=at.boot, arms=arms, again=None)
    return with_install(journal, arming), (ev.Save(), ev.Arm())


def _accepted(journal: Journal, install: Install, event: ev.Accepted) -> Next:
    if install.phase is not Phase.ASKED:
        return journal, ()
    return with_install(journal, on_phase(install, Phase.WAITING, target=event.target)), SAVED


def _held(journal: Journal, install: Install, event: ev.Held) -> Next:
    at = event.at
    if install.phase not in (Phase.ASKED, Phase.WAITING, Phase.WRITTEN):
        return journal, ()
    held = msgspec.structs.replace(
        install, code=event.code, sentence=event.sentence, again=Moment(at.boot, at.up_s + HELD_S)
    )
    return with_install(journal, held), TOLD if held.code != install.code else ()


def _came(journal: Journal, install: Install, event: ev.Came) -> Next:
    if install.phase is not Phase.FETCHING:
        return journal, ()
    after = msgspec.structs.replace(
        install,
        fetched=install.fetched + event.count,
        percent=event.percent,
        code="",
        sentence="",
        failures=0,
        again=None,
    )
    due = event.percent // SAVED_PERCENT != install.percent // SAVED_PERCENT
    return with_install(journal, after), SAVED if due else ()


def _fetched(journal: Journal, install: Install, event: ev.Fetched) -> Next:
    if install.phase is not Phase.FETCHING:
        return journal, ()
    return with_install(journal, on_phase(install, Phase.FETCHED, fetched=install.fetched + event.count)), SAVED


def _spoiled(journal: Journal, install: Install, event: ev.Spoiled) -> Next:
    """Fetch it once more where a power cut may have spoiled it; what came whole and is wrong, is wrong."""
    if install.phase not in (Phase.FETCHING, Phase.FETCHED):
        return journal, ()
    if not event.resumed or install.spoiled + 1 >= MOST_SPOILED:
        return end(journal, install, Phase.FAILED, event.code, event.sentence)
    again = on_phase(install, Phase.FETCHING, spoiled=install.spoiled + 1)
    return with_install(journal, again), (ev.Save(), ev.Discard())


def _written(journal: Journal, install: Install, event: ev.Written) -> Next:
    if install.phase is not Phase.WRITING or install.target is None:
        return journal, ()
    offer = install.target.offer
    after = journal.holding(Holds(event.slot, offer.release, offer.counter, offer.svn))
    return with_install(after, on_phase(install, Phase.READING, slot=event.slot, writes=install.writes + 1)), SAVED


def _reverted(journal: Journal, install: Install, _event: ev.Reverted) -> Next:
    if install.phase is not Phase.DISARMING:
        return journal, ()
    return end(journal, install, install.ending, install.code, install.sentence)


# Trouble


def _failed(journal: Journal, install: Install, event: ev.Failed) -> Next:
    failures = install.failures + 1
    pause = min(FIRST_PAUSE_S << min(failures - 1, 16), LONGEST_PAUSE_S)
    again = Moment(event.at.boot, event.at.up_s + pause)
    if install.phase is Phase.REVERTING and event.code == NO_WAY_BACK:
        # The one whole release goes on; only without the attempt can another be written to the other slot.
        return end(journal, install, Phase.FAILED, NO_WAY_BACK, f"{install.sentence} {event.sentence}"[:512])
    if install.phase in (Phase.DISARMING, Phase.CONFIRMING, Phase.REVERTING, Phase.REVERTED, Phase.TRIAL, Phase.BOOTED):
        # There is nothing else to do than this; why it is done stays the code.
        return with_install(journal, msgspec.structs.replace(install, failures=failures, again=again)), ()
    if install.phase is Phase.READING and event.passing and install.writes < MOST_WRITES:
        # The slot is not what was written: write it again.
        return with_install(journal, on_phase(install, Phase.FETCHED, code=event.code, sentence=event.sentence)), SAVED
    at_home = install.phase not in (Phase.ASKED, Phase.FETCHING, Phase.ARMED)
    if not event.passing or install.phase is Phase.READING or (at_home and failures >= GIVE_UP):
        return give_up(journal, install, Phase.FAILED, event.code, event.sentence)
    after = msgspec.structs.replace(install, code=event.code, sentence=event.sentence, failures=failures, again=again)
    return with_install(journal, after), (ev.Report(),) if after.code != install.code else ()


_HANDLERS: dict[type, Callable[[Journal, Install, Any], Next]] = {
    ev.CalledOff: called_off,
    ev.Started: started,
    ev.Ticked: _ticked,
    ev.Accepted: _accepted,
    ev.Held: _held,
    ev.Came: _came,
    ev.Fetched: _fetched,
    ev.Spoiled: _spoiled,
    ev.Written: _written,
    ev.SelfTested: self_tested,
    ev.Answered: answered,
    ev.Confirmed: confirmed,
    ev.Reverted: _reverted,
    ev.Failed: _failed,
}
