"""Appraising a token: whose it is, which release its components are of, and the state of the chip that made it."""

from __future__ import annotations

import msgspec

from holdfast_core.attestation.comparison import NO_REFERENCE, WORTH, best_of, told_standing
from holdfast_core.attestation.facts import Facts, Outcome, concluded, held_back
from holdfast_core.attestation.hardware import read_hardware
from holdfast_core.attestation.model import CONTRAINDICATED_RUNTIME, RECOGNIZED, Freshness, Method, Vector
from holdfast_core.attestation.refusals import Refused
from holdfast_core.attestation.tokens import BELIEVED, TokenGap, check_token, token_gaps, told_token_gap
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.attestation import TokenEvidence


def by_token(facts: Facts, evidence: TokenEvidence) -> Outcome:
    """The outcome of a token. Raises `Refused`."""
    ground = facts.ground
    if ground.policy.method is not Method.TOKEN:
        raise Refused("method", detail="a token")
    if not isinstance(facts.key, bytes):
        raise Refused("key_unknown")
    claims = check_token(evidence, facts.key, device=facts.device, nonce=facts.nonce, now=facts.now)
    executables, release, svn, told = _release(token_gaps(claims, ground.judged))
    downgrade = held_back(facts.before, release, svn)
    if downgrade is not None:
        executables, told = CONTRAINDICATED_RUNTIME, (downgrade,)
    # Whom a model lets be in any state must still be in one in which its root of trust can be believed.
    policy = msgspec.structs.replace(ground.policy, lifecycle=ground.policy.lifecycle or BELIEVED)
    hardware = read_hardware(evidence.claims, policy, lifecycle=claims.lifecycle.value)
    vector = Vector(
        instance_identity=RECOGNIZED,
        configuration=hardware.configuration,
        executables=executables,
        hardware=hardware.hardware,
    )
    result = concluded(vector, Freshness.FRESH, (*told, *hardware.reasons), release, svn)
    state = msgspec.structs.replace(
        facts.before,
        freshness=Freshness.FRESH,
        nonce_used=evidence.nonce,
        vector=vector,
        refused=None,
        release=release,
        svn=svn,
        highest_svn=max(facts.before.highest_svn, svn if result.tier is Tier.AFFIRMING else -1),
    )
    return Outcome(state, result)


def _release(found: tuple[TokenGap, ...]) -> tuple[int, str, int, tuple[Reason, ...]]:
    """The claim about the software, the release and its security version number, and what is to be told of it."""
    if not found:
        return 0, "", -1, (NO_REFERENCE,)
    fitting = [gap.judged for gap in found if not gap.size]
    if not fitting:
        return CONTRAINDICATED_RUNTIME, "", -1, (told_token_gap(found[0]),)
    best = best_of(fitting)
    reason = told_standing(best)
    told = () if reason is None else (reason,)
    return WORTH[best.standing], best.statement.id, best.statement.svn, told
