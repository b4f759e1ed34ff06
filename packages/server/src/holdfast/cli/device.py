"""``holdfast device``: add, import, list, show. What acts on a device is in `device_actions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli.session import Exit, Session, command, finish, usage
from holdfast_core.inventory.lifecycle import Lifecycle
from holdfast_core.wire.frame import Level

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id.")]
ModelOption = Annotated[
    str, typer.Option("--model", metavar="NAME@VERSION", help="Its model; without one it stays unmanaged.")
]
OwnerOption = Annotated[str, typer.Option(help="Who answers for it.")]
SiteOption = Annotated[str, typer.Option(help="Where it stands.")]
SerialOption = Annotated[str, typer.Option(help="The maker's serial number, as its manufacturer's certificate has it.")]
ZoneOption = Annotated[str, typer.Option(help="The network zone it belongs to.")]
LabelOption = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label; repeat it.")]
CsvArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file; - reads stdin.")]
LevelOption = Annotated[
    Level | None, typer.Option("--verdict", help="Only those with this verdict.", show_default=False)
]
LifecycleOption = Annotated[
    Lifecycle | None, typer.Option("--lifecycle", help="Only those at this point of their life.", show_default=False)
]
OfModelOption = Annotated[str, typer.Option("--model", metavar="NAME@VERSION", help="Only those of this model.")]
AtSiteOption = Annotated[str, typer.Option("--site", help="Only those at this site.")]
WorstOption = Annotated[bool, typer.Option("--worst", help="The most dangerous first, instead of by id.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Show at most so many.", show_default=False)]

RANKS = {"quarantined": 0, "restricted": 1, "none": 2, "trusted": 3, "retired": 4}
"""The most dangerous first; a device nobody ever heard from comes before one that is fine."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "add")(add)
    command(app, "import", epilog="Exit: 0 every row was added, 3 some rows have problems.")(import_devices)
    command(app, "list")(list_devices)
    command(app, "show")(show)


def add(
    session: Session,
    *,
    device: DeviceArgument,
    model: ModelOption = "",
    owner: OwnerOption = "",
    site: SiteOption = "",
    zone: ZoneOption = "",
    serial: SerialOption = "",
    labels: LabelOption = None,
) -> None:
    """Add a device. With a model it is expected, and may enroll with a claim."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    body = {
        "device": device,
        "model": model,
        "owner": owner,
        "site": site,
        "zone": zone,
        "serial": serial,
        "labels": _labels(labels),
    }
    with connected(session.folder) as api:
        added = api.post("/devices", body)
    if session.json:
        emit(added)
        return
    raw(device)
    if model:
        words(("✓ ", "green"), f"{device} is expected. Next: holdfast claim create {device}")
    else:
        words(("✓ ", "green"), f"{device} is in the inventory, unmanaged: it may not enroll until it has a model.")


def import_devices(session: Session, *, file: CsvArgument) -> None:
    """Add the devices of a CSV list with the columns device, model, owner, site, zone, serial, labels.

    Rows with a problem are left out and told; the others are added.
    """
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, progress, table, words  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    data = read_bounded(file, LIMITS.rows_text)
    with progress("Importing"), connected(session.folder) as api:
        told = api.post("/devices/import", content=data or b"\n", media="text/csv")
    problems = told["problems"]
    if session.json:
        emit(told)
    else:
        if problems:
            rows = [(str(p["line"]), f"{p['sentence']} {p['remedy']}", p["code"]) for p in problems]
            table(("line", "what is wrong", "code"), rows, fold=("what is wrong",))
        words(f"{len(told['added'])} added, {len(problems)} rows left out.")
    finish(Exit.FINDINGS if problems else Exit.FINE)


def list_devices(
    session: Session,
    *,
    level: LevelOption = None,
    lifecycle: LifecycleOption = None,
    model: OfModelOption = "",
    site: AtSiteOption = "",
    worst: WorstOption = False,
    limit: LimitOption = None,
) -> None:
    """List devices with their verdicts."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import emit, table, words  # noqa: PLC0415

    query = {"level": level and level.value, "lifecycle": lifecycle and lifecycle.value, "model": model, "site": site}
    with connected(session.folder) as api:
        # Ordering by danger needs all of them; the API pages by id.
        items = list(api.pages("/devices", limit=None if worst else limit, **query))
    if worst:
        items = sorted(items, key=danger)[:limit]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    table(("device", "verdict", "seen", "model", "why"), [_row(item, now) for item in items], fold=("why", "model"))
    words(_summary(items) if items or not any(query.values()) else "No device fits.")


def danger(item: dict[str, Any]) -> tuple[int, str]:
    """Sorts the most dangerous first, then by id."""
    return RANKS.get(level_of(item), len(RANKS)), item["device"]


def level_of(item: dict[str, Any]) -> str:
    """The verdict's level, ``none`` for a device that has none; a retired device is retired, whatever it was."""
    if item["lifecycle"] == Lifecycle.RETIRED:
        return "retired"
    return str(item["level"] or "none")


def first_reason(item: dict[str, Any]) -> str:
    """The sentence that matters most, or where the device is in its life when it has no verdict."""
    if level_of(item) == "none":
        return str(item["lifecycle"])
    return str(item["reason"]["sentence"]) if item["reason"] else ""


def show(session: Session, *, device: DeviceArgument) -> None:
    """Show a device: verdict and reasons, the two questions, what is asked of it, who inspected it, its last words."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.device_text import show_device  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(f"/devices/{part(device)}")
        # What never enrolled was never judged, and so nothing that a person saw of it is kept.
        told["inspections"] = api.get(f"/devices/{part(device)}/inspections")["items"] if told["verdict"] else []
    if session.json:
        emit(told)
    else:
        show_device(told, SystemClock().now())


def _labels(given: list[str] | None) -> dict[str, str]:
    labels: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not equals:
            usage(f"--label {each}: write KEY=VALUE.")
        labels[key] = value
    return labels


def _row(item: dict[str, Any], now: Any) -> tuple[Any, ...]:
    from holdfast.cli.terminal import ago, word  # noqa: PLC0415  (rule 3 of the package)

    return (
        item["device"],
        word(level_of(item)),
        ago(item.get("last_seen"), now),
        item.get("model") or "-",
        first_reason(item),
    )


def _summary(items: list[dict[str, Any]]) -> str:
    from collections import Counter  # noqa: PLC0415  (rule 3 of the package)

    if not items:
        return "No devices. Add one: holdfast device add DEVICE --model NAME@VERSION"
    counts = Counter(map(level_of, items))
    parts = [f"{counts[level]} {level if level != 'none' else 'without a verdict'}" for level in RANKS if counts[level]]
    return f"{len(items)} device{'s' if len(items) > 1 else ''}: {', '.join(parts)}."
