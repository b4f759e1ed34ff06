"""``holdfast device``: whose a device is, and how it comes to be another's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.device_actions import WhyOption
from holdfast.cli.session import Session, command

if TYPE_CHECKING:
    import segno

SvgOption = Annotated[
    Path | None,
    typer.Option("--svg", metavar="FILE", help="Write the QR code there, for a label.", show_default=False),
]
OwnerArgument = Annotated[str, typer.Argument(metavar="OWNER", help="Who answers for it.")]
NewOwnerOption = Annotated[str, typer.Option("--owner", metavar="OWNER", help="Who answers for it from now on.")]
_BORDER = 2


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "owner")(owner)
    command(app, "transfer")(transfer)
    command(app, "code")(code)
    command(app, "claim")(claim)


def owner(session: Session, *, device: DeviceArgument, name: OwnerArgument) -> None:
    """Say who answers for a device, or correct it. Its identity stays; for a sale use transfer."""
    told = _post(session, f"/devices/{_part(device)}/owner", {"owner": name})
    _said(session, told, f"{told['owner']} answers for {device}.")


def transfer(session: Session, *, device: DeviceArgument, new_owner: NewOwnerOption, why: WhyOption) -> None:
    """Give a device to another owner. It gets another identity; what the old owner could still use ends now."""
    told = _post(session, f"/devices/{_part(device)}/transfer", {"owner": new_owner, "why": why})
    _said(session, told, f"{device} belongs to {told['owner']}. Its old certificate ends within 7 days.")


def code(session: Session, *, device: DeviceArgument, svg: SvgOption = None) -> None:
    """Make a device's possession code, once: whoever scans it can make the device theirs. The one before ends."""
    import sys  # noqa: PLC0415  (rule 3 of the package)

    import segno  # noqa: PLC0415

    from holdfast.cli.terminal import emit, raw, words  # noqa: PLC0415

    told = _post(session, f"/devices/{_part(device)}/code", {})
    drawn = segno.make(told["code"], error="m", micro=False)
    if svg is not None:
        _write(drawn, svg)
    if session.json:
        emit(told)
        return
    if sys.stderr.isatty():
        drawn.terminal(out=sys.stderr, border=_BORDER, compact=True)
    words(f"Whoever has this can make {device} theirs, once. It is not shown again:")
    raw(told["code"])


def claim(session: Session, *, new_owner: NewOwnerOption) -> None:
    """Make a device yours with its possession code, which is read from the terminal or from stdin."""
    told = _post(session, "/devices/claim", {"code": _code_read(), "owner": new_owner})
    _said(session, told, f"{told['device']} belongs to {told['owner']}. Its old certificate ends within 7 days.")


def _code_read() -> str:
    """The code as a scanner types it; a secret is taken from no argument."""
    import sys  # noqa: PLC0415  (rule 3 of the package)

    from holdfast_core.identity.ownership import LONGEST_CODE  # noqa: PLC0415

    if sys.stdin.isatty():
        return str(typer.prompt("Possession code", hide_input=True, err=True))
    return sys.stdin.readline(2 * LONGEST_CODE).strip()


def _write(drawn: segno.QRCode, path: Path) -> None:
    """The code as a picture that only its owner can read, for it is a secret."""
    import os  # noqa: PLC0415  (rule 3 of the package)

    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        drawn.save(file, kind="svg", scale=4, border=4)


def _part(device: str) -> str:
    from holdfast.cli.connection import part  # noqa: PLC0415  (rule 3 of the package)

    return part(device)


def _post(session: Session, path: str, body: dict[str, Any]) -> Any:
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        return api.post(path, body)


def _said(session: Session, told: Any, said: str) -> None:
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415  (rule 3 of the package)

    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), said)
