"""Words of ``holdfast keys``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from holdfast.cli.terminal import Piece, heading, show, table, words

if TYPE_CHECKING:
    from holdfast.update.drill import Loss
    from holdfast.update.wording import Told


def show_told(told: Sequence[Told]) -> None:
    """What a ceremony's files change."""
    for each in told:
        heading(each.title)
        for warning in each.warnings:
            show(("WARNING: ", "bold red"), warning, indent=2)
        for line in each.lines:
            show(line, indent=2)
        show(_standing(each), indent=2)


def _standing(each: Told) -> str:
    if not each.need:
        return "Nobody can say from this file whose signatures count."
    state = f"{each.have} of {each.need} signatures so far."
    if each.signed:
        return f"{state} You have signed it."
    return f"{state} Yours {'would count' if each.counts else 'would NOT count'}."


def show_progress(items: Sequence[dict[str, Any]]) -> None:
    """What became of files that were sent."""
    if not items:
        words("Nothing of it was new.")
        return
    rows: list[tuple[Piece, ...]] = []
    for each in items:
        state: Piece = ("in force", "green") if each["in_force"] else (f"{each['have']} of {each['need']}", "yellow")
        rows.append((each["role"], str(each["version"]), state))
    table(("role", "version", "signatures"), rows, fold=("role",))


def show_drill(losses: Sequence[Loss]) -> None:
    """What a drill came to."""
    for each in losses:
        heading(each.title)
        show(("held: ", "bold green") if each.held else ("NOT HELD: ", "bold red"), each.verdict, indent=2)
        for label, lines in (("the thief could ", each.could), ("he could not ", each.could_not)):
            for line in lines:
                show((label, "dim"), line, indent=2)
        show(("afterwards ", "dim"), each.afterwards, indent=2)
        show(("what ends it:", "dim"), indent=2)
        for line in each.ends:
            show(line, indent=4)


def show_standing(told: dict[str, Any]) -> None:
    """How the repositories stand."""
    if told["trouble"]:
        show(("NOTHING IS SERVED: ", "bold red"), told["trouble"])
        return
    if not told["live"]:
        words("There are no update repositories yet: holdfast keys found, or keys new and keys root.")
    rows = [
        (
            each["repository"],
            each["role"],
            str(each["version"]),
            each["expires"][:10],
            f"{each['threshold']} of {len(each['keys'])}",
            str(each["targets"] or ""),
        )
        for each in told["roles"]
    ]
    table(("repository", "role", "version", "until", "signers", "targets"), rows, fold=("role",))
    for each in told["proposals"]:
        heading(f"Waits: {each['role']}, version {each['version']}, until {each['expires'][:10]}")
        for why in each["whys"]:
            show(why, indent=2)
        show(f"{len(each['signed'])} signature(s) so far; fetch it: holdfast keys fetch -o FILE", indent=2)
