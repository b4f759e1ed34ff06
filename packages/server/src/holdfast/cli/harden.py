"""``holdfast harden``: plan what meets the failed controls, review it, make it, undo it. A tree needs no server.

1. Nothing is changed without a change set that a person could read first: planning only ever writes that document.
2. What is forbidden for the model, and what would stop its essential function, is never planned.
3. Exit 3 when there is something to act on: steps to make, controls left to a person, or a path left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish, usage
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.errors import HostileData

if TYPE_CHECKING:
    from holdfast_core.baseline.control import Catalogue
    from holdfast_core.baseline.hardening import ChangeSet
    from holdfast_core.baseline.model import Baseline, Findings, Plan
    from holdfast_core.inventory.model import DeviceModel
    from holdfast_probe.roots import Root


class GuideFormat(StrEnum):
    """How a hardening guide is written."""

    MD = "md"
    HTML = "html"


TargetArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="TARGET", help="A root file tree, / for this machine, an image; or a model file for --guide."
    ),
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="Its model file.", show_default=False, dir_okay=False)
]
ClassOption = Annotated[
    DeviceClass | None, typer.Option("--class", help="Without a model: which kind of device.", show_default=False)
]
ControlOption = Annotated[
    list[str] | None,
    typer.Option("--control", metavar="ID", help="Only this control; may be repeated.", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the change set, or the guide.", show_default=False),
]
ApplyOption = Annotated[
    Path | None,
    typer.Option("--apply", metavar="FILE", help="Make the changes of this change set.", show_default=False),
]
UndoOption = Annotated[
    Path | None,
    typer.Option("--undo", metavar="FILE", help="Take the changes of this change set back.", show_default=False),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="Ask an enrolled device to mend itself.", show_default=False),
]
GuideOption = Annotated[
    GuideFormat | None,
    typer.Option("--guide", help="Write the hardening guide of a model for its customers.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "harden", epilog="Exit: 0 nothing to do or done, 3 something to act on, 1 failed.")(run)


def run(
    session: Session,
    *,
    target: TargetArgument = None,
    model: ModelOption = None,
    device_class: ClassOption = None,
    control: ControlOption = None,
    output: OutOption = None,
    apply: ApplyOption = None,
    undo: UndoOption = None,
    device: DeviceOption = None,
    guide: GuideOption = None,
) -> None:
    """Work out the changes that meet the failed controls, in a safe order, and show them. Nothing is changed.

    With -o the change set is written, to be read by people; --apply makes exactly that and checks it, --undo takes it
    back byte for byte. With --device, an enrolled device mends itself and keeps the change only if it stays healthy.
    """
    ways = [way for way in (apply, undo, device, guide) if way is not None]
    if len(ways) > 1:
        usage("Choose one of --apply, --undo, --device and --guide.")
    if device is not None:
        _ask_device(session, device, tuple(control or ()))
        return
    if target is None:
        usage("Say which tree: a folder, / for this machine, or an image; with --guide, which model file.")
    if guide is not None:
        from holdfast.cli.harden_guide import write_guide  # noqa: PLC0415  (nothing of this for --help)

        write_guide(target, guide.value, output)
    elif apply is not None or undo is not None:
        _change(session, target, apply, undo)
    else:
        declared = model is not None
        changes = planned(target, _model(device_class, model), tuple(control or ()), declared=declared)
        _show(session, target, changes, output)


def _show(session: Session, target: Path, changes: ChangeSet, output: Path | None) -> None:
    if output is not None:
        from holdfast.cli.files import whole_file  # noqa: PLC0415  (rule 3 of the package)
        from holdfast_core.baseline.hardening import render  # noqa: PLC0415

        # It holds what the changed files hold, so it is its owner's alone.
        with whole_file(output, private=True) as file:
            file.write(render(changes))
    if session.json:
        from holdfast.cli.terminal import emit  # noqa: PLC0415  (rich only where needed)

        emit(_document(changes))
    else:
        from holdfast.cli.harden_text import show_plan  # noqa: PLC0415  (same)

        show_plan(changes, str(target), str(output) if output is not None else "")
    finish(Exit.FINDINGS if changes.steps or changes.by_hand else Exit.FINE)


def planned(target: Path, model: DeviceModel, only: tuple[str, ...] = (), *, declared: bool = True) -> ChangeSet:
    """What would meet the controls that fail on `target` as a device of `model`.

    Args:
        target: a folder, ``/``, or an image.
        model: what the device is.
        only: the controls to look at; all that are asked when it is empty.
        declared: whether `model` is somebody's word, rather than a bare class.

    Raises:
        WorldError: what `opened` raises.
        HostileData: ``control.unknown``, ``control.forbidden``, ``control.not_asked``.
    """
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (nothing of this for --help)
    from holdfast.cli.minimal import without_lists  # noqa: PLC0415
    from holdfast_core.baseline.hardening import ChangeSet  # noqa: PLC0415
    from holdfast_core.baseline.tailoring import compile_plan, tailor  # noqa: PLC0415
    from holdfast_core.kernel.digests import canonical, digest_of  # noqa: PLC0415
    from holdfast_core.kernel.instants import rfc3339  # noqa: PLC0415
    from holdfast_probe.case import Case  # noqa: PLC0415
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415
    from holdfast_probe.planning import work_out  # noqa: PLC0415

    if model.device_class is DeviceClass.MCU:
        usage("A device of class mcu has no file tree to change; its fixes go into its build (holdfast audit).")
    now, catalogue = SystemClock().now(), shipped_catalogue()
    baseline = tailor(catalogue, model, now)
    plan = compile_plan(baseline, model, catalogue)
    wanted = _wanted(baseline, plan, only)
    with opened(target) as root:
        found = look(root, plan, catalogue)
        found = found if declared else without_lists(found, catalogue)
        failed = {each.control for each in found.findings if each.outcome.value == "fail"}
        controls = [control for control in catalogue.controls if control.id in wanted & failed]
        steps, left = work_out(Case(root, plan, now=now), controls)
    digest = digest_of(canonical(model))
    return ChangeSet(f"{model.name}@{model.version}", digest, plan, rfc3339(now), steps, left)


def _wanted(baseline: Baseline, plan: Plan, only: tuple[str, ...]) -> frozenset[str]:
    """The controls to meet: those that are required, or those that were named and may be met."""
    from holdfast_core.baseline.model import Demand  # noqa: PLC0415  (rule 3 of the package)

    lines = {line.control: line for line in baseline.lines}
    if not only:
        return frozenset(name for name, line in lines.items() if line.demand is Demand.REQUIRED)
    for name in only:
        if name not in lines:
            raise HostileData(
                "control.unknown",
                f"There is no control {name[:20]!r}.",
                remedy="holdfast baseline show FILE lists the controls of a model.",
            )
        if lines[name].demand is Demand.FORBIDDEN:
            raise HostileData(
                "control.forbidden",
                f"{name} is forbidden for {baseline.model}: {lines[name].reason}",
                remedy="Leave it as it is; the model's baseline says what stands in for it.",
            )
        if name not in plan.controls:
            raise HostileData(
                "control.not_asked",
                f"{name} is not looked at on such a device: {lines[name].reason}",
                remedy="holdfast baseline show FILE tells what is asked of a model.",
            )
    return frozenset(only)


def look(root: Root, plan: Plan, catalogue: Catalogue) -> Findings:
    """Audit `root` by `plan`."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import progress  # noqa: PLC0415
    from holdfast_probe.audit import audit  # noqa: PLC0415

    wanted = frozenset(plan.controls)
    asked = [(each.id, each.probe) for each in catalogue.controls if each.id in wanted and each.probe is not None]
    with progress("Auditing") as advance:

        def told(stage: str, done: int) -> None:
            if stage == "files":
                advance(done)

        return audit(root, asked, plan, now=SystemClock().now(), progress=told)


