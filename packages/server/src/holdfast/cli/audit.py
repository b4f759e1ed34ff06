"""``holdfast audit``: look at a file tree, read it against its baseline, say what to do. No server is needed.

1. Coverage is the headline: what was not decided is told before what was found.
2. Exit 3 when a control failed. Without a failure, exit 4 when nothing was decided or a critical control was not: a
   blind spot never looks like a pass.
3. Neither the API nor the store is imported here: this runs on build machines.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from holdfast.cli.session import Exit, Session, command, finish, usage
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.limits import LIMITS

if TYPE_CHECKING:
    from holdfast_core.baseline.model import Baseline, BuildManifest, Findings, Judged, Report
    from holdfast_core.inventory.answers import Answer
    from holdfast_core.inventory.model import DeviceModel
    from holdfast_core.kernel.instants import Instant

WORST = 3

TreeArgument = Annotated[
    Path, typer.Argument(metavar="TREE", help="An unpacked root file tree, / for this machine, or a build manifest.")
]
ClassOption = Annotated[
    DeviceClass | None, typer.Option("--class", help="Which kind of device it is.", show_default=False)
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="Its model file.", show_default=False, dir_okay=False)
]
SarifOption = Annotated[
    Path | None,
    typer.Option("--sarif", metavar="FILE", help="Also write SARIF 2.1.0 there, for CI.", show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="List also what passed and what does not apply.")]


class Audited(msgspec.Struct, frozen=True):
    """Everything an audit came to."""

    tree: str
    model: DeviceModel
    declared: bool
    """Whether somebody described the device, so that the questions have answers."""
    baseline: Baseline
    report: Report
    now: Instant


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "audit", epilog="Exit: 0 fine, 3 findings, 4 could not decide, 1 failed.")(run)


def run(
    session: Session,
    *,
    tree: TreeArgument,
    device_class: ClassOption = None,
    model: ModelOption = None,
    sarif: SarifOption = None,
    everything: AllOption = False,
) -> None:
    """Audit a root file tree: coverage, the worst findings and their fixes. Needs no server.

    Run it as root where the tree keeps files that only root may read. A device of class mcu has no tree: give its
    build manifest (JSON) instead.
    """
    audited = examine(tree, _model(device_class, model), declared=model is not None)
    if sarif is not None:
        _write_sarif(audited, sarif)
    if session.json:
        from holdfast.cli.terminal import emit  # noqa: PLC0415  (rich only where needed)

        emit(_document(audited))
    else:
        from holdfast.cli.audit_text import show_audit  # noqa: PLC0415  (same)

        show_audit(audited, questions(audited), everything=everything)
    finish(exit_of(audited.report))


def examine(tree: Path, model: DeviceModel, *, declared: bool) -> Audited:
    """Look at `tree` and judge it as a device of `model`.

    Raises:
        WorldError: ``audit.no_tree``, ``audit.not_a_tree``.
        HostileData: ``audit.manifest``.
    """
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (nothing of this for --help)
    from holdfast.cli.minimal import without_lists  # noqa: PLC0415
    from holdfast_core.baseline.model import Findings  # noqa: PLC0415
    from holdfast_core.baseline.rules import judge_for  # noqa: PLC0415
    from holdfast_core.baseline.tailoring import tailor  # noqa: PLC0415
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415

    now, catalogue = SystemClock().now(), shipped_catalogue()
    baseline = tailor(catalogue, model, now)
    body: Findings | BuildManifest
    body = _manifest(tree) if model.device_class is DeviceClass.MCU else _look(tree, model, baseline)
    if not declared and isinstance(body, Findings):
        body = without_lists(body, catalogue)
    report = judge_for(baseline, catalogue).report(body, now)
    return Audited(str(tree), model, declared, baseline, report, now)


def exit_of(report: Report) -> Exit:
    """The exit code of a report (rule 2)."""
    from holdfast_core.baseline.model import Outcome  # noqa: PLC0415
    from holdfast_core.kernel.severity import Severity  # noqa: PLC0415

    if any(entry.outcome is Outcome.FAIL for entry in report.judged):
        return Exit.FINDINGS
    blind = any(e.outcome is Outcome.UNKNOWN and e.severity is Severity.CRITICAL for e in report.judged)
    return Exit.UNDECIDED if blind or report.decided == 0 else Exit.FINE


def worst_first(report: Report) -> list[Judged]:
    """What failed, worst first; within one severity the catalogue's order stays."""
    from holdfast_core.baseline.model import Outcome  # noqa: PLC0415

    failed = [entry for entry in report.judged if entry.outcome is Outcome.FAIL]
    return sorted(failed, key=lambda entry: entry.severity.rank)


