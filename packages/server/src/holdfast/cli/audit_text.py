"""An audit as a page of text: headline, the two questions, the worst with their fixes, then everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from holdfast.cli.audit import WORST, Audited, worst_first
from holdfast.cli.terminal import Piece, heading, show, table, word
from holdfast_core.baseline.model import Judged, Outcome, Report
from holdfast_core.inventory.answers import Answer
from holdfast_core.kernel.severity import Severity

SEEN = 3
"""Proofs shown of one finding; all of them are in --json."""
UNDECIDED = 12
"""Undecided controls listed without --all."""


def show_audit(audited: Audited, questions: Sequence[Answer], *, everything: bool) -> None:
    """Print the page."""
    _headline(audited)
    _questions(questions)
    failed = worst_first(audited.report)
    if failed:
        count = min(WORST, len(failed))
        heading("The worst finding" if count == 1 else f"The {count} worst findings")
        for number, entry in enumerate(failed[:WORST], 1):
            _finding(number, entry)
    if failed[WORST:]:
        heading(f"{len(failed) - WORST} more")
        rows = [(word(e.severity.value), e.control, e.reason) for e in failed[WORST:]]
        table(("severity", "control", "what is wrong"), rows, fold=("what is wrong",))
    _undecided(audited.report, everything=everything)
    if everything:
        _rest(audited.report)


def _headline(audited: Audited) -> None:
    report, model = audited.report, audited.model
    kind = f"{model.name}@{model.version}" if audited.declared else "no model file, the class alone"
    show((audited.tree, "bold"), f"  as {model.device_class.value} ({kind})")
    decided = f"Coverage {report.coverage:.0%}: {report.decided} of {report.asked} controls were decided."
    show((decided, "bold" if report.decided else "bold red"))
    show(*_counted(report))


def _counted(report: Report) -> list[Piece]:
    failed = Counter(entry.severity for entry in report.judged if entry.outcome is Outcome.FAIL)
    if not report.decided:
        return ["Nothing is known of this tree. Run it as root, on a whole root file system."]
    if not failed:
        return ["No control failed."]
    pieces: list[Piece] = [f"{failed.total()} failed: "]
    for severity in Severity:
        if failed[severity]:
            pieces += [", " if len(pieces) > 1 else "", f"{failed[severity]} ", word(severity.value)]
    return [*pieces, "."]


def _questions(questions: Sequence[Answer]) -> None:
    heading("Two questions")
    if not questions:
        show("Can it prove its integrity? Can it be updated safely? A class alone does not tell.", indent=2)
        show("Describe the device (holdfast model example door-camera) and give --model FILE.", indent=2)
    for answer in questions:
        show(f"{answer.question.value}  ", word(answer.says.value), indent=2)
        show(answer.sentence, indent=4)


def _finding(number: int, entry: Judged) -> None:
    show(f"{number}. ", word(entry.severity.value), "  ", (entry.control, "bold"), f"  {entry.title}", indent=2)
    show(entry.reason, indent=5)
    for proof in entry.proof[:SEEN]:
        show(("seen: ", "dim"), proof, indent=5)
    if len(entry.proof) > SEEN:
        show((f"and {len(entry.proof) - SEEN} more (--json lists them)", "dim"), indent=5)
    show(("why:  ", "dim"), entry.why, indent=5)
    show(("fix:  ", "bold"), entry.remedy, indent=5)


def _undecided(report: Report, *, everything: bool) -> None:
    unknown = sorted((e for e in report.judged if e.outcome is Outcome.UNKNOWN), key=lambda e: e.severity.rank)
    if not unknown:
        return
    heading(f"{len(unknown)} could not be decided")
    shown = unknown if everything else unknown[:UNDECIDED]
    rows = [(word(e.severity.value), e.control, e.reason) for e in shown]
    table(("severity", "control", "why not"), rows, fold=("why not",))
    if len(shown) < len(unknown):
        show((f"and {len(unknown) - len(shown)} more (--all lists them)", "dim"))


def _rest(report: Report) -> None:
    rest = [e for e in report.judged if e.outcome not in {Outcome.FAIL, Outcome.UNKNOWN}]
    heading(f"{len(rest)} passed, are compensated or do not apply")
    table(
        ("control", "outcome", "reason"), [(e.control, word(e.outcome.value), e.reason) for e in rest], fold=("reason",)
    )
