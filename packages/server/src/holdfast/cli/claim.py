"""``holdfast claim``: the right of one device to enroll, once."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command

HOUR_S = 3600
HoursOption = Annotated[float, typer.Option("--hours", min=0.01, max=168, help="How long it can be used.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    # A lone command would become the group itself, and `claim create` would read `create` as a device.
    app.callback()(_group)
    command(app, "create")(create)


def _group() -> None:
    """Claims: the right of one device to enroll, once."""


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
