"""What a device's word, its attestation and its silence make of its part in a rollout: `heard`, `unheard`.

1. A device's own word moves it as far as `TRIED`. It is `SOAKING` once its attestation, gathered after it booted,
   affirms that very release; where its model cannot attest, its report from the new slot has to do (`weak`).
2. It is `DONE` when it was healthy for the soak time; not being well in that time, or evidence against it at any time
   from then on, is a failure of the release.
3. What it says of another attempt than the one it was directed to changes nothing.
4. Silence is counted from when it was last heard of; whoever speaks again stands where it stood, and by what it says.
5. A device on trial is told what to make of it (`order_for`): confirm, fall back, or wait.
6. A device that a person forgave (`FORGIVEN`) counts as done, whatever it says or runs.
"""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.update.model import Assignment, Stage
from holdfast_core.wire.update import Attempt, Order, Step, UpdateReport

INSTALLS = frozenset({Step.FETCHING, Step.FETCHED, Step.WRITING, Step.WRITTEN, Step.ARMED})
FORGIVEN = "rollout.forgiven"
"""The code of a device that counts as done because a person said so."""
GUARDS = frozenset({"update.window", "update.battery"})
"""The codes of guards that may hold a device back; its rollout's deadline is then `HELD` times as long."""
HELD = 7
_ENDS = {Step.FAILED: Stage.FAILED, Step.FELL_BACK: Stage.FELL_BACK, Step.STOPPED: Stage.WITHDRAWN}


class Proof(msgspec.Struct, frozen=True):
    """What else is known of a device beside its report, at one moment.

    `attests`: whether its model can. `release`: the release that its last affirming evidence was of, and `proved_at`
    when that evidence came. `against`: the code of evidence that speaks against it, and `against_at` when that came:
    what came before a device booted the release says nothing of the release; `None` means now. `healthy`: whether its
    essential function goes on; `None` where it does not say.
    """

    attests: bool
    release: str = ""
    proved_at: Instant | None = None
    against: str = ""
    healthy: bool | None = None
    against_at: Instant | None = None


def heard(
    before: Assignment, report: UpdateReport, proof: Proof, *, directive: int, soak_s: int, now: Instant
) -> Assignment:
    """The assignment after a check-in.

    Args:
        before: as it was.
        report: the device's own word.
        proof: what else is known.
        directive: the number under which the device was directed; 0 where it was not yet.
        soak_s: of its wave.
        now: the moment.
    """
    if before.stage is Stage.DONE and before.code == FORGIVEN:
        return before
    if before.stage is Stage.SILENT:
        before = _at(before, before.heard, now, code="", sentence="")
    if before.stage in (Stage.SOAKING, Stage.DONE):
        return _settling(before, report, proof, soak_s, now)
    waits = before.stage in (Stage.WAITING, Stage.WITHDRAWN)
    if before.stage.is_bad or (waits and report.running.release != before.release):
        return before
    attempt = report.attempt
    is_ours = attempt is not None and attempt.release == before.release and attempt.directive == directive != 0
    if attempt is not None and is_ours and (moved := _attempted(before, attempt, now)) is not None:
        return moved
    if report.running.release == before.release and (is_ours or _is_there(before)):
        return _tried(before, report, proof, soak_s, now)
    return before


def _attempted(before: Assignment, attempt: Attempt, now: Instant) -> Assignment | None:
    """The assignment by the attempt under way, or one that came to nothing; `None` where it booted the release."""
    if attempt.step in _ENDS:
        code = attempt.code or f"update.{attempt.step.value}"
        if before.stage is _ENDS[attempt.step]:
            return before
        return _at(before, _ENDS[attempt.step], now, code=code, sentence=attempt.sentence)
    if attempt.step in INSTALLS:
        moved = before if before.stage is Stage.INSTALLING else _at(before, Stage.INSTALLING, now)
        return msgspec.structs.replace(moved, percent=attempt.percent, code="", sentence="")
    if attempt.step is Step.WAITING:
        return msgspec.structs.replace(before, code=attempt.code, sentence=attempt.sentence)
    return None


def _is_there(before: Assignment) -> bool:
    """Whether a device may count by what it runs alone: it came by the release without this rollout."""
    return before.stage in (Stage.WAITING, Stage.DIRECTED, Stage.TRIED)


def _tried(before: Assignment, report: UpdateReport, proof: Proof, soak_s: int, now: Instant) -> Assignment:
    """The device says that it runs the release; what proves it may have come with the same word."""
    tried = before
    if before.stage is not Stage.TRIED:
        tried = _at(before, Stage.TRIED, now, code="", sentence="")
        tried = msgspec.structs.replace(tried, tried_at=now, percent=100)
    if _speaks_against(tried, proof):
        return _at(tried, Stage.FAILED, now, code=proof.against, sentence="Its attestation speaks against it.")
    attempt = report.attempt
    on_trial = attempt is not None and attempt.release == before.release and attempt.step is Step.BOOTED
    if not on_trial and is_proved(tried, proof):
        soaking = msgspec.structs.replace(_at(tried, Stage.SOAKING, now, code="", sentence=""), weak=not proof.attests)
        return _settling(soaking, report, proof, soak_s, now)
    return tried


