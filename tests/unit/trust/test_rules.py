"""The verdict: a pure function of facts, policy and instant."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.trust.model import Demand, Facts, Hold, Policy
from holdfast_core.trust.rules import decide
from holdfast_core.wire.frame import Level

NOW = Instant(1_000_000)
POLICY = Policy((Demand("baseline", 10_000), Demand("health", 5_000)), silence_after=3_000)


def reading(feature, tier=Tier.AFFIRMING, *, until=NOW + 2_000):
    return Appraisal(feature, tier, (Reason(f"{feature}.{tier}", "a sentence"),), NOW, Instant(until))


GOOD = Facts(Lifecycle.ACTIVE, NOW, (reading("baseline"), reading("health")))
HOLD = Hold("token:a", NOW, Reason("response.held", "held"))


def with_(**changes):
    return msgspec.structs.replace(GOOD, **changes)


@pytest.mark.parametrize(
    ("facts", "level", "codes"),
    [
        (GOOD, Level.TRUSTED, ["trust.affirmed"]),
        (with_(lifecycle=Lifecycle.RETIRED, hold=HOLD), Level.RETIRED, ["lifecycle.retired"]),
        (with_(hold=HOLD), Level.QUARANTINED, ["response.held"]),
        (
            with_(appraisals=(reading("baseline", Tier.CONTRAINDICATED), reading("health", Tier.WARNING))),
            Level.QUARANTINED,
            ["baseline.contraindicated"],
        ),
        (
            with_(appraisals=(*GOOD.appraisals, reading("extra", Tier.CONTRAINDICATED))),
            Level.QUARANTINED,
            ["extra.contraindicated"],
        ),
        (with_(last_seen=None), Level.RESTRICTED, ["checkin.never"]),
        (with_(last_seen=Instant(NOW - 3_000)), Level.RESTRICTED, ["checkin.silent"]),
        (with_(appraisals=(reading("baseline"),)), Level.RESTRICTED, ["health.missing"]),
        (
            with_(appraisals=(reading("baseline", until=NOW), reading("health"))),
            Level.RESTRICTED,
            ["baseline.stale"],
        ),
        (
            with_(appraisals=(reading("baseline"), reading("health", Tier.WARNING))),
            Level.RESTRICTED,
            ["health.warning"],
        ),
    ],
    ids=[
        "all affirmed",
        "retired before held",
        "held",
        "contraindicated before warnings",
        "contraindicated though not required",
        "never seen",
        "silent",
        "required and missing",
        "lapsed reads as none",
        "a warning",
    ],
)
def test_the_first_rule_that_applies_decides(facts, level, codes):
    verdict = decide(facts, POLICY, NOW)
    assert verdict.level is level
    assert [reason.code for reason in verdict.reasons] == codes


def test_a_verdict_is_looked_at_again_when_the_first_of_its_grounds_lapses():
    assert decide(GOOD, POLICY, NOW).until == NOW + 2_000
    longer = with_(appraisals=(reading("baseline", until=NOW + 9_000), reading("health", until=NOW + 9_000)))
    assert decide(longer, POLICY, NOW).until == NOW + 3_000


def test_a_retired_device_is_never_looked_at_again():
    assert decide(with_(lifecycle=Lifecycle.RETIRED), POLICY, NOW).until is None


instants = st.integers(NOW - 20_000, NOW + 20_000).map(Instant)
appraisals = st.builds(
    Appraisal,
    st.sampled_from(["baseline", "health", "extra"]),
    st.sampled_from(Tier),
    st.just((Reason("a.code", "a sentence"),)),
    instants,
    instants,
)
facts_ = st.builds(
    Facts,
    st.sampled_from(Lifecycle),
    st.none() | instants,
    st.lists(appraisals, max_size=3, unique_by=lambda a: a.feature).map(tuple),
    st.none() | st.just(HOLD),
)


@given(facts_, instants)
def test_every_verdict_has_a_reason_and_a_future(facts, now):
    verdict = decide(facts, POLICY, now)
    assert verdict.reasons
    assert verdict.until is None or verdict.until > now


@given(facts_, instants, st.integers(0, 40_000))
def test_without_new_evidence_trust_never_rises_from_restricted(facts, now, later):
    before = decide(facts, POLICY, now)
    after = decide(facts, POLICY, Instant(now + later))
    if before.level is Level.RESTRICTED:
        assert after.level is not Level.TRUSTED


@given(facts_, instants)
def test_nothing_changes_before_until(facts, now):
    verdict = decide(facts, POLICY, now)
    last = verdict.until - 1 if verdict.until is not None else now + 1_000_000
    again = decide(facts, POLICY, Instant(last))
    assert (again.level, again.reasons) == (verdict.level, verdict.reasons)


@given(facts_, instants, st.sampled_from(["baseline", "health"]))
def test_missing_evidence_is_never_affirming(facts, now, feature):
    without = msgspec.structs.replace(facts, appraisals=tuple(a for a in facts.appraisals if a.feature != feature))
    assert decide(without, POLICY, now).level is not Level.TRUSTED
