"""Words of ``holdfast keys``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.cli.terminal import Piece, heading, show, table, words
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


def show_drill(losses: Sequence[dict[str, Any]]) -> None:
    """The table of a drill."""
    for each in losses:
        heading(each["title"])
        show(
            ("held: " if each["held"] else "NOT HELD: ", "bold green" if each["held"] else "bold red"), each["verdict"]
        )
        for label, lines in (("The thief could", each["could"]), ("He could not", each["could_not"])):
            for line in lines:
                show(f"{label}: {line}", indent=2)
        for command in each["ends"]:
            show(f"It ends with: {command}", indent=2)
        show(f"Afterwards: {each['afterwards']}", indent=2)


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
