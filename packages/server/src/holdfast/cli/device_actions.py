"""``holdfast device``: what a person does to a device. Every act needs a reason, and both stand in the record."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command, confirmed

WhyOption = Annotated[
    str, typer.Option("--why", help="Why, in a sentence; it stands in the record.", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ControlArgument = Annotated[str, typer.Argument(metavar="CONTROL", help="The control to mend, such as FS-06.")]
ReferenceArgument = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The model it is of.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "model")(model)
    command(app, "quarantine")(quarantine)
    command(app, "release")(release)
    command(app, "retire")(retire)
    command(app, "revoke")(revoke)
    command(app, "audit")(audit)
    command(app, "harden")(harden)


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


def retire(session: Session, *, device: DeviceArgument, why: WhyOption, yes: YesOption = False) -> None:
    """End a device's life here: its keys end, and its name is never used again."""
    confirmed(f"Retire {device} for ever? Its keys end now and its name cannot be used again.", yes=yes)
    _act(session, device, "retire", {"why": why}, f"{device} is retired; its keys have ended.")


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


def _act(session: Session, device: str, act: str, body: dict[str, Any], said: str) -> None:
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/devices/{part(device)}/{act}", body)
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), said)
