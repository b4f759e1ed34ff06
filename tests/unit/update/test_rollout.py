"""When a rollout goes on and when it stops: thresholds in small and large waves, silence, and that nothing hangs."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast_core.update.model import RolloutState, Stage, Thresholds, Wave
from holdfast_core.update.rollout import Tally, Verb, judge, may_begin, tally
from rollout_builders import WAVES, a_rollout


def outcome(*tallies: Tally, wave: int = 0, thresholds: Thresholds | None = None, waves=WAVES) -> tuple[Verb, str]:
    """What follows, and the code of why."""
    filled = (*tallies, *(Tally(waiting=10) for _ in waves[len(tallies) :]))
    judged = judge(a_rollout(*waves, wave=wave, thresholds=thresholds), filled)
    return judged.verb, judged.reason.code if judged.reason else ""


STAY, OPEN = (Verb.STAY, ""), (Verb.OPEN, "")
FAILURES, SILENCE = (Verb.HALT, "rollout.failures"), (Verb.HALT, "rollout.silence")
TROUBLE = (Verb.HALT, "rollout.trouble")
SHORT, AWAY = (Verb.HALT, "rollout.short"), (Verb.HALT, "rollout.away")


@pytest.mark.parametrize(
    ("wave", "expected"),
    [
        # A canary wave of one.
        (Tally(waiting=1), STAY),
        (Tally(directed=1), STAY),
        (Tally(tried=1), STAY),
        (Tally(soaking=1), STAY),
        (Tally(done=1), OPEN),
        (Tally(failed=1), FAILURES),
        (Tally(fell_back=1), FAILURES),
        (Tally(silent=1), SILENCE),
        (Tally(withdrawn=1), SHORT),
        (Tally(waiting=1, away=1), AWAY),
        # Of three and of six.
        (Tally(done=2, soaking=1), STAY),
        (Tally(done=3), OPEN),
        (Tally(done=2, failed=1), FAILURES),
        (Tally(done=5, soaking=1), STAY),
        (Tally(done=5, silent=1), SILENCE),
        (Tally(done=5, waiting=1, away=1), OPEN),
        (Tally(done=5, withdrawn=1), SHORT),
        (Tally(waiting=6), STAY),
        (Tally(waiting=6, away=5), STAY),
        # Nobody at all: a share of a small fleet.
        (Tally(), OPEN),
        # Of a hundred: three are no ground to stop for, four are.
        (Tally(done=97, failed=3), OPEN),
        (Tally(done=97, silent=3), OPEN),
        (Tally(done=97, failed=2, silent=1), OPEN),
        (Tally(done=96, failed=2, silent=2), TROUBLE),
        (Tally(done=90, failed=2, silent=1, withdrawn=7), SHORT),
        (Tally(done=96, failed=3, fell_back=1), FAILURES),
        (Tally(waiting=61, directed=35, failed=4), FAILURES),
        (Tally(done=96, silent=4), SILENCE),
        (Tally(done=96, soaking=4), OPEN),
        (Tally(done=95, soaking=5), STAY),
    ],
)
def test_the_first_wave(wave, expected):
    assert outcome(wave) == expected


@pytest.mark.parametrize(
    ("wave", "expected"),
    [
        # Failures are reported sooner than successes: six at once out of a thousand that have begun say nothing.
        (Tally(waiting=8_000, directed=900, installing=94, failed=6), STAY),
        (Tally(waiting=8_000, directed=900, installing=60, failed=40), FAILURES),
        # Those that only wait for their window have not begun.
        (Tally(waiting=8_000, directed=900, held=900, installing=94, failed=6), FAILURES),
        # Too few failed, or too few began.
        (Tally(waiting=8_975, installing=20, failed=5), STAY),
        (Tally(waiting=8_974, installing=20, failed=6), FAILURES),
        (Tally(waiting=8_981, failed=19), STAY),
        (Tally(waiting=8_980, failed=20), FAILURES),
        (Tally(waiting=8_980, silent=20), SILENCE),
        (Tally(waiting=8_850, soaking=145, silent=5), STAY),
        (Tally(waiting=8_850, soaking=144, silent=6), SILENCE),
        (Tally(waiting=8_850, soaking=144, silent=2, failed=4), TROUBLE),
    ],
)
def test_a_share_of_those_that_have_begun(wave, expected):
    assert outcome(Tally(done=100), Tally(done=900), wave, wave=2) == expected


@pytest.mark.parametrize(
    ("failed", "silent", "wave", "expected"),
    [
        (20.0, 2.0, Tally(done=97, silent=2, failed=1), SILENCE),
        (20.0, 2.0, Tally(done=90, silent=1, failed=9), OPEN),
        (5.0, 20.0, Tally(done=90, silent=6, failed=4), OPEN),
        (5.0, 20.0, Tally(done=80, silent=16, failed=4), TROUBLE),
    ],
)
def test_thresholds_that_differ(failed, silent, wave, expected):
    limits = Thresholds(failed=failed, silent=silent, succeeded=80.0)
    assert outcome(wave, thresholds=limits) == expected


def test_a_wave_that_went_bad_after_the_next_opened_halts_too():
    judged = judge(a_rollout(wave=1), (Tally(done=90, failed=10), Tally(waiting=10), Tally()))
    assert (judged.verb, judged.wave) == (Verb.HALT, 0)


def test_a_wave_that_is_not_open_is_not_judged():
    assert outcome(Tally(done=1), Tally(failed=9), Tally(failed=9)) == OPEN


def test_the_last_wave_finishes():
    assert outcome(Tally(done=1), Tally(done=1), Tally(done=96, soaking=4), wave=2) == (Verb.FINISH, "")
    assert outcome(Tally(done=1), Tally(done=1), Tally(waiting=9, away=9), wave=2) == (Verb.FINISH, "")
    assert outcome(Tally(waiting=9, away=9), waves=WAVES[:1]) == AWAY
    assert outcome(Tally(), waves=WAVES[:1]) == (Verb.FINISH, "")


def test_the_defaults_leave_a_wave_that_has_settled_good_or_bad_unless_devices_were_called_off():
    for size in range(1, 400):
        for lost in range(size + 1):
            assert outcome(Tally(done=size - lost, failed=lost - lost // 2, silent=lost // 2)) != SHORT


def test_what_is_finished_only_halts():
    finished = a_rollout(wave=2, state=RolloutState.FINISHED)
    good = (Tally(done=1), Tally(done=1))
    assert judge(finished, (*good, Tally(done=8, withdrawn=2))).verb is Verb.STAY
    assert judge(finished, (*good, Tally(waiting=9, away=9))).verb is Verb.STAY
    assert judge(finished, (*good, Tally(done=9, fell_back=1))).verb is Verb.HALT


@pytest.mark.parametrize(
    ("state", "wave", "may"),
    [
        (RolloutState.DRAFT, 0, False),
        (RolloutState.RUNNING, 0, True),
        (RolloutState.RUNNING, 1, True),
        (RolloutState.RUNNING, 2, False),
        (RolloutState.PAUSED, 0, False),
        (RolloutState.HALTED, 0, False),
        (RolloutState.ABORTED, 0, False),
        (RolloutState.FINISHED, 0, True),
    ],
)
def test_devices_are_begun_with_in_open_waves_of_a_rollout_that_goes_on(state, wave, may):
    assert may_begin(a_rollout(state=state, wave=1), wave, Tally(), 0) is may


@pytest.mark.parametrize(
    ("counted", "in_hour", "may"),
    [
        (Tally(directed=4), 0, True),
        (Tally(directed=2, installing=1, tried=2), 0, False),
        (Tally(soaking=9, done=9, failed=9), 0, True),
        (Tally(silent=50), 0, True),
        (Tally(), 9, True),
        (Tally(), 10, False),
    ],
)
def test_no_more_are_begun_with_than_may_be_under_way_or_in_an_hour(counted, in_hour, may):
    assert may_begin(a_rollout(Wave("all", at_once=5, per_hour=10)), 0, counted, in_hour) is may


def test_a_tally_counts_every_stage_once():
    counted = tally([*Stage, *Stage], away=1, held=1)
    assert counted.all == 2 * len(Stage)
    assert counted.members == counted.all - 1
    assert counted.exposed == 2 * sum(stage.is_exposed for stage in Stage)
    assert counted.begun == counted.exposed - 1
    assert counted.bad == 2 * sum(stage.is_bad for stage in Stage)


FIELDS = ("waiting", "directed", "installing", "tried", "soaking", "done", "failed", "fell_back", "silent", "withdrawn")
few = st.one_of(st.integers(0, 4), st.integers(0, 300))


@st.composite
def tallies(draw) -> Tally:
    counts = {name: draw(few) for name in FIELDS}
    away = draw(st.integers(0, counts["waiting"]))
    return Tally(**counts, away=away, held=draw(st.integers(0, counts["directed"])))


@st.composite
def settled(draw) -> Tally:
    """A wave in which nobody moves any more: all have settled, are gone or silent."""
    found = draw(tallies())
    return msgspec.structs.replace(found, waiting=found.away, directed=0, held=0, installing=0, tried=0, soaking=0)


thresholds = st.builds(
    Thresholds,
    failed=st.floats(0.1, 100),
    silent=st.floats(0.1, 100),
    least=st.integers(1, 50),
    sample=st.integers(1, 100),
    succeeded=st.floats(0.1, 100),
)
three = st.tuples(tallies(), tallies(), tallies())


@given(three, thresholds, st.integers(0, 2))
def test_nothing_goes_on_while_an_open_wave_is_bad_or_untried(counted, limits, wave):
    rollout = a_rollout(wave=wave, thresholds=limits)
    judged = judge(rollout, counted)
    for one in counted[: wave + 1]:
        most = max(limits.failed, limits.silent)
        for bad, share in ((one.bad, limits.failed), (one.silent, limits.silent), (one.bad + one.silent, most)):
            if bad and bad * 100 >= share * one.members:
                assert judged.verb is Verb.HALT
    if judged.verb in (Verb.OPEN, Verb.FINISH) and counted[wave].members:
        assert counted[wave].done
        assert counted[wave].done * 100 >= limits.succeeded * counted[wave].members
    if judged.verb is Verb.OPEN:
        assert counted[wave].members or not counted[wave].all
    assert (judged.reason is not None) == (judged.verb is Verb.HALT)
    assert judged.verb is not Verb.OPEN or wave < 2
    assert judged.verb is not Verb.FINISH or wave == 2


@given(tallies(), tallies(), settled(), thresholds, st.integers(0, 2))
def test_no_rollout_stays_where_nothing_moves(first, second, last, limits, wave):
    counted = [first, second, first]
    counted[wave] = last
    assert judge(a_rollout(wave=wave, thresholds=limits), counted).verb is not Verb.STAY


@given(three, thresholds, st.integers(0, 2), st.integers(1, 100))
def test_devices_that_are_away_change_nothing_while_others_are_there(counted, limits, wave, away):
    assume(all(one.members for one in counted))
    more = [msgspec.structs.replace(one, waiting=one.waiting + away, away=one.away + away) for one in counted]
    rollout = a_rollout(wave=wave, thresholds=limits)
    assert judge(rollout, counted) == judge(rollout, more)


@given(three, thresholds, st.integers(0, 2), st.sampled_from(["directed", "installing", "tried", "soaking", "done"]))
def test_one_that_fails_instead_never_makes_a_rollout_go_on(counted, limits, wave, field):
    one = counted[wave]
    assume(getattr(one, field) and one.held < one.directed)
    worse = list(counted)
    worse[wave] = msgspec.structs.replace(one, **{field: getattr(one, field) - 1, "failed": one.failed + 1})
    rollout = a_rollout(wave=wave, thresholds=limits)
    before, after = judge(rollout, counted), judge(rollout, worse)
    assert before.verb is not Verb.HALT or after.verb is Verb.HALT
    assert after.verb in (before.verb, Verb.HALT, Verb.STAY)


@given(st.lists(st.sampled_from(Stage), max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_devices_does_not_matter(stages, random):
    mixed = list(stages)
    random.shuffle(mixed)
    assert tally(stages) == tally(mixed)


@pytest.mark.parametrize("size", [1, 3, 6, 20, 100])
def test_a_fleet_that_fails_whole_halts_in_its_first_wave_whatever_its_size(size):
    """One after another fails; at the latest all of them have."""
    halted = next(bad for bad in range(1, size + 1) if outcome(Tally(waiting=size - bad, failed=bad))[0] is Verb.HALT)
    assert halted == max(1, min(size, 20, -(-size * 4 // 100)))
