"""``holdfast baseline``: what is asked of a model, line by line, and how two models differ.

A model is a file, which needs no server, or the name and version of one that was added to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.control import CatalogueOption, catalogue_of, control_of
from holdfast.cli.session import Session, command

if TYPE_CHECKING:
    from holdfast_core.baseline.difference import Differing
    from holdfast_core.baseline.model import Baseline, Line
    from holdfast_core.inventory.model import DeviceModel

ModelArgument = Annotated[
    str, typer.Argument(metavar="FILE|NAME@VERSION", help="A model file, or a model that was added to the server.")
]
ControlOption = Annotated[str, typer.Option("--control", metavar="ID", help="Explain this one control in full.")]

_ORDER = ("required", "compensated", "forbidden", "not_applicable")
"""Most is asked first."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "show")(show)
    command(app, "diff")(diff)


def show(
    session: Session, *, model: ModelArgument, control: ControlOption = "", catalogue: CatalogueOption = None
) -> None:
    """Show the baseline that follows from a model: what is required, compensated, forbidden, and why."""
    from holdfast.cli.terminal import emit  # noqa: PLC0415  (rule 3 of the package)

    reference, baseline = _baseline(session, model, catalogue)
    if control:
        _explain(session, baseline, control, catalogue)
    elif session.json:
        told = {"reference": reference, "class": baseline.device_class, "remarks": baseline.remarks}
        emit({**told, "lines": line_documents(baseline.lines)})
    else:
        _show(reference, baseline)


def diff(session: Session, *, before: ModelArgument, after: ModelArgument, catalogue: CatalogueOption = None) -> None:
    """Show what is asked differently of two models, or of two versions of one."""
    from holdfast.cli.terminal import emit, table, words  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.baseline.difference import difference  # noqa: PLC0415

    (first, old), (second, new) = _baseline(session, before, catalogue), _baseline(session, after, catalogue)
    found = difference(old, new)
    if session.json:
        emit({"before": first, "after": second, "items": found})
        return
    if not found:
        words(("✓ ", "green"), f"{first} and {second} are asked the same.")
        return
    if first == second:
        first, second = f"{first} (first)", f"{second} (second)"
    rows = [
        (entry.control, _what(entry, first, second), _in_short(entry.before), _in_short(entry.after)) for entry in found
    ]
    table(
        ("control", "what, and why less is asked", first, second),
        rows,
        fold=("what, and why less is asked", first, second),
    )


def _what(entry: Differing, first: str, second: str) -> str:
    """The control's title, and below it the reason of the side that asks less."""
    sides = [(name, line) for name, line in ((first, entry.before), (second, entry.after)) if line is not None]
    name, less = max(sides, key=lambda side: (_ORDER.index(side[1].demand.value), side[1].severity.rank))
    return f"{entry.title}\n{name}: {less.reason}"


def _baseline(session: Session, what: str, catalogue: list[Path] | None) -> tuple[str, Baseline]:
    """The baseline of a model, here if it is a file."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.baseline.tailoring import tailor  # noqa: PLC0415

    if what == "-" or Path(what).is_file():
        from holdfast.cli.files import read_model  # noqa: PLC0415

        model = read_model(Path(what))
        return _reference(model), tailor(catalogue_of(catalogue), model, SystemClock().now())
    return what, _from_server(session, what)


def _from_server(session: Session, reference: str) -> Baseline:
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast_core.baseline.model import Baseline, Line  # noqa: PLC0415
    from holdfast_core.inventory.model import DeviceClass  # noqa: PLC0415
    from holdfast_core.kernel.digests import Digest  # noqa: PLC0415
    from holdfast_core.kernel.instants import parse_rfc3339  # noqa: PLC0415

    with connected(session.folder) as api:
        told: dict[str, Any] = api.get(f"/models/{part(reference)}/baseline")
    lines = []
    for line in told["lines"]:
        expires = line.get("expires")
        lines.append(msgspec.convert({**line, "expires": parse_rfc3339(expires) if expires else None}, Line))
    remarks = tuple(told["remarks"])
    return Baseline(reference, DeviceClass(told["class"]), Digest(told["catalogue"]), tuple(lines), remarks)


def _reference(model: DeviceModel) -> str:
    return f"{model.name}@{model.version}"


def _show(reference: str, baseline: Baseline) -> None:
    from collections import Counter  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.terminal import heading, show, table, word  # noqa: PLC0415

    counts = Counter(line.demand.value for line in baseline.lines)
    told = ", ".join(f"{counts[demand]} {demand.replace('_', ' ')}" for demand in _ORDER if counts[demand])
    show((reference, "bold"), f"  {baseline.device_class.value}: {told}")
    for remark in baseline.remarks:
        show(remark, indent=2)
    for demand in _ORDER:
        lines = [line for line in baseline.lines if line.demand.value == demand]
        if lines:
            heading(f"{len(lines)} {demand.replace('_', ' ')}")
            rows = [(line.control, word(line.severity.value), f"{line.title}. {line.reason}") for line in lines]
            table(("control", "severity", "what, and why"), rows, fold=("what, and why",))


def _explain(session: Session, baseline: Baseline, name: str, catalogue: list[Path] | None) -> None:
    from holdfast.cli.terminal import emit, fields, show, word  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.kernel.errors import HostileData  # noqa: PLC0415
    from holdfast_core.kernel.instants import Instant, rfc3339  # noqa: PLC0415

    line = next((entry for entry in baseline.lines if entry.control == name.upper()), None)
    # What is forbidden is a step, not a control: there is a line of it, and nothing more to say.
    forbidden = line is not None and line.control not in {entry.id for entry in catalogue_of(catalogue).controls}
    control = None if forbidden else control_of(catalogue_of(catalogue), name)
    if line is None:
        raise HostileData(
            "baseline.no_line",
            f"The baseline of {baseline.model} was tailored without {name.upper()}.",
            remedy="Lay the same catalogue over it as the server does, with --catalogue.",
        )
    if session.json:
        emit({"line": line_documents((line,))[0], "control": control})
        return
    show((line.control, "bold"), "  ", word(line.severity.value), "  ", word(line.demand.value), f"  {line.title}")
    show(line.reason, indent=2)
    told = [
        ("what stands in", ", ".join(line.by)),
        ("who answers", line.owner),
        ("until", rfc3339(Instant(line.expires - 1))[:10] if line.expires else ""),
    ]
    if control is not None:
        told += [
            ("why it matters", "" if control.rationale in line.reason else control.rationale),
            ("to meet it", " ".join(control.remedy.steps)),
            ("to take that back", " ".join(control.remedy.undo)),
        ]
    fields(told)


def line_documents(lines: tuple[Line, ...]) -> list[dict[str, Any]]:
    """Lines as the API sends them."""
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    from holdfast_core.kernel.instants import rfc3339  # noqa: PLC0415

    return [
        {**msgspec.to_builtins(line), "expires": None if line.expires is None else rfc3339(line.expires)}
        for line in lines
    ]


def _in_short(line: Line | None) -> str:
    if line is None:
        return "no such control"
    by = f" by\n{', '.join(line.by)}" if line.by else ""
    return f"{line.demand.value.replace('_', ' ')}{by}\n({line.severity.value})"