def is_proved(tried: Assignment, proof: Proof) -> bool:
    """Whether a device on trial proved what it runs, as far as its model can; evidence from before the boot is none."""
    if not proof.attests:
        return True
    fresh = proof.proved_at is not None and tried.tried_at is not None and proof.proved_at >= tried.tried_at
    return fresh and proof.release == tried.release


def _speaks_against(tried: Assignment, proof: Proof) -> bool:
    """Whether evidence from after the boot speaks against it; what it ran before may have been the ill to be cured."""
    at = proof.against_at
    return bool(proof.against) and (at is None or tried.tried_at is None or at >= tried.tried_at)


def _settling(before: Assignment, report: UpdateReport, proof: Proof, soak_s: int, now: Instant) -> Assignment:
    if _speaks_against(before, proof):
        return _at(before, Stage.FAILED, now, code=proof.against, sentence="Its attestation speaks against it.")
    if report.running.release != before.release:
        return _gone(before, report, now)
    if before.stage is Stage.DONE:
        return before
    if proof.healthy is False:
        return _at(before, Stage.FAILED, now, code="update.unhealthy", sentence="Its essential function stopped.")
    if now - before.at >= soak_s * SECOND:
        return _at(before, Stage.DONE, now)
    return before


def _gone(before: Assignment, report: UpdateReport, now: Instant) -> Assignment:
    """The device runs another release: an older one, which is a fall back, or a newer one, which is nobody's fault."""
    sentence = f"It runs {_named(report)} now."
    if report.running.counter <= before.counter:
        return _at(before, Stage.FELL_BACK, now, code="update.left", sentence=sentence)
    if before.stage is Stage.DONE:
        return before
    return _at(before, Stage.WITHDRAWN, now, code="update.left", sentence=sentence)


def _named(report: UpdateReport) -> str:
    return report.running.release or "another release"


def unheard(before: Assignment, last_seen: Instant | None, *, patience_s: int, now: Instant) -> Assignment:
    """The assignment of a device that something was begun with, as its silence makes it."""
    if before.stage not in (Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED, Stage.SOAKING):
        return before
    since = max(last_seen or Instant(0), before.directed_at or Instant(0))
    if now - since < patience_s * SECOND:
        return before
    silent = _at(before, Stage.SILENT, now, code="update.silent", sentence="It says nothing since it was directed.")
    return msgspec.structs.replace(silent, heard=before.stage)


def overdue(before: Assignment, *, deadline_s: int, now: Instant, patience_s: int = 0) -> Assignment:
    """The assignment of a device that checks in, and never confirms.

    Args:
        before: as it was.
        deadline_s: of its rollout; `HELD` times that while the device's own guard holds it back.
        now: the moment.
        patience_s: as for `unheard`: nobody is late who need not have called yet.
    """
    if before.stage not in (Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED) or before.directed_at is None:
        return before
    is_held = before.code in GUARDS
    deadline = max(deadline_s * (HELD if is_held else 1), patience_s)
    if now - before.directed_at < deadline * SECOND:
        return before
    why = "Its window or its battery has held it back for too long." if is_held else "It has not confirmed in time."
    return _at(before, Stage.FAILED, now, code="update.overdue", sentence=why)


def order_for(assignment: Assignment, report: UpdateReport, proof: Proof, *, revert: bool) -> Order:
    """What a device should make of the release that it runs on trial.

    Args:
        assignment: after `heard`.
        report: the device's own word.
        proof: what else is known.
        revert: whether the rollout wants those on trial back.
    """
    attempt = report.attempt
    if attempt is None or attempt.step is not Step.BOOTED or attempt.release != assignment.release:
        return Order.WAIT
    if assignment.stage.is_bad or revert or _speaks_against(assignment, proof):
        return Order.REVERT
    # One that proved it already may have lost power before it wrote down that it was told to confirm.
    goes_on = assignment.stage in (Stage.TRIED, Stage.SOAKING, Stage.DONE) and proof.healthy is not False
    return Order.CONFIRM if goes_on and is_proved(assignment, proof) else Order.WAIT


def _at(
    before: Assignment, stage: Stage, now: Instant, *, code: str | None = None, sentence: str | None = None
) -> Assignment:
    after = msgspec.structs.replace(before, stage=stage, at=now)
    if code is not None:
        after = msgspec.structs.replace(after, code=code)
    return after if sentence is None else msgspec.structs.replace(after, sentence=sentence)
