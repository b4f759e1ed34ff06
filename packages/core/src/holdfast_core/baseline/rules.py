"""Judging: what a device sent, read against its baseline, and the appraisal that follows.

1. What is asked and was not reported is `unknown`; what was reported and not asked is ignored.
2. A compensated line passes as `compensated` only while every stand-in passes itself and the compensation has not
   lapsed; a device may always meet the control instead. Where a person declared that it cannot be met, a device's word
   that it does not apply does not release the stand-ins.
3. A device cannot excuse itself: `not_applicable` needs a reason and never counts for a critical control, and
   `compensated` is ours to say.
4. Deciding nothing is no appraisal, and a critical or high control that could not be decided is never affirmed:
   leaving a finding out must not look better than reporting it.
5. Text from a device is stored with its control characters escaped: it is printed on terminals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from holdfast_core.baseline.control import Catalogue, Control
from holdfast_core.baseline.inspections import InspectionRecord, judge_inspection
from holdfast_core.baseline.model import (
    Baseline,
    BuildManifest,
    ControlId,
    Demand,
    Finding,
    Findings,
    Judged,
    Line,
    Outcome,
    Report,
)
from holdfast_core.baseline.probes import Inspection, Manifest, judge_manifest, parts
from holdfast_core.baseline.tailoring import judged_by_manifest
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.errors import Bug, HostileData
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.printable import printable
from holdfast_core.kernel.reasons import Reason
from holdfast_core.kernel.severity import Severity

FEATURE = "baseline"
REASON_BYTES = 384
"""Of what a device can put into one reason: a verdict's reasons must always fit a leaf of the record, or a device could
keep a bad verdict from being written. The whole proof is in the report."""
REMEDY_BYTES = 640
"""Of a remedy in one reason, for the same sake: people's own controls may have longer ones."""
MAX_REASONS = 16
"""Reasons of one appraisal, worst first; what is left out is counted in ``baseline.more``."""

_UNDECIDED = (
    "See to it that the device looks: its agent must be able to read what the control is about. Where a client cannot "
    "judge it, as the shell client cannot judge most, use the agent, or let something stand in (model: compensations)."
)
_NOT_REPORTED = "The device reported nothing for it."
_NO_EXCUSE = "The device says that it does not apply, which is not for a device to say of a critical control."


class _Asked(msgspec.Struct, frozen=True):
    """A line that something is asked by, with what judging needs of it, made once per baseline."""

    line: Line
    fault: str
    why: str
    remedy: str
    undecided: str
    """What to do where it could not be decided."""
    met: Judged
    missing: Judged
    on_terms: bool


class Judge(msgspec.Struct, frozen=True):
    """A baseline made ready to judge many audits; build one per baseline with `judge_for` and keep it."""

    entries: tuple[Judged | _Asked, ...]
    manifests: dict[ControlId, Manifest]
    """Every fact to look up for a device without an agent: those of the lines and of their stand-ins."""
    inspected: dict[ControlId, Inspection]
    """Every control that a person looks at, likewise."""
    asked: int

    def report(
        self, body: Findings | BuildManifest, now: Instant, inspections: Iterable[InspectionRecord] = ()
    ) -> Report:
        """What `body` and `inspections` say of the device, control by control, at `now` (for what lapses).

        Whether findings come from the plan that is in force is for the caller to check (`Findings.plan`).

        Raises:
            HostileData: ``baseline.findings_duplicate``, ``baseline.findings_excuse``, ``baseline.findings_claim``,
                ``baseline.findings_too_many``.
        """
        if isinstance(body, BuildManifest):
            found = {name: judge_manifest(name, probe, body) for name, probe in self.manifests.items()}
        else:
            found = _by_control(body.findings)
            for name in self.manifests:
                found.pop(name, None)  # rule 3: an agent's word is no build manifest
        records = {record.control: record for record in inspections}
        for name, look in self.inspected.items():  # nor is it a person's look
            found[name] = judge_inspection(look, name, records.get(name), now)
        judged = tuple(entry if isinstance(entry, Judged) else _judged(entry, found, now) for entry in self.entries)
        undecided = sum(entry.outcome is Outcome.UNKNOWN for entry in judged)
        return Report(judged, self.asked, self.asked - undecided)


