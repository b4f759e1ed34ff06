"""What a device's word, its proof and its silence make of its part: words alone never make it done."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.update.assignment import (
    FORGIVEN,
    HELD,
    Proof,
    heard,
    is_proved,
    order_for,
    overdue,
    unheard,
)
from holdfast_core.update.model import Assignment, Stage
from holdfast_core.wire.update import Order, Step, UpdateReport
from rollout_builders import DIRECTIVE, NEW, NEXT, OLD, after, an_assignment, says

SOAK = 3_600
MUTE = Proof(attests=False)
UNPROVED = Proof(attests=True)


def proof(seconds: float, release: str = NEW, **more) -> Proof:
    return Proof(attests=True, release=release, proved_at=after(seconds), **more)


def hear(before: Assignment, report: UpdateReport, known: Proof = UNPROVED, *, at: float = 60, soak: int = SOAK):
    return heard(before, report, known, directive=DIRECTIVE, soak_s=soak, now=after(at))


TRIED = an_assignment(Stage.TRIED, tried_at=after(50), at=after(50))
SOAKING = an_assignment(Stage.SOAKING, tried_at=after(50), at=after(60))
DONE = msgspec.structs.replace(SOAKING, stage=Stage.DONE)


@pytest.mark.parametrize(
    ("step", "runs", "stage"),
    [
        (Step.WAITING, OLD, Stage.DIRECTED),
        (Step.FETCHING, OLD, Stage.INSTALLING),
        (Step.FETCHED, OLD, Stage.INSTALLING),
        (Step.WRITING, OLD, Stage.INSTALLING),
        (Step.WRITTEN, OLD, Stage.INSTALLING),
        (Step.ARMED, OLD, Stage.INSTALLING),
        (Step.BOOTED, NEW, Stage.TRIED),
        (Step.CONFIRMED, NEW, Stage.TRIED),
        (Step.FAILED, OLD, Stage.FAILED),
        (Step.FELL_BACK, OLD, Stage.FELL_BACK),
        (Step.STOPPED, OLD, Stage.WITHDRAWN),
        # What does not fit together moves nothing.
        (Step.BOOTED, OLD, Stage.DIRECTED),
        (Step.CONFIRMED, OLD, Stage.DIRECTED),
        (None, OLD, Stage.DIRECTED),
        # It came by the release in another way.
        (None, NEW, Stage.TRIED),
    ],
)
def test_as_far_as_a_devices_own_word_goes(step, runs, stage):
    assert hear(an_assignment(), says(step, runs)).stage is stage


def test_an_attempt_under_another_number_or_at_another_release_changes_nothing():
    before = an_assignment()
    for report in (
        says(Step.FAILED, OLD, directive=DIRECTIVE - 1),
        says(Step.FAILED, OLD, release=NEXT),
        says(Step.FETCHING, OLD, directive=0),
    ):
        assert hear(before, report) == before
    undirected = heard(before, says(Step.FAILED, OLD, directive=0), UNPROVED, directive=0, soak_s=SOAK, now=after(60))
    assert undirected == before


def test_whoever_waits_is_moved_by_nothing_but_running_the_release():
    waiting = an_assignment(Stage.WAITING)
    assert hear(waiting, says(Step.FAILED, OLD)) == waiting
    assert hear(waiting, says(None, OLD)) == waiting
    assert hear(waiting, says(None, NEW)).stage is Stage.TRIED
    assert hear(waiting, says(None, NEW), MUTE).stage is Stage.SOAKING


def test_what_an_attempt_came_to_is_told_with_its_code():
    failed = hear(an_assignment(), says(Step.FAILED, OLD, code="update.disk", sentence="No room."))
    assert (failed.code, failed.sentence, failed.at) == ("update.disk", "No room.", after(60))
    assert hear(an_assignment(), says(Step.FELL_BACK, OLD)).code == "update.fell-back"


def test_done_takes_the_word_the_proof_and_the_time():
    tried = hear(an_assignment(), says(Step.BOOTED), at=60)
    assert (tried.stage, tried.tried_at) == (Stage.TRIED, after(60))
    assert order_for(tried, says(Step.BOOTED), UNPROVED, revert=False) is Order.WAIT
    known = proof(70)
    waits = hear(tried, says(Step.BOOTED), known, at=70)
    assert waits.stage is Stage.TRIED
    assert order_for(waits, says(Step.BOOTED), known, revert=False) is Order.CONFIRM
    soaking = hear(waits, says(Step.CONFIRMED), known, at=80)
    assert (soaking.stage, soaking.weak) == (Stage.SOAKING, False)
    assert hear(soaking, says(Step.CONFIRMED), known, at=80 + SOAK - 1).stage is Stage.SOAKING
    assert hear(soaking, says(Step.CONFIRMED), known, at=80 + SOAK).stage is Stage.DONE


def test_a_model_that_cannot_attest_is_done_by_its_word_and_marked_weak():
    done = hear(an_assignment(), says(Step.CONFIRMED), MUTE, soak=0)
    assert (done.stage, done.weak) == (Stage.DONE, True)


@pytest.mark.parametrize(
    ("known", "proves"),
    [
        (UNPROVED, False),
        (proof(49), False),
        (proof(50), True),
        (proof(60, OLD), False),
        (proof(60, ""), False),
        (proof(60), True),
        (MUTE, True),
    ],
)
def test_only_evidence_of_the_release_from_after_the_boot_proves_it(known, proves):
    assert is_proved(TRIED, known) is proves
    assert (hear(TRIED, says(Step.CONFIRMED), known).stage is Stage.SOAKING) is proves


def test_a_second_boot_needs_evidence_of_its_own():
    again = hear(TRIED, says(Step.WRITING, OLD), proof(55), at=70)
    assert again.stage is Stage.INSTALLING
    booted = hear(again, says(Step.CONFIRMED), proof(55), at=90)
    assert (booted.stage, booted.tried_at) == (Stage.TRIED, after(90))


@pytest.mark.parametrize("before", [TRIED, SOAKING, DONE])
def test_evidence_against_it_is_a_failure_and_has_it_fall_back(before):
    known = Proof(attests=True, against="attestation.boot")
    bad = hear(before, says(Step.BOOTED), known)
    assert (bad.stage, bad.code) == (Stage.FAILED, "attestation.boot")
    assert order_for(bad, says(Step.BOOTED), known, revert=False) is Order.REVERT


@pytest.mark.parametrize("before", [TRIED, SOAKING, DONE])
def test_evidence_against_what_it_ran_before_is_none_against_the_release(before):
    old = Proof(attests=True, against="attestation.boot", against_at=after(49))
    assert hear(before, says(Step.BOOTED), old).stage is before.stage
    assert order_for(before, says(Step.BOOTED), old, revert=False) is Order.WAIT
    fresh = msgspec.structs.replace(old, against_at=after(50))
    assert hear(before, says(Step.BOOTED), fresh).stage is Stage.FAILED


def test_a_device_that_is_not_well_while_it_soaks_failed_and_later_it_did_not():
    ill = proof(60, healthy=False)
    assert hear(SOAKING, says(Step.CONFIRMED), ill).code == "update.unhealthy"
    assert hear(SOAKING, says(Step.CONFIRMED), ill, at=9_999).stage is Stage.FAILED
    assert hear(DONE, says(Step.CONFIRMED), ill).stage is Stage.DONE


def test_a_device_that_is_not_well_is_not_told_to_confirm_so_it_falls_back_by_itself():
    assert order_for(TRIED, says(Step.BOOTED), proof(60, healthy=False), revert=False) is Order.WAIT
    assert order_for(TRIED, says(Step.BOOTED), proof(60, healthy=True), revert=False) is Order.CONFIRM


@pytest.mark.parametrize("before", [SOAKING, DONE])
@pytest.mark.parametrize("runs", [OLD, ""])
def test_who_leaves_the_release_for_an_older_one_fell_back(before, runs):
    assert hear(before, says(None, runs)).stage is Stage.FELL_BACK


@pytest.mark.parametrize(("before", "stage"), [(SOAKING, Stage.WITHDRAWN), (DONE, Stage.DONE)])
def test_who_leaves_the_release_for_a_newer_one_is_nobodys_fault(before, stage):
    assert hear(before, says(None, NEXT)).stage is stage


@pytest.mark.parametrize("before", [TRIED, SOAKING, DONE])
def test_one_that_proved_itself_is_told_to_confirm_again_when_it_forgot(before):
    assert order_for(before, says(Step.BOOTED), proof(60), revert=False) is Order.CONFIRM


def test_a_rollout_that_wants_those_on_trial_back_has_them_fall_back():
    assert order_for(TRIED, says(Step.BOOTED), proof(60), revert=True) is Order.REVERT
    assert order_for(TRIED, says(Step.CONFIRMED), proof(60), revert=True) is Order.WAIT


@pytest.mark.parametrize("report", [says(None), says(Step.WRITING, OLD), says(Step.BOOTED, NEXT, release=NEXT)])
def test_who_is_not_on_trial_of_this_release_is_told_to_wait(report):
    assert order_for(TRIED, report, proof(60), revert=True) is Order.WAIT


@pytest.mark.parametrize("stage", [Stage.FAILED, Stage.FELL_BACK])
def test_what_is_bad_stays_bad_until_somebody_tries_again(stage):
    bad = an_assignment(stage, tried_at=after(50))
    assert hear(bad, says(Step.CONFIRMED), proof(60)) == bad


@pytest.mark.parametrize("report", [says(Step.FAILED, OLD), says(None, OLD), says(Step.FELL_BACK, OLD), says(None, "")])
def test_a_device_that_was_forgiven_counts_as_done_whatever_it_runs(report):
    forgiven = an_assignment(Stage.DONE, code=FORGIVEN)
    assert hear(forgiven, report, Proof(attests=True, against="attestation.boot")) == forgiven


# Silence


@pytest.mark.parametrize("stage", list(Stage))
def test_silence_counts_against_those_that_something_was_begun_with(stage):
    silent = unheard(an_assignment(stage, tried_at=after(0)), after(0), patience_s=100, now=after(100))
    begun = stage in (Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED, Stage.SOAKING)
    assert (silent.stage is Stage.SILENT) == (begun or stage is Stage.SILENT)
    if begun:
        assert (silent.heard, silent.code) == (stage, "update.silent")


@pytest.mark.parametrize("seen", [None, after(-999), after(0)])
def test_silence_is_counted_from_when_it_was_directed_or_last_heard_of(seen):
    assert unheard(an_assignment(), seen, patience_s=100, now=after(99)).stage is Stage.DIRECTED
    assert unheard(an_assignment(), seen, patience_s=100, now=after(100)).stage is Stage.SILENT
    assert unheard(an_assignment(), after(50), patience_s=100, now=after(149)).stage is Stage.DIRECTED


@pytest.mark.parametrize("before", [an_assignment(), an_assignment(Stage.INSTALLING), TRIED, SOAKING])
def test_who_speaks_again_stands_where_it_stood(before):
    silent = unheard(before, after(60), patience_s=100, now=after(200))
    report = says(Step.WAITING, OLD) if before.tried_at is None else says(Step.CONFIRMED)
    back = hear(silent, report, at=300)
    assert (back.stage, back.code, back.tried_at) == (before.stage, "", before.tried_at)


def test_the_soak_begins_anew_after_silence():
    silent = unheard(SOAKING, after(60), patience_s=100, now=after(200))
    assert hear(silent, says(Step.CONFIRMED), proof(60), at=60 + SOAK).stage is Stage.SOAKING
    assert hear(silent, says(Step.CONFIRMED), proof(60), at=60 + SOAK).at == after(60 + SOAK)


def test_who_speaks_again_may_say_that_it_fell_back():
    silent = unheard(an_assignment(Stage.INSTALLING), after(60), patience_s=100, now=after(200))
    assert hear(silent, says(Step.FELL_BACK, OLD), at=300).stage is Stage.FELL_BACK


# Deadlines


@pytest.mark.parametrize("stage", list(Stage))
def test_who_checks_in_and_never_confirms_failed(stage):
    before = an_assignment(stage)
    assert overdue(before, deadline_s=100, now=after(99)) == before
    is_late = stage in (Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED)
    assert (overdue(before, deadline_s=100, now=after(100)).code == "update.overdue") == is_late


@pytest.mark.parametrize("code", ["update.window", "update.battery"])
def test_a_guard_holds_a_device_back_for_long_and_not_for_ever(code):
    held = hear(an_assignment(), says(Step.WAITING, OLD, code=code))
    assert overdue(held, deadline_s=100, now=after(100 * HELD - 1)) == held
    assert overdue(held, deadline_s=100, now=after(100 * HELD)).stage is Stage.FAILED


def test_a_guard_that_let_go_excuses_nobody():
    let_go = hear(hear(an_assignment(), says(Step.WAITING, OLD, code="update.window")), says(Step.WAITING, OLD))
    assert overdue(let_go, deadline_s=100, now=after(100)).stage is Stage.FAILED
    installing = hear(hear(an_assignment(), says(Step.WAITING, OLD, code="update.window")), says(Step.WRITING, OLD))
    assert overdue(installing, deadline_s=100, now=after(100)).stage is Stage.FAILED


def test_nobody_is_late_who_need_not_have_called_yet():
    assert overdue(an_assignment(), deadline_s=100, patience_s=700, now=after(699)).stage is Stage.DIRECTED
    assert overdue(an_assignment(), deadline_s=100, patience_s=700, now=after(700)).stage is Stage.FAILED


# Whatever comes

reports = st.builds(
    says,
    st.sampled_from([None, *Step]),
    st.sampled_from([OLD, NEW, NEXT, ""]),
    directive=st.sampled_from([0, DIRECTIVE - 1, DIRECTIVE]),
    release=st.sampled_from([OLD, NEW]),
    code=st.sampled_from(["", "update.window"]),
    percent=st.integers(0, 100),
)
stale = st.builds(
    Proof,
    attests=st.just(value=True),
    release=st.sampled_from(["", OLD, NEW]),
    proved_at=st.one_of(st.none(), st.integers(-1_000, 0).map(after)),
    against=st.sampled_from(["", "attestation.boot"]),
    healthy=st.sampled_from([None, True, False]),
)
beginnings = st.sampled_from([Stage.WAITING, Stage.DIRECTED, Stage.WITHDRAWN, Stage.INSTALLING])


@given(beginnings, st.lists(st.tuples(reports, stale, st.integers(1, 9_000), st.booleans()), max_size=30))
def test_no_words_make_a_device_that_can_attest_done(stage, words):
    """Reports forged in any order, with silences between them, and evidence from before it was directed."""
    now, at = 0, an_assignment(stage)
    for report, known, passes, falls_silent in words:
        now += passes
        if falls_silent:
            at = unheard(at, after(now - passes), patience_s=1, now=after(now))
        at = hear(at, report, known, at=now, soak=0)
        assert at.stage not in (Stage.SOAKING, Stage.DONE)
        assert order_for(at, report, known, revert=False) is not Order.CONFIRM
        assert at.code != FORGIVEN


any_proof = st.builds(
    Proof,
    st.booleans(),
    st.sampled_from(["", OLD, NEW, NEXT]),
    st.one_of(st.none(), st.integers(-1_000, 20_000).map(after)),
    st.sampled_from(["", "attestation.boot"]),
    st.sampled_from([None, True, False]),
    st.one_of(st.none(), st.integers(-1_000, 20_000).map(after)),
)


@given(st.sampled_from(Stage), st.lists(st.tuples(reports, any_proof, st.integers(0, 900)), max_size=30))
def test_what_comes_after_what(stage, words):
    """Done only out of soaking, soaking only out of a trial with its proof; bad is left by nobody's word."""
    now, at = 0, an_assignment(stage, tried_at=after(0))
    for report, known, passes in words:
        now += passes
        moved = hear(at, report, known, at=now, soak=600)
        if at.stage.is_bad:
            assert moved == at
        if moved.stage is Stage.SOAKING and at.stage not in (Stage.SOAKING, Stage.SILENT):
            assert report.running.release == NEW
            assert moved.weak != known.attests
            assert is_proved(moved, known)
        if moved.stage is Stage.DONE and at.stage is not Stage.DONE:
            assert at.stage is Stage.SOAKING
            assert moved.at - at.at >= 600_000
        assert moved.at == (at.at if moved.stage is at.stage else after(now)) or at.stage is Stage.SILENT
        again = hear(moved, report, known, at=now, soak=600)
        assert again.stage is moved.stage or {moved.stage, again.stage} <= {Stage.SOAKING, Stage.FAILED}
        at = moved


@given(st.permutations([says(Step.FETCHING, OLD), says(Step.WRITING, OLD), says(Step.ARMED, OLD), says(None, OLD)]))
def test_the_order_in_which_early_reports_arrive_does_not_matter(early):
    at = an_assignment()
    for turn, report in enumerate(early):
        at = hear(at, report, at=10 + turn)
    booted = hear(at, says(Step.BOOTED), at=60)
    assert msgspec.structs.replace(booted, percent=0) == msgspec.structs.replace(
        hear(an_assignment(), says(Step.BOOTED), at=60), percent=0
    )


def test_proof_may_come_with_the_word_or_after_it():
    together = hear(an_assignment(), says(Step.CONFIRMED), proof(60), at=60)
    apart = hear(hear(an_assignment(), says(Step.CONFIRMED), at=60), says(Step.CONFIRMED), proof(60), at=60)
    assert together == apart
    assert together.stage is Stage.SOAKING
