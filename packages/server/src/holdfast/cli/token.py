"""``holdfast token``: a program's right to call the API."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.session import Session, command
from holdfast_core.identity.model import Permission

DAY_S = 86_400
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What it is for, such as grafana.")]
PermissionOption = Annotated[
    Permission, typer.Option(help="What it may do; each includes the one before: read, operate, admin.")
]
DaysOption = Annotated[float, typer.Option("--days", min=0.01, max=366, help="How long it lives.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "create")(create)
    command(app, "list")(list_tokens)
    command(app, "revoke")(revoke)


def create(
    session: Session, name: NameArgument, permission: PermissionOption = Permission.READ, days: DaysOption = 90
) -> None:
    """Make a token and print it on stdout, once; only its digest is kept."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    body = {"name": name, "permission": permission.value, "lifetime_s": int(days * DAY_S)}
    with connected(session.folder) as api:
        told = api.post("/tokens", body)
    if session.json:
        emit(told)
        return
    words(f"Token {name!r} ({permission.value}, until {told['expires_at']}). It is shown this once; keep it safe:")
    raw(told["token"])


def list_tokens(session: Session) -> None:
    """List tokens: names, permissions and ends; never the tokens themselves."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/tokens")["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [
        (
            t["name"],
            t["permission"],
            f"revoked {ago(t['revoked_at'], now)}" if t.get("revoked_at") else f"ends {ago(t['expires_at'], now)}",
        )
        for t in items
    ]
    table(("name", "permission", "state"), rows)


def revoke(session: Session, *, name: NameArgument) -> None:
    """End a token; programs that use it are refused from their next request on."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.delete(f"/tokens/{part(name)}")
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"The token {name!r} has ended.")
