"""``holdfast secret seal|release|sealed|destroy``: secrets that are released only on an affirming appraisal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command

LONGEST = 9 * 1024
"""Bytes of a file that are read at all; the rule refuses less, in words."""
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name.")]
WhyOption = Annotated[str, typer.Option("--why", metavar="REASON", help="It will stand in the record.")]
SourceOption = Annotated[Path, typer.Option("--from", metavar="FILE", help="Its bytes, as they are; - is stdin.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write it there, for you alone, instead of to stdout.")
]
OfDeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="Only those of this device.")]
CountOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "seal")(seal)
    command(app, "release")(release)
    command(app, "sealed")(list_sealed)
    command(app, "destroy")(destroy)


def seal(session: Session, device: DeviceArgument, name: NameArgument, source: SourceOption) -> None:
    """Seal a secret for a device. It is released only while the device's appraisal is affirming."""
    import base64  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    data = base64.b64encode(read_bounded(source, LONGEST)).decode()
    with connected(session.folder) as api:
        told = api.post(f"/sealed-secrets/{part(device)}/{part(name)}", {"data": data})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{name} is sealed for {device} ({told['size']} bytes). Destroy the file if it is one.")


def release(
    session: Session, device: DeviceArgument, name: NameArgument, why: WhyOption = "", out: OutOption = None
) -> None:
    """Print a sealed secret on stdout, as it is. Refused unless the device's own appraisal is affirming.

    Who asked, and why, stands in the record, whether it was released or not.
    """
    from holdfast.cli.files import whole_file  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    if out is not None:
        with whole_file(out, private=True) as file:  # first: what cannot be kept is not released
            file.write(_released(session, device, name, why))
        if session.json:
            emit({"device": device, "name": name, "file": str(out)})
        else:
            words(("✓ ", "green"), f"{name} of {device} is in {out}. Who has it, and why, is on record.")
        return
    data = _released(session, device, name, why)
    if session.json:
        import base64  # noqa: PLC0415

        emit({"device": device, "name": name, "data": base64.b64encode(data).decode()})
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    words(f"{name} of {device}. Who has it, and why, is on record.")


def list_sealed(session: Session, *, device: OfDeviceOption = "", limit: CountOption = 100) -> None:
    """List the sealed secrets of devices and when each was released last; never the secrets."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/sealed-secrets", device=device, limit=limit)["items"]
    if session.json:
        emit({"items": items})
        return
    if not items:
        words("No sealed secrets. Seal one: holdfast secret seal DEVICE NAME --from FILE.")
        return
    now = SystemClock().now()
    rows = [
        (
            each["device"],
            each["name"],
            str(each["size"]),
            ago(each["made_at"], now),
            str(each["released"]),
            ago(each["released_at"], now),
            each["withheld"] or "-",
        )
        for each in items
    ]
    table(("device", "name", "bytes", "sealed", "released", "last", "withheld since"), rows)


def destroy(session: Session, device: DeviceArgument, name: NameArgument, why: WhyOption = "") -> None:
    """Destroy a sealed secret; it is released to nobody any more. What was released already is not taken back."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/sealed-secrets/{part(device)}/{part(name)}/destroy", {"why": why})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{name} of {device} is destroyed.")


def _released(session: Session, device: str, name: str, why: str) -> bytes:
    import base64  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.connection import connected, part  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/sealed-secrets/{part(device)}/{part(name)}/release", {"why": why})
    return base64.b64decode(told["data"])
