"""An audit as one page that a person reads: no script, no network, nothing beside the file itself.

1. Every text comes from the document and is escaped by the template engine; no template marks anything of it as safe.
2. The page forbids itself scripts, images and connections (Content-Security-Policy), should an escape ever fail.
3. The worst comes first, and every finding stands with its proof, its reason and its way back. What is decided here is
   order and words; templates only lay out.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from functools import cache

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from holdfast_core.baseline.compare import Change
from holdfast_core.baseline.document import Document, Entry
from holdfast_core.baseline.model import Demand, Outcome
from holdfast_core.baseline.survival import NOUNS
from holdfast_core.baseline.waivers import Standing
from holdfast_core.kernel.instants import parse_rfc3339, to_datetime
from holdfast_core.kernel.severity import Severity

AT_LENGTH = 20
"""Findings told whole; of the others neither way back nor mappings, so that the page stays small."""

_CATALOGUES = {
    "etsi": "EN 303 645",
    "cra": "CRA",
    "csf2": "CSF 2.0",
    "nistir8259a": "NISTIR 8259A",
    "isvs": "ISVS",
    "nhi": "NHI",
    "iec62443": "IEC 62443-4-2",
}
_RADIUS = 54.0


class Arc(msgspec.Struct, frozen=True):
    """One arc of the ring: which outcome, how long, and where it starts."""

    outcome: str
    count: int
    length: float
    gap: float
    offset: float


def page(document: Document) -> str:
    """`document` as an HTML file."""
    template = _templates().get_template("audit.html")
    text: str = template.render(
        doc=document,
        when=to_datetime(parse_rfc3339(document.at)).strftime("%-d %B %Y, %H:%M UTC"),
        noun=NOUNS[document.device.device_class],
        verdict=verdict(document),
        arcs=tuple(_arcs(document)),
        radius=_RADIUS,
        tallies=_tallies(document),
        failed=document.failed(),
        waived=document.failed(waived=True),
        void=[each for each in document.waivers if each.standing is not Standing.IN_FORCE],
        undecided=document.undecided(),
        told_above={entry.control for entry in (*document.failed(), *document.undecided())},
        moved=_moved(document),
        asked={demand.value: _asked(document, demand) for demand in Demand},
        catalogues=_CATALOGUES,
        at_length=AT_LENGTH,
        again=_again(document),
        lead=_lead,
    )
    return text


def verdict(document: Document) -> tuple[str, str]:
    """How it stands, as a tone (``bad``, ``warn``, ``blind``, ``good``) and a sentence."""
    if document.target.trouble:
        return "blind", "Nothing of it could be looked at."
    if not document.decided:
        return "blind", "Not one control could be decided, so nothing is known of its hardening."
    failed, unknown = document.failed(), document.undecided()
    blind = sum(entry.severity is Severity.CRITICAL for entry in unknown)
    if failed and failed[0].severity in {Severity.CRITICAL, Severity.HIGH}:
        return "bad", _grave(failed, blind)
    if blind:
        return "blind", f"{_many(blind, 'critical control')} could not be decided: an open door cannot be ruled out."
    if failed:
        return "warn", f"Nothing grave was found; {_many(len(failed), 'lesser finding')} should be put right."
    rest = f"{_many(len(unknown), 'control')} could not be decided" if unknown else "everything was looked at"
    return "good", f"Nothing that is asked of this device failed; {rest}."


def _grave(failed: list[Entry], blind: int) -> str:
    worst = failed[0].severity
    count = sum(entry.severity is worst for entry in failed)
    if worst is Severity.CRITICAL:
        doors = "a door stands" if count == 1 else f"{count} doors stand"
        return f"As it is, {doors} open: an attacker who reaches this device walks in."
    unseen = f"; {_many(blind, 'critical control')} could not be decided" if blind else ""
    return f"No open door was found, but {_many(count, 'finding')} would let an intruder stay{unseen}."


def _many(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _arcs(document: Document) -> Iterator[Arc]:
    """The ring: what was asked, by how it came out; what is undecided stays grey."""
    asked = [entry for entry in document.judged if entry.asked.demand in {Demand.REQUIRED, Demand.COMPENSATED}]
    around, start = 2 * math.pi * _RADIUS, 0.0
    for name in ("pass", "not_applicable", "compensated", "waived", "fail", "unknown"):
        count = sum(("waived" if entry.waiver else entry.outcome.value) == name for entry in asked)
        if count:
            length = around * count / len(asked)
            yield Arc(name, count, round(length, 2), round(around - length, 2), round(-start, 2))
            start += length


def _tallies(document: Document) -> list[tuple[str, int]]:
    failed = document.failed()
    return [(severity.value, sum(e.severity is severity for e in failed)) for severity in Severity]


def _moved(document: Document) -> list[tuple[str, list[Entry]]]:
    """What changed since the earlier audit, the bad first."""
    order = (Change.NEW, Change.CHANGED, Change.LOST, Change.EXCUSED, Change.FIXED)
    groups = ((c.value, [e for e in document.judged if e.shift is not None and e.shift.change is c]) for c in order)
    return [(name, entries) for name, entries in groups if entries]


def _asked(document: Document, demand: Demand) -> list[tuple[str, list[Entry]]]:
    """The controls of one demand, those with the same reason together, and the reason."""
    same: dict[str, list[Entry]] = {}
    for entry in document.judged:
        if entry.asked.demand is demand:
            same.setdefault(entry.asked.because, []).append(entry)
    return list(same.items())


def _lead(entry: Entry) -> str:
    """What is to be done besides the catalogue's steps."""
    steps = " ".join(entry.advice.steps) if entry.advice is not None else ""
    return entry.remedy.removesuffix(steps).strip() if entry.outcome is Outcome.FAIL else ""


def _again(document: Document) -> str:
    """The command that makes this audit anew."""
    device = document.device
    what = f"--class {device.device_class.value}" if device.model is None else "--model MODEL.yaml"
    waived = " --waivers WAIVERS.yaml" if document.waivers else ""
    compared = " --compare EARLIER.json" if document.comparison is not None else ""
    return f"holdfast audit {shlex.quote(document.target.name)} {what}{waived}{compared} -o report.html"


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("holdfast.baseline"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["words"] = lambda text: str(text).replace("_", " ")
    return made
