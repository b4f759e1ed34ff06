"""The questions that every model answers first: can it prove its integrity, can it be updated safely, who revives it?

1. Answered from the declaration alone, with no device and no server; what a device proves later is `attestation`'s.
2. An answer that is not a plain yes says what is lacking, what stands in for it, and until when.
3. Only a compensation that the model declares stands in; one that has expired no longer does.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.inventory.contradictions import support_ends, update_needs_window
from holdfast_core.inventory.model import DeviceModel, Fallback, RootOfTrust, UpdateKind
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.instants import Instant

INTEGRITY_CONTROLS = ("BOOT-", "FS-02")
"""Controls, or groups of them, whose compensation stands in for a proof of integrity."""
UPDATE_CONTROLS = ("UPD-",)
"""The same for a safe update."""
RECOVERY_CONTROLS = ("BOOT-08", "UPD-04")
"""The same for a way back."""

_ROOTS = {
    RootOfTrust.TPM: "TPM",
    RootOfTrust.SECURE_ELEMENT: "secure element",
    RootOfTrust.PSA: "PSA root of trust",
    RootOfTrust.NONE: "software",
}


class Question(StrEnum):
    """What is asked of every model."""

    INTEGRITY = "Can it prove its integrity?"
    UPDATE = "Can it be updated safely, without bricking it?"
    RECOVERY = "Can somebody bring it back when it is dead?"


class Says(StrEnum):
    """How a question is answered."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class StandIn(msgspec.Struct, frozen=True):
    """What stands in for something the device lacks, who answers for it, and the last day it counts."""

    what: str
    owner: str
    until: str


class Answer(msgspec.Struct, frozen=True):
    """One question answered: the sentence says why, `lacking` what would make it a yes."""

    question: Question
    says: Says
    sentence: str
    lacking: tuple[str, ...] = ()
    stands_in: tuple[StandIn, ...] = ()


def integrity_answer(model: DeviceModel, now: Instant | None = None) -> Answer:
    """Whether a device of `model` can prove what it booted; without `now`, no compensation is taken to have expired."""
    boot = model.boot
    root = model.constraints.root_of_trust
    lacking = [
        lack
        for lack, missing in (
            ("a root of trust that holds a key no software can read", root is RootOfTrust.NONE),
            ("secure boot", not boot.secure_boot),
            ("measured boot", not boot.measured_boot),
            ("protection against old, signed software", not boot.anti_rollback),
        )
        if missing
    ]
    provable = root is not RootOfTrust.NONE and boot.measured_boot
    if not lacking:
        says, sentence = (
            Says.YES,
            f"It verifies and measures what it boots, and its {_ROOTS[root]} signs the measurements.",
        )
    elif provable:
        says, sentence = Says.PARTLY, f"Its {_ROOTS[root]} signs what it booted, but it lacks {_listed(lacking)}."
    elif boot.secure_boot:
        says, sentence = Says.PARTLY, f"It boots only what is signed but cannot show it: it lacks {_listed(lacking)}."
    else:
        says, sentence = Says.NO, f"It can only state what it runs: it lacks {_listed(lacking)}."
    return _answer(Question.INTEGRITY, says, sentence, lacking, _stand_ins(model, INTEGRITY_CONTROLS, now))


def update_answer(model: DeviceModel, now: Instant) -> Answer:
    """Whether a device of `model` can be updated at `now` without being lost or taking a forgery."""
    update = model.update
    stand_ins = _stand_ins(model, UPDATE_CONTROLS, now)
    if update.kind is UpdateKind.NONE:
        sentence = "Nothing can update it."
        return _answer(Question.UPDATE, Says.NO, sentence, ["an update path"], stand_ins)
    revivable = bool(update.recovery.strip())
    grave = [
        lack
        for lack, missing in (
            ("a signature on updates", not update.signed),
            ("a way back when an update does not boot", update.fallback is Fallback.NONE and not revivable),
            (f"security support, which ended on {model.supplier.support_end}", support_ends(model) <= now),
            ("a time at which it may reboot", update_needs_window(model)),
        )
        if missing
    ]
    light = [
        lack
        for lack, missing in (
            ("a fallback that needs no hands", update.fallback is Fallback.MANUAL),
            ("a fallback of its own", update.fallback is Fallback.NONE and revivable),
            ("an update path that need not wait for the vendor", update.kind is UpdateKind.VENDOR),
        )
        if missing
    ]
    lacking = grave + light
    if not lacking:
        sentence = f"Updates ({update.kind.value}) are signed, and one that fails falls back by itself."
        return _answer(Question.UPDATE, Says.YES, sentence, lacking, stand_ins)
    sentence = f"Updates arrive ({update.kind.value}), but it lacks {_listed(lacking)}."
    return _answer(Question.UPDATE, Says.NO if grave else Says.PARTLY, sentence, lacking, stand_ins)


def recovery_answer(model: DeviceModel, now: Instant | None = None) -> Answer:
    """Whether somebody, or the device itself, can bring a dead device of `model` back."""
    update = model.update
    recovery = update.recovery.strip().rstrip(".")
    stand_ins = _stand_ins(model, RECOVERY_CONTROLS, now)
    by_itself = update.kind is not UpdateKind.NONE and update.fallback is Fallback.AUTOMATIC
    if by_itself and recovery:
        return _answer(Question.RECOVERY, Says.YES, f"It falls back by itself; after that: {recovery}.", [], stand_ins)
    if by_itself:
        lacking = ["somebody who can recover it when the fallback fails too"]
        return _answer(Question.RECOVERY, Says.PARTLY, f"It falls back, but it lacks {lacking[0]}.", lacking, stand_ins)
    lacking = ["a fallback of its own"]
    if recovery:
        return _answer(Question.RECOVERY, Says.PARTLY, f"Not by itself: {recovery}.", lacking, stand_ins)
    lacking.append("somebody who can recover it")
    return _answer(Question.RECOVERY, Says.NO, f"It lacks {_listed(lacking)}.", lacking, stand_ins)


def _answer(
    question: Question, says: Says, sentence: str, lacking: list[str], stand_ins: tuple[StandIn, ...]
) -> Answer:
    if says is Says.YES:
        return Answer(question, says, sentence)
    words = "; ".join(f"{entry.what} (until {entry.until}, {entry.owner})" for entry in stand_ins)
    ending = f" In its stead: {words}." if words else " Nothing stands in for that."
    return Answer(question, says, sentence + ending, tuple(lacking), stand_ins)


def _stand_ins(model: DeviceModel, controls: tuple[str, ...], now: Instant | None) -> tuple[StandIn, ...]:
    """The compensations in force for `controls`, in the file's order."""
    return tuple(
        StandIn(f"{' and '.join(entry.by)} for {entry.control}", entry.owner, entry.expires)
        for entry in model.compensations
        if entry.control.startswith(controls) and (now is None or last_day_ends(entry.expires) > now)
    )


def _listed(lacks: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([*([", ".join(lacks[:-1])] if lacks[:-1] else []), lacks[-1]])
