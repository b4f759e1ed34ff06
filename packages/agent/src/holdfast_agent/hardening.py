"""Meeting a control on the device itself: what to change is worked out here, never sent.

1. Only a control that this agent's own catalogue knows a fix for, and that the plan in force asks: what is forbidden
   for a model stands in no plan. What could brick is never done from afar, what takes a reboot only where it may.
2. The probes and mends are the shipped ones, also where a plan brings probes of its own.
3. Nothing is begun on a device whose essential function does not go on, or that cannot tell.
4. A change counts only if the control then passes, or will once everything was started anew, and the function still
   goes on; then the trial begins (`confirm`).
5. Nothing is restarted: programs that run read a changed setting at their next start, and the report says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from holdfast_agent import sections
from holdfast_agent.audit import root_of
from holdfast_agent.clock import Clock
from holdfast_agent.state import Config
from holdfast_core.baseline.model import ControlId, Outcome, Plan
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire import confirm
from holdfast_core.wire.changes import Change, weight
from holdfast_core.wire.confirm import MAX_CHANGES, MAX_CONFIRM_S, MAX_TRIAL_BYTES, MIN_CONFIRM_S

if TYPE_CHECKING:
    from holdfast_core.baseline.control import Control
    from holdfast_core.baseline.model import Finding


class HardenArgs(msgspec.Struct, frozen=True):
    """The arguments of ``harden``: which control to meet, and how long a healthy check-in may take."""

    control: ControlId
    confirm_s: Annotated[int, msgspec.Meta(ge=MIN_CONFIRM_S, le=MAX_CONFIRM_S)] = 300
    may_reboot: bool = False
    """Whether the model lets the device reboot, so that a change may wait for it to be in force."""


class Refusal(WorldError):
    """A directive to harden that is not carried out."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence, remedy="The control's guide says what to do by hand.")


class Prepared(msgspec.Struct, frozen=True):
    """What to change; nothing where the control is met already."""

    changes: tuple[Change, ...]
    reboot: bool = False


def prepare(args: HardenArgs, plan: Plan | None, config: Config, clock: Clock) -> Prepared:
    """What to change to meet the control (rules 1 to 3).

    Raises:
        Refusal: with a code ``harden.*``.
    """
    plan = _require_well(plan, config, clock)
    control = _require_mendable(args, plan)
    seen = _look(control, plan, config)
    if seen.outcome is Outcome.PASS:
        return Prepared(())
    if seen.outcome is not Outcome.FAIL:
        raise Refusal("harden.undecided", f"{control.id} could not be decided here: {seen.reason}")
    from holdfast_probe.audit import TROUBLE, why  # noqa: PLC0415  (only a change pays for it)
    from holdfast_probe.case import Case  # noqa: PLC0415  (same)
    from holdfast_probe.editor import Editor  # noqa: PLC0415  (same)
    from holdfast_probe.planning import changes_for  # noqa: PLC0415  (same)

    root = root_of(config)
    try:
        changes = changes_for(Case(root, plan), Editor(root), control)
    except TROUBLE as error:
        raise Refusal(getattr(error, "code", "harden.by_hand"), why(error)) from error
    if len(changes) > MAX_CHANGES or weight(changes) > MAX_TRIAL_BYTES:
        raise Refusal(
            "harden.too_many",
            f"More than {MAX_CHANGES} paths or {MAX_TRIAL_BYTES} bytes would change; that needs a person's eye.",
        )
    return Prepared(changes, control.remedy.reboot)


def make(trial: confirm.Trial, plan: Plan | None, config: Config, clock: Clock) -> confirm.TrialEvent:
    """Make the changes of a trial, and look at once whether they do what they should (rule 4)."""
    from holdfast_probe.changing import ChangeRefused, apply  # noqa: PLC0415  (only a change pays for it)

    try:
        apply(Path(config.root), trial.changes)
        plan = _require_well(plan, config, clock)
        control = _known(trial.control)
        met = control is not None and _met(control, plan, config)
    except (ChangeRefused, Refusal) as error:
        return confirm.ApplyFailed(error.sentence)
    return confirm.Applied() if met else confirm.ApplyFailed(f"{trial.control} was not met by the change.")


def take_back(changes: tuple[Change, ...], config: Config) -> confirm.Undone:
    """Take the changes of a trial back."""
    from holdfast_probe.changing import undo  # noqa: PLC0415  (only a change pays for it)

    return confirm.Undone(undo(Path(config.root), changes))


def _require_well(plan: Plan | None, config: Config, clock: Clock) -> Plan:
    state = sections.health(plan.health, config, clock) if plan is not None else None
    if plan is None or state is None:
        raise Refusal(
            "harden.no_probe",
            "The device cannot tell whether its essential function goes on, so a change could not be confirmed.",
        )
    if not state.ok:
        raise Refusal("harden.unwell", f"The essential function does not go on: {state.detail}")
    return plan


def _require_mendable(args: HardenArgs, plan: Plan) -> Control:
    from holdfast_core.baseline.control import Fix  # noqa: PLC0415  (only a change pays for it)

    control = _known(args.control)
    if control is None or control.remedy.fix is Fix.BY_HAND:
        raise Refusal("harden.by_hand", f"This agent knows no fix for {args.control}; its guide says what to do.")
    if control.id not in plan.controls:
        raise Refusal("harden.not_asked", f"{control.id} is not asked of this device, so nothing is changed for it.")
    if control.remedy.may_brick:
        raise Refusal("harden.may_brick", f"Meeting {control.id} can brick the device; a person has to be there.")
    if control.remedy.reboot and not args.may_reboot:
        raise Refusal("harden.reboot", f"Meeting {control.id} takes a reboot, which this device must not do.")
    return control


def _known(name: ControlId) -> Control | None:
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415  (only a change pays for it)

    return next((entry for entry in shipped_catalogue().controls if entry.id == name), None)


def _met(control: Control, plan: Plan, config: Config) -> bool:
    """Whether the control passes, or will once everything that runs was started anew."""
    from holdfast_probe.settling import settled  # noqa: PLC0415  (only a change pays for it)

    if _look(control, plan, config).outcome is Outcome.PASS:
        return True
    return control.id in settled(Path(config.root), [control], plan)


def _look(control: Control, plan: Plan, config: Config) -> Finding:
    """How the control comes out now."""
    from holdfast_probe.audit import audit  # noqa: PLC0415  (only a change pays for it)

    if control.probe is None:
        raise Refusal("harden.by_hand", f"{control.id} cannot be looked at on a device.")
    return audit(root_of(config), [(control.id, control.probe)], plan).findings[0]
