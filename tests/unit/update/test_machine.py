"""The install machine: what leads where, what is durable when, and what may not be."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.update import events as ev
from holdfast_core.update.install import REMEMBERED, Holds, Install, Journal, Phase, Tried, attempt_of, model_of
from holdfast_core.update.install_trial import MOST_ARMS, MOST_RETURNS
from holdfast_core.update.machine import (
    FIRST_PAUSE_S,
    GIVE_UP,
    LONGEST_PAUSE_S,
    MOST_WRITES,
    REBOOT_AGAIN_S,
    step,
)  # fmt: skip
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.frame import DirectiveState
from holdfast_core.wire.update import Order, Step, UpdateArgs
from install_builders import CHUNKS, NEW, OLD, World, target

AT = Moment("boot-1", 1_000)
NEXT_BOOT = Moment("boot-2", 5)
ARGS = UpdateArgs(NEW, path="cam/2/image.img")
IN_PHASE = {Phase.ARMED: {"boot": "boot-1"}, Phase.TRIAL: {"boot": "boot-2"}, Phase.BOOTED: {"boot": "boot-2"}}
BEFORE_BOOT = (
    Phase.ASKED,
    Phase.WAITING,
    Phase.FETCHING,
    Phase.FETCHED,
    Phase.WRITING,
    Phase.READING,
    Phase.WRITTEN,
)


def journal(phase: Phase, **more: object) -> Journal:
    values: dict[str, object] = {"target": target(), "slot": "b", **IN_PHASE.get(phase, {}), **more}
    return Journal(install=msgspec.structs.replace(Install(7, ARGS, phase), **values))


def fed(before: Journal, *events: ev.Event) -> tuple[Install, list[ev.Effect]]:
    effects: list[ev.Effect] = []
    for event in events:
        before, more = step(before, event)
        effects += more
    assert before.install is not None
    return before.install, effects


def test_a_good_release_is_installed_booted_and_confirmed_and_only_then_the_floors_rise() -> None:
    world = World()
    while world.journal.install is None or not world.journal.install.phase.is_end:
        assert world.journal.floor == 0
        world.turn()
    assert world.journal.install.phase is Phase.CONFIRMED
    assert (world.journal.floor, world.journal.svn_floor) == (2, 1)
    assert (world.slots[world.runs], world.primary, world.trial) == (NEW, "b", "")
    assert world.on_disk == world.journal
    assert world.reported == [Phase.ARMED, Phase.BOOTED, Phase.CONFIRMED]


@pytest.mark.parametrize(
    ("world", "code"),
    [
        (World(boots=False), "update.fell_back_boot"),
        (World(well=False), "update.fell_back_self_test"),
        (World(reaches=False), "update.fell_back_no_contact"),
        (World(order=Order.WAIT), "update.fell_back_unconfirmed"),
        (World(order=Order.REVERT), "update.fell_back_reverted"),
    ],
    ids=["does not boot", "is not well", "cannot reach the server", "is never confirmed", "is ordered back"],
)
def test_a_release_that_is_no_good_falls_back_and_is_not_tried_again_by_itself(world: World, code: str) -> None:
    world.live([])
    assert world.install is not None
    assert (world.install.phase, world.install.code) == (Phase.FELL_BACK, code)
    assert world.slots[world.runs] == OLD
    assert world.journal.floor == 0
    told = world.journal.outcome(world.directive, world.args)
    assert told is not None
    assert (told.state, told.code) == (DirectiveState.REFUSED, code)
    later = world.journal.outcome(world.directive + 1, world.args)
    assert later is not None
    assert later.code == code
    assert world.journal.outcome(world.directive + 1, msgspec.structs.replace(world.args, trial=2)) is None


@given(st.lists(st.integers(0, 60), max_size=12), st.sampled_from(["good", "no boot", "unwell", "unreachable"]))
def test_the_power_may_go_anywhere_and_any_number_of_times(cuts: list[int], kind: str) -> None:
    world = World(boots=kind != "no boot", well=kind != "unwell", reaches=kind != "unreachable")
    world.live(cuts)
    install = world.journal.install
    assert install is not None
    assert install.phase.is_end, "the attempt ends"
    assert world.slots[world.runs] in (OLD, NEW)
    assert world.fetched <= CHUNKS + len(cuts), "what is here is not fetched again"
    if install.phase is Phase.CONFIRMED:
        assert kind == "good"
        assert (world.primary, world.slots[world.runs], world.journal.floor) == (world.runs, NEW, 2)
    else:
        assert install.phase is Phase.FELL_BACK
        assert (world.slots[world.runs], world.journal.floor) == (OLD, 0)
    if not cuts and kind == "good":
        assert install.phase is Phase.CONFIRMED


@given(st.lists(st.integers(0, 60), max_size=12), st.sampled_from(["good", "unwell", "unreachable", "ordered back"]))
def test_where_the_way_back_does_not_boot_the_reboots_end_wherever_the_power_went(cuts: list[int], kind: str) -> None:
    order = Order.REVERT if kind == "ordered back" else Order.CONFIRM
    world = World(back_boots=False, well=kind != "unwell", reaches=kind != "unreachable", order=order)
    world.live(cuts)
    assert world.install is not None
    assert world.slots[world.runs] in (OLD, NEW)
    assert world.reboots <= 1 + MOST_RETURNS + len(cuts)
    if world.install.phase is Phase.CONFIRMED:
        assert (kind, world.journal.floor) == ("good", 2)
        return
    assert (world.install.phase, world.journal.floor) in [(Phase.FAILED, 0), (Phase.FELL_BACK, 0)]
    if not cuts:
        assert (world.install.phase, world.install.code) == (Phase.FAILED, "update.no_way_back")
        assert world.slots[world.runs] == NEW


@pytest.mark.parametrize("fuel", range(90))
def test_one_power_cut_never_keeps_a_good_release_from_being_confirmed(fuel: int) -> None:
    world = World()
    world.live([fuel])
    assert world.install is not None
    assert world.install.phase is Phase.CONFIRMED
    assert world.fetched <= CHUNKS + 1


EVENTS: list[ev.Event] = [
    ev.Asked(7, ARGS),
    ev.Asked(8, UpdateArgs("cam:3")),
    ev.CalledOff("update.stopped", "Stopped."),
    ev.Started(AT, "a", trial=False),
    ev.Started(NEXT_BOOT, "a", trial=False),
    ev.Started(NEXT_BOOT, "b", trial=True),
    ev.Ticked(AT),
    ev.Ticked(NEXT_BOOT),
    ev.Accepted(target()),
    ev.Held("update.window", "Not now.", AT),
    ev.Free(),
    ev.Came(10, 20),
    ev.Fetched(10),
    ev.Spoiled("update.digest", "Wrong.", resumed=True),
    ev.Verified(),
    ev.Written("b"),
    ev.ReadBackDone(),
    ev.Armed(),
    ev.SelfTested(ok=True, sentence="", seq=4, at=NEXT_BOOT),
    ev.SelfTested(ok=False, sentence="Unwell.", seq=4, at=NEXT_BOOT),
    ev.Answered(7, Order.WAIT, 9),
    ev.Answered(7, Order.CONFIRM, 9),
    ev.Answered(7, Order.REVERT, 9),
    ev.Confirmed(),
    ev.Reverted(),
    ev.Failed("installer.failed", "It failed.", AT),
    ev.Failed("installer.failed", "It failed.", AT, passing=True),
]


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_whatever_comes_in_whatever_order_nothing_is_kept_that_was_not_tried(events: list[ev.Event]) -> None:
    state, confirming = Journal(), False
    for event in events:
        before = state
        state, effects = step(state, event)
        if effects and not isinstance(effects[0], ev.Save):
            assert all(not isinstance(e, ev.Save) for e in effects), "the journal comes first"
        if state.floor > before.floor:
            assert isinstance(event, ev.Confirmed)
            assert before.install is not None
            assert before.install.phase is Phase.CONFIRMING
        confirming = confirming or any(isinstance(e, ev.Confirm) for e in effects)
        if confirming:
            assert any(isinstance(e, ev.SelfTested) and e.ok for e in events)
        assert msgspec.json.decode(msgspec.json.encode(state), type=Journal) == state
        attempt = attempt_of(state)
        assert (attempt is None) == (state.install is None)


@pytest.mark.parametrize("phase", [p for p in Phase if not p.is_end and p is not Phase.BOOTED])
def test_a_tick_names_the_same_thing_again_after_a_restart(phase: Phase) -> None:
    _, first = fed(journal(phase), ev.Ticked(NEXT_BOOT))
    _, again = fed(journal(phase), ev.Ticked(NEXT_BOOT))
    assert first == again
    assert first


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase.ASKED, Phase.ASKED),
        (Phase.FETCHING, Phase.FETCHING),
        (Phase.FETCHED, Phase.FETCHED),
        (Phase.WRITING, Phase.FETCHED),
        (Phase.READING, Phase.READING),
        (Phase.WRITTEN, Phase.READING),
        (Phase.ARMING, Phase.READING),
        (Phase.DISARMING, Phase.DISARMING),
        (Phase.ARMED, Phase.FELL_BACK),
        (Phase.TRIAL, Phase.FELL_BACK),
        (Phase.BOOTED, Phase.FELL_BACK),
        (Phase.CONFIRMING, Phase.FELL_BACK),
        (Phase.REVERTING, Phase.FELL_BACK),
        (Phase.REVERTED, Phase.FELL_BACK),
    ],
)
def test_where_it_goes_on_when_the_old_slot_runs_in_a_new_boot(phase: Phase, expected: Phase) -> None:
    install, _ = fed(journal(phase), ev.Started(NEXT_BOOT, "a", trial=False))
    assert install.phase is expected


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase.ARMING, Phase.TRIAL),
        (Phase.ARMED, Phase.TRIAL),
        (Phase.TRIAL, Phase.TRIAL),
        (Phase.BOOTED, Phase.TRIAL),
        (Phase.CONFIRMING, Phase.CONFIRMING),
        (Phase.DISARMING, Phase.REVERTING),
        (Phase.REVERTING, Phase.REVERTING),
        (Phase.REVERTED, Phase.REVERTING),
    ],
)
def test_where_it_goes_on_when_the_new_slot_runs_in_a_new_boot(phase: Phase, expected: Phase) -> None:
    third = Moment("boot-3", 5)
    install, _ = fed(journal(phase, boot="boot-2"), ev.Started(third, "b", trial=True))
    assert install.phase is expected
    if expected is Phase.TRIAL:
        assert install.boot == "boot-3"
        assert not install.passed


def test_an_agent_that_is_only_restarted_goes_on_in_the_same_boot() -> None:
    for phase in (Phase.TRIAL, Phase.BOOTED, Phase.REVERTED):
        install, effects = fed(journal(phase, boot="boot-2"), ev.Started(NEXT_BOOT, "b", trial=True))
        assert (install.phase, effects) == (phase, [])
    install, _ = fed(journal(Phase.ARMED), ev.Started(AT, "a", trial=False))
    assert install.phase is Phase.ARMED


def test_what_may_have_been_armed_is_not_armed_for_ever() -> None:
    install, _ = fed(journal(Phase.ARMING, arms=MOST_ARMS, boot="boot-1"), ev.Started(NEXT_BOOT, "a", trial=False))
    assert (install.phase, install.code) == (Phase.FELL_BACK, "update.fell_back_boot")


def test_arms_are_counted_by_boot_and_not_by_try() -> None:
    state = journal(Phase.ARMING)
    for up_s in (10, 1_000, 10_000):
        install, effects = fed(state, ev.Ticked(Moment("boot-9", up_s)))
        state = Journal(install=install)
        assert effects == [ev.Save(), ev.Arm()]
    assert install.arms == 1


@pytest.mark.parametrize("phase", BEFORE_BOOT)
def test_before_the_boot_an_attempt_can_be_called_off(phase: Phase) -> None:
    install, effects = fed(journal(phase), ev.CalledOff("update.stopped", "Stopped."))
    assert (install.phase, install.code) == (Phase.STOPPED, "update.stopped")
    assert effects == [ev.Save(), ev.Discard(), ev.Report()]


@pytest.mark.parametrize("phase", [Phase.ARMING, Phase.ARMED])
def test_what_is_armed_is_disarmed_before_it_counts_as_called_off(phase: Phase) -> None:
    state = journal(phase)
    install, effects = fed(state, ev.CalledOff("update.stopped", "Stopped."))
    assert (install.phase, effects) == (Phase.DISARMING, [ev.Save()])
    install, effects = fed(Journal(install=install), ev.Ticked(AT), ev.Reverted())
    assert (install.phase, install.code) == (Phase.STOPPED, "update.stopped")
    assert ev.Revert() in effects


@pytest.mark.parametrize("phase", [p for p in Phase if p.on_trial])
def test_once_it_booted_an_attempt_is_not_called_off(phase: Phase) -> None:
    install, effects = fed(journal(phase), ev.CalledOff("update.stopped", "Stopped."))
    assert (install.phase, effects) == (phase, [])


def test_only_an_answer_to_a_check_in_of_this_boot_confirms() -> None:
    state = journal(Phase.BOOTED, after_seq=4)
    for wrong in (ev.Answered(7, Order.CONFIRM, 4), ev.Answered(8, Order.CONFIRM, 5), ev.Answered(7, Order.WAIT, 5)):
        assert fed(state, wrong)[0].phase is Phase.BOOTED
    assert fed(state, ev.Answered(7, Order.CONFIRM, 5))[0].phase is Phase.CONFIRMING


@pytest.mark.parametrize("phase", [p for p in Phase if not p.is_end and p is not Phase.BOOTED])
def test_an_early_confirmation_confirms_nothing(phase: Phase) -> None:
    install, effects = fed(journal(phase), ev.Answered(7, Order.CONFIRM, 99))
    assert (install.phase, effects) == (phase, [])


def test_a_carried_release_is_confirmed_by_its_self_test_alone() -> None:
    state = Journal(install=msgspec.structs.replace(journal(Phase.TRIAL).install, directive=0))  # type: ignore[type-var]
    install, effects = fed(state, ev.SelfTested(ok=True, sentence="", seq=3, at=NEXT_BOOT))
    assert install.phase is Phase.CONFIRMING
    assert effects[0] == ev.Save()
    assert fed(state, ev.Answered(0, Order.REVERT, 9))[0].phase is Phase.TRIAL


def test_a_device_that_takes_long_to_be_well_is_given_some_time() -> None:
    state = journal(Phase.TRIAL, boot="boot-2")
    early = ev.SelfTested(ok=False, sentence="Not yet.", seq=3, at=Moment("boot-2", 100))
    late = ev.SelfTested(ok=False, sentence="Not yet.", seq=3, at=Moment("boot-2", 300))
    assert fed(state, early)[0].phase is Phase.TRIAL
    install, _ = fed(state, early, late)
    assert (install.phase, install.code, install.sentence) == (
        Phase.REVERTING,
        "update.fell_back_self_test",
        "Not yet.",
    )


def test_a_trial_lapses_by_the_uptime_of_its_own_boot() -> None:
    state = journal(Phase.BOOTED, boot="boot-2", passed=True)
    assert fed(state, ev.Ticked(Moment("boot-2", 899)))[0].phase is Phase.BOOTED
    install, effects = fed(state, ev.Ticked(Moment("boot-2", 900)))
    assert (install.phase, install.code) == (Phase.REVERTING, "update.fell_back_no_contact")
    assert effects[0] == ev.Save()
    assert fed(state, ev.Ticked(Moment("boot-1", 9_000)))[0].phase is Phase.BOOTED


def test_a_guard_is_asked_again_after_a_while_and_told_once() -> None:
    held = ev.Held("update.battery", "The battery has 10 %.", AT)
    install, effects = fed(journal(Phase.WAITING), held)
    assert (install.code, install.step, effects) == ("update.battery", Step.WAITING, [ev.Save(), ev.Report()])
    state = Journal(install=install)
    assert fed(state, held)[1] == []
    assert fed(state, ev.Ticked(Moment("boot-1", 1_059)))[1] == []
    assert fed(state, ev.Ticked(Moment("boot-1", 1_060)))[1] == [ev.Look(ev.Stage.FETCH)]
    install, _ = fed(state, ev.Free())
    assert (install.phase, install.code) == (Phase.FETCHING, "")


def test_what_may_pass_is_tried_again_after_growing_pauses() -> None:
    state, pauses = journal(Phase.FETCHING), []
    for _ in range(12):
        install, effects = fed(state, ev.Failed("agent.unreachable", "No way.", AT, passing=True))
        state = Journal(install=install)
        assert install.phase is Phase.FETCHING
        assert install.again is not None
        pauses.append(install.again.up_s - AT.up_s)
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses[-1] == LONGEST_PAUSE_S
    assert pauses == sorted(pauses)
    assert effects == []
    install, _ = fed(state, ev.Came(5, 1))
    assert (install.failures, install.code) == (0, "")


@pytest.mark.parametrize("phase", BEFORE_BOOT)
def test_what_lies_in_the_release_ends_the_attempt(phase: Phase) -> None:
    install, effects = fed(journal(phase), ev.Failed("update.hardware", "Another board.", AT))
    assert (install.phase, install.code) == (Phase.FAILED, "update.hardware")
    assert effects == [ev.Save(), ev.Discard(), ev.Report()]


def test_what_fails_on_the_device_itself_is_given_up() -> None:
    state = journal(Phase.WRITING)
    for _ in range(GIVE_UP):
        install, _ = fed(state, ev.Failed("installer.disk_full", "Full.", AT, passing=True))
        state = Journal(install=install)
    assert (install.phase, install.code) == (Phase.FAILED, "installer.disk_full")


def test_arming_that_fails_is_taken_back_before_it_is_given_up() -> None:
    install, _ = fed(journal(Phase.ARMING), ev.Failed("installer.failed", "No.", AT))
    assert (install.phase, install.ending) == (Phase.DISARMING, Phase.FAILED)
    install, _ = fed(Journal(install=install), ev.Reverted())
    assert (install.phase, install.code) == (Phase.FAILED, "installer.failed")


def test_a_slot_that_reads_back_wrong_is_written_again_and_not_for_ever() -> None:
    wrong = ev.Failed("installer.slot_corrupt", "It differs.", AT, passing=True)
    install, effects = fed(journal(Phase.READING, writes=MOST_WRITES - 1), wrong)
    assert (install.phase, effects) == (Phase.FETCHED, [ev.Save()])
    install, _ = fed(journal(Phase.READING, writes=MOST_WRITES), wrong)
    assert (install.phase, install.code) == (Phase.FAILED, "installer.slot_corrupt")


def test_a_resumed_download_that_is_wrong_is_fetched_once_more_and_a_whole_one_not() -> None:
    resumed, whole = (ev.Spoiled("update.digest", "Wrong.", resumed=flag) for flag in (True, False))
    install, effects = fed(journal(Phase.FETCHING), resumed)
    assert (install.phase, effects) == (Phase.FETCHING, [ev.Save(), ev.Discard()])
    assert fed(Journal(install=install), resumed)[0].phase is Phase.FAILED
    assert fed(journal(Phase.FETCHING), whole)[0].phase is Phase.FAILED


@pytest.mark.parametrize("phase", [Phase.CONFIRMING, Phase.REVERTING, Phase.DISARMING, Phase.REVERTED])
def test_what_has_to_be_done_is_tried_until_it_succeeds(phase: Phase) -> None:
    state = journal(phase, code="update.fell_back_reverted")
    for _ in range(3 * GIVE_UP):
        install, _ = fed(state, ev.Failed("installer.failed", "No.", AT))
        state = Journal(install=install)
    assert (install.phase, install.code) == (phase, "update.fell_back_reverted")


def test_a_reboot_that_does_not_come_is_asked_for_again() -> None:
    install, effects = fed(journal(Phase.ARMED), ev.Ticked(AT))
    assert effects == [ev.Reboot()]
    state = Journal(install=install)
    assert fed(state, ev.Ticked(Moment("boot-1", 1_001)))[1] == []
    assert fed(state, ev.Ticked(Moment("boot-1", 1_000 + REBOOT_AGAIN_S)))[1] == [ev.Reboot()]


def test_the_same_wish_under_another_number_takes_the_attempt_over() -> None:
    install, effects = fed(journal(Phase.FETCHING), ev.Asked(9, msgspec.structs.replace(ARGS, kbit_s=64)))
    assert (install.directive, install.args.kbit_s, install.phase, effects) == (9, 64, Phase.FETCHING, [ev.Save()])
    install, effects = fed(journal(Phase.FETCHING), ev.Asked(9, UpdateArgs("cam:3")))
    assert (install.args.release, effects) == (NEW, [])


def test_what_runs_already_is_done_at_once() -> None:
    state, effects = step(Journal(), ev.Asked(7, ARGS, runs=NEW))
    told = state.outcome(7, ARGS)
    assert told is not None
    assert told.state is DirectiveState.DONE
    assert effects[0] == ev.Save()
    assert state.outcome(8, ARGS) is None, "what succeeded may be asked for again"


def test_the_journal_remembers_only_so_much() -> None:
    state = Journal()
    for number in range(3 * REMEMBERED):
        state = state.ended(Install(number, UpdateArgs(f"cam:{number}"), Phase.FAILED))
        state = state.holding(Holds(f"slot{number}", f"cam:{number}", number, 0))
    assert len(state.tried) == REMEMBERED
    assert state.tried[-1] == Tried(47, "cam:47", 1, Phase.FAILED)
    assert state.in_slot("slot0") is None
    assert state.in_slot("slot47") is not None


def test_every_phase_is_told_as_a_step() -> None:
    for phase in Phase:
        attempt = attempt_of(journal(phase))
        assert attempt is not None
        assert attempt.step.is_end == phase.is_end
    assert attempt_of(Journal()) is None
    reverting = attempt_of(journal(Phase.REVERTING, passed=True))
    assert reverting is not None
    assert reverting.step is Step.BOOTED


def test_what_the_device_came_with_counts_as_confirmed_once_another_is_asked_for() -> None:
    state, _ = step(Journal(), ev.Asked(7, ARGS, runs=OLD, counter=5))
    assert state.floor == 5
    state, _ = step(Journal(floor=9), ev.Asked(7, ARGS, runs=OLD, counter=5))
    assert state.floor == 9


def test_where_there_is_no_way_back_the_attempt_fails_where_it_runs() -> None:
    failed = ev.Failed("installer.no_way_back", "Slot a holds nothing.", NEXT_BOOT, passing=True)
    install, effects = fed(journal(Phase.REVERTING, code="update.fell_back_reverted", sentence="Back."), failed)
    assert (install.phase, install.code) == (Phase.FAILED, "installer.no_way_back")
    assert install.sentence == "Back. Slot a holds nothing."
    assert effects[0] == ev.Save()


def came_again(before: Journal, boot: str) -> tuple[Journal, list[ev.Effect]]:
    """The machine goes back, and the boot loader falls forward into the release that was to be left."""
    effects: list[ev.Effect] = []
    at = Moment(f"{boot}-before", 900)
    for event in (ev.Ticked(at), ev.Reverted(), ev.Ticked(at), ev.Started(Moment(boot, 5), "b", trial=True)):
        before, more = step(before, event)
        effects += more
    return before, effects


def test_a_way_back_that_does_not_boot_is_tried_a_few_times_and_the_attempt_fails_where_it_runs() -> None:
    state = journal(Phase.REVERTING, code="update.fell_back_no_contact", sentence="Nobody answered.", passed=True)
    for count in range(1, MOST_RETURNS):
        state, effects = came_again(state, f"boot-{count + 2}")
        assert ev.Reboot() in effects
        assert state.under_way is not None
        assert (state.under_way.phase, state.under_way.returns) == (Phase.REVERTING, count)
        assert state.under_way.code == "update.fell_back_no_contact"
    state, effects = came_again(state, "boot-9")
    assert state.install is not None
    assert (state.install.phase, state.install.code) == (Phase.FAILED, "update.no_way_back")
    assert state.install.sentence.startswith("Nobody answered. The release before did not boot 3 times")
    assert effects[-3:] == [ev.Save(), ev.Discard(), ev.Report()]
    assert (state.floor, state.svn_floor) == (0, 0), "it was not confirmed"
    told = state.outcome(7, ARGS)
    assert told is not None
    assert (told.state, told.code) == (DirectiveState.REFUSED, "update.no_way_back")


def test_a_process_that_only_begins_anew_is_no_return() -> None:
    state = journal(Phase.REVERTED, boot="boot-2")
    for _ in range(2 * MOST_RETURNS):
        state, _ = step(state, ev.Started(NEXT_BOOT, "b", trial=True))
    assert state.under_way is not None
    assert (state.under_way.phase, state.under_way.returns) == (Phase.REVERTED, 0)


@pytest.mark.parametrize("phase", [Phase.REVERTING, Phase.REVERTED])
def test_where_the_way_back_did_not_boot_a_confirmation_is_heard_after_the_self_test_alone(phase: Phase) -> None:
    said = ev.Answered(7, Order.CONFIRM, 5)
    state = journal(phase, passed=True, after_seq=4, returns=1, code="update.fell_back_no_contact", sentence="Alone.")
    install, effects = fed(state, said)
    assert (install.phase, install.code, install.sentence) == (Phase.CONFIRMING, "", "")
    assert effects == [ev.Save()]
    done, _ = fed(state, said, ev.Ticked(NEXT_BOOT), ev.Confirmed())
    assert done.phase is Phase.CONFIRMED
    for other in ({"passed": False}, {"returns": 0}, {"after_seq": 5}, {"directive": 8}):
        changed = msgspec.structs.replace(state.install, **other)  # type: ignore[type-var]
        assert fed(Journal(install=changed), said)[0].phase is phase
    assert fed(state, ev.Answered(7, Order.WAIT, 5))[0].phase is phase


def test_the_model_of_a_device_is_of_what_runs_or_of_what_it_first_confirmed() -> None:
    ended = [(Phase.FAILED, "toy:9"), (Phase.CONFIRMED, "cam:1"), (Phase.CONFIRMED, "door:2")]
    state = Journal(tried=tuple(Tried(1, release, 0, phase) for phase, release in ended))
    assert model_of(state, "door-camera:2.0") == "door-camera"
    assert model_of(state, "") == model_of(state, "2.0") == "cam"
    assert model_of(Journal(), "2.0") == model_of(Journal(), "") == ""