@contextmanager
def opened(target: Path) -> Iterator[Root]:
    """The root at `target`, while the context lasts.

    Raises:
        WorldError: ``image.missing``, ``image.unreadable``, or why an image has no root that can be read.
    """
    from holdfast_probe.images import open_target  # noqa: PLC0415  (rule 3 of the package)

    with open_target(target) as found:
        yield found.root


def _change(session: Session, target: Path, apply: Path | None, undo: Path | None) -> None:
    from holdfast.cli.harden_apply import applied, undone  # noqa: PLC0415  (nothing of this for --help)

    code = applied(session, target, apply) if apply is not None else undone(session, target, undo or Path())
    finish(code)


def _model(device_class: DeviceClass | None, path: Path | None) -> DeviceModel:
    if (device_class is None) == (path is None):
        usage("Say what kind of device this is: --model FILE, or --class server, gateway, linux-iot or ot.")
    if path is not None:
        from holdfast.cli.files import read_model  # noqa: PLC0415  (PyYAML only where needed)

        return read_model(path)
    from holdfast.cli.minimal import minimal  # noqa: PLC0415  (same)

    assert device_class is not None  # noqa: S101  (one of the two is there)
    return minimal(device_class)


def _document(changes: ChangeSet) -> dict[str, Any]:
    from holdfast_core.baseline.differences import difference  # noqa: PLC0415  (rule 3 of the package)

    return {
        "model": changes.model,
        "catalogue": changes.plan.catalogue,
        "steps": [
            {
                "control": step.control,
                "title": step.title,
                "reboot": step.reboot,
                "may_brick": step.may_brick,
                "changes": [line for change in step.changes for line in difference(change)],
            }
            for step in changes.steps
        ],
        "by_hand": changes.by_hand,
    }


def _ask_device(session: Session, device: str, controls: tuple[str, ...]) -> None:
    if len(controls) != 1:
        # A newer wish takes the place of an older one that is open, and a trial has to end before the next.
        usage("Say which one control the device is to mend: --control ID. The next one when that is kept.")
    from holdfast.cli.device_actions import harden  # noqa: PLC0415  (rule 3 of the package)

    harden(session, device=device, control=controls[0])