def judge_for(baseline: Baseline, catalogue: Catalogue) -> Judge:
    """Make `baseline` ready to judge.

    Raises:
        Bug: ``baseline.other_catalogue`` when it was tailored from another catalogue.
    """
    if baseline.catalogue != catalogue.digest:
        raise Bug(
            "baseline.other_catalogue",
            f"The baseline of {baseline.model} was tailored from another catalogue.",
            remedy="Tailor it anew from the catalogue in force.",
        )
    known = {control.id: control for control in catalogue.controls}
    manifests: dict[ControlId, Manifest] = {}
    inspected: dict[ControlId, Inspection] = {}
    entries: list[Judged | _Asked] = []
    for line in baseline.lines:
        if line.demand in {Demand.NOT_APPLICABLE, Demand.FORBIDDEN}:
            entries.append(Judged(line.control, line.title, line.severity, Outcome.NOT_APPLICABLE, line.reason))
            continue
        for name in (line.control, *line.by):
            probe = known[name].manifest
            if probe is not None and judged_by_manifest(known[name], baseline.device_class):
                manifests[name] = probe
            elif isinstance(look := known[name].probe, Inspection):
                inspected[name] = look
        entries.append(_asked(line, known[line.control]))
    return Judge(tuple(entries), manifests, inspected, sum(isinstance(entry, _Asked) for entry in entries))


def judge(baseline: Baseline, body: Findings | BuildManifest, catalogue: Catalogue, now: Instant) -> Report:
    """What `body` says of a device with `baseline`; for one audit. See `Judge.report` for the errors."""
    return judge_for(baseline, catalogue).report(body, now)


def appraise(report: Report, *, now: Instant, max_age_ms: int) -> Appraisal:
    """The baseline's reading of an audit, good for `max_age_ms` milliseconds.

    A critical failure contraindicates; a high one, or a critical or high control that could not be decided, warns; all
    else is affirmed, with the lesser failures among the reasons.
    """
    reasons: tuple[Reason, ...]
    if report.decided == 0:
        tier, reasons = Tier.NONE, (_NOTHING_DECIDED,)
    else:
        tier, reasons = _read(report)
    return Appraisal(FEATURE, tier, reasons, now, Instant(now + max_age_ms))


_NOTHING_DECIDED = Reason(
    "baseline.nothing_decided",
    "Not one control that is asked of this device could be decided, so nothing is known of its hardening.",
    "Run the audit as root on the device's own root file system, or send the build manifest.",
)


def _asked(line: Line, control: Control) -> _Asked:
    remedy = " ".join(control.remedy.steps)
    undecided = _way_to_decide(control)
    known = (line.control, line.title, line.severity)
    return _Asked(
        line=line,
        fault=control.fault,
        why=control.rationale,
        remedy=remedy,
        undecided=undecided,
        met=Judged(*known, Outcome.PASS, line.reason),
        missing=Judged(*known, Outcome.UNKNOWN, _NOT_REPORTED, (), control.rationale, undecided),
        on_terms=line.demand is Demand.COMPENSATED,
    )


def _way_to_decide(control: Control) -> str:
    """What helps where a control could not be decided: it depends on who looks."""
    if control.inspected:
        return "Have a person look, and record it: holdfast device inspect, or --inspections FILE of an audit."
    asked = (control.manifest, *(parts(control.probe) if control.probe is not None else ()))
    facts = dict.fromkeys(probe.key for probe in asked if isinstance(probe, Manifest))
    if not facts:
        return _UNDECIDED
    return f"State {' and '.join(facts)} in the build manifest, if it is so. Else: {control.remedy.steps[0]}"


def _by_control(findings: tuple[Finding, ...]) -> dict[ControlId, Finding]:
    """The findings by control, or the refusal of a device that excuses itself."""
    if len(findings) > LIMITS.findings:
        raise _hostile("too_many", f"The device sent {len(findings)} findings, more than {LIMITS.findings}.")
    found: dict[ControlId, Finding] = {}
    for finding in findings:
        name = finding.control
        if name in found:
            raise _hostile("duplicate", f"The device sent more than one finding for {name}.")
        if finding.outcome is Outcome.NOT_APPLICABLE and not finding.reason:
            raise _hostile("excuse", f"The device says that {name} does not apply and gives no reason.")
        if finding.outcome is Outcome.COMPENSATED:
            raise _hostile("claim", f"The device claims that {name} is compensated, which only its baseline can say.")
        found[name] = finding
    return found


def _hostile(what: str, sentence: str) -> HostileData:
    return HostileData(
        f"baseline.findings_{what}", sentence, remedy="Update the agent; if it is current, examine the device."
    )


def _judged(asked: _Asked, found: dict[ControlId, Finding], now: Instant) -> Judged:
    """One asked line, judged: by its own finding, or on the terms of its compensation."""
    own = _own(asked, found.get(asked.line.control))
    line = asked.line
    released = {Outcome.PASS} if line.signed else {Outcome.PASS, Outcome.NOT_APPLICABLE}
    if not asked.on_terms or own.outcome in released:
        return own
    if line.expires is not None and now >= line.expires:
        lapsed = f"The compensation that {line.owner} answered for has lapsed. "
        return msgspec.structs.replace(own, reason=lapsed + own.reason)
    return _on_terms(asked, own, found)


