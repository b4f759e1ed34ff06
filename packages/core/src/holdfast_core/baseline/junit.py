"""An audit as JUnit XML, as CI servers read it.

1. Every control is a test case, in the suite of its group: a failure fails, unknown is an error, what does not apply is
   skipped with its reason, and so are what stands compensated, what is waived, and a failure below the severity from
   which the run is to fail. Nothing is left out; of what passed, what was seen is told.
2. An error is not a pass: a CI that only counts failures still stops at what could not be decided.
3. Text is escaped by the XML library. What XML 1.0 cannot hold even so (§2.2) is not printable, and so never in a
   document (`document`, rule 3).
4. What is not understood of an image stands in the suites' output, where CI shows it.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from xml.etree import ElementTree as ET

from holdfast_core.baseline.document import Document, Entry
from holdfast_core.baseline.model import Outcome
from holdfast_core.kernel.severity import Severity


def junit(document: Document, *, fail_on: Severity = Severity.LOW) -> bytes:
    """`document` as a JUnit file, UTF-8; failures less severe than `fail_on` are skipped, not failed."""
    root = ET.Element(
        "testsuites", _numbers(document.judged, fail_on) | {"name": f"holdfast audit {document.target.name}"}
    )
    for group, entries in groupby(document.judged, lambda entry: entry.control.partition("-")[0]):
        _suite(root, group, tuple(entries), document, fail_on)
    ET.indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode").encode() + b"\n"


def _suite(root: ET.Element, group: str, entries: tuple[Entry, ...], document: Document, fail_on: Severity) -> None:
    first = root.find("testsuite") is None
    suite = ET.SubElement(root, "testsuite", {"name": group, "timestamp": document.at} | _numbers(entries, fail_on))
    for entry in entries:
        case = ET.SubElement(
            suite, "testcase", {"classname": f"holdfast.{group}", "name": f"{entry.control} {entry.title}"}
        )
        case.set("time", "0")
        if (tag := _tag(entry, fail_on)) is not None:
            told = ET.SubElement(case, tag, {"message": _message(entry, fail_on)})
            if tag != "skipped":
                told.set("type", entry.severity.value)
            if tag != "skipped" or _below(entry, fail_on):
                told.text = _body(entry)
        elif entry.seen:
            ET.SubElement(case, "system-out").text = "\n".join(f"seen: {item}" for item in entry.proof)
    if first:
        ET.SubElement(suite, "system-out").text = _told(document)


def _below(entry: Entry, fail_on: Severity) -> bool:
    """Whether it is a failure that is not to fail the run."""
    return entry.counts and entry.severity.rank > fail_on.rank


def _tag(entry: Entry, fail_on: Severity) -> str | None:
    if entry.waiver is not None or _below(entry, fail_on):
        return "skipped"
    return {
        Outcome.PASS: None,
        Outcome.FAIL: "failure",
        Outcome.UNKNOWN: "error",
        Outcome.NOT_APPLICABLE: "skipped",
        Outcome.COMPENSATED: "skipped",
    }[entry.outcome]


def _numbers(entries: tuple[Entry, ...], fail_on: Severity) -> dict[str, str]:
    tags = Counter(_tag(entry, fail_on) for entry in entries)
    return {
        "tests": str(len(entries)),
        "failures": str(tags["failure"]),
        "errors": str(tags["error"]),
        "skipped": str(tags["skipped"]),
        "time": "0",
    }


def _message(entry: Entry, fail_on: Severity) -> str:
    if (waiver := entry.waiver) is not None:
        return f"Waived until {waiver.expires} by {waiver.owner}: {waiver.reason} Found: {entry.reason}"
    below = f"below --fail-on {fail_on.value}: " if _below(entry, fail_on) else ""
    return f"{below}{entry.reason}"


def _body(entry: Entry) -> str:
    change = f"{entry.shift.change.value} since the earlier audit" if entry.shift is not None else ""
    rows = [
        f"severity: {entry.severity.value}",
        *(f"seen: {item}" for item in entry.proof),
        *([f"change: {change}"] if change else []),
        f"why: {entry.matters}",
        f"fix: {entry.remedy}",
    ]
    return "\n".join(rows)


def _told(document: Document) -> str:
    device = document.device
    rows = [
        f"{document.target.name} as {device.device_class.value} ({device.model or 'no model'})",
        f"coverage {document.coverage:.0%}: {document.decided} of {document.asked} controls were decided",
        *([document.target.trouble] if document.target.trouble else []),
        *(
            f"not understood: {part.name} ({part.kind}). {part.sentence}"
            for part in document.target.parts
            if not part.understood
        ),
        *(each.sentence for each in document.waivers),
    ]
    return "\n".join(rows)
