"""``holdfast audit``: look at a device or an image, read it against its baseline, say what to do. No server is needed.

1. Coverage is the headline: what was not decided is told before what was found.
2. Exit 3 when a control failed at or above ``--fail-on`` and nobody answers for it. Else exit 4 when nothing was
   decided, a critical control was not, or the target was not understood: a blind spot never looks like a pass.
3. Neither the API nor the store is imported here: this runs on build machines.
4. A file that is named with ``-o`` is written beside the page on the terminal; without it, a format other than the
   table is all that stdout gets.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from holdfast.cli.audit_formats import Format
from holdfast.cli.control import CatalogueOption
from holdfast.cli.session import Exit, Session, command, finish, usage
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.severity import Severity

if TYPE_CHECKING:
    from holdfast_core.baseline.document import Document

TargetArgument = Annotated[
    Path,
    typer.Argument(metavar="TARGET", help="/ for this machine, a folder, an image file, or a build manifest (mcu)."),
]
ClassOption = Annotated[
    DeviceClass | None, typer.Option("--class", help="Which kind of device it is.", show_default=False)
]
ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="Its model file.", show_default=False, dir_okay=False)
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="What to write. Default: table, or as OUTPUT ends.", show_default=False),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write the format there.", show_default=False, dir_okay=False),
]
FailOnOption = Annotated[Severity, typer.Option("--fail-on", help="Exit 3 from this severity on.")]
CompareOption = Annotated[
    Path | None,
    typer.Option("--compare", metavar="FILE", help="An earlier audit (JSON): what is new?", show_default=False),
]
WaiversOption = Annotated[
    Path | None,
    typer.Option("--waivers", metavar="FILE", help="Who answers for which finding (YAML).", show_default=False),
]
ManifestOption = Annotated[
    Path | None,
    typer.Option("--manifest", metavar="FILE", help="What the build says of itself (JSON).", show_default=False),
]
InspectionsOption = Annotated[
    Path | None,
    typer.Option("--inspections", metavar="FILE", help="What a person looked at (YAML).", show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="List also what passed and what does not apply.")]


class Chosen(NamedTuple):
    """What is written where, and from which severity on it is to make a run fail."""

    wanted: Format
    output: Path | None
    fail_on: Severity


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "audit", epilog="Exit: 0 fine, 3 findings, 4 could not decide, 1 failed, 2 usage.")(run)


def run(
    session: Session,
    *,
    target: TargetArgument,
    device_class: ClassOption = None,
    model: ModelOption = None,
    format: FormatOption = None,  # noqa: A002  (the option's name)
    output: OutputOption = None,
    fail_on: FailOnOption = Severity.LOW,
    compare: CompareOption = None,
    waivers: WaiversOption = None,
    manifest: ManifestOption = None,
    inspections: InspectionsOption = None,
    catalogue: CatalogueOption = None,
    everything: AllOption = False,
) -> None:
    """Audit a device or an image: coverage, the worst findings and their fixes. Needs no server.

    Run it as root where the target keeps files that only root may read. A device of class mcu has no files: give its
    build manifest (JSON) instead.
    """
    if (device_class is None) == (model is None):
        usage("Say what kind of device this is: --model FILE, or --class server, gateway, linux-iot, ot or mcu.")
    wanted = _wanted(format, output, json=session.json)
    from holdfast.cli.audit_files import Given  # noqa: PLC0415  (nothing of this for --help)
    from holdfast.cli.audit_look import examine  # noqa: PLC0415

    document = examine(
        target, Given(device_class, model, compare, waivers, manifest, inspections, tuple(catalogue or ()))
    )
    chosen = Chosen(wanted, output, fail_on)
    _write(document, target, chosen, everything=everything, json=session.json)
    finish(exit_of(document, fail_on))


def exit_of(document: Document, fail_on: Severity) -> Exit:
    """The exit code of an audit (rule 2)."""
    from holdfast_core.baseline.model import Outcome  # noqa: PLC0415  (nothing of this for --help)

    if any(entry.severity.rank <= fail_on.rank for entry in document.failed()):
        return Exit.FINDINGS
    blind = any(e.outcome is Outcome.UNKNOWN and e.severity is Severity.CRITICAL for e in document.judged)
    return Exit.UNDECIDED if blind or document.decided == 0 or document.target.trouble else Exit.FINE


def _wanted(chosen: Format | None, output: Path | None, *, json: bool) -> Format:
    """Which format is written, to `output` or to stdout."""
    if chosen is not None:
        if chosen is Format.TABLE and output is not None:
            usage("A table is for the terminal. Give --format html, json, sarif, junit or oscal with -o.")
        if json and output is None and chosen not in {Format.TABLE, Format.JSON}:
            usage("Two documents cannot both go to stdout: leave out --json, or name a file with -o.")
        return chosen
    if output is None:
        return Format.JSON if json else Format.TABLE
    by_name = {".html": Format.HTML, ".json": Format.JSON, ".sarif": Format.SARIF, ".xml": Format.JUNIT}
    if output.suffix not in by_name:
        usage("Say what to write: --format html, json, sarif, junit or oscal.")
    return by_name[output.suffix]


def _write(document: Document, target: Path, chosen: Chosen, *, everything: bool, json: bool) -> None:
    from holdfast.cli.audit_formats import rendered, to_stdout  # noqa: PLC0415  (nothing of this for --help)
    from holdfast.cli.audit_text import show_audit  # noqa: PLC0415
    from holdfast.cli.files import STANDARD, write_whole  # noqa: PLC0415

    wanted, output, fail_on = chosen
    if output is not None and output != STANDARD:
        write_whole(output, rendered(document, wanted, target, fail_on))
        wanted = Format.JSON if json else Format.TABLE
    if wanted is Format.TABLE and not json:
        show_audit(document, everything=everything)
    else:
        to_stdout(rendered(document, Format.JSON if wanted is Format.TABLE else wanted, target, fail_on))
