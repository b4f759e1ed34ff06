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
7. Before it boots an attempt can be called off, after it not: then it is confirmed, or falls back.
8. What may pass is tried again after growing pauses; what lies in the release or its metadata ends the attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from holdfast_core.update import events as ev
from holdfast_core.update.events import Effect, Event
from holdfast_core.update.install import Holds, Install, Journal, Phase
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.update import Order, UpdateArgs

Next = tuple[Journal, tuple[Effect, ...]]
_SAVED = (ev.Save(),)
_TOLD = (ev.Save(), ev.Report())

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
MOST_ARMS = 3
"""Boots in which an attempt may be armed without its being known to have been."""
MOST_SPOILED = 2
"""Downloads of one attempt that turn out wrong."""
SELF_TEST_S = 300
"""Of uptime, within which the device has to be well; half of `confirm_s` where that is less."""
SHORTEST_CONFIRM_S = 30
LONGEST_CONFIRM_S = 86_400
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
    (Phase.WAITING, ev.Free): (Phase.FETCHING, _SAVED),
    (Phase.FETCHED, ev.Verified): (Phase.WRITING, _SAVED),
    (Phase.READING, ev.ReadBackDone): (Phase.WRITTEN, _SAVED),
    (Phase.WRITTEN, ev.Free): (Phase.ARMING, _SAVED),
    (Phase.ARMING, ev.Armed): (Phase.ARMED, _TOLD),
    (Phase.REVERTING, ev.Reverted): (Phase.REVERTED, _SAVED),
}
"""What leads on without more to be said of it."""

_RESTARTED = {
    Phase.WRITING: Phase.FETCHED,
    Phase.WRITTEN: Phase.READING,
    Phase.ARMING: Phase.READING,
}
"""Where a new process begins again, while the slot before runs."""


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
        return _with(journal, _on(install, phase)), effects
    handler = _HANDLERS.get(type(event))
    return handler(journal, install, event) if handler is not None else (journal, ())


# Asking, and calling off


def _asked(journal: Journal, event: ev.Asked) -> Next:
    under_way, args = journal.under_way, event.args
    if args.stop:
        return journal, ()  # `CalledOff` says it, where there is something to call off
    if under_way is None:
        install = Install(event.directive, args)
        if event.runs == args.release:
            done = _on(install, Phase.CONFIRMED, sentence="It runs already.")
            return journal.ended(done), _TOLD
        return _with(journal, install), _SAVED
    if (under_way.args.release, under_way.args.trial) != (args.release, args.trial):
        return journal, ()
    if (under_way.directive, under_way.args) == (event.directive, args):
        return journal, ()
    adopted = msgspec.structs.replace(under_way, directive=event.directive, args=args)
    return _with(journal, adopted), _SAVED


def _called_off(journal: Journal, install: Install, event: ev.CalledOff) -> Next:
    if install.phase.on_trial or install.phase is Phase.DISARMING:
        return journal, ()
    return _give_up(journal, install, Phase.STOPPED, event.code, event.sentence)


def _give_up(journal: Journal, install: Install, ending: Phase, code: str, sentence: str) -> Next:
    """End the attempt before it boots; what may have been armed is taken back first."""
    if install.phase in (Phase.ARMING, Phase.ARMED):
        after = _on(install, Phase.DISARMING, ending=ending, code=code, sentence=sentence)
        return _with(journal, after), _SAVED
    return _end(journal, install, ending, code, sentence)


def _end(journal: Journal, install: Install, phase: Phase, code: str, sentence: str) -> Next:
    ended = _on(install, phase, code=code, sentence=sentence)
    return journal.ended(ended), (ev.Save(), ev.Discard(), ev.Report())


# A new process, perhaps a new boot


def _started(journal: Journal, install: Install, event: ev.Started) -> Next:
    if install.slot and event.slot == install.slot:
        return _runs_it(journal, install, event)
    if install.phase.on_trial or (install.phase is Phase.ARMED and event.at.boot != install.boot):
        return _fell_back(journal, install)
    if install.phase is Phase.ARMING and event.at.boot != install.boot and install.arms >= MOST_ARMS:
        return _fell_back(journal, install)
    return _with(journal, _on(install, _RESTARTED.get(install.phase, install.phase))), ()


def _runs_it(journal: Journal, install: Install, event: ev.Started) -> Next:
    """The slot that was written runs."""
    same_boot = install.boot == event.at.boot
    match install.phase:
        case Phase.ARMING | Phase.ARMED:
            pass
        case Phase.TRIAL | Phase.BOOTED if not same_boot:
            pass
        case Phase.DISARMING:
            return _with(journal, _on(install, Phase.REVERTING)), _SAVED
        case Phase.REVERTED if not same_boot:
            return _with(journal, _on(install, Phase.REVERTING, boot=event.at.boot)), _SAVED
        case _:
            return journal, ()
    trial = _on(install, Phase.TRIAL, boot=event.at.boot, passed=False, heard=False, code="", sentence="")
    return _with(journal, trial), _SAVED


