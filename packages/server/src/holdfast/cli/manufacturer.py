"""``holdfast manufacturer``: whose certificates admit devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.session import Session, command
from holdfast_core.identity.manufacturers import SerialFrom

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What you call it, such as acme.")]
CertificatesArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="PEM: its roots, and authorities its devices do not send; - reads stdin.")
]
ModelsOption = Annotated[
    list[str], typer.Option("--model", metavar="NAME[@VERSION]", help="A model it may admit devices of; repeat it.")
]
SerialOption = Annotated[SerialFrom, typer.Option(help="Where its certificates have the serial number.")]
AddOption = Annotated[bool, typer.Option("--add-devices", help="Add devices that nobody expects, of the one model.")]
OwnerOption = Annotated[str, typer.Option(help="Who answers for the devices that are added.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "add")(add)
    command(app, "list")(list_manufacturers)
    command(app, "remove")(remove)


def add(
    session: Session,
    *,
    name: NameArgument,
    file: CertificatesArgument,
    models: ModelsOption,
    serial_from: SerialOption = SerialFrom.SUBJECT,
    add_devices: AddOption = False,
    owner: OwnerOption = "",
) -> None:
    """Let a manufacturer's certificates (IDevID) admit devices of these models."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.kernel.limits import LIMITS  # noqa: PLC0415

    body = {
        "name": name,
        "certificates": read_bounded(file, LIMITS.manufacturer_bytes).decode("ascii", "replace"),
        "models": models,
        "serial_from": serial_from.value,
        "add": add_devices,
        "owner": owner,
    }
    with connected(session.folder) as api:
        told = api.post("/manufacturers", body)
    if session.json:
        emit(told)
        return
    words(("✓ ", "green"), f"Devices of {', '.join(told['models'])} may come with a certificate of {name}.")
    if not add_devices:
        words("They are known by their serial numbers: holdfast device add DEVICE --model MODEL --serial SERIAL.")


def list_manufacturers(session: Session) -> None:
    """List the manufacturers whose certificates admit devices."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/manufacturers")["items"]
    if session.json:
        emit({"items": items})
        return
    rows = [
        (
            i["name"],
            ", ".join(i["models"]),
            f"adds for {i['owner']}" if i["add"] else "expected only",
            i["serial_from"],
        )
        for i in items
    ]
    table(("name", "models", "devices", "serial from"), rows, fold=("models",))


def remove(session: Session, *, name: NameArgument) -> None:
    """Let a manufacturer's certificates admit nobody any more; devices that were admitted stay."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.delete(f"/manufacturers/{part(name)}")
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"Certificates of {name} admit nobody any more.")
