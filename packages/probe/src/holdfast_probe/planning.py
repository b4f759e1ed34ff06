"""From the controls that failed to the steps that meet them, in the order in which they are to be made.

1. Nothing is touched: every step is worked out on top of the edits of the steps before it (`Editor.branch`).
2. A control whose mend fails, comes to nothing, or would touch what must not be touched (`essential.danger`) is left to
   a person, with the reason and the control's own steps; it never spoils the steps of others.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_core.baseline.control import Control, Fix
from holdfast_core.baseline.essential import danger
from holdfast_core.baseline.hardening import MAX_STEP_CHANGES, ByHand, Step, rank
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.changes import Change
from holdfast_probe.audit import TROUBLE, why
from holdfast_probe.case import Case
from holdfast_probe.editor import Editor
from holdfast_probe.mending import mend
from holdfast_probe.roots import shown
from holdfast_probe.starting import stopped

_NOT_WORKED_OUT = "No change is worked out for it; a person follows its steps."
_NOTHING = "No change was found that would meet it; if the steps above do not, a person follows its steps."


class LeftToPerson(WorldError):
    """A control that no change is made for: ``harden.by_hand``, or ``harden.essential`` where one would be a danger."""

    def __init__(self, sentence: str, *, code: str = "harden.by_hand") -> None:
        super().__init__(code, sentence, remedy="Follow the control's steps by hand.")


def work_out(case: Case, controls: Sequence[Control]) -> tuple[tuple[Step, ...], tuple[ByHand, ...]]:
    """The steps that meet `controls`, all of which failed on the root of `case`, and what is left to a person."""
    steps: list[Step] = []
    left: list[ByHand] = []
    editor = Editor(case.root)
    for control in sorted(controls, key=rank):
        attempt = editor.branch()
        try:
            changes = changes_for(case, attempt, control)
        except TROUBLE as error:
            left.append(by_hand(control, why(error)))
            continue
        editor = attempt
        steps.append(step_of(control, changes))
    return tuple(steps), tuple(left)


def changes_for(case: Case, editor: Editor, control: Control) -> tuple[Change, ...]:
    """The changes that meet `control`, worked out in `editor`.

    Raises:
        CannotMend, LeftToPerson: nothing in the editor may then be used; and whatever reading a hostile tree can raise.
    """
    if control.probe is None or control.remedy.fix is Fix.BY_HAND:
        raise LeftToPerson(_NOT_WORKED_OUT)
    mend(case, editor, control.probe)
    changes = editor.changes()
    if not changes:
        raise LeftToPerson(_NOTHING)
    if len(changes) > MAX_STEP_CHANGES:
        raise LeftToPerson(f"More than {MAX_STEP_CHANGES} paths would change; that needs a person's eye.")
    _require_harmless(changes, case)
    return changes


def _require_harmless(changes: Sequence[Change], case: Case) -> None:
    if reason := stopped(case, changes):
        raise LeftToPerson(reason, code="harden.essential")
    for change in changes:
        if reason := danger(change, case.plan):
            raise LeftToPerson(f"{shown(change.path)} was left as it is: {reason}.", code="harden.essential")


def step_of(control: Control, changes: tuple[Change, ...]) -> Step:
    """The step that meets `control` by `changes`."""
    remedy = control.remedy
    return Step(control.id, control.title, changes, remedy.reboot or control.cost.reboot, remedy.may_brick, remedy.undo)


def by_hand(control: Control, reason: str) -> ByHand:
    """`control` left to a person for a reason."""
    remedy = control.remedy
    return ByHand(control.id, control.title, shown(reason, limit=1024), remedy.steps, remedy.reboot, remedy.may_brick)
