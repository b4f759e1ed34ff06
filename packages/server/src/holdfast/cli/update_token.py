"""``holdfast device update-token``: a device's right to ask for its updates, for clients that have no certificate."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command

DAY_S = 86_400
DaysOption = Annotated[float, typer.Option("--days", min=0.01, max=1098, help="How long it lives.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Its id, as the list shows it.")]


def register(app: typer.Typer) -> None:
    """Add the group to `app`, the commands of devices."""
    group = typer.Typer(no_args_is_help=True, help="Update tokens, for hawkBit clients without a certificate.")
    command(group, "create")(create)
    command(group, "list")(list_update_tokens)
    command(group, "revoke")(revoke)
    app.add_typer(group, name="update-token")


def create(session: Session, *, device: DeviceArgument, days: DaysOption = 366) -> None:
    """Make a token for a device's update client and print it on stdout, once; only its digest is kept."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/devices/{part(device)}/update-tokens", {"lifetime_s": int(days * DAY_S)})
    if session.json:
        emit(told)
        return
    words(f"Update token {told['id']} of {device}, until {told['expires_at']}. It is shown this once:")
    raw(told["token"])


def list_update_tokens(session: Session, *, device: DeviceArgument) -> None:
    """List a device's update tokens: ids, ends and last use; never the tokens themselves."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get(f"/devices/{part(device)}/update-tokens")["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [
        (
            each["id"],
            f"revoked {ago(each['revoked_at'], now)}"
            if each.get("revoked_at")
            else f"ends {ago(each['expires_at'], now)}",
            f"used {ago(each['used_at'], now)}" if each.get("used_at") else "never used",
        )
        for each in items
    ]
    table(("id", "state", "last use"), rows)


def revoke(session: Session, *, device: DeviceArgument, name: IdArgument) -> None:
    """End an update token; the client that uses it is refused from its next request on."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.delete(f"/devices/{part(device)}/update-tokens/{part(name)}")
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"The update token {name} of {device} has ended.")
