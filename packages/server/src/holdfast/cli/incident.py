"""``holdfast incident``: what needs looking at."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holdfast.cli.device_actions import WhyOption
from holdfast.cli.session import Session, command

IncidentArgument = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, as the list shows it.")]
AllOption = Annotated[bool, typer.Option("--all", help="Closed ones too.")]
OfDeviceOption = Annotated[str, typer.Option("--device", help="Only those of this device.")]
LimitOption = Annotated[int, typer.Option(min=1, help="Show at most so many.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "list")(list_incidents)
    command(app, "show")(show)
    command(app, "close")(close)


def list_incidents(
    session: Session, *, everything: AllOption = False, device: OfDeviceOption = "", limit: LimitOption = 100
) -> None:
    """List open incidents, newest first."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table, word, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/incidents", state="all" if everything else "open", device=device, limit=limit)["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [
        (
            i["id"],
            word(i["severity"]),
            "closed" if i.get("closed_at") else "open",
            ago(i["opened_at"], now),
            i["title"] if i["device"] in i["title"] else f"{i['device']}: {i['title']}",
        )
        for i in items
    ]
    if rows:
        table(("incident", "severity", "state", "since", "what"), rows, fold=("what",))
    else:
        words("No open incidents." if not everything else "No incidents.")


def show(session: Session, *, incident: IncidentArgument) -> None:
    """Show an incident: its reasons, and what to do."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(f"/incidents/{part(incident)}")
    if session.json:
        emit(told)
    else:
        _show(told, SystemClock().now())


def close(session: Session, *, incident: IncidentArgument, why: WhyOption) -> None:
    """Close an incident by hand. One that a state keeps up closes by itself when the state ends."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/incidents/{part(incident)}/close", {"why": why})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{incident} is closed. That mends nothing. {_where(told['device'])}")


def _show(told: dict[str, Any], now: Any) -> None:
    from holdfast.cli.terminal import ago, raw, show, word  # noqa: PLC0415  (rule 3 of the package)

    state = f"closed {ago(told['closed_at'], now)}" if told.get("closed_at") else "open"
    show((told["title"], "bold"), "  ", word(told["severity"]), f"  {state}")
    show(f"{told['id']} on {told['device']}, cause {told['cause']}, opened {ago(told['opened_at'], now)}", indent=2)
    if told.get("closed_why"):
        show(f"why it was closed: {told['closed_why']}", indent=2)
    for reason in told["reasons"]:
        raw("")
        show("• ", reason["sentence"], (f" [{reason['code']}]", "dim"), indent=2)
        if reason.get("remedy"):
            show(("fix: ", "bold"), reason["remedy"], indent=4)
    raw("")
    show(_where(told["device"]), indent=2)


def _where(subject: str) -> str:
    """Where to look further; an incident of a broker has ``broker:<name>`` in the device's place."""
    kind, colon, name = subject.partition(":")
    if colon and kind == "broker":
        return f"The broker: holdfast broker check {name}"
    return f"The device: holdfast device show {subject}"
