"""The document of an audit: everything that was asked, found and decided, as one value that every format is a view of.

1. It is complete: a format needs nothing but the document, and leaves out what its readers cannot use, never a finding.
2. Its form has a number (`FORMAT`). Fields may be added to it; one that changes or goes raises the number.
3. Every text in it is printable, whoever wrote it: no format has to fear control characters, line ends or marks that
   turn the direction of writing. Signs of markup are for each format to escape.
4. It holds nothing that a probe did not show: proof never carries a secret's value, and neither does this. A password
   that is a public default is no secret any more, and is named.
5. The same audit gives the same document; only the time differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec

from holdfast_core.baseline.compare import Comparison, Earlier, Shift, compared
from holdfast_core.baseline.control import Catalogue, Control, Fix
from holdfast_core.baseline.fingerprints import fingerprint
from holdfast_core.baseline.model import Baseline, ControlId, Demand, Judged, Line, Outcome, Report
from holdfast_core.baseline.waivers import Standing, Waiver, Weighed, weigh
from holdfast_core.inventory.answers import Answer
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.kernel.printable import printable
from holdfast_core.kernel.severity import Severity

FORMAT = 1
"""The form of the document."""

T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True):
    """One part of what was audited: a file system, a kernel, a header."""

    name: str
    """Where it is: ``gzip at 0x40 > squashfs at 0x120000``."""
    kind: str
    offset: int
    size: int
    understood: bool
    sentence: str = ""


class SeenAlike(msgspec.Struct, frozen=True):
    """Parts that follow each other and of which the same is to be said: the first, and how many more."""

    first: Seen
    more: int = 0


class Target(msgspec.Struct, frozen=True):
    """What was audited."""

    name: str
    kind: Literal["system", "folder", "image", "manifest"]
    parts: tuple[Seen, ...] = ()
    """What an image is made of, in the order in which it was found."""
    trouble: str = ""
    """Why nothing of it could be looked at, where that is so."""
    layout: str = ""
    """Which kind of system it is: ``OpenWrt 23.05.3, procd, opkg, BusyBox``."""

    def in_short(self) -> list[SeenAlike]:
        """The parts with those told once that only repeat the one before: what is damaged has many like that."""
        told: list[SeenAlike] = []
        for part in self.parts:
            before = told[-1] if told else None
            if before is not None and _alike(before.first, part):
                told[-1] = SeenAlike(before.first, before.more + 1)
            else:
                told.append(SeenAlike(part))
        return told


def _alike(one: Seen, other: Seen) -> bool:
    return (one.kind, one.size, one.understood, one.sentence) == (
        other.kind,
        other.size,
        other.understood,
        other.sentence,
    )


class Device(msgspec.Struct, frozen=True, rename={"device_class": "class"}):
    """What it was audited as; without a model file the class alone is known."""

    device_class: DeviceClass
    model: str | None = None


class Of(msgspec.Struct, frozen=True):
    """Which catalogue was asked."""

    version: str
    digest: Digest


class Advice(msgspec.Struct, frozen=True):
    """What the catalogue says of a control, whatever came out."""

    rationale: str
    fault: str
    steps: tuple[str, ...]
    undo: tuple[str, ...]
    reboot: bool
    may_brick: bool
    fix: Fix
    mappings: dict[str, tuple[str, ...]]


class Tailored(msgspec.Struct, frozen=True):
    """What is asked of this device, and the sentence a person can argue with."""

    demand: Demand
    because: str
    by: tuple[ControlId, ...] = ()
    owner: str = ""
    until: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One control: what was asked, what came out, and what to do."""

    control: ControlId
    title: str
    severity: Severity
    outcome: Outcome
    reason: str
    fingerprint: str
    asked: Tailored
    proof: tuple[str, ...] = ()
    why: str = ""
    remedy: str = ""
    waiver: Waiver | None = None
    """The waiver that excuses this failure."""
    shift: Shift | None = None
    """What became of it since the earlier audit, where there is one."""
    advice: Advice | None = None
    """Nothing for a step that is forbidden: there is no control of it. In a file, also nothing for what came out well.
    """

    @property
    def counts(self) -> bool:
        """Whether it is a failure that nobody answers for."""
        return self.outcome is Outcome.FAIL and self.waiver is None

    @property
    def seen(self) -> str:
        """What was seen where it passed; empty where it did not, or where there is nothing to show."""
        if self.outcome is not Outcome.PASS or not self.proof:
            return ""
        more = f", and {len(self.proof) - 1} more" if self.proof[1:] else ""
        return f"Seen: {self.proof[0]}{more}"

    @property
    def matters(self) -> str:
        """Why it is asked of this device, and why that matters, each sentence once."""
        rationale = self.why or (self.advice.rationale if self.advice is not None else "")
        return self.asked.because if rationale in self.asked.because else f"{self.asked.because} {rationale}"


class Asked(msgspec.Struct, frozen=True):
    """One of the questions that every model answers."""

    question: str
    asks: str
    says: str
    sentence: str


