"""An audit as OSCAL assessment results (NIST, 1.1), for those who assess for a living.

1. Every control is an observation, with its proof as evidence; every one that is asked is a finding with its mappings.
2. OSCAL knows satisfied and not satisfied only: what could not be decided is not satisfied, for the reason `other`.
3. Every failure is a risk: open, or, where somebody answers for it or something stands in, an approved deviation with
   its deadline.
4. Identifiers are made of what the audit says (UUID version 5), so the same audit gives the same document but for the
   time.
5. OSCAL reads descriptions as Markdown: whatever could be read as markup in them is escaped.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from holdfast_core.baseline.document import Document, Entry
from holdfast_core.baseline.model import Demand, Outcome
from holdfast_core.kernel.digests import canonical

VERSION = "1.1.3"
"""The version of OSCAL."""
_NS = "urn:holdfast:oscal"
_SPACE = uuid5(NAMESPACE_URL, _NS)
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~^$&!])")

_STATUS = {
    Outcome.PASS: ("satisfied", "pass"),
    Outcome.FAIL: ("not-satisfied", "fail"),
    Outcome.COMPENSATED: ("not-satisfied", "other"),
    Outcome.UNKNOWN: ("not-satisfied", "other"),
}
"""What OSCAL calls the outcomes of what is asked."""


def oscal(document: Document) -> dict[str, Any]:
    """`document` as OSCAL assessment results, ready for a JSON encoder."""
    return {"assessment-results": _Writer(document).results()}


class _Writer:
    """One document on its way."""

    def __init__(self, document: Document) -> None:
        self.document = document
        timeless = msgspec.structs.replace(document, at="", comparison=None)
        self._space = uuid5(_SPACE, canonical(timeless).decode())

    def results(self) -> dict[str, Any]:
        document = self.document
        asked = [entry for entry in document.judged if entry.outcome in _STATUS]
        risks = [self._risk(entry) for entry in asked if _risky(entry)]
        result = {
            "uuid": self._id("result"),
            "title": f"Audit of {_text(document.target.name)}",
            "description": self._headline(),
            "start": document.at,
            "end": document.at,
            "props": self._props(),
            "local-definitions": {"components": [self._component()]},
            "reviewed-controls": {"control-selections": [self._selection(asked)]},
            "observations": [self._observation(entry) for entry in document.judged],
            **({"risks": risks} if risks else {}),
            **({"findings": [self._finding(entry) for entry in asked]} if asked else {}),
        }
        return {
            "uuid": self._id("document"),
            "metadata": {
                "title": f"Holdfast audit of {_text(document.target.name)}",
                "last-modified": document.at,
                "version": f"{document.at}",
                "oscal-version": VERSION,
            },
            "import-ap": {"href": f"#{self._id('plan')}"},
            "results": [result],
            "back-matter": {"resources": [self._plan()]},
        }

    def _id(self, *names: str) -> str:
        space: UUID = self._space
        return str(uuid5(space, " ".join(names)))

    def _headline(self) -> str:
        document = self.document
        trouble = f" {document.target.trouble}" if document.target.trouble else ""
        return _text(f"{document.decided} of {document.asked} controls that are asked were decided.{trouble}")

    def _props(self) -> list[dict[str, str]]:
        document = self.document
        gaps = [part for part in document.target.parts if not part.understood]
        return [
            _prop("class", document.device.device_class.value),
            *([_prop("model", document.device.model)] if document.device.model else []),
            _prop("asked", str(document.asked)),
            _prop("decided", str(document.decided)),
            _prop("catalogue-digest", document.catalogue.digest),
            *(_prop("not-understood", f"{part.name} ({part.kind})") for part in gaps),
        ]

    def _component(self) -> dict[str, Any]:
        target = self.document.target
        return {
            "uuid": self._id("target"),
            "type": "this-system" if target.kind == "system" else "software",
            "title": _text(target.name),
            "description": f"What was audited: a {target.kind}.",
            "status": {"state": "operational" if target.kind == "system" else "under-development"},
        }

    def _plan(self) -> dict[str, Any]:
        catalogue, device = self.document.catalogue, self.document.device
        kind = f"{device.model} ({device.device_class.value})" if device.model else device.device_class.value
        return {
            "uuid": self._id("plan"),
            "title": f"Baseline of {_text(kind)}",
            "description": _text(
                f"Tailored from the Holdfast catalogue {catalogue.version}, {catalogue.digest}. "
                "It is made anew by every audit, so there is no assessment plan apart from it."
            ),
        }

    def _selection(self, asked: list[Entry]) -> dict[str, Any]:
        not_asked = [entry.control for entry in self.document.judged if entry.outcome not in _STATUS]
        return {
            "description": "The controls of the baseline; what does not apply to this device is excluded.",
            "include-controls": [{"control-id": entry.control} for entry in asked],
            **({"exclude-controls": [{"control-id": name} for name in not_asked]} if not_asked else {}),
        }

    def _observation(self, entry: Entry) -> dict[str, Any]:
        by_word = self.document.target.kind == "manifest"
        return {
            "uuid": self._id("observation", entry.control),
            "title": f"{entry.control}: {_text(entry.title)}",
            "description": _text(entry.reason),
            "props": [_prop("outcome", entry.outcome.value), _prop("demand", entry.asked.demand.value)],
            "methods": ["EXAMINE" if by_word or entry.asked.demand is Demand.NOT_APPLICABLE else "TEST"],
            "types": ["finding"],
            "subjects": [{"subject-uuid": self._id("target"), "type": "component"}],
            **({"relevant-evidence": [{"description": _text(p)} for p in entry.proof]} if entry.proof else {}),
            "collected": self.document.at,
        }

    def _finding(self, entry: Entry) -> dict[str, Any]:
        state, reason = _STATUS[entry.outcome]
        mappings = entry.advice.mappings if entry.advice is not None else {}
        shift = [_prop("change", entry.shift.change.value)] if entry.shift is not None else []
        return {
            "uuid": self._id("finding", entry.control),
            "title": _text(entry.title),
            "description": _text(entry.asked.because),
            "props": [
                _prop("severity", entry.severity.value),
                _prop("fingerprint", entry.fingerprint),
                *shift,
                *(_prop(f"maps-to-{name}", each) for name, ids in mappings.items() for each in ids),
            ],
            "target": {
                "type": "objective-id",
                "target-id": entry.control,
                "status": {"state": state, "reason": reason, "remarks": _text(entry.reason)},
            },
            "related-observations": [{"observation-uuid": self._id("observation", entry.control)}],
            **({"related-risks": [{"risk-uuid": self._id("risk", entry.control)}]} if _risky(entry) else {}),
        }

    def _risk(self, entry: Entry) -> dict[str, Any]:
        waiver, terms = entry.waiver, entry.outcome is Outcome.COMPENSATED
        risk: dict[str, Any] = {
            "uuid": self._id("risk", entry.control),
            "title": _text(entry.title),
            "description": _text(entry.reason),
            "statement": _text(entry.why or (entry.advice.rationale if entry.advice else entry.reason)),
            "props": [_prop("severity", entry.severity.value)],
            "status": "deviation-approved" if waiver or terms else "open",
            "related-observations": [{"observation-uuid": self._id("observation", entry.control)}],
        }
        if waiver is not None:
            said = f"{waiver.owner} answers for it until {waiver.expires}: {waiver.reason}"
            risk["mitigating-factors"] = [{"uuid": self._id("waiver", entry.control), "description": _text(said)}]
            risk["deadline"] = f"{waiver.expires}T23:59:59Z"
        elif terms:
            risk["mitigating-factors"] = [
                {"uuid": self._id("terms", entry.control), "description": _text(entry.reason)}
            ]
            if entry.asked.until:
                risk["deadline"] = entry.asked.until
        if entry.remedy:
            advice = {"lifecycle": "recommendation", "title": "What to do", "description": _text(entry.remedy)}
            risk["remediations"] = [{"uuid": self._id("remedy", entry.control)} | advice]
        return risk


def _risky(entry: Entry) -> bool:
    return entry.outcome in {Outcome.FAIL, Outcome.COMPENSATED}


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": _NS, "value": value.strip() or "none"}


def _text(text: str) -> str:
    """`text` as Markdown that says just that."""
    return _MARKUP.sub(r"\\\1", text)
