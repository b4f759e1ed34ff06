"""An audit as SARIF 2.1.0 (OASIS), for code hosts and CI.

1. Every control is a rule. A result is what somebody has to act on: a failure, and what could not be decided though it
   is critical or high, or failed before (`open`, whose level is none: SARIF §3.27.10). Code hosts show every result
   as an alert, whatever its kind, so what passed or does not apply is counted in the run's properties and no result.
2. A compensated control is a failure that is suppressed, with the reason as justification; a waived one likewise, with
   who answers for it and until when (SARIF §3.35).
3. The first path in an item of proof, with its line where the proof has it, becomes a location under ``ROOT``; a result
   without one points at the root itself, because code hosts drop results that point nowhere.
4. Against an earlier audit every result has a `baselineState` (SARIF §3.27.24). What was fixed is counted; it is never
   an `absent` failure, which some code hosts would show as one that is there.
5. What an image holds and was not understood, and why nothing was looked at, is told as a notification of the run.
"""

from __future__ import annotations

from typing import Any

from holdfast_core.baseline.compare import Change
from holdfast_core.baseline.document import Document, Entry
from holdfast_core.baseline.fingerprints import place_of
from holdfast_core.baseline.model import Outcome
from holdfast_core.kernel.severity import Severity

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_KINDS = {
    Outcome.FAIL: "fail",
    Outcome.COMPENSATED: "fail",
    Outcome.UNKNOWN: "open",
}
_WEIGHTY = frozenset({Severity.CRITICAL, Severity.HIGH})
_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.0", Severity.LOW: "2.0"}
"""What code hosts sort by: ``security-severity``, a number from 0.0 to 10.0."""
_STATES = {Change.NEW: "new", Change.UNCHANGED: "unchanged"}

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


def sarif(document: Document, *, root_uri: str) -> dict[str, Any]:
    """`document` as a SARIF log with one run, ready for a JSON encoder.

    Args:
        document: the audit.
        root_uri: absolute URI of the audited root, e.g. ``file:///srv/rootfs``.
    """
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Holdfast",
                        "semanticVersion": document.catalogue.version,
                        "rules": [_rule(entry) for entry in document.judged],
                    }
                },
                "invocations": [_invocation(document)],
                "originalUriBaseIds": {"ROOT": {"uri": root_uri.rstrip("/") + "/"}},
                "columnKind": "unicodeCodePoints",
                "results": [
                    _result(entry, index, compared=document.comparison is not None)
                    for index, entry in enumerate(document.judged)
                    if _shown(entry)
                ],
                "properties": {
                    "asked": document.asked,
                    "decided": document.decided,
                    "coverage": document.coverage,
                    "counts": document.counts,
                    "class": document.device.device_class.value,
                    "model": document.device.model,
                    **({"changes": document.comparison.counts} if document.comparison is not None else {}),
                },
            }
        ],
    }


def _shown(entry: Entry) -> bool:
    """Whether somebody has to act on it, or has answered for it (rule 1)."""
    if entry.outcome is Outcome.UNKNOWN:
        lost = entry.shift is not None and entry.shift.change is Change.LOST
        return lost or entry.severity in _WEIGHTY
    return entry.outcome in _KINDS


def _invocation(document: Document) -> dict[str, Any]:
    """How the audit went (SARIF §3.20)."""
    gaps = [
        f"{part.name} ({part.kind}) was not understood. {part.sentence}".rstrip()
        for part in document.target.parts
        if not part.understood
    ]
    notes = [{"level": "warning", "message": {"text": gap}} for gap in gaps]
    if document.target.trouble:
        notes.append({"level": "error", "message": {"text": document.target.trouble}})
    return {
        "executionSuccessful": not document.target.trouble,
        "endTimeUtc": document.at,
        "toolExecutionNotifications": notes,
    }


def _rule(entry: Entry) -> dict[str, Any]:
    """One control as a reporting descriptor (SARIF §3.49)."""
    advice = entry.advice
    rule: dict[str, Any] = {
        "id": entry.control,
        "shortDescription": {"text": entry.title},
        "defaultConfiguration": {"level": _LEVELS[entry.severity]},
        "properties": {
            "security-severity": _SCORES[entry.severity],
            "tags": ["security", entry.control.partition("-")[0].lower()],
        },
    }
    if advice is not None:
        rule["fullDescription"] = {"text": advice.rationale}
        rule["help"] = {"text": " ".join(advice.steps)}
        rule["properties"]["mappings"] = advice.mappings
    return rule


def _result(entry: Entry, rule_index: int, *, compared: bool) -> dict[str, Any]:
    """One judged control as a result (SARIF §3.27)."""
    kind = _KINDS[entry.outcome]
    places = [place for item in entry.proof if (place := place_of(item)) is not None]
    seen = f" Seen: {'; '.join(entry.proof)}." if entry.proof else ""
    result: dict[str, Any] = {
        "ruleId": entry.control,
        "ruleIndex": rule_index,
        "kind": kind,
        "level": _LEVELS[entry.severity] if kind == "fail" else "none",
        "message": {"text": f"{entry.reason}{seen}"},
        "locations": [_location(*place) for place in dict.fromkeys(places)] or [_location("/", None)],
        "partialFingerprints": {"holdfast/v1": entry.fingerprint},
    }
    if suppressions := _suppressions(entry):
        result["suppressions"] = suppressions
    if compared:
        shift = entry.shift
        result["baselineState"] = "unchanged" if shift is None else _STATES.get(shift.change, "updated")
        if shift is not None:
            result["properties"] = {"change": shift.change.value, "came": shift.came, "went": shift.went}
    return result


def _suppressions(entry: Entry) -> list[dict[str, str]]:
    waiver = entry.waiver
    if waiver is not None:
        why = f"{waiver.reason} {waiver.owner} answers for it until {waiver.expires}."
    elif entry.outcome is Outcome.COMPENSATED:
        why = entry.reason
    else:
        return []
    return [{"kind": "external", "status": "accepted", "justification": why}]


def _location(path: str, line: int | None) -> dict[str, Any]:
    uri = _quoted(path.lstrip("/")) or "."
    place: dict[str, Any] = {"artifactLocation": {"uri": uri, "uriBaseId": "ROOT"}}
    if line is not None:
        place["region"] = {"startLine": line}
    return {"physicalLocation": place}


def _quoted(path: str) -> str:
    """`path` percent-encoded (RFC 3986 §2.1)."""
    raw = path.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in raw)
