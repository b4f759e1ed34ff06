"""``holdfast claim``: the right of one device to enroll, once."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command

HOUR_S = 3600
ListedArgument = Annotated[str, typer.Argument(metavar="ID", help="Its public id, as the list shows it.")]
OfDeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="Only those of this device.")]
LimitOption = Annotated[int, typer.Option(min=1, max=1000, help="Show at most so many.")]
HoursOption = Annotated[float, typer.Option("--hours", min=0.01, max=168, help="How long it can be used.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "create")(create)
    command(app, "list")(list_claims)
    command(app, "withdraw")(withdraw)


def create(session: Session, *, device: DeviceArgument, hours: HoursOption = 24) -> None:
    """Make a claim, and print the command to paste on the device. It works once."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post("/claims", {"device": device, "lifetime_s": int(hours * HOUR_S)})
    if session.json:
        emit(told)
        return
    words(f"Run this on {device} as root. It works once, until {told['expires_at']}, and is not shown again:")
    words("")
    raw(told["command"])
    words("")
    words(
        "Then start the agent on it: systemctl enable --now holdfast-agent. Watch it arrive: holdfast device show "
        f"{device}"
    )


def list_claims(session: Session, *, device: OfDeviceOption = "", limit: LimitOption = 50) -> None:
    """List claims, the newest first: for which device, and whether each was used; never the claims themselves."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/claims", device=device, limit=limit)["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [(i["id"], i["device"], i["state"], ago(i["created_at"], now), ago(i["expires_at"], now)) for i in items]
    table(("claim", "device", "state", "made", "ends"), rows)


def withdraw(session: Session, *, listed: ListedArgument) -> None:
    """End a claim that nobody used yet."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.delete(f"/claims/{part(listed)}")
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"The claim for {told['device']} cannot be used any more.")
