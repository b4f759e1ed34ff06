"""A hardening plan, and how it was carried out, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.cli.session import Session
from holdfast.cli.terminal import emit, heading, out, raw, show, text, words
from holdfast_core.baseline.differences import difference
from holdfast_core.baseline.hardening import ByHand, ChangeSet, Step

if TYPE_CHECKING:
    from holdfast.cli.harden_apply import Made

LINES = 40
"""Lines of one step's changes that are shown; the change set has them all."""
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def show_plan(changes: ChangeSet, target: str, file: str) -> None:
    """Print the plan, in the order in which it would be made."""
    show((target, "bold"), f"  as {changes.model}")
    if not changes.steps and not changes.by_hand:
        show("Nothing has to be changed: no required control failed.")
        return
    show(_count(changes), " Nothing has been changed.")
    if changes.steps:
        heading("In this order")
    for number, step in enumerate(changes.steps, 1):
        _step(number, step)
    if changes.by_hand:
        heading(f"{len(changes.by_hand)} by hand")
    for left in changes.by_hand:
        _by_hand(left)
    if changes.steps:
        heading("Next")
        if file:
            show(f"Read {file}, then: holdfast harden --apply {file} {target}", indent=2)
            show(f"Back again:  holdfast harden --undo {file} {target}", indent=2)
        else:
            show("Add -o changes.json to write this down; --apply makes exactly that.", indent=2)


def _count(changes: ChangeSet) -> str:
    reboots = sum(step.reboot for step in changes.steps)
    bricks = sum(step.may_brick for step in changes.steps)
    parts = [f"{len(changes.steps)} to make", f"{len(changes.by_hand)} by hand"]
    parts += [f"{reboots} in force after a reboot"] if reboots else []
    parts += [f"{bricks} that can brick"] if bricks else []
    return ", ".join(parts) + "."


def _step(number: int, step: Step) -> None:
    show(f"{number}. ", (step.control, "bold"), f"  {step.title}", indent=2)
    _risks(step.reboot, step.may_brick)
    lines = [line for change in step.changes for line in difference(change)]
    for line in lines[:LINES]:
        out().print(text("     ", (line, _STYLES.get(line[:1], ""))), soft_wrap=True)
    if lines[LINES:]:
        show((f"and {len(lines) - LINES} more lines", "dim"), indent=5)


def _by_hand(left: ByHand) -> None:
    show((left.control, "bold"), f"  {left.title}", indent=2)
    show(left.why, indent=5)
    _risks(left.reboot, left.may_brick)
    for number, sentence in enumerate(left.steps, 1):
        show(f"{number}. {sentence}", indent=5)


def _risks(reboot: bool, may_brick: bool) -> None:  # noqa: FBT001  (two facts of one remedy)
    if may_brick:
        show(("can brick: ", "bold red"), "have the way to recover it at hand before you begin", indent=5)
    if reboot:
        show(("reboot: ", "yellow"), "it is in force after the next one", indent=5)


def show_made(session: Session, made: Made, file: str, tree: str) -> None:
    """Say how a change set was carried out."""
    if session.json:
        emit(made)
        return
    for control in made.steps:
        when = "will be met once what runs was started anew" if control in made.later else "is met"
        words(("✓ ", "green"), f"{control} {when}.")
    for dropped in made.dropped:
        words(("✗ ", "red"), f"{dropped.control} was not changed: {dropped.why}")
    asked = "The essential function worked before and after every step." if made.asked_health else ""
    words(f"The tree was audited again: nothing that passed before is worse. {asked}".rstrip())
    words(f"Back again: holdfast harden --undo {file} {tree}")


def show_undone(session: Session, left: Sequence[str], tree: str) -> None:
    """Say what was taken back."""
    if session.json:
        emit({"left_alone": left})
    elif left:
        words(("✗ ", "red"), "Left alone, since somebody changed them meanwhile:")
        for path in left:
            raw(path)
    else:
        words(("✓ ", "green"), f"{tree} is as it was before the change set.")
