"""Sealed secrets as values: what a device must be for one to be released, and that only that opens."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.attestation import sealed
from holdfast_core.attestation.affirmed import Shortfall, lack_of
from holdfast_core.attestation.model import DeviceState, Freshness
from holdfast_core.attestation.sealed import Facts, SealedSecret
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import DeviceId, Scope
from holdfast_core.kernel.instants import HOUR, MINUTE, Instant
from holdfast_core.kernel.reasons import Reason

NOW = Instant(1_795_000_000_000)
CAM = DeviceId("cam-1")
SECRET = SealedSecret(
    Scope("acme", "production"),
    sealed.sealed_id(CAM, "disk"),
    device=CAM,
    name="disk",
    sealed=b"sealed",
    size=32,
    made_at=NOW,
    by="token:robot",
)
WRONG = Reason("attestation.secure_boot_off", "Secure Boot is off.", "Switch it on.")
FRESH = DeviceState(freshness=Freshness.FRESH)


def appraisal(tier=Tier.AFFIRMING, until=NOW + HOUR, reasons=(WRONG,)):
    return Appraisal("attestation", tier, reasons, NOW, Instant(until))


GOOD = Facts(
    device=CAM,
    lifecycle=Lifecycle.ACTIVE,
    held=False,
    identified=True,
    against=(),
    appraisal=appraisal(),
    state=FRESH,
)


def but(**changes):
    return msgspec.structs.replace(GOOD, **changes)


def test_control_a_device_that_is_affirmed_has_its_secret():
    assert sealed.check_release(SECRET, GOOD, NOW) is SECRET


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        (but(appraisal=None), "sealed.not_attested"),
        (but(appraisal=None, state=DeviceState()), "sealed.not_attested"),
        (but(state=DeviceState()), "sealed.not_attested"),
        (but(appraisal=appraisal(until=NOW)), "sealed.stale"),
        (but(state=DeviceState(freshness=Freshness.STALE)), "sealed.stale"),
        (but(state=DeviceState(freshness=Freshness.PENDING)), "sealed.pending"),
        (but(state=DeviceState(freshness=Freshness.FRESH, refused=WRONG)), "sealed.pending"),
        (but(appraisal=appraisal(Tier.NONE)), "sealed.not_affirming"),
        (but(appraisal=appraisal(Tier.WARNING)), "sealed.not_affirming"),
        (but(appraisal=appraisal(Tier.CONTRAINDICATED)), "sealed.not_affirming"),
        (but(held=True), "sealed.held"),
        (but(identified=False), "sealed.held"),
        (but(lifecycle=Lifecycle.UNMANAGED), "sealed.held"),
        (but(lifecycle=Lifecycle.RETIRING), "sealed.held"),
        (but(lifecycle=Lifecycle.RETIRED), "sealed.held"),
        (but(against=(WRONG,)), "sealed.quarantined"),
    ],
)
def test_any_one_thing_keeps_it_sealed_and_says_what_mends_that(facts, code):
    for secret in (SECRET, None):  # who may not have it is not told whether it is there
        with pytest.raises(IdentityRefused) as refusal:
            sealed.check_release(secret, facts, NOW)
        assert (refusal.value.code, refusal.value.http_status) == (code, 403)
        assert refusal.value.sentence.startswith("cam-1 ")
        assert refusal.value.remedy.endswith(".")


def test_the_refusal_names_the_tier_and_the_first_reason():
    with pytest.raises(IdentityRefused) as refusal:
        sealed.check_release(SECRET, but(appraisal=appraisal(Tier.WARNING)), NOW)
    assert "warning (attestation.secure_boot_off)" in refusal.value.sentence
    assert refusal.value.remedy == "Switch it on."
    with pytest.raises(IdentityRefused) as refusal:
        sealed.check_release(SECRET, but(appraisal=appraisal(Tier.NONE, reasons=())), NOW)
    assert "its appraisal is none;" in refusal.value.sentence
    assert "holdfast attest show" in refusal.value.remedy


def test_one_that_is_not_there():
    with pytest.raises(HostileData) as refusal:
        sealed.check_release(None, GOOD, NOW)
    assert (refusal.value.code, refusal.value.http_status) == ("sealed.unknown", 404)


def test_of_all_that_a_device_can_be_only_one_kind_opens():
    opened = []
    every = itertools.product(Lifecycle, (True, False), (True, False), (None, *Tier), Freshness, (None, WRONG))
    for lifecycle, held, identified, tier, freshness, refused in every:
        facts = but(
            lifecycle=lifecycle,
            held=held,
            identified=identified,
            appraisal=appraisal(tier) if tier is not None else None,
            state=DeviceState(freshness=freshness, refused=refused),
        )
        try:
            sealed.check_release(SECRET, facts, NOW)
        except IdentityRefused:
            continue
        opened.append((lifecycle, held, identified, tier, freshness, refused))
    living = (Lifecycle.EXPECTED, Lifecycle.ENROLLED, Lifecycle.ACTIVE)
    assert opened == [(life, False, True, Tier.AFFIRMING, Freshness.FRESH, None) for life in living]


@given(st.integers(-HOUR, 3 * HOUR), st.integers(0, 2 * HOUR), st.sampled_from(Tier))
def test_what_has_lapsed_never_counts_and_what_has_not_counts_by_its_tier(later, life, tier):
    now = Instant(NOW + later)
    lack = lack_of(appraisal(tier, NOW + life), FRESH, now)
    if later >= life:
        assert lack is not None
        assert lack.shortfall is Shortfall.STALE
    else:
        assert (lack is None) == (tier is Tier.AFFIRMING)


@pytest.mark.parametrize("name", ["", "Disk", "a/b", "..", "a..b", "-a", "a" * 64, "é", "a\n", "a b"])
def test_a_name_that_cannot_be(name):
    with pytest.raises(HostileData) as refusal:
        sealed.parse_secret(name, b"x")
    assert refusal.value.code == "name.invalid"


def test_its_size_is_bounded_at_both_ends():
    assert sealed.parse_secret("disk", bytes(sealed.LARGEST)) == "disk"
    with pytest.raises(LimitExceeded) as refusal:
        sealed.parse_secret("disk", bytes(sealed.LARGEST + 1))
    assert refusal.value.code == "sealed.too_large"
    with pytest.raises(HostileData) as refusal:
        sealed.parse_secret("disk", b"")
    assert refusal.value.code == "sealed.empty"


def test_a_device_has_room_for_so_many():
    sealed.check_room(sealed.MOST_PER_DEVICE - 1)
    with pytest.raises(LimitExceeded) as refusal:
        sealed.check_room(sealed.MOST_PER_DEVICE)
    assert (refusal.value.code, refusal.value.http_status) == ("sealed.too_many", 409)


def test_its_context_is_its_own():
    scope, other = Scope("acme", "production"), Scope("acme", "test")
    places = itertools.product((scope, other), (CAM, DeviceId("cam-2")), ("disk", "vpn"), (NOW, Instant(NOW + 1)))
    contexts = [sealed.context_of(*place) for place in places]
    assert len(set(contexts)) == len(contexts)


def test_releases_are_counted_and_end_what_was_withheld():
    once = sealed.released(msgspec.structs.replace(SECRET, withheld="sealed.stale"), "token:robot", NOW)
    assert (once.released, once.released_at, once.released_to, once.withheld) == (1, NOW, "token:robot", "")
    twice = sealed.fetched(once, Instant(NOW + 1))
    assert (twice.released, twice.released_at, twice.released_to) == (2, NOW + 1, "device:cam-1")
    assert twice.sealed == SECRET.sealed


def outcome(secret, now):
    try:
        return sealed.fetched(secret, now), None
    except HostileData as refusal:
        return secret, refusal


@given(st.lists(st.integers(0, 3 * MINUTE), min_size=1, max_size=300))
def test_a_device_fetches_at_most_so_often_within_an_hour(gaps):
    """Counted by whole hours from a fetch on, so that any one hour can hold the ends of two."""
    secret, now, given_at = SECRET, NOW, []
    for gap in gaps:
        now = Instant(now + gap)
        secret, refusal = outcome(secret, now)
        if refusal is None:
            given_at.append(now)
        else:
            assert (refusal.code, refusal.http_status) == ("sealed.too_often", 429)
            assert 1 <= refusal.retry_after_s <= HOUR // 1000
    assert secret.released == len(given_at)
    for start in given_at:
        assert sum(start <= each < start + HOUR for each in given_at) <= 2 * sealed.RELEASES_PER_HOUR


def test_after_the_hour_it_is_given_again_also_when_the_clock_went_back():
    secret = SECRET
    for _ in range(sealed.RELEASES_PER_HOUR):
        secret = sealed.fetched(secret, NOW)
    with pytest.raises(HostileData) as refusal:
        sealed.fetched(secret, Instant(NOW + 59 * MINUTE))
    assert refusal.value.retry_after_s == 60
    assert sealed.fetched(secret, Instant(NOW + HOUR)).in_hour == 1
    assert sealed.fetched(secret, Instant(NOW - 1)).in_hour == 1
