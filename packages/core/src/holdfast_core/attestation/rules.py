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
Missing is none: where nothing says what software runs, the tier is none, however genuine the quote.
"""

from __future__ import annotations

import msgspec

from holdfast_core.attestation.boot import parse_log, read_boot, values_of
from holdfast_core.attestation.comparison import NO_REFERENCE, needs_log, told_standing
from holdfast_core.attestation.counters import Life, follow
from holdfast_core.attestation.files import follow_list, judge_files
from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.hardware import read_hardware
from holdfast_core.attestation.model import (
    APPROVED_BOOT,
    APPROVED_FILES,
    APPROVED_RUNTIME,
    CONTRAINDICATED_RUNTIME,
    CRYPTO_FAILED,
    RECOGNIZED,
    UNRECOGNIZED_INSTANCE,
    UNRECOGNIZED_RUNTIME,
    UNSAFE_HARDWARE,
    UNTRUSTWORTHY_INSTANCE,
    BootReading,
    DeviceState,
    Freshness,
    ImaState,
    Method,
    Result,
    Vector,
)
from holdfast_core.attestation.quote import BANK_NUMBERS, Nonce, check_quote, registers_of
from holdfast_core.attestation.reference import Standing
from holdfast_core.attestation.refusals import Effect, Refused
from holdfast_core.attestation.tokens import BELIEVED, check_token, token_gaps, told_token_gap
from holdfast_core.formats.eventlog.banks import BANKS
from holdfast_core.formats.tpm.public import Public
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.printable import printable
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.attestation import Asking, Evidence, TokenEvidence, TpmEvidence

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


class Facts(msgspec.Struct, frozen=True):
    """Everything that an appraisal looks at.

    `key` is of a TPM its parsed attestation key, of a token the SubjectPublicKeyInfo; `None` where none is bound.
    `log` is the event log whose digest is `log_digest`; it may be left out where `before` has read it already.
    """

    device: str
    now: Instant
    nonce: Nonce
    key: Public | bytes | None
    ground: Ground
    before: DeviceState
    evidence: Evidence
    log: bytes | None = None
    log_digest: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """What came out.

    `result` is `None` where the evidence says nothing; `reason` says why it was refused. `again`: other evidence should
    follow at once. `wants_log`: with the event log.
    """

    state: DeviceState
    result: Result | None = None
    reason: Reason | None = None
    effect: Effect | None = None
    again: bool = False
    wants_log: bool = False


def appraise(facts: Facts) -> Outcome:
    """What the evidence comes to; see the module's rules for the order."""
    evidence = facts.evidence
    if isinstance(evidence, Asking):
        return Outcome(facts.before, again=True)
    try:
        match evidence:
            case TpmEvidence():
                return _by_tpm(facts, evidence)
            case TokenEvidence():
                return _by_token(facts, evidence)
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


def _by_tpm(facts: Facts, evidence: TpmEvidence) -> Outcome:
    ground, before = facts.ground, facts.before
    if ground.policy.method is not Method.TPM:
        raise Refused("method", detail="a TPM")
    if not isinstance(facts.key, Public):
        raise Refused("key_unknown")
    signed = check_quote(
        evidence, facts.key, device=facts.device, policy=ground.policy, nonce=facts.nonce, now=facts.now
    )
    life = follow(before, signed.attestation.clock, facts.now)
    boot = _boot(facts, evidence)
    values = dict(boot.values)
    ima = ImaState()
    if ground.policy.ima:
        ima = follow_list(evidence.ima, before.ima, ground, values, signed, new_boot=life.new_boot)
        if not ima.loaded:
            return _unfinished(before, life, ima)
    elif not signed.is_of(values[register] for register in registers_of(ground.policy)):
        raise Refused("log_mismatch", detail=_differing(values, evidence))
    return _taken(facts, evidence, boot=boot, ima=ima, life=life)


def _boot(facts: Facts, evidence: TpmEvidence) -> BootReading:
    known, ground = facts.before.boot, facts.ground
    if known is not None and known.log and (known.log, known.basis) == (facts.log_digest, ground.basis):
        return known
    if facts.log_digest:
        if facts.log is None:
            raise Refused("log_missing")
        log = parse_log(facts.log)
        return read_boot(log, facts.log_digest, values_of(log, ground.policy), ground)
    if needs_log(ground.policy, ground.judged):
        raise Refused("log_missing")
    return read_boot(None, "", _told_values(evidence, ground), ground)


def _told_values(evidence: TpmEvidence, ground: Ground) -> dict[int, bytes]:
    """The registers as the device tells them, for a boot without a log; the quote says whether they are so.

    Each must be as long as its bank's: what is signed is all of them in one piece, which could be cut in other places.
    """
    values: dict[int, bytes] = {}
    size = BANKS[BANK_NUMBERS[ground.policy.bank]].size
    for register in ground.policy.registers:
        try:
            values[register] = bytes.fromhex(evidence.registers[str(register)])
        except (KeyError, ValueError):
            raise Refused("log_missing") from None
        if len(values[register]) != size:
            raise Refused("malformed", detail=f"register {register} is told with {len(values[register])} bytes.")
    return values