def _own(asked: _Asked, finding: Finding | None) -> Judged:
    """What the device's own finding makes of the control."""
    line = asked.line
    if finding is None:
        return asked.missing
    outcome, reason = finding.outcome, printable(finding.reason)
    if outcome is Outcome.PASS and not finding.proof:
        return asked.met
    proof = tuple(map(printable, finding.proof[: LIMITS.proof_items]))
    if outcome is Outcome.PASS:
        return Judged(line.control, line.title, line.severity, outcome, line.reason, proof)
    if outcome is Outcome.FAIL:
        fault = f"{asked.fault} {reason}".rstrip()
        return Judged(line.control, line.title, line.severity, outcome, fault, proof, asked.why, asked.remedy)
    if outcome is Outcome.NOT_APPLICABLE:
        if line.severity is not Severity.CRITICAL:
            return Judged(line.control, line.title, line.severity, outcome, reason, proof)
        outcome, reason = Outcome.UNKNOWN, f"{_NO_EXCUSE} Its reason: {reason}"
    reason = reason or "The device could not tell, and gives no reason."
    return Judged(line.control, line.title, line.severity, outcome, reason, proof, asked.why, asked.undecided)


def _on_terms(asked: _Asked, own: Judged, found: dict[ControlId, Finding]) -> Judged:
    """A line that stand-ins answer for: every one of them must have passed by itself.

    Where a stand-in does not hold, what the device itself said counts: a control that it could not decide has not
    failed because its stand-in did.
    """
    line = asked.line
    outcomes = {name: found[name].outcome if name in found else Outcome.UNKNOWN for name in line.by}
    if all(outcome is Outcome.PASS for outcome in outcomes.values()):
        return Judged(line.control, line.title, line.severity, Outcome.COMPENSATED, line.reason)
    broken = [name for name, outcome in outcomes.items() if outcome in {Outcome.FAIL, Outcome.NOT_APPLICABLE}]
    if broken and own.outcome is Outcome.UNKNOWN:
        reason = f"{own.reason} What should stand in does not hold: {', '.join(broken)}."
        return msgspec.structs.replace(own, reason=reason, remedy=f"Make {' and '.join(broken)} pass. {own.remedy}")
    if broken:
        reason = f"{asked.fault} What should stand in does not hold: {', '.join(broken)}."
        remedy = f"Make {' and '.join(broken)} pass. {asked.remedy}"
        return Judged(line.control, line.title, line.severity, Outcome.FAIL, reason, (), asked.why, remedy)
    silent = ", ".join(name for name, outcome in outcomes.items() if outcome is Outcome.UNKNOWN)
    reason = f"What stands in could not be decided: {silent}."
    return Judged(line.control, line.title, line.severity, Outcome.UNKNOWN, reason, (), asked.why, asked.undecided)


def _read(report: Report) -> tuple[Tier, tuple[Reason, ...]]:
    """Tier and reasons of a report in which something was decided."""
    failed = [entry for entry in report.judged if entry.outcome is Outcome.FAIL]
    blind = [entry for entry in report.judged if entry.outcome is Outcome.UNKNOWN and entry.severity in _WEIGHTY]
    worst = {entry.severity for entry in failed}
    if Severity.CRITICAL in worst:
        tier = Tier.CONTRAINDICATED
    elif Severity.HIGH in worst or blind:
        tier = Tier.WARNING
    else:
        tier = Tier.AFFIRMING
    # A failure goes before a blind spot of the same severity; within one severity the catalogue's order stays.
    ordered = sorted((*failed, *blind), key=lambda entry: _RANKS[entry.severity])
    return tier, tuple(_reasons(ordered))


_WEIGHTY = frozenset({Severity.CRITICAL, Severity.HIGH})
_RANKS = {severity: severity.rank for severity in Severity}


def _reasons(ordered: list[Judged]) -> Iterator[Reason]:
    for entry in ordered[:MAX_REASONS]:
        kind = "fail" if entry.outcome is Outcome.FAIL else "unknown"
        what = entry.reason if kind == "fail" else f"{entry.title}: could not be decided. {_sentence(entry.reason)}"
        seen = f" Seen: {entry.proof[0]}{_more(len(entry.proof) - 1)}." if entry.proof else ""
        told = _cut(f"{what}{seen}", REASON_BYTES)
        yield Reason(f"baseline.{kind}.{entry.control}", f"{told} {entry.why}", _cut(entry.remedy, REMEDY_BYTES))
    if (more := len(ordered) - MAX_REASONS) > 0:
        yield Reason(
            "baseline.more",
            f"{more} more controls did not come out well.",
            "Read the whole report: holdfast device report DEVICE.",
        )


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _sentence(text: str) -> str:
    """A device's words with a capital and a full stop, so that they can stand between two sentences."""
    whole = text[:1].upper() + text[1:]
    return whole if not whole or whole[-1] in ".!?" else f"{whole}."


def _cut(text: str, size: int) -> str:
    """`text`, or as much of it as `size` bytes hold."""
    raw = text.encode()
    return text if len(raw) <= size else raw[: size - 3].decode(errors="ignore") + "…"
