"""An audit as a page of text: headline, the two questions, the worst with their fixes, then everything else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from holdfast.cli.terminal import Piece, heading, show, table, word
from holdfast_core.baseline.compare import Change, Comparison
from holdfast_core.baseline.document import Document, Entry, Seen
from holdfast_core.baseline.model import Demand, Outcome
from holdfast_core.baseline.waivers import Standing
from holdfast_core.kernel.severity import Severity

WORST = 3
"""Findings told at length."""
SEEN = 3
"""Items of proof shown of one finding; the other formats show all that were kept."""
UNDECIDED = 12
"""Undecided controls listed without --all."""
_UNKEPT = re.compile(r"and ([0-9]{1,9}) more")


def show_audit(document: Document, *, everything: bool) -> None:
    """Print the page."""
    _headline(document)
    _parts(document)
    _questions(document)
    if document.comparison is not None:
        _comparison(document, document.comparison)
    failed = document.failed()
    if failed:
        count = min(WORST, len(failed))
        heading("The worst finding" if count == 1 else f"The {count} worst findings")
        for number, entry in enumerate(failed[:WORST], 1):
            _finding(number, entry)
    if failed[WORST:]:
        heading(f"{len(failed) - WORST} more")
        rows = [(word(e.severity.value), e.control, e.reason) for e in failed[WORST:]]
        table(("severity", "control", "what is wrong"), rows, fold=("what is wrong",))
    _waivers(document)
    if not document.target.trouble:
        _undecided(document.undecided(), everything=everything)
    if everything:
        _rest(document)


def _headline(document: Document) -> None:
    device = document.device
    kind = device.model or "no model file, the class alone"
    show((document.target.name, "bold"), f"  as {device.device_class.value} ({kind})")
    if document.target.layout:
        show((f"It is {document.target.layout}.", "dim"))
    decided = f"Coverage {document.coverage:.0%}: {document.decided} of {document.asked} controls were decided."
    show((decided, "bold" if document.decided else "bold red"))
    show(*_counted(document))
    if device.model:
        demands = Counter(entry.asked.demand for entry in document.judged)
        told = ", ".join(f"{demands[demand]} {demand.value.replace('_', ' ')}" for demand in Demand if demands[demand])
        show((f"Tailored: {told}. holdfast baseline show tells why.", "dim"))


def _counted(document: Document) -> list[Piece]:
    failed = Counter(entry.severity for entry in document.failed())
    if document.target.trouble:
        return [("Nothing of it could be looked at. ", "bold red"), document.target.trouble]
    if not document.decided:
        return ["Nothing is known of this target. Run it as root, on a whole root file system."]
    waived = document.counts["waived"]
    excused = f" {waived} waived." if waived else ""
    if not failed:
        return [f"No control failed{' that nobody answers for' if waived else ''}.", excused]
    pieces: list[Piece] = [f"{failed.total()} failed: "]
    for severity in Severity:
        if failed[severity]:
            pieces += [", " if len(pieces) > 1 else "", f"{failed[severity]} ", word(severity.value)]
    return [*pieces, ".", excused]


def _parts(document: Document) -> None:
    if not document.target.parts:
        return
    heading("What it is made of")
    rows: list[Sequence[Piece]] = [
        (
            part.kind,
            f"{part.size:,}" if part.size else "",
            "" if part.understood else ("not understood", "yellow"),
            _where(part, each.more),
        )
        for each in document.target.in_short()
        for part in (each.first,)
    ]
    table(("kind", "bytes", "", "where, and what"), rows, fold=("where, and what",))


def _where(part: Seen, more: int) -> str:
    """Where a part is and what is said of it; with how many like it follow."""
    told = f"{part.name}: {part.sentence}" if part.sentence else part.name
    return f"{told} (and {more} more like it)" if more else told


def _questions(document: Document) -> None:
    heading("Two questions")
    if not document.answers:
        show("Can it prove its integrity? Can it be updated safely? A class alone does not tell.", indent=2)
        show("Describe the device (holdfast model example door-camera) and give --model FILE.", indent=2)
    for answer in document.answers:
        show(f"{answer.asks}  ", word(answer.says), indent=2)
        show(answer.sentence, indent=4)


def _comparison(document: Document, comparison: Comparison) -> None:
    heading(f"Since {comparison.at}")
    told = ", ".join(f"{count} {change}" for change, count in comparison.counts.items() if count)
    show(f"{told or 'No failure, then or now'}.", indent=2)
    for note in comparison.notes:
        show((note, "yellow"), indent=2)
    rows: list[Sequence[Piece]] = [
        (_CHANGES[entry.shift.change], entry.control, _moved(entry))
        for change in Change
        for entry in document.judged
        if entry.shift is not None and entry.shift.change is change and change is not Change.UNCHANGED
    ]
    rows += [
        (_CHANGES[Change.LOST], name, f"{title or 'It failed'} (no longer in the catalogue: nobody looked)")
        for name, title in comparison.titles.items()
    ]
    if rows:
        table(("change", "control", "what"), rows, fold=("what",))


_CHANGES: dict[Change, Piece] = {
    Change.NEW: ("new", "red"),
    Change.CHANGED: ("changed", "yellow"),
    Change.UNCHANGED: "unchanged",
    Change.LOST: ("lost sight", "yellow"),
    Change.EXCUSED: ("excused", "cyan"),
    Change.FIXED: ("fixed", "green"),
}


def _moved(entry: Entry) -> str:
    """What became of one control since the earlier audit, in a line."""
    shift = entry.shift
    if shift is None or shift.change is not Change.CHANGED:
        return entry.reason if entry.outcome is Outcome.FAIL else entry.title
    came = f"Now also: {'; '.join(shift.came)}." if shift.came else ""
    went = f"No longer: {'; '.join(shift.went)}." if shift.went else ""
    return f"{came} {went}".strip() or entry.reason


def _finding(number: int, entry: Entry) -> None:
    show(f"{number}. ", word(entry.severity.value), "  ", (entry.control, "bold"), f"  {entry.title}", indent=2)
    show(entry.reason, indent=5)
    for proof in entry.proof[:SEEN]:
        show(("seen: ", "dim"), proof, indent=5)
    if hidden := hidden_of(entry.proof[SEEN:]):
        show((f"and {hidden} more", "dim"), indent=5)
    show(("why:  ", "dim"), entry.matters, indent=5)
    show(("fix:  ", "bold"), entry.remedy, indent=5)
    advice = entry.advice
    if advice is not None and (advice.reboot or advice.may_brick):
        needs = " ".join(
            [
                *(["It takes a reboot."] if advice.reboot else []),
                *(["Done wrong, it can brick the device."] if advice.may_brick else []),
            ]
        )
        show(("mind: ", "yellow"), needs, indent=5)


def hidden_of(items: Sequence[str]) -> int:
    """How many items of proof these are; the last may itself count those that were not kept."""
    told = _UNKEPT.fullmatch(items[-1]) if items else None
    return len(items) - 1 + int(told[1]) if told else len(items)


def _waivers(document: Document) -> None:
    if not document.waivers:
        return
    heading("Waivers")
    rows: list[Sequence[Piece]] = [
        (
            (each.standing.value.replace("_", " "), "cyan" if each.standing is Standing.IN_FORCE else "yellow"),
            each.waiver.control,
            f"{each.waiver.owner}, {each.waiver.expires}",
            each.waiver.reason if each.standing is Standing.IN_FORCE else each.sentence,
        )
        for each in document.waivers
    ]
    table(("waiver", "control", "owner, until", "reason"), rows, fold=("owner, until", "reason"))


def _undecided(unknown: Sequence[Entry], *, everything: bool) -> None:
    if not unknown:
        return
    heading(f"{len(unknown)} could not be decided")
    shown = unknown if everything else unknown[:UNDECIDED]
    rows = [(word(e.severity.value), e.control, e.reason) for e in shown]
    table(("severity", "control", "why not"), rows, fold=("why not",))
    if len(shown) < len(unknown):
        show((f"and {len(unknown) - len(shown)} more (--all lists them)", "dim"))


def _rest(document: Document) -> None:
    rest = [e for e in document.judged if e.outcome not in {Outcome.FAIL, Outcome.UNKNOWN}]
    heading(f"{len(rest)} passed, are compensated or do not apply")
    table(
        ("control", "outcome", "what was seen, or why"),
        [(e.control, word(e.outcome.value), e.seen or e.reason) for e in rest],
        fold=("what was seen, or why",),
    )