def questions(audited: Audited) -> tuple[Answer, ...]:
    """The two questions, answered from the model; none where only a class is known."""
    from holdfast_core.inventory.answers import integrity_answer, update_answer  # noqa: PLC0415

    if not audited.declared:
        return ()
    return integrity_answer(audited.model, audited.now), update_answer(audited.model, audited.now)


def _model(device_class: DeviceClass | None, path: Path | None) -> DeviceModel:
    if (device_class is None) == (path is None):
        usage("Say what kind of device this is: --model FILE, or --class server, gateway, linux-iot, ot or mcu.")
    if device_class is not None:
        from holdfast.cli.minimal import minimal  # noqa: PLC0415

        return minimal(device_class)
    from holdfast.cli.files import read_model  # noqa: PLC0415

    assert path is not None  # noqa: S101  (one of the two is there)
    return read_model(path)


def _look(tree: Path, model: DeviceModel, baseline: Baseline) -> Findings:
    from holdfast.cli.terminal import progress  # noqa: PLC0415
    from holdfast_core.baseline.tailoring import compile_plan  # noqa: PLC0415
    from holdfast_probe.audit import audit  # noqa: PLC0415
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415
    from holdfast_probe.roots import FolderRoot, LiveRoot  # noqa: PLC0415

    _require_folder(tree)
    catalogue = shipped_catalogue()
    plan = compile_plan(baseline, model, catalogue)
    probes = {control.id: control.probe for control in catalogue.controls}
    asked = [(name, probe) for name in plan.controls if (probe := probes[name]) is not None]
    root = LiveRoot() if tree.resolve() == Path("/") else FolderRoot(tree)
    with progress("Auditing") as advance:
        return audit(root, asked, plan, progress=lambda stage, done: advance(done) if stage == "files" else None)


def _require_folder(tree: Path) -> None:
    if not tree.exists():
        raise WorldError("audit.no_tree", f"There is no {tree}.", remedy="Give the folder of an unpacked root.")
    if not tree.is_dir():
        raise WorldError(
            "audit.not_a_tree",
            f"{tree} is a file, and an audit looks at a folder.",
            remedy="Unpack the image first, for example: unsquashfs -d rootfs IMAGE, or binwalk -e IMAGE.",
        )


def _manifest(path: Path) -> BuildManifest:
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast_core.baseline.model import BuildManifest  # noqa: PLC0415

    if path.is_dir():
        raise WorldError(
            "audit.not_a_manifest",
            f"{path} is a folder, and a device of class mcu has no file tree.",
            remedy='Give its build manifest: {"type": "manifest", "build": "…", "facts": {…}}.',
        )
    try:
        return msgspec.json.decode(read_bounded(path, LIMITS.section_bytes), type=BuildManifest)
    except msgspec.MsgspecError as error:
        raise HostileData(
            "audit.manifest",
            f"{path} is not a build manifest: {error}.",
            remedy='Write {"type": "manifest", "build": "1.2.3", "facts": {"stack_protector": true}}.',
        ) from error


def _document(audited: Audited) -> dict[str, Any]:
    from holdfast.cli.model import answer_documents  # noqa: PLC0415

    report = audited.report
    return {
        "tree": audited.tree,
        "model": audited.model.name if audited.declared else None,
        "class": audited.model.device_class,
        "asked": report.asked,
        "decided": report.decided,
        "coverage": report.coverage,
        "counts": Counter(entry.outcome.value for entry in report.judged),
        "answers": answer_documents(questions(audited)),
        "worst": [entry.control for entry in worst_first(report)[:WORST]],
        "judged": report.judged,
    }


def _write_sarif(audited: Audited, path: Path) -> None:
    from holdfast.cli.files import write_whole  # noqa: PLC0415
    from holdfast_core.baseline.sarif import sarif  # noqa: PLC0415
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415

    document = sarif(audited.report, shipped_catalogue(), root_uri=Path(audited.tree).resolve().as_uri())
    data = msgspec.json.format(msgspec.json.encode(document), indent=2)
    if str(path) == "-":
        sys.stdout.buffer.write(data + b"\n")
    else:
        write_whole(path, data + b"\n")
