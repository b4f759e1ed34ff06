"""``holdfast control``: the catalogue, and people's own controls. No server is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish
from holdfast_core.inventory.model import DeviceClass

if TYPE_CHECKING:
    from holdfast_core.baseline.control import Catalogue, Control

CatalogueOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--catalogue",
        metavar="FOLDER",
        help="Lay the controls of this folder over the shipped ones; may be repeated.",
        show_default=False,
        file_okay=False,
    ),
]
ClassOption = Annotated[DeviceClass | None, typer.Option("--class", help="Only what this class is asked.")]
GroupOption = Annotated[str, typer.Option("--group", metavar="GROUP", help="Only this group: ACC, NET, ...")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A control, such as ACC-06.")]
FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="A folder with catalogue.yaml and files of controls.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "list")(list_controls)
    command(app, "show")(show)
    command(app, "lint", epilog="Exit: 0 fine, 1 refused, 3 there is something to look at.")(lint_folder)
    command(app, "schema")(schema)


def list_controls(
    session: Session,
    *,
    device_class: ClassOption = None,
    group: GroupOption = "",
    catalogue: CatalogueOption = None,
) -> None:
    """List the controls: what each asks, how much it matters, and how it is put right."""
    from holdfast.cli.terminal import emit, show, table, word  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.baseline.control import Ask  # noqa: PLC0415

    whole = catalogue_of(catalogue)
    chosen = [
        control
        for control in whole.controls
        if (not group or control.group.value == group.upper())
        and (device_class is None or control.classes[device_class].ask is not Ask.NOT_APPLICABLE)
    ]
    if session.json:
        emit({"version": whole.version, "digest": whole.digest, "items": chosen})
        return
    rows = [(c.id, word(c.severity.value), c.remedy.fix.value.replace("_", " "), c.title) for c in chosen]
    table(("control", "severity", "fix", "what it asks"), rows, fold=("what it asks",))
    show((f"{len(chosen)} of {len(whole.controls)} controls, catalogue {whole.version}", "dim"))


def show(session: Session, *, control: IdArgument, catalogue: CatalogueOption = None) -> None:
    """Show one control: what it asks of whom, why, what it costs, how to meet it and take that back."""
    from holdfast.cli.terminal import emit  # noqa: PLC0415  (rule 3 of the package)

    found = control_of(catalogue_of(catalogue), control)
    emit(found) if session.json else _show(found)


def lint_folder(session: Session, *, folder: FolderArgument) -> None:
    """Check your own controls: whether they can be used, and what is legal and still not good."""
    from holdfast.cli.terminal import emit, show, words  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.baseline.lint import lint  # noqa: PLC0415
    from holdfast_probe.audit import HUNTS  # noqa: PLC0415
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415
    from holdfast_probe.mending import mendable  # noqa: PLC0415

    whole = catalogue_of([folder])
    found = lint(whole, shipped_catalogue(), walks=lambda part: type(part) in HUNTS, mendable=mendable)
    if session.json:
        emit({"version": whole.version, "controls": len(whole.controls), "items": found})
    for reason in () if session.json else found:
        show(("! ", "yellow"), reason.sentence, (f" [{reason.code}]", "dim"))
        show(("fix: ", "bold"), reason.remedy, indent=4)
    if not found and not session.json:
        words(("✓ ", "green"), f"{whole.version}: {len(whole.controls)} controls, nothing to complain of.")
    finish(Exit.FINDINGS if found else Exit.FINE)


def schema(session: Session) -> None:
    """Print the JSON Schema of a file of controls, for editors that complete and check while you write."""
    del session  # it is JSON either way
    from holdfast.baseline.catalogue_file import control_schema_text  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import out  # noqa: PLC0415

    out().file.write(control_schema_text())


def catalogue_of(folders: list[Path] | None) -> Catalogue:
    """The shipped catalogue with what the user laid over it."""
    from holdfast.baseline.catalogue_file import catalogue_with  # noqa: PLC0415  (rule 3 of the package)

    return catalogue_with(tuple(folders or ()))


def control_of(catalogue: Catalogue, name: str) -> Control:
    """The control called `name`. Raises `HostileData` ``control.unknown``."""
    from holdfast_core.kernel.errors import HostileData  # noqa: PLC0415  (rule 3 of the package)

    found = next((control for control in catalogue.controls if control.id == name.upper()), None)
    if found is None:
        raise HostileData(
            "control.unknown",
            f"There is no control {name[:20]!r}.",
            remedy="holdfast control list shows every control.",
            http_status=404,
        )
    return found


def _show(control: Control) -> None:
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.terminal import fields, heading, show, word  # noqa: PLC0415
    from holdfast_core.baseline.probes import parts  # noqa: PLC0415

    show((control.id, "bold"), "  ", word(control.severity.value), f"  {control.title}")
    show(control.rationale, indent=2)
    heading("What it asks")
    asked = [
        (name.value, f"{demand.ask.value.replace('_', ' ')}  {demand.reason}") for name, demand in _by_class(control)
    ]
    fields(asked)
    heading("How it is put right")
    for number, step in enumerate(control.remedy.steps, 1):
        show(f"{number}. {step}", indent=2)
    for step in control.remedy.undo:
        show(("undo: ", "dim"), step, indent=2)
    cost: dict[str, Any] = msgspec.to_builtins(control.cost)
    kinds = dict.fromkeys(type(part).__struct_config__.tag for part in parts(control.probe)) if control.probe else {}
    mapped = {name: ", ".join(getattr(control.mappings, name)) for name in control.mappings.__struct_fields__}
    heading("Facts")
    fields(
        [
            ("fix", control.remedy.fix.value.replace("_", " ")),
            ("needs a reboot", "yes" if control.remedy.reboot else ""),
            ("may brick", "yes" if control.remedy.may_brick else ""),
            ("cost", ", ".join(f"{name} {value}" for name, value in cost.items() if value not in (False, 0, "none"))),
            ("looked at by", ", ".join(map(str, kinds)) or "the build manifest"),
            ("stood in for by", ", ".join(control.stand_in)),
            *mapped.items(),
        ]
    )


def _by_class(control: Control) -> list[tuple[DeviceClass, Any]]:
    return [(name, control.classes[name]) for name in DeviceClass]