def _fell_back(journal: Journal, install: Install) -> Next:
    if install.phase in (Phase.REVERTING, Phase.REVERTED):
        return _end(journal, install, Phase.FELL_BACK, install.code, install.sentence)
    sentence = "The release was booted, and the boot loader went back to the one before."
    return _end(journal, install, Phase.FELL_BACK, "update.fell_back_boot", sentence)


# Doing one thing after another


def _ticked(journal: Journal, install: Install, event: ev.Ticked) -> Next:
    at = event.at
    if install.phase in (Phase.TRIAL, Phase.BOOTED) and at.boot == install.boot and at.up_s >= _confirm_s(install.args):
        return _lapsed(journal, install)
    if install.again is not None and install.again.boot == at.boot and at.up_s < install.again.up_s:
        return journal, ()
    effect = _NEXT.get(install.phase)
    if effect is None:
        return journal, ()
    if isinstance(effect, ev.Arm):
        return _arm(journal, install, at)
    if isinstance(effect, ev.Reboot):
        pending = msgspec.structs.replace(install, again=Moment(at.boot, at.up_s + REBOOT_AGAIN_S))
        return _with(journal, pending), (effect,)
    return journal, (effect,)


def _arm(journal: Journal, install: Install, at: Moment) -> Next:
    arms = install.arms + (at.boot != install.boot)
    arming = msgspec.structs.replace(install, boot=at.boot, arms=arms, again=None)
    return _with(journal, arming), (ev.Save(), ev.Arm())


def _lapsed(journal: Journal, install: Install) -> Next:
    if not install.passed:
        return _revert(journal, install, "update.fell_back_self_test", install.sentence or "It was never well.")
    if not install.heard:
        sentence = "The release could not reach its server in time."
        return _revert(journal, install, "update.fell_back_no_contact", sentence)
    sentence = "The server heard of the release, and did not confirm it in time."
    return _revert(journal, install, "update.fell_back_unconfirmed", sentence)


def _revert(journal: Journal, install: Install, code: str, sentence: str) -> Next:
    return _with(journal, _on(install, Phase.REVERTING, code=code, sentence=sentence)), _SAVED


def _accepted(journal: Journal, install: Install, event: ev.Accepted) -> Next:
    if install.phase is not Phase.ASKED:
        return journal, ()
    return _with(journal, _on(install, Phase.WAITING, target=event.target)), _SAVED


def _held(journal: Journal, install: Install, event: ev.Held) -> Next:
    at = event.at
    if install.phase not in (Phase.ASKED, Phase.WAITING, Phase.WRITTEN):
        return journal, ()
    held = msgspec.structs.replace(
        install, code=event.code, sentence=event.sentence, again=Moment(at.boot, at.up_s + HELD_S)
    )
    return _with(journal, held), _TOLD if held.code != install.code else ()


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
    return _with(journal, after), _SAVED if due else ()


def _fetched(journal: Journal, install: Install, event: ev.Fetched) -> Next:
    if install.phase is not Phase.FETCHING:
        return journal, ()
    return _with(journal, _on(install, Phase.FETCHED, fetched=install.fetched + event.count)), _SAVED


def _spoiled(journal: Journal, install: Install, event: ev.Spoiled) -> Next:
    """Fetch it once more where a power cut may have spoiled it; what came whole and is wrong, is wrong."""
    if install.phase not in (Phase.FETCHING, Phase.FETCHED):
        return journal, ()
    if not event.resumed or install.spoiled + 1 >= MOST_SPOILED:
        return _end(journal, install, Phase.FAILED, event.code, event.sentence)
    again = _on(install, Phase.FETCHING, spoiled=install.spoiled + 1)
    return _with(journal, again), (ev.Save(), ev.Discard())


def _written(journal: Journal, install: Install, event: ev.Written) -> Next:
    if install.phase is not Phase.WRITING or install.target is None:
        return journal, ()
    offer = install.target.offer
    after = journal.holding(Holds(event.slot, offer.release, offer.counter, offer.svn))
    return _with(after, _on(install, Phase.READING, slot=event.slot, writes=install.writes + 1)), _SAVED


def _reverted(journal: Journal, install: Install, _event: ev.Reverted) -> Next:
    if install.phase is not Phase.DISARMING:
        return journal, ()
    return _end(journal, install, install.ending, install.code, install.sentence)


# On trial


