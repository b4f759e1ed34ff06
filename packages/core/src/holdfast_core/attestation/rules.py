"""Appraising one evidence: `appraise(facts)`, a pure function of everything it looks at.

In this order; the first that fails names the reason (`refusals`), and nothing after it is looked at:

1. Signature and key: the evidence is this device's (`quote`, `tokens`).
2. What was signed: magic, type, bank, and the signed selection of registers.
3. Nonce, binding, counters and clock (`counters`).
4. The event log replays to the signed digest; then what its events say (`boot`).
5. The IMA list, up to what the quote proves (`files`).
6. Reference values: which release it is, and what that is worth (`comparison`).
7. The hardware (`hardware`).

Evidence that says nothing changes nothing but the note of why and, after a gap, where the IMA list begins. What is held
against a device does more, and every later evidence can set it right again, except after a clone: only a person ends
that.
"""

from __future__ import annotations

import msgspec

from holdfast_core.attestation.by_token import by_token
from holdfast_core.attestation.by_tpm import by_tpm
from holdfast_core.attestation.facts import Facts, Outcome
from holdfast_core.attestation.model import (
    CONTRAINDICATED_RUNTIME,
    CRYPTO_FAILED,
    RECOGNIZED,
    UNRECOGNIZED_INSTANCE,
    UNTRUSTWORTHY_INSTANCE,
    Freshness,
    ImaState,
    Result,
    Vector,
)
from holdfast_core.attestation.refusals import Effect, Refused
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.printable import printable
from holdfast_core.wire.attestation import Asking, TokenEvidence, TpmEvidence

RULES_VERSION = 1
"""Raised whenever `appraise` would answer differently for the same facts."""

_AGAIN = frozenset({"bank", "selection", "log_missing", "ima_gap", "ima_pending"})
_CLAIMS = {
    "cloned": Vector(instance_identity=UNTRUSTWORTHY_INSTANCE),
    "log_mismatch": Vector(instance_identity=RECOGNIZED, executables=CRYPTO_FAILED),
    "log_malformed": Vector(instance_identity=RECOGNIZED, executables=CONTRAINDICATED_RUNTIME),
    "ima_mismatch": Vector(instance_identity=RECOGNIZED, file_system=CRYPTO_FAILED),
    "ima_malformed": Vector(instance_identity=RECOGNIZED, file_system=CRYPTO_FAILED),
}
_INSTANCE_FAILED = Vector(instance_identity=UNRECOGNIZED_INSTANCE)


def appraise(facts: Facts) -> Outcome:
    """What the evidence comes to; see the module's rules for the order."""
    evidence = facts.evidence
    if isinstance(evidence, Asking):
        return Outcome(facts.before, again=True)
    try:
        if facts.too_much:
            raise Refused("too_much")  # noqa: TRY301  (answered as every other refusal)
        match evidence:
            case TpmEvidence():
                return by_tpm(facts, evidence)
            case TokenEvidence():
                return by_token(facts, evidence)
    except Refused as refused:
        return _refused(facts, refused)
    return _refused(facts, Refused("unable", detail=printable(evidence.why) or "it does not say why"))


def _refused(facts: Facts, refused: Refused) -> Outcome:
    code = refused.reason.code.removeprefix("attestation.")
    state = msgspec.structs.replace(facts.before, refused=refused.reason)
    if code == "ima_gap":
        state = msgspec.structs.replace(state, ima=ImaState())  # else the same slice would be asked for again
    if refused.effect is Effect.NOTHING:
        again = code in _AGAIN or code.startswith("nonce_")
        return Outcome(state, None, refused.reason, refused.effect, again, code == "log_missing")
    vector = _CLAIMS.get(code, _INSTANCE_FAILED)
    result = Result(Tier.CONTRAINDICATED, Freshness.FRESH, vector, (refused.reason,))
    state = msgspec.structs.replace(
        state,
        vector=vector,
        boot=None,
        ima=ImaState(),
        cloned=state.cloned or code == "cloned",
        freshness=result.freshness,
        release="",
        svn=-1,
    )
    return Outcome(state, result, refused.reason, refused.effect)