class Document(msgspec.Struct, frozen=True):
    """An audit."""

    format: Annotated[int, msgspec.Meta(ge=1)]
    at: str
    """When, RFC 3339."""
    target: Target
    device: Device
    catalogue: Of
    asked: int
    decided: int
    coverage: float
    counts: dict[str, int]
    """How many came out how; ``waived`` counts the failures that somebody answers for."""
    answers: tuple[Asked, ...]
    judged: tuple[Entry, ...]
    waivers: tuple[Weighed, ...] = ()
    comparison: Comparison | None = None

    def failed(self, *, waived: bool = False) -> list[Entry]:
        """The failures that count, or those that are waived, worst first and then in the catalogue's order."""
        found = [entry for entry in self.judged if entry.outcome is Outcome.FAIL and entry.counts is not waived]
        return sorted(found, key=lambda entry: entry.severity.rank)

    def undecided(self) -> list[Entry]:
        """What nobody can say, worst first."""
        found = (entry for entry in self.judged if entry.outcome is Outcome.UNKNOWN)
        return sorted(found, key=lambda entry: entry.severity.rank)


def document(
    report: Report,
    baseline: Baseline,
    catalogue: Catalogue,
    *,
    target: Target,
    now: Instant,
    model: str | None = None,
    answers: tuple[Answer, ...] = (),
    waivers: tuple[Waiver, ...] = (),
    earlier: Earlier | None = None,
) -> Document:
    """Put together what an audit came to.

    Args:
        report: what was judged, line by line of `baseline`.
        baseline: what was asked.
        catalogue: which controls it was tailored from.
        target: what was audited.
        now: when.
        model: name and version of the model, where there is one.
        answers: the questions, where there is a model.
        waivers: who answers for what.
        earlier: an earlier audit to compare with.
    """
    known = {control.id: control for control in catalogue.controls}
    weighed = weigh(waivers, report.judged, now)
    in_force = {each.waiver.control: each.waiver for each in reversed(weighed) if each.standing is Standing.IN_FORCE}
    lines = {line.control: line for line in baseline.lines}
    shifts = compared(report.judged, earlier) if earlier is not None else {}
    entries = tuple(
        _entry(judged, lines[judged.control], known.get(judged.control), in_force, shifts) for judged in report.judged
    )
    device = Device(baseline.device_class, model)
    made = Document(
        format=FORMAT,
        at=rfc3339(now),
        target=target,
        device=device,
        catalogue=Of(catalogue.version, baseline.catalogue),
        asked=report.asked,
        decided=report.decided,
        coverage=round(report.coverage, 4),
        counts=_counts(entries),
        answers=tuple(Asked(a.question.name.lower(), a.question.value, a.says.value, a.sentence) for a in answers),
        judged=entries,
        waivers=weighed,
        comparison=None
        if earlier is None
        else Comparison.of(earlier, shifts, target.name, device.model or device.device_class.value, baseline.catalogue),
    )
    return _printable(made)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:holdfast:audit:{FORMAT}",
        "title": "Holdfast audit",
        **msgspec.json.schema(Document),
    }


def _counts(entries: tuple[Entry, ...]) -> dict[str, int]:
    counted = Counter("waived" if entry.waiver else entry.outcome.value for entry in entries)
    return {name: counted[name] for name in (*(outcome.value for outcome in Outcome), "waived")}


def for_a_file(whole: Document) -> Document:
    """`whole` without the advice on what needs none, for files that travel: the catalogue has it."""
    slim = (
        entry if entry.outcome in {Outcome.FAIL, Outcome.UNKNOWN} else msgspec.structs.replace(entry, advice=None)
        for entry in whole.judged
    )
    return msgspec.structs.replace(whole, judged=tuple(slim))


def _entry(
    judged: Judged,
    line: Line,
    control: Control | None,
    in_force: Mapping[ControlId, Waiver],
    shifts: Mapping[ControlId, Shift],
) -> Entry:
    return Entry(
        control=judged.control,
        title=judged.title,
        severity=judged.severity,
        outcome=judged.outcome,
        reason=judged.reason,
        fingerprint=fingerprint(judged.control, judged.proof),
        asked=Tailored(
            line.demand, line.reason, line.by, line.owner, rfc3339(line.expires) if line.expires is not None else ""
        ),
        proof=judged.proof,
        why=judged.why,
        remedy=judged.remedy,
        waiver=in_force.get(judged.control) if judged.outcome is Outcome.FAIL else None,
        shift=shifts.get(judged.control),
        advice=None if control is None else _advice(control),
    )


def _advice(control: Control) -> Advice:
    remedy, mappings = control.remedy, control.mappings
    return Advice(
        control.rationale,
        control.fault,
        remedy.steps,
        remedy.undo,
        remedy.reboot,
        remedy.may_brick,
        remedy.fix,
        {name: ids for name in mappings.__struct_fields__ if (ids := getattr(mappings, name))},
    )


def _printable(value: T) -> T:
    """`value` with every text in it printable (rule 3); what it is made of stays of the same types."""
    plain: Any = value
    match value:
        case StrEnum():
            pass
        case str():
            plain = printable(value)
        case dict():
            plain = {_printable(key): _printable(item) for key, item in value.items()}
        case tuple():
            plain = tuple(map(_printable, value))
        case msgspec.Struct():
            plain = type(value)(*(_printable(getattr(value, name)) for name in value.__struct_fields__))
    return cast("T", plain)
