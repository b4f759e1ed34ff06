"""A rollover as a machine: whatever the steps, there is one active issuer, and what it certified is trusted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.issuers import FIRST, Issuers, IssuerState, Rollover, Standing
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant

SCOPE = Scope("acme", "production")


def stepped(issuers: Issuers, step: Rollover, now: int) -> Issuers:
    """The issuers after `step`, as the store would give them back."""
    match step:
        case Rollover.BEGIN:
            changed: tuple[IssuerState, ...] = (issuers.begin(Instant(now)),)
        case Rollover.SWITCH:
            changed = issuers.switch(Instant(now))
        case Rollover.END:
            changed = (issuers.end(Instant(now)),)
    known = {state.id: state for state in (*issuers.states, *changed)}
    return Issuers.of(SCOPE, tuple(known.values()))


def standings(issuers: Issuers) -> dict[int, Standing]:
    return {state.number: state.standing for state in issuers.states}


def test_a_scope_without_a_record_has_its_first_issuer() -> None:
    issuers = Issuers.of(SCOPE, ())
    assert issuers.active == FIRST
    assert issuers.trusted == (FIRST,)
    assert issuers.standing(2) is Standing.DISTRUSTED


def test_a_rollover_is_a_then_a_and_b_then_b() -> None:
    issuers = Issuers.of(SCOPE, ())
    issuers = stepped(issuers, Rollover.BEGIN, 1)
    assert (issuers.active, issuers.trusted) == (1, (1, 2))
    issuers = stepped(issuers, Rollover.SWITCH, 2)
    assert (issuers.active, issuers.trusted) == (2, (1, 2))
    assert standings(issuers) == {1: Standing.RETIRING, 2: Standing.ACTIVE}
    issuers = stepped(issuers, Rollover.END, 3)
    assert (issuers.active, issuers.trusted) == (2, (2,))


def test_a_rollover_that_was_begun_can_be_given_up() -> None:
    issuers = stepped(stepped(Issuers.of(SCOPE, ()), Rollover.BEGIN, 1), Rollover.END, 2)
    assert (issuers.active, issuers.trusted) == (1, (1,))
    assert stepped(issuers, Rollover.BEGIN, 3).trusted == (1, 3)


@pytest.mark.parametrize("step", [Rollover.SWITCH, Rollover.END])
def test_the_active_issuer_is_never_taken_away(step: Rollover) -> None:
    with pytest.raises(HostileData) as refused:
        stepped(Issuers.of(SCOPE, ()), step, 1)
    assert refused.value.code == "authority.rollover"


@given(st.lists(st.sampled_from(list(Rollover)), max_size=30))
def test_whatever_is_tried_one_issuer_is_active_and_trusted(steps: list[Rollover]) -> None:
    issuers, refused = Issuers.of(SCOPE, ()), 0
    for number, step in enumerate(steps):
        try:
            issuers = stepped(issuers, step, number)
        except HostileData:
            refused += 1
        found = list(standings(issuers).values())
        assert found.count(Standing.ACTIVE) == 1
        assert found.count(Standing.NEXT) + found.count(Standing.RETIRING) <= 1
        assert issuers.active in issuers.trusted
        assert len(issuers.trusted) <= 2
    assert refused <= len(steps)
