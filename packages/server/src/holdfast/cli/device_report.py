"""``holdfast device report``: the newest audit of a device, judged now, as a page of text."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command

AllOption = Annotated[bool, typer.Option("--all", help="List also what passed and what does not apply.")]
_RANKS = {"critical": 0, "high": 1, "medium": 2, "low": 3}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "report")(report)


def report(session: Session, *, device: DeviceArgument, everything: AllOption = False) -> None:
    """Show a device's newest audit: coverage, what failed with its fix, what could not be decided, who inspected it."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(f"/devices/{part(device)}/report")
        told["inspections"] = api.get(f"/devices/{part(device)}/inspections")["items"]
    if session.json:
        emit(told)
    else:
        _show(told, everything=everything)


def _show(told: dict[str, Any], *, everything: bool) -> None:
    from holdfast.cli.terminal import heading, show, table, word  # noqa: PLC0415  (rule 3 of the package)

    judged = sorted(told["judged"], key=lambda each: _RANKS.get(each["severity"], len(_RANKS)))
    failed = [each for each in judged if each["outcome"] == "fail"]
    unknown = [each for each in judged if each["outcome"] == "unknown"]
    show((told["device"], "bold"))
    decided = f"Coverage {told['coverage']:.0%}: {told['decided']} of {told['asked']} controls were decided."
    show((decided, "bold" if told["decided"] else "bold red"))
    counts = Counter(each["outcome"] for each in judged)
    show(", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.most_common()) + ".")
    if failed:
        heading(f"{len(failed)} failed")
    for each in failed:
        _failure(each)
    if unknown:
        heading(f"{len(unknown)} could not be decided")
        rows = [(word(each["severity"]), each["control"], each["reason"]) for each in unknown]
        table(("severity", "control", "why not"), rows, fold=("why not",))
    show_inspections(told["inspections"])
    rest = [each for each in told["judged"] if each["outcome"] not in {"fail", "unknown"}]
    if everything and rest:
        heading(f"{len(rest)} passed, are compensated or do not apply")
        table(
            ("control", "outcome", "what was seen, or why"),
            [(each["control"], word(each["outcome"]), _seen(each)) for each in rest],
            fold=("what was seen, or why",),
        )


def _failure(each: dict[str, Any]) -> None:
    from holdfast.cli.terminal import show, word  # noqa: PLC0415  (rule 3 of the package)

    show(word(each["severity"]), "  ", (each["control"], "bold"), f"  {each['title']}", indent=2)
    show(each["reason"], indent=5)
    for proof in each["proof"]:
        show(("seen: ", "dim"), proof, indent=5)
    show(("why:  ", "dim"), each["why"], indent=5)
    show(("fix:  ", "bold"), each["remedy"], indent=5)


def _seen(each: dict[str, Any]) -> str:
    proof = each["proof"] if each["outcome"] == "pass" else ()
    return f"Seen: {proof[0]}" if proof else str(each["reason"])


def show_inspections(records: list[dict[str, Any]]) -> None:
    """Who looked at what, when, and until when that counts."""
    from holdfast.cli.terminal import heading, table, word  # noqa: PLC0415  (rule 3 of the package)

    if not records:
        return
    heading("Inspected by a person")
    rows = [
        (
            each["control"],
            word(each["outcome"]),
            f"{each['inspector']} on {each['date']}" + (f": {each['remark']}" if each["remark"] else ""),
            each["expires"],
        )
        for each in records
    ]
    table(("control", "seen", "by whom", "counts until"), rows, fold=("by whom",))
