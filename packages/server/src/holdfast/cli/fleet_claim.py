"""``holdfast fleet-claim``: the right of a production line to enroll devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.session import Session, command
from holdfast_core.identity.fleet import LARGEST_QUOTA

HOUR_S = 3600
LineArgument = Annotated[str, typer.Argument(metavar="LINE", help="The production line, such as hall-3.")]
ModelOption = Annotated[str, typer.Option("--model", metavar="NAME@VERSION", help="What the line makes.")]
QuotaOption = Annotated[int, typer.Option("--quota", min=1, max=LARGEST_QUOTA, help="For how many devices.")]
HoursOption = Annotated[float, typer.Option("--hours", min=0.01, max=168, help="For how long.")]
OwnerOption = Annotated[str, typer.Option(help="Who answers for the devices; you, if left out.")]
HookOption = Annotated[bool, typer.Option("--hook", help="Ask the configured program about every device.")]
RequestOption = Annotated[
    Path | None,
    typer.Option("--request", metavar="FILE", help="PEM PKCS#10 of a key the line made itself.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "create")(create)
    command(app, "list")(list_claims)
    command(app, "withdraw")(withdraw)


def create(
    session: Session,
    *,
    line: LineArgument,
    model: ModelOption,
    quota: QuotaOption,
    hours: HoursOption,
    owner: OwnerOption = "",
    hook: HookOption = False,
    request: RequestOption = None,
) -> None:
    """Make a claim for a production line, and print its key and certificate, once.

    A device enrolls with them (EST simpleenroll), under the id or the serial number in its request.
    """
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    body = {
        "line": line,
        "model": model,
        "quota": quota,
        "lifetime_s": int(hours * HOUR_S),
        "owner": owner,
        "hook": hook,
        "request": read_bounded(request, 2 * LIMITS.csr_bytes).decode("ascii", "replace") if request else "",
    }
    with connected(session.folder) as api:
        told = api.post("/fleet-claims", body)
    if session.json:
        emit(told)
        return
    devices = "1 device" if quota == 1 else f"{quota} devices"
    words(f"For {devices} of {model}, until {told['expires_at']}. This is shown once; keep it on the line alone:")
    raw((told["key"] + told["certificate"]).rstrip("\n"))


def list_claims(session: Session) -> None:
    """List the claims of production lines, and how far each is used."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/fleet-claims")["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [
        (
            i["line"],
            i["model"],
            f"{i['used']} of {i['quota']}",
            f"withdrawn {ago(i['withdrawn_at'], now)}"
            if i.get("withdrawn_at")
            else f"ends {ago(i['expires_at'], now)}",
        )
        for i in items
    ]
    table(("line", "model", "used", "state"), rows)


def withdraw(session: Session, *, line: LineArgument) -> None:
    """End the claim of a production line at once; devices that it enrolled stay."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.delete(f"/fleet-claims/{part(line)}")
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"The claim of {line} has ended; {told['used']} devices were enrolled with it.")
