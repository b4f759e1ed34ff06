"""A report as SARIF 2.1.0 (OASIS), for code hosts and CI.

1. Every asked control is a result: `fail`, `pass`, `open` (unknown) or `notApplicable`; silence is never a pass.
2. A compensated control is a failure that is suppressed, with the reason as justification (SARIF §3.35).
3. A proof that starts with a path of the audited root becomes a location under ``ROOT``; a result without one points
   at the root itself, because code hosts drop results that point nowhere.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from holdfast_core.baseline.control import Catalogue, Control
from holdfast_core.baseline.model import Judged, Outcome, Report
from holdfast_core.kernel.severity import Severity

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_KINDS = {
    Outcome.PASS: "pass",
    Outcome.FAIL: "fail",
    Outcome.COMPENSATED: "fail",
    Outcome.UNKNOWN: "open",
    Outcome.NOT_APPLICABLE: "notApplicable",
}
_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.0", Severity.LOW: "2.0"}
"""What code hosts sort by: ``security-severity``, a number from 0.0 to 10.0."""

_PATH = re.compile(r"/[^\s:,;]*")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


def sarif(report: Report, catalogue: Catalogue, *, root_uri: str) -> dict[str, Any]:
    """`report` as a SARIF log with one run, ready for a JSON encoder.

    Args:
        report: the judged audit.
        catalogue: where titles, reasons and remedies come from.
        root_uri: absolute URI of the audited root, e.g. ``file:///srv/rootfs``.
    """
    known = {control.id: control for control in catalogue.controls}
    judged = [entry for entry in report.judged if entry.control in known]
    index = {entry.control: position for position, entry in enumerate(judged)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Holdfast",
                        "semanticVersion": catalogue.version,
                        "rules": [_rule(known[entry.control]) for entry in judged],
                    }
                },
                "originalUriBaseIds": {"ROOT": {"uri": root_uri.rstrip("/") + "/"}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(entry, index[entry.control]) for entry in judged],
                "properties": {"asked": report.asked, "decided": report.decided, "coverage": report.coverage},
            }
        ],
    }


def _rule(control: Control) -> dict[str, Any]:
    """One control as a reporting descriptor (SARIF §3.49)."""
    steps = " ".join(control.remedy.steps)
    mappings = {
        name: list(ids) for name in control.mappings.__struct_fields__ if (ids := getattr(control.mappings, name))
    }
    return {
        "id": control.id,
        "shortDescription": {"text": control.title},
        "fullDescription": {"text": control.rationale},
        "help": {"text": steps},
        "defaultConfiguration": {"level": _LEVELS[control.severity]},
        "properties": {
            "security-severity": _SCORES[control.severity],
            "tags": ["security", control.group.value.lower()],
            "mappings": mappings,
        },
    }


def _result(entry: Judged, rule_index: int) -> dict[str, Any]:
    """One judged control as a result (SARIF §3.27)."""
    kind = _KINDS[entry.outcome]
    paths = [match.group() for proof in entry.proof if (match := _PATH.match(proof))]
    seen = f" Seen: {'; '.join(entry.proof)}." if entry.proof else ""
    result: dict[str, Any] = {
        "ruleId": entry.control,
        "ruleIndex": rule_index,
        "kind": kind,
        "level": _LEVELS[entry.severity] if kind == "fail" else "none",
        "message": {"text": f"{entry.reason}{seen}"},
        "locations": [_location(path) for path in dict.fromkeys(paths)] or [_location("/")],
        "partialFingerprints": {"holdfast/v1": _fingerprint(entry.control, paths)},
    }
    if entry.outcome is Outcome.COMPENSATED:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": entry.reason}]
    return result


def _location(path: str) -> dict[str, Any]:
    uri = _quoted(path.lstrip("/")) or "."
    return {"physicalLocation": {"artifactLocation": {"uri": uri, "uriBaseId": "ROOT"}}}


def _quoted(path: str) -> str:
    """`path` percent-encoded (RFC 3986 §2.1)."""
    raw = path.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in raw)


def _fingerprint(control: str, paths: list[str]) -> str:
    """The same finding in the next run has the same fingerprint, whatever else its proof says."""
    return hashlib.sha256("\n".join((control, *sorted(paths))).encode("utf-8", "surrogateescape")).hexdigest()[:32]
