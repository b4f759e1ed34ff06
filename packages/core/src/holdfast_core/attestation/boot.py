"""Reading a boot: from the event log to what it means, in the order of the appraisal.

1. The log must replay to the registers that were quoted; before that, nothing it says is looked at.
2. The events' data count where their digest is that data's.
3. Secure Boot is what the firmware measured that it is. That it is off, that a stage failed (an error separator) or
   that a debugger was allowed counts wherever a digest is of that, whatever the log calls it.
4. What remains is compared with the releases (`comparison`); the release that a device runs decides.
5. The result depends on the log and the ground only, so it is kept and used again while both stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from holdfast_core.attestation.comparison import (
    NO_REFERENCE,
    WORTH,
    Gap,
    Measured,
    best_of,
    gaps,
    told_gap,
    told_standing,
)
from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.model import (
    APPROVED_BOOT,
    APPROVED_CONFIG,
    CONTRAINDICATED_RUNTIME,
    REASONS_KEPT,
    UNKNOWN_CONFIG,
    UNRECOGNIZED_RUNTIME,
    UNSAFE_CONFIG,
    UNSUPPORTABLE_CONFIG,
    BootReading,
    Policy,
)
from holdfast_core.attestation.quote import BANK_NUMBERS
from holdfast_core.attestation.reference import Judged, Standing
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import BANKS, hasher
from holdfast_core.formats.eventlog.contents import ERROR_SEPARATOR, NORMAL_SEPARATORS, content_of
from holdfast_core.formats.eventlog.facts import DEBUG_MODE, SECURE_BOOT_REGISTER, BootFacts, facts_of
from holdfast_core.formats.eventlog.kinds import NO_ACTION
from holdfast_core.formats.eventlog.log import Event, EventLog, parse_event_log
from holdfast_core.formats.eventlog.preimage import digest_matches
from holdfast_core.formats.eventlog.replay import replay
from holdfast_core.formats.eventlog.texts import Text
from holdfast_core.formats.eventlog.variables import Variable
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.printable import printable
from holdfast_core.kernel.reasons import Reason

FIRST_DYNAMIC, LAST_DYNAMIC = 17, 22
SAID = 80
_NAME = "SecureBoot".encode("utf-16-le")
_VARIABLE = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c") + (len(_NAME) // 2).to_bytes(8, "little")
_ON = _VARIABLE + (1).to_bytes(8, "little") + _NAME + b"\1"
"""What is measured where Secure Boot is on: a UEFI_VARIABLE_DATA of EFI_GLOBAL_VARIABLE with the value 1."""
_OFF = tuple(_VARIABLE + size.to_bytes(8, "little") + _NAME + bytes(size) for size in (0, 1))
"""The same where it is off: with no value, or with 0."""
_TELLING = ("DMA Protection Disabled",)
"""Actions of register 7 beside the debug mode's, which firmware measures before the variables, if at all."""
_ACTIONS = frozenset(
    {
        b"Calling EFI Application from Boot Option",
        b"Returning from EFI Application from Boot Option",
        b"Exit Boot Services Invocation",
        b"Exit Boot Services Returned with Success",
    }
)
"""What firmware says at each boot (PFP 1.06, section 10.4.4); any other action is told apart."""


def parse_log(data: bytes) -> EventLog:
    """The event log. Raises `Refused` ``log_malformed``."""
    try:
        return parse_event_log(data)
    except HostileData as error:
        raise Refused("log_malformed", detail=error.sentence) from None


def values_of(log: EventLog, policy: Policy) -> dict[int, bytes]:
    """What the policy's registers hold if `log` is whole; one that it does not extend holds what it holds at reset.

    Raises:
        Refused: ``log_malformed`` for a log without the policy's bank.
    """
    bank = BANK_NUMBERS[policy.bank]
    if bank not in log.banks:
        raise Refused("log_malformed", detail=f"it has no digests of {policy.bank}.")
    values = replay(log, bank)
    size = BANKS[bank].size
    return {register: values.get(register, at_reset(register, size)) for register in policy.registers}


