"""The trial of a release, part of the install machine (`machine`, whose rules 2 and 4 to 6 are carried out here)."""

from __future__ import annotations

import msgspec

from holdfast_core.update import events as ev
from holdfast_core.update.install import Install, Journal, Phase
from holdfast_core.update.install_changes import SAVED, TOLD, Next, called_off, end, on_phase, revert, with_install
from holdfast_core.wire.update import Order, UpdateArgs

MOST_ARMS = 3
"""Boots in which an attempt may be armed without its being known to have been."""
MOST_RETURNS = 3
"""Boots of a release on trial that were to be of the one before, until there counts as no way back."""
SELF_TEST_S = 300
"""Of uptime, within which the device has to be well; half of `confirm_s` where that is less."""
SHORTEST_CONFIRM_S = 30
LONGEST_CONFIRM_S = 86_400

_RESTARTED = {
    Phase.WRITING: Phase.FETCHED,
    Phase.WRITTEN: Phase.READING,
    Phase.ARMING: Phase.READING,
}
"""Where a new process begins again, while the slot before runs."""


def confirm_s(args: UpdateArgs) -> int:
    """How long a release may run on trial, in seconds of uptime."""
    return min(max(args.confirm_s, SHORTEST_CONFIRM_S), LONGEST_CONFIRM_S)


def started(journal: Journal, install: Install, event: ev.Started) -> Next:
    """A new process began, perhaps in a new boot."""
    if install.slot and event.slot == install.slot:
        return _runs_it(journal, install, event)
    if install.phase.on_trial or (install.phase is Phase.ARMED and event.at.boot != install.boot):
        return _fell_back(journal, install)
    if install.phase is Phase.ARMING and event.at.boot != install.boot and install.arms >= MOST_ARMS:
        return _fell_back(journal, install)
    return with_install(journal, on_phase(install, _RESTARTED.get(install.phase, install.phase))), ()


def _runs_it(journal: Journal, install: Install, event: ev.Started) -> Next:
    """The slot that was written runs."""
    same_boot = install.boot == event.at.boot
    match install.phase:
        case Phase.ARMING | Phase.ARMED:
            pass
        case Phase.TRIAL | Phase.BOOTED if not same_boot:
            pass
        case Phase.DISARMING:
            return with_install(journal, on_phase(install, Phase.REVERTING)), SAVED
        case Phase.REVERTED if not same_boot:
            return _came_again(journal, install, event)
        case _:
            return journal, ()
    trial = on_phase(install, Phase.TRIAL, boot=event.at.boot, passed=False, heard=False, code="", sentence="")
    return with_install(journal, trial), SAVED


def _came_again(journal: Journal, install: Install, event: ev.Started) -> Next:
    """The release before was to run, and the boot loader fell forward: tried again, but not for ever."""
    returns = install.returns + 1
    if returns < MOST_RETURNS:
        back = on_phase(install, Phase.REVERTING, boot=event.at.boot, returns=returns)
        return with_install(journal, back), SAVED
    sentence = f"{install.sentence} The release before did not boot {returns} times, so the device stays in this one."
    return end(journal, install, Phase.FAILED, "update.no_way_back", sentence[:512])


def _fell_back(journal: Journal, install: Install) -> Next:
    if install.phase in (Phase.REVERTING, Phase.REVERTED):
        return end(journal, install, Phase.FELL_BACK, install.code, install.sentence)
    sentence = "The release was booted, and the boot loader went back to the one before."
    return end(journal, install, Phase.FELL_BACK, "update.fell_back_boot", sentence)


def lapsed(journal: Journal, install: Install) -> Next:
    """The time to be confirmed is over."""
    if not install.passed:
        return revert(journal, install, "update.fell_back_self_test", install.sentence or "It was never well.")
    if not install.heard:
        sentence = "The release could not reach its server in time."
        return revert(journal, install, "update.fell_back_no_contact", sentence)
    sentence = "The server heard of the release, and did not confirm it in time."
    return revert(journal, install, "update.fell_back_unconfirmed", sentence)


def self_tested(journal: Journal, install: Install, event: ev.SelfTested) -> Next:
    """The device looked at itself."""
    if install.phase is not Phase.TRIAL:
        return journal, ()
    if event.ok:
        phase = Phase.CONFIRMING if install.directive == 0 else Phase.BOOTED
        return with_install(journal, on_phase(install, phase, passed=True, after_seq=event.seq)), TOLD
    if event.at.up_s >= min(SELF_TEST_S, confirm_s(install.args) // 2):
        return revert(journal, install, "update.fell_back_self_test", event.sentence)
    return with_install(journal, msgspec.structs.replace(install, sentence=event.sentence)), ()


def answered(journal: Journal, install: Install, event: ev.Answered) -> Next:
    """The server said something of the attempt."""
    if event.directive != install.directive or install.directive == 0:
        return journal, ()
    if event.order is Order.REVERT:
        return _ordered_back(journal, install, event)
    # Where the release before did not boot, whoever confirms this one is heard, though it was to be left.
    came_again = install.phase in (Phase.REVERTING, Phase.REVERTED) and install.returns > 0 and install.passed
    if not (install.phase is Phase.BOOTED or came_again) or event.seq <= install.after_seq:
        return journal, ()  # it was said of a check-in that knew nothing of this boot
    if event.order is Order.CONFIRM:
        confirming = on_phase(install, Phase.CONFIRMING, heard=True, code="", sentence="")
        return with_install(journal, confirming), SAVED
    return with_install(journal, msgspec.structs.replace(install, heard=True)), ()


def _ordered_back(journal: Journal, install: Install, event: ev.Answered) -> Next:
    sentence = event.sentence or "The server ordered the device back."
    if install.phase in (Phase.TRIAL, Phase.BOOTED):
        return revert(journal, install, event.code or "update.fell_back_reverted", sentence)
    return called_off(journal, install, ev.CalledOff(event.code or "update.stopped", sentence))


def confirmed(journal: Journal, install: Install, _event: ev.Confirmed) -> Next:
    """The boot loader takes the release for lasting: the floors rise, and the attempt ends (rules 2 and 6)."""
    if install.phase is not Phase.CONFIRMING or install.target is None:
        return journal, ()
    offer = install.target.offer
    raised = msgspec.structs.replace(
        journal, floor=max(journal.floor, offer.counter), svn_floor=max(journal.svn_floor, offer.svn)
    )
    return end(raised, install, Phase.CONFIRMED, "", "")
