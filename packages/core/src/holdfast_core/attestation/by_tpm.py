"""Appraising a quote with what explains it: steps 1 to 7 of `rules`, for a device with a TPM.

1. Nothing that travels beside the quote is believed before the quote's digest covers it.
2. A boot that was read on this ground already is not read again: its reading is a function of the log and the ground.
3. Registers that a device only tells count where no release says anything that an event log would have to show.
"""

from __future__ import annotations

import msgspec

from holdfast_core.attestation.boot import parse_log, read_boot, values_of
from holdfast_core.attestation.comparison import needs_log
from holdfast_core.attestation.counters import Life, follow
from holdfast_core.attestation.facts import Facts, Outcome, concluded, held_back
from holdfast_core.attestation.files import follow_list, judge_files
from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.hardware import read_hardware
from holdfast_core.attestation.model import (
    APPROVED_BOOT,
    APPROVED_FILES,
    APPROVED_RUNTIME,
    CONTRAINDICATED_RUNTIME,
    RECOGNIZED,
    UNSAFE_HARDWARE,
    BootReading,
    DeviceState,
    Freshness,
    ImaState,
    Method,
    Vector,
)
from holdfast_core.attestation.quote import BANK_NUMBERS, check_quote, registers_of
from holdfast_core.attestation.refusals import Effect, Refused
from holdfast_core.formats.eventlog.banks import BANKS
from holdfast_core.formats.tpm.public import Public
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.attestation import TpmEvidence


def by_tpm(facts: Facts, evidence: TpmEvidence) -> Outcome:
    """The outcome of a quote. Raises `Refused`."""
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
    downgrade = held_back(facts.before, boot.release, boot.svn)
    if downgrade is not None:
        executables = CONTRAINDICATED_RUNTIME
    elif executables == APPROVED_BOOT and file_system == APPROVED_FILES:
        executables = APPROVED_RUNTIME
    vector = Vector(
        instance_identity=RECOGNIZED,
        configuration=max(boot.configuration, hardware.configuration),
        executables=executables,
        file_system=file_system,
        hardware=max(hardware.hardware, UNSAFE_HARDWARE if life.reasons else 0),
    )
    reasons = (*boot.reasons, *((downgrade,) if downgrade else ()), *life.reasons, *told, *hardware.reasons)
    result = concluded(vector, life.freshness, reasons, boot.release, boot.svn)
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
        highest_svn=max(facts.before.highest_svn, boot.svn if result.tier is Tier.AFFIRMING else -1),
    )
    return Outcome(state, result, again=life.freshness is Freshness.PENDING)
