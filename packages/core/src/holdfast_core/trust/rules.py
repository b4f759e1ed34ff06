"""From facts to a verdict: `decide(facts, policy, now)`.

In this order, the first that applies:

1. A retired device is `retired`, and so is one that is only waited for to erase itself.
2. A hold makes it `quarantined`, and so does having no credential in force.
3. Any appraisal that is contraindicated makes it `quarantined`, required or not.
4. A device that was never seen, or is silent for longer than the policy allows, is `restricted`.
5. A required appraisal that is none, or any appraisal that warns, makes it `restricted`.
6. Otherwise it is `trusted`.

Every verdict names all reasons of its level, worst feature first, and the instant at which it may no longer hold.
An appraisal that lapsed reads as none: a verdict falls by itself, it never stays.
"""

from __future__ import annotations

from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.instants import SECOND, Instant, in_words
from holdfast_core.kernel.reasons import Reason
from holdfast_core.trust.model import Demand, Facts, Policy, Verdict
from holdfast_core.wire.frame import Level

RULES_VERSION = 1
"""Raised whenever `decide` would answer differently for the same input; it is recorded beside every verdict."""

MISSED_CONTACTS = 3
"""Contact intervals that may pass without a check-in before a device counts as silent."""


def policy_of(model: DeviceModel) -> Policy:
    """The policy compiled from a model file: its needs, and silence measured against its contact interval."""
    demands = tuple(Demand(need.appraisal, need.max_age_s * SECOND) for need in model.needs)
    return Policy(demands, MISSED_CONTACTS * model.constraints.contact_interval_s * SECOND)


def decide(facts: Facts, policy: Policy, now: Instant) -> Verdict:
    """The verdict for `facts` under `policy` at `now`; see the module's rules for the order."""
    current = tuple(appraisal.at(now) for appraisal in facts.appraisals)
    until = _next_lapse(facts, policy, now)
    if facts.lifecycle is Lifecycle.RETIRED:
        return Verdict(Level.RETIRED, (_RETIRED,), now, None)
    if facts.lifecycle is Lifecycle.RETIRING:
        return Verdict(Level.RETIRED, (_RETIRING,), now, None)
    if facts.hold is not None or not facts.identified:
        held = (facts.hold.reason,) if facts.hold is not None else ()
        return Verdict(Level.QUARANTINED, (*held, *(() if facts.identified else (_REVOKED,))), now, until)
    if against := _reasons(current, Tier.CONTRAINDICATED):
        return Verdict(Level.QUARANTINED, against, now, until)
    restricting = (*_silence(facts, policy, now), *_missing(current, policy), *_reasons(current, Tier.WARNING))
    if restricting:
        return Verdict(Level.RESTRICTED, restricting, now, until)
    return Verdict(Level.TRUSTED, (_TRUSTED,), now, until)


_RETIRED = Reason("lifecycle.retired", "The device is retired.")
_RETIRING = Reason("lifecycle.retiring", "The device is being retired: it may say that it erased itself, nothing else.")
_REVOKED = Reason(
    "identity.revoked",
    "Every key of the device was revoked: it is refused whenever it calls.",
    "If it may come back: create a claim and enroll it again, with a new key.",
)
_TRUSTED = Reason("trust.affirmed", "Every appraisal that its model requires is affirming.")


def _reasons(appraisals: tuple[Appraisal, ...], tier: Tier) -> tuple[Reason, ...]:
    return tuple(reason for appraisal in appraisals if appraisal.tier is tier for reason in appraisal.reasons)


def _silence(facts: Facts, policy: Policy, now: Instant) -> tuple[Reason, ...]:
    if facts.last_seen is None:
        return (
            Reason(
                "checkin.never", "The device has not checked in since it enrolled.", "Start its agent, or wait for it."
            ),
        )
    if now >= facts.last_seen + policy.silence_after:
        return (
            Reason(
                "checkin.silent",
                f"The device has not checked in for {in_words(policy.silence_after)} or more.",
                "Check its power and its network; the verdict returns with its next check-in.",
            ),
        )
    return ()


def _missing(appraisals: tuple[Appraisal, ...], policy: Policy) -> tuple[Reason, ...]:
    by_feature = {appraisal.feature: appraisal for appraisal in appraisals}
    reasons: list[Reason] = []
    for demand in policy.demands:
        appraisal = by_feature.get(demand.feature)
        if appraisal is None:
            reasons.append(
                Reason(
                    f"{demand.feature}.missing",
                    f"The model requires {demand.feature} evidence, and none has come yet.",
                    "Wait for the next check-in; if it stays missing, look at the agent's status.",
                )
            )
        elif appraisal.tier is Tier.NONE:
            reasons.extend(appraisal.reasons)
    return tuple(reasons)


def _next_lapse(facts: Facts, policy: Policy, now: Instant) -> Instant | None:
    """The next instant at which `decide` could answer differently without new evidence."""
    lapses = [appraisal.valid_until for appraisal in facts.appraisals if appraisal.tier is not Tier.NONE]
    if facts.last_seen is not None:
        lapses.append(Instant(facts.last_seen + policy.silence_after))
    return min((lapse for lapse in lapses if lapse > now), default=None)
