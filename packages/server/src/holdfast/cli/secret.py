"""``holdfast secret``: passwords that must be on a device itself; those released on an appraisal are in `sealed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli import sealed
from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command

LONGEST = 2_048
"""Bytes of a file with a secret."""
AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account on the device.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="REASON", help="It will stand in the record.")]
NewSecretOption = Annotated[Path, typer.Option("--from", metavar="FILE", help="Where it stands; - is stdin.")]
VersionOption = Annotated[int, typer.Option("--version", metavar="N", min=1, help="Which one the device has.")]
DeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="Only those of this device.")]
CountOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "list")(list_secrets)
    command(app, "show")(show)
    command(app, "rotate")(rotate)
    command(app, "confirm")(confirm)
    command(app, "import")(take_over)
    sealed.register(app)


def list_secrets(session: Session, *, device: DeviceOption = "", limit: CountOption = 100) -> None:
    """List the local accounts of devices and where their secrets stand; never the secrets."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/secrets", device=device, limit=limit)["items"]
    if session.json:
        emit({"items": items})
        return
    if not items:
        words("No local accounts. A model file names them under local_accounts (docs/how-to/local-secrets.md).")
        return
    now = SystemClock().now()
    rows = [
        (
            each["device"],
            each["account"],
            each["kind"],
            each["set_by"],
            each["state"],
            str(each["version"] or "-"),
            ago(each["confirmed_at"], now),
        )
        for each in items
    ]
    table(("device", "account", "kind", "set by", "state", "version", "in force"), rows)


def show(session: Session, device: DeviceArgument, account: AccountArgument, why: WhyOption = "") -> None:
    """Print a secret on stdout. It stands in the record, each time, and another secret is due from then on.

    Where the device may have one of several, as after a confirmation that was lost, the most likely one comes first.
    """
    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415  (rule 3 of the package)

    told = _ask(session, device, account, "show", {"why": why})
    if session.json:
        emit(told)
        return
    words(f"{account} on {device}. Who saw it, and why, is on record; another one is due now.")
    for each in told["items"]:
        if len(told["items"]) > 1 or not each["confirmed"]:
            words(f"version {each['version']}" + ("" if each["confirmed"] else ", which the device may have"))
        raw(each["secret"])


def rotate(session: Session, device: DeviceArgument, account: AccountArgument, why: WhyOption = "") -> None:
    """Order another secret. The device's agent fetches it at its next check-in; otherwise a person types it in."""
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415  (rule 3 of the package)

    told = _ask(session, device, account, "rotate", {"why": why})
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"{account} on {device} gets another secret; the one before stays until it is in force.")
    if told["set_by"] == "hand":
        words(f"See it: holdfast secret show {device} {account} --why … Type it in, then:")
        words(f"holdfast secret confirm {device} {account} --version {told['unconfirmed'][-1]}")


def confirm(session: Session, device: DeviceArgument, account: AccountArgument, version: VersionOption) -> None:
    """Say that the device has a version: it was typed in, or tried. The older ones end."""
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415  (rule 3 of the package)

    told = _ask(session, device, account, "confirm", {"version": version})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"Version {version} is in force for {account} on {device}.")


def take_over(
    session: Session, device: DeviceArgument, account: AccountArgument, source: NewSecretOption, why: WhyOption = ""
) -> None:
    """Keep a secret that is on the device already, such as its sticker's; another one is due at once."""
    from holdfast.cli.files import read_bounded  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    text = read_bounded(source, LONGEST).decode("utf-8", "replace").rstrip("\r\n")
    told = _ask(session, device, account, "import", {"secret": text, "why": why})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"Kept for {account} on {device} as version {told['version']}.")


def _ask(session: Session, device: str, account: str, what: str, body: dict[str, Any]) -> Any:
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        return api.post(f"/secrets/{part(device)}/{part(account)}/{what}", body)