def _self_tested(journal: Journal, install: Install, event: ev.SelfTested) -> Next:
    if install.phase is not Phase.TRIAL:
        return journal, ()
    if event.ok:
        phase = Phase.CONFIRMING if install.directive == 0 else Phase.BOOTED
        return _with(journal, _on(install, phase, passed=True, after_seq=event.seq)), _TOLD
    if event.at.up_s >= min(SELF_TEST_S, _confirm_s(install.args) // 2):
        return _revert(journal, install, "update.fell_back_self_test", event.sentence)
    return _with(journal, msgspec.structs.replace(install, sentence=event.sentence)), ()


def _answered(journal: Journal, install: Install, event: ev.Answered) -> Next:
    if event.directive != install.directive or install.directive == 0:
        return journal, ()
    if event.order is Order.REVERT:
        return _ordered_back(journal, install, event)
    if install.phase is not Phase.BOOTED or event.seq <= install.after_seq:
        return journal, ()  # it was said of a check-in that knew nothing of this boot
    if event.order is Order.CONFIRM:
        return _with(journal, _on(install, Phase.CONFIRMING, heard=True)), _SAVED
    return _with(journal, msgspec.structs.replace(install, heard=True)), ()


def _ordered_back(journal: Journal, install: Install, event: ev.Answered) -> Next:
    sentence = event.sentence or "The server ordered the device back."
    if install.phase in (Phase.TRIAL, Phase.BOOTED):
        return _revert(journal, install, event.code or "update.fell_back_reverted", sentence)
    return _called_off(journal, install, ev.CalledOff(event.code or "update.stopped", sentence))


def _confirmed(journal: Journal, install: Install, _event: ev.Confirmed) -> Next:
    if install.phase is not Phase.CONFIRMING or install.target is None:
        return journal, ()
    offer = install.target.offer
    raised = msgspec.structs.replace(
        journal, floor=max(journal.floor, offer.counter), svn_floor=max(journal.svn_floor, offer.svn)
    )
    return _end(raised, install, Phase.CONFIRMED, "", "")


# Trouble


def _failed(journal: Journal, install: Install, event: ev.Failed) -> Next:
    failures = install.failures + 1
    pause = min(FIRST_PAUSE_S << min(failures - 1, 16), LONGEST_PAUSE_S)
    again = Moment(event.at.boot, event.at.up_s + pause)
    if install.phase in (Phase.DISARMING, Phase.CONFIRMING, Phase.REVERTING, Phase.REVERTED, Phase.TRIAL, Phase.BOOTED):
        # There is nothing else to do than this; why it is done stays the code.
        return _with(journal, msgspec.structs.replace(install, failures=failures, again=again)), ()
    if install.phase is Phase.READING and event.passing and install.writes < MOST_WRITES:
        # The slot is not what was written: write it again.
        return _with(journal, _on(install, Phase.FETCHED, code=event.code, sentence=event.sentence)), _SAVED
    at_home = install.phase not in (Phase.ASKED, Phase.FETCHING, Phase.ARMED)
    if not event.passing or install.phase is Phase.READING or (at_home and failures >= GIVE_UP):
        return _give_up(journal, install, Phase.FAILED, event.code, event.sentence)
    after = msgspec.structs.replace(install, code=event.code, sentence=event.sentence, failures=failures, again=again)
    return _with(journal, after), (ev.Report(),) if after.code != install.code else ()


# Small parts


def _confirm_s(args: UpdateArgs) -> int:
    return min(max(args.confirm_s, SHORTEST_CONFIRM_S), LONGEST_CONFIRM_S)


def _on(install: Install, phase: Phase, **changes: Any) -> Install:
    """The attempt in another phase, where nothing has failed or waited yet."""
    fresh: dict[str, Any] = {"phase": phase, "percent": 0, "failures": 0, "again": None}
    if not phase.on_trial and phase is not Phase.DISARMING:
        fresh |= {"code": "", "sentence": ""}
    return msgspec.structs.replace(install, **{**fresh, **changes})


def _with(journal: Journal, install: Install) -> Journal:
    return msgspec.structs.replace(journal, install=install)


_HANDLERS: dict[type, Callable[[Journal, Install, Any], Next]] = {
    ev.CalledOff: _called_off,
    ev.Started: _started,
    ev.Ticked: _ticked,
    ev.Accepted: _accepted,
    ev.Held: _held,
    ev.Came: _came,
    ev.Fetched: _fetched,
    ev.Spoiled: _spoiled,
    ev.Written: _written,
    ev.SelfTested: _self_tested,
    ev.Answered: _answered,
    ev.Confirmed: _confirmed,
    ev.Reverted: _reverted,
    ev.Failed: _failed,
}
