"""Directives: numbered for ever, one open a kind, never again what was settled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.posture import Desired, wish
from holdfast_core.wire.frame import DirectiveReport, DirectiveState

NOW = Instant(1)
AUDIT, PLAN_A, PLAN_B = wish("audit-now", b"{}"), wish("plan", b'{"a":1}'), wish("plan", b'{"a":2}')


def settle(desired, number, state=DirectiveState.DONE):
    return desired.report(DirectiveReport(number, state))


def test_an_open_wish_is_not_wanted_again():
    desired = Desired().issue(PLAN_A, by="server", now=NOW)
    assert not desired.wants(PLAN_A)
    assert desired.wants(PLAN_B)


def test_the_newest_wish_of_a_kind_withdraws_the_older():
    desired = Desired().issue(PLAN_A, by="server", now=NOW).issue(PLAN_B, by="server", now=NOW)
    assert [(d.id, bytes(d.args)) for d in desired.directives()] == [(2, b'{"a":2}')]


def test_a_refusal_is_not_asked_again_until_the_wish_changes():
    desired = settle(Desired().issue(PLAN_A, by="server", now=NOW), 1, DirectiveState.REFUSED)
    assert desired.open == ()
    assert not desired.wants(PLAN_A)
    assert desired.wants(PLAN_B)


def test_accepted_stays_open():
    desired = settle(Desired().issue(AUDIT, by="token:a", now=NOW), 1, DirectiveState.ACCEPTED)
    assert [entry.accepted for entry in desired.open] == [True]


def test_a_report_on_what_is_not_open_changes_nothing():
    desired = settle(Desired().issue(AUDIT, by="token:a", now=NOW), 1)
    assert settle(desired, 1) is desired
    assert settle(desired, 99) is desired


steps = st.lists(
    st.one_of(
        st.sampled_from([AUDIT, PLAN_A, PLAN_B]),
        st.builds(DirectiveReport, st.integers(0, 12), st.sampled_from(DirectiveState)),
    ),
    max_size=30,
)


@given(steps)
def test_numbers_rise_and_kinds_are_open_once(sequence):
    desired, highest = Desired(), 0
    for step in sequence:
        if isinstance(step, DirectiveReport):
            desired = desired.report(step)
        elif desired.wants(step):
            desired = desired.issue(step, by="server", now=NOW)
            assert desired.open[-1].id > highest
            highest = desired.open[-1].id
        kinds = [entry.wish.kind for entry in desired.open]
        assert len(kinds) == len(set(kinds))
        assert len({entry.kind for entry in desired.settled}) == len(desired.settled)
