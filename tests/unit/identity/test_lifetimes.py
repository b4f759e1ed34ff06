"""How long certificates live and when they are renewed, and that a fleet born together spreads."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.lifetimes import ends_at, renewal_due
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND, Instant

keys = st.binary(max_size=8).map(digest_of)
births = st.integers(0, 4_000_000_000_000).map(Instant)
days = st.integers(7, 30)


@given(keys, births, days)
def test_a_life_is_three_quarters_of_the_models_to_all_of_it(spki, born, leaf_days):
    life = ends_at(spki, born, leaf_days) - born
    assert 0.75 * leaf_days * DAY - SECOND <= life <= leaf_days * DAY
    assert ends_at(spki, born, leaf_days) % SECOND == 0


@given(keys, births, days)
def test_due_in_the_third_quarter_of_its_own_life(spki, born, leaf_days):
    end = ends_at(spki, born, leaf_days)
    share = (renewal_due(spki, born, end) - born) / (end - born)
    assert 0.5 <= share <= 0.75


@given(keys, births, days)
def test_a_quarter_of_the_models_life_is_left_when_due(spki, born, leaf_days):
    end = ends_at(spki, born, leaf_days)
    assert end - renewal_due(spki, born, end) >= leaf_days * DAY // 4 - 2 * SECOND


@given(keys, births, days)
def test_the_moment_of_birth_within_its_second_changes_nothing_but_that(spki, born, leaf_days):
    second = Instant(born - born % SECOND)
    assert abs(ends_at(spki, born, leaf_days) - ends_at(spki, second, leaf_days)) <= SECOND


def _due(number, generation, born):
    spki = digest_of(f"{number} {generation}".encode())
    return renewal_due(spki, born, ends_at(spki, born, 14))


def test_a_fleet_born_together_never_renews_at_twice_its_mean_rate():
    """20,000 certificates within ten minutes, five generations, counted in sixths of a day."""
    counts = Counter()
    fleet = 20_000
    last = 0
    for number in range(fleet):
        born = Instant(number * 10 * MINUTE // fleet)
        for generation in range(5):
            born = _due(number, generation, born)
            counts[born // (4 * HOUR)] += 1
        last = born if not number else min(last, born)
    # Up to the earliest fifth renewal every generation is counted whole.
    whole = {bucket: count for bucket, count in counts.items() if bucket < last // (4 * HOUR)}
    mean = sum(whole.values()) / (max(whole) - min(whole) + 1)
    assert max(whole.values()) < 2 * mean


def test_the_same_key_renewed_falls_due_at_another_share_of_its_next_life():
    spki = digest_of(b"a chip's")
    first, second = Instant(0), Instant(10 * DAY)
    shares = [(renewal_due(spki, b, ends_at(spki, b, 14)) - b) for b in (first, second)]
    assert shares[0] != shares[1]