def at_reset(register: int, size: int) -> bytes:
    """The value of a register that nothing extended (PFP 1.06, section 3.3.3)."""
    return (b"\xff" if FIRST_DYNAMIC <= register <= LAST_DYNAMIC else b"\0") * size


def measured(log: EventLog, policy: Policy, *, words: bool = True) -> tuple[Measured, ...]:
    """The events of the policy's registers, as they are compared with releases.

    Args:
        log: the event log.
        policy: whose registers and bank count.
        words: whether to read what the log says that each event is; no comparison needs it, only people do.
    """
    bank = BANK_NUMBERS[policy.bank]
    wanted = frozenset(policy.registers)
    return tuple(
        _measured(event, bank, words=words)
        for event in log.events
        if event.register in wanted and event.kind != NO_ACTION
    )


def _measured(event: Event, bank: int, *, words: bool) -> Measured:
    digest = event.digests.get(bank, b"").hex()
    return Measured(event.number, event.register, digest, said(event) if words else "", is_structural(event, bank))


def is_structural(event: Event, bank: int) -> bool:
    """Whether every boot writes it: a separator, or one of UEFI's own actions, each hashed as it stands."""
    if event.kind == kinds.SEPARATOR:
        return event.data in NORMAL_SEPARATORS and digest_matches(event, bank) is True
    return event.kind == kinds.EFI_ACTION and event.data in _ACTIONS and digest_matches(event, bank) is True


def said(event: Event) -> str:
    """What the log says that an event is, in a few words."""
    content = content_of(event)
    kind = kinds.KINDS.get(event.kind, f"{event.kind:#010x}")
    if isinstance(content, Text) and content.text:
        return printable(f"{content.word}: {content.text}" if content.word else content.text)[:SAID]
    if isinstance(content, Variable):
        return printable(f"variable {content.name}")[:SAID]
    return kind


def read_boot(log: EventLog | None, digest: str, values: Mapping[int, bytes], ground: Ground) -> BootReading:
    """What a boot means whose registers are `values`, which were quoted.

    Args:
        log: the event log; `None` where there is none, and whole registers are all there is.
        digest: the log's.
        values: the policy's registers.
        ground: what they are compared with.
    """
    policy = ground.policy
    events = measured(log, policy, words=False) if log is not None else None
    configuration, told = _configuration(log, policy)
    found = gaps(events, values, policy, ground.judged)
    if log is not None and found and found[0].size:
        found = gaps(measured(log, policy), values, policy, ground.judged)  # a difference is told in words
    executables, judged, why = _release(found, ground.judged, policy)
    reasons = (*why, *told)[:REASONS_KEPT]
    release = judged.statement if judged is not None else None
    return BootReading(
        log=digest,
        basis=ground.basis,
        values=tuple(sorted(values.items())),
        configuration=configuration,
        executables=executables,
        release=release.id if release is not None else "",
        svn=release.svn if release is not None else -1,
        reasons=reasons,
    )


def _release(
    found: Sequence[Gap], judged: Sequence[Judged], policy: Policy
) -> tuple[int, Judged | None, tuple[Reason, ...]]:
    """The release that was booted: of those that fit, the one of best standing (`ground.judged` is in that order)."""
    if not found:
        return 0, None, (NO_REFERENCE,)
    fitting = [gap.judged for gap in found if not gap.size]
    if not fitting:
        return CONTRAINDICATED_RUNTIME, None, (told_gap(found[0]),)
    best = best_of(fitting)
    reason = told_standing(best)
    if reason is not None:
        return WORTH[best.standing], best, (reason,)
    unjudged = _unjudged(best, judged, policy)
    if unjudged:
        return UNRECOGNIZED_RUNTIME, best, (_told_unjudged(best, unjudged),)
    return APPROVED_BOOT, best, ()


def _unjudged(best: Judged, judged: Sequence[Judged], policy: Policy) -> list[int]:
    """Registers that an older current release speaks of and this one does not: a later statement loosens nothing."""
    named = {
        register
        for each in judged
        if each.standing is Standing.CURRENT and each.statement.made_at <= best.statement.made_at
        for register in each.statement.registers
    }
    return sorted((named - best.statement.registers) & set(policy.registers))


