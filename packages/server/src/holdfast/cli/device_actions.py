"""``holdfast device``: what a person does to a device. Every act needs a reason, and both stand in the record."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command, confirmed


class Outcome(StrEnum):
    """What an inspector saw."""

    PASS = "pass"  # noqa: S105  (an outcome, no password)
    FAIL = "fail"


WhyOption = Annotated[
    str, typer.Option("--why", help="Why, in a sentence; it stands in the record.", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ControlArgument = Annotated[str, typer.Argument(metavar="CONTROL", help="The control to mend, such as FS-06.")]
InspectedArgument = Annotated[str, typer.Argument(metavar="CONTROL", help="What was looked at, such as PHY-11.")]
OutcomeOption = Annotated[Outcome, typer.Option("--outcome", help="What was seen.")]
InspectorOption = Annotated[str, typer.Option("--inspector", metavar="NAME", help="Who looked.")]
ExpiresOption = Annotated[str, typer.Option("--expires", metavar="YYYY-MM-DD", help="The last day on which it counts.")]
DateOption = Annotated[
    str,
    typer.Option("--date", metavar="YYYY-MM-DD", help="The day of the look; today if left out.", show_default=False),
]
PhotoOption = Annotated[
    Path | None,
    typer.Option("--photo", metavar="FILE", help="A picture; its digest is kept, not it.", show_default=False),
]
RemarkOption = Annotated[str, typer.Option("--remark", help="What else is to be known.")]
ReferenceArgument = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The model it is of.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "model")(model)
    command(app, "quarantine")(quarantine)
    command(app, "release")(release)
    command(app, "revoke")(revoke)
    command(app, "audit")(audit)
    command(app, "harden")(harden)
    command(app, "inspect")(inspect)


def model(session: Session, *, device: DeviceArgument, reference: ReferenceArgument) -> None:
    """Say which model a device is of. It may enroll then; one that is enrolled is judged by it from now on."""
    said = f"{device} is of {reference}. If it is enrolled, its new plan goes out at its next check-in."
    _act(session, device, "model", {"model": reference}, said)


def quarantine(session: Session, *, device: DeviceArgument, why: WhyOption) -> None:
    """Hold a device in quarantine until a person releases it. Its essential function goes on."""
    said = f"{device} is held. It learns of it at its next check-in; its essential function goes on."
    _act(session, device, "quarantine", {"why": why}, said)


def release(session: Session, *, device: DeviceArgument, why: WhyOption) -> None:
    """End a quarantine; the verdict is then what the evidence says."""
    _act(session, device, "release", {"why": why}, f"{device} is released. Its verdict now follows its evidence.")


def revoke(session: Session, *, device: DeviceArgument, why: WhyOption, yes: YesOption = False) -> None:
    """End every key of a device: from its next request on it is refused. It may enroll again with a new claim."""
    confirmed(f"End every key of {device}? It is shut out until somebody enrolls it again.", yes=yes)
    said = f"The keys of {device} have ended. To let it back: holdfast claim create {device}"
    _act(session, device, "revoke", {"why": why}, said)


def audit(session: Session, *, device: DeviceArgument) -> None:
    """Ask a device for a whole audit at its next check-in."""
    _act(session, device, "audit", {}, f"{device} will audit itself at its next check-in.")


def harden(session: Session, *, device: DeviceArgument, control: ControlArgument) -> None:
    """Ask a device to mend one control by itself. It keeps the change only if it is healthy afterwards."""
    said = f"{device} will mend {control} at its next check-in, and take it back unless it stays healthy."
    _act(session, device, "harden", {"control": control}, said)


def inspect(
    session: Session,
    *,
    device: DeviceArgument,
    control: InspectedArgument,
    outcome: OutcomeOption,
    inspector: InspectorOption,
    expires: ExpiresOption,
    date: DateOption = "",
    photo: PhotoOption = None,
    remark: RemarkOption = "",
) -> None:
    """Keep what a person saw of a device: its casing, locks, place. It counts until its last day."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.kernel.instants import rfc3339  # noqa: PLC0415

    body = {
        "control": control.upper(),
        "outcome": outcome,
        "inspector": inspector,
        "date": date or rfc3339(SystemClock().now())[:10],
        "expires": expires,
        "photo": file_digest(photo) if photo else "",
        "remark": remark,
    }
    with connected(session.folder) as api:
        told = api.post(f"/devices/{part(device)}/inspections", body)
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{control.upper()} of {device}: {outcome}, seen by {inspector}, until {expires}.")


def file_digest(path: Path) -> str:
    """The digest of what a person keeps as evidence; the file itself stays where it is."""
    import hashlib  # noqa: PLC0415  (rule 3 of the package)

    from holdfast.cli.files import unreadable  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise unreadable(path, error) from error


def _act(session: Session, device: str, act: str, body: dict[str, Any], said: str) -> None:
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/devices/{part(device)}/{act}", body)
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), said)