def _differing(values: dict[int, bytes], evidence: TpmEvidence) -> str:
    """Which registers differ, where the device told theirs; only a hint for a person."""
    told = {register: evidence.registers.get(str(register)) for register in values}
    wrong = [str(register) for register, value in told.items() if value is not None and value != values[register].hex()]
    return f" (register {', '.join(wrong)})" if wrong else ""


def _unfinished(before: DeviceState, life: Life, ima: ImaState) -> Outcome:
    """More of the IMA list has to come before the quote says anything."""
    reason = Reason(
        "attestation.ima_pending",
        f"The IMA list is being followed: {ima.count} entries so far, and more to come.",
        "Nothing: the device was told to send more.",
    )
    state = msgspec.structs.replace(
        before, ima=ima, counters=life.counters, left=life.left, backs=life.backs, refused=reason
    )
    return Outcome(state, None, reason, Effect.NOTHING, again=True)


def _taken(
    facts: Facts,
    evidence: TpmEvidence,
    *,
    boot: BootReading,
    ima: ImaState,
    life: Life,
) -> Outcome:
    hardware = read_hardware(evidence.claims, facts.ground.policy)
    file_system, told = judge_files(facts.ground, ima)
    executables = boot.executables
    if executables == APPROVED_BOOT and file_system == APPROVED_FILES:
        executables = APPROVED_RUNTIME
    vector = Vector(
        instance_identity=RECOGNIZED,
        configuration=max(boot.configuration, hardware.configuration),
        executables=executables,
        file_system=file_system,
        hardware=max(hardware.hardware, UNSAFE_HARDWARE if life.reasons else 0),
    )
    reasons = (*boot.reasons, *life.reasons, *told, *hardware.reasons)
    result = _result(vector, life.freshness, reasons, boot.release, boot.svn)
    state = msgspec.structs.replace(
        facts.before,
        freshness=life.freshness,
        nonce_used=evidence.nonce,
        counters=life.counters,
        left=life.left,
        backs=life.backs,
        boot=boot,
        ima=ima,
        vector=vector,
        refused=None,
        release=boot.release,
        svn=boot.svn,
    )
    return Outcome(state, result, again=life.freshness is Freshness.PENDING)


def _result(vector: Vector, freshness: Freshness, reasons: tuple[Reason, ...], release: str, svn: int) -> Result:
    """The result; where nothing is known of the software, the tier is none, however good the rest."""
    tier = vector.tier
    if tier is Tier.AFFIRMING and not vector.executables:
        tier = Tier.NONE
    if tier is Tier.AFFIRMING:
        reasons = (_affirmed(release, vector), *reasons)
    return Result(tier, freshness, vector, reasons, release, svn)


def _affirmed(release: str, vector: Vector) -> Reason:
    depth = "booted and runs" if vector.executables == APPROVED_RUNTIME else "booted"
    return Reason("attestation.affirmed", f"The device proved that it {depth} {release}.")


def _by_token(facts: Facts, evidence: TokenEvidence) -> Outcome:
    ground = facts.ground
    if ground.policy.method is not Method.TOKEN:
        raise Refused("method", detail="a token")
    if not isinstance(facts.key, bytes):
        raise Refused("key_unknown")
    claims = check_token(evidence, facts.key, device=facts.device, nonce=facts.nonce, now=facts.now)
    found = token_gaps(claims, ground.judged)
    fitting = [gap.judged for gap in found if not gap.size]
    order = list(Standing)
    best = min(fitting, key=lambda judged: order.index(judged.standing), default=None)
    reasons: list[Reason] = []
    executables, release, svn = 0, "", -1
    if best is not None:
        executables, release, svn = _WORTH[best.standing], best.statement.id, best.statement.svn
        standing = told_standing(best)
        reasons.extend(() if standing is None else (standing,))
    elif found:
        executables = CONTRAINDICATED_RUNTIME
        reasons.append(told_token_gap(found[0]))
    else:
        reasons.append(NO_REFERENCE)
    # Whom a model lets be in any state must still be in one in which its root of trust can be believed.
    policy = msgspec.structs.replace(ground.policy, lifecycle=ground.policy.lifecycle or BELIEVED)
    hardware = read_hardware(evidence.claims, policy, lifecycle=claims.lifecycle.value)
    vector = Vector(
        instance_identity=RECOGNIZED,
        configuration=hardware.configuration,
        executables=executables,
        hardware=hardware.hardware,
    )
    result = _result(vector, Freshness.FRESH, (*reasons, *hardware.reasons), release, svn)
    state = msgspec.structs.replace(
        facts.before,
        freshness=Freshness.FRESH,
        nonce_used=evidence.nonce,
        vector=vector,
        refused=None,
        release=release,
        svn=svn,
    )
    return Outcome(state, result)


_WORTH = {
    Standing.CURRENT: APPROVED_BOOT,
    Standing.RETIRED: UNRECOGNIZED_RUNTIME,
    Standing.SUPERSEDED: CONTRAINDICATED_RUNTIME,
    Standing.REVOKED: CONTRAINDICATED_RUNTIME,
}