def _told_unjudged(best: Judged, registers: list[int]) -> Reason:
    told = ", ".join(map(str, registers))
    return Reason(
        "attestation.registers_unjudged",
        f"The boot fits {best.statement.id}, which says nothing of register {told}; an earlier release does.",
        "Build its values again as another version, with every file that the earlier one named.",
    )


def _configuration(log: EventLog | None, policy: Policy) -> tuple[int, tuple[Reason, ...]]:
    """The claim about the configuration, 0 where nothing is known of it. Only quoted registers are believed."""
    if log is None:
        return (UNKNOWN_CONFIG, (_SECURE_BOOT_UNKNOWN,)) if policy.secure_boot else (0, ())
    bank, quoted = BANK_NUMBERS[policy.bank], SECURE_BOOT_REGISTER in policy.registers
    facts, hashed = facts_of(log, bank), hasher(bank)
    # Kinds and words are not proven, only digests: whoever boots otherwise could else have it said in other words.
    digests = {(each.register, each.digests.get(bank)) for each in log.events if each.kind != NO_ACTION}
    error = hashed(ERROR_SEPARATOR)
    failed = [each for each in policy.registers if each in facts.failed or (each, error) in digests]
    found = []
    if policy.secure_boot:
        first = _first_of(log, bank) if quoted else b""
        off = any((SECURE_BOOT_REGISTER, hashed(words)) in digests for words in _OFF)
        found.append(_secure_boot(facts, on=(first == hashed(_ON) and not off) if first else None))
    if failed:
        found.append((UNSAFE_CONFIG, (_stage_failed(failed[0]),)))
    if quoted and (facts.debug or (SECURE_BOOT_REGISTER, hashed(DEBUG_MODE.encode())) in digests):
        found.append((UNSAFE_CONFIG, (_FIRMWARE_DEBUG,)))
    # The worst of all: whoever can extend a register could else add a lesser fault that hides the greater one.
    return max((value for value, _ in found), default=0), tuple(reason for _, told in found for reason in told)


def _first_of(log: EventLog, bank: int) -> bytes:
    """What register 7 was first extended by, but for actions that only tell; empty where by nothing.

    Whoever runs later can extend the register by anything, and the words of a log are nobody's: only the first place
    is the firmware's own, and it measures there whether Secure Boot is on (PFP 1.06, section 3.3.4.8).
    """
    told = {hasher(bank)(words.encode()) for words in (DEBUG_MODE, *_TELLING)}
    for event in log.events:
        digest = event.digests.get(bank, b"")
        if event.register == SECURE_BOOT_REGISTER and event.kind != NO_ACTION and digest not in told:
            return digest
    return b""


def _secure_boot(facts: BootFacts, *, on: bool | None) -> tuple[int, tuple[Reason, ...]]:
    if on is None:
        return UNKNOWN_CONFIG, (_SECURE_BOOT_UNKNOWN,)
    enforced = on and not (facts.setup_mode or facts.audit_mode)
    return (APPROVED_CONFIG, ()) if enforced else (UNSUPPORTABLE_CONFIG, (_SECURE_BOOT_OFF,))


def _stage_failed(register: int) -> Reason:
    return Reason(
        "attestation.stage_failed",
        f"The firmware reports a failure before register {register} was closed.",
        "Read the log: holdfast attest log FILE; the events before that error tell which stage it was.",
    )


_FIRMWARE_DEBUG = Reason(
    "attestation.firmware_debug",
    "The firmware was started with a debugger allowed.",
    "Close the platform's debug interface in its firmware settings, and let the device reboot.",
)
_SECURE_BOOT_OFF = Reason(
    "attestation.secure_boot_off",
    "The device booted with Secure Boot switched off, which its model says is on.",
    "Find out who switched it off; switch it on again and let the device reboot.",
)
_SECURE_BOOT_UNKNOWN = Reason(
    "attestation.secure_boot_unknown",
    "The boot does not tell whether Secure Boot was on, which its model says it is.",
    "Let register 7 be measured, or set boot.secure_boot to false and say what stands in.",
)
