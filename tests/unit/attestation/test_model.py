"""The trustworthiness vector and its tiers, as AR4SI has them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.attestation.model import DeviceState, Vector, tier_of
from holdfast_core.kernel.appraisals import Tier

CLAIMS = Vector.__struct_fields__


@pytest.mark.parametrize(
    ("claims", "tier"),
    [
        ((0, 1, -1), Tier.NONE),
        ((2, 3, 31, -2, -31), Tier.AFFIRMING),
        ((32, 33, 36, 95, -32, -95), Tier.WARNING),
        ((96, 97, 99, 127, -96, -128), Tier.CONTRAINDICATED),
    ],
)
def test_the_tiers_of_one_claim(claims, tier):
    """Draft-ietf-rats-ar4si-09, section 2.3.2: 2 to 31, 32 to 95, 96 to 127, and the same below zero."""
    assert {tier_of(claim) for claim in claims} == {tier}


def test_nothing_claimed_is_none():
    assert Vector().tier is Tier.NONE


@pytest.mark.parametrize("name", CLAIMS)
def test_each_claim_alone_decides(name):
    assert Vector(**{name: 2}).tier is Tier.AFFIRMING
    assert Vector(**{name: 32}).tier is Tier.WARNING
    assert Vector(**{name: 96}).tier is Tier.CONTRAINDICATED
    good = dict.fromkeys(CLAIMS, 2)
    assert Vector(**good | {name: 96}).tier is Tier.CONTRAINDICATED
    assert Vector(**good | {name: 33}).tier is Tier.WARNING


@given(st.lists(st.integers(-128, 127), min_size=8, max_size=8))
def test_the_tier_of_the_whole_is_that_of_its_worst(values):
    order = [Tier.NONE, Tier.AFFIRMING, Tier.WARNING, Tier.CONTRAINDICATED]
    assert Vector(*values).tier is max((tier_of(value) for value in values), key=order.index)


def test_what_is_remembered_at_first_is_small_and_reads_back():
    data = msgspec.msgpack.encode(DeviceState())
    assert len(data) < 100
    assert msgspec.msgpack.decode(data, type=DeviceState) == DeviceState()
