"""``holdfast enrollment``: devices that ask without any proof, and what a person decides."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.device_actions import WhyOption
from holdfast.cli.session import Session, command

FingerprintArgument = Annotated[
    str, typer.Argument(metavar="FINGERPRINT", help="The key's, all eight groups, as the device itself shows it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "pending")(pending)
    command(app, "approve")(approve)
    command(app, "refuse")(refuse)
    command(app, "allow")(allow)


def pending(session: Session) -> None:
    """List the devices that ask, with the fingerprint of the key each of them made."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/enrollments")["items"]
    if session.json:
        emit({"items": items})
        return
    if not items:
        words("Nobody waits.")
        return
    now = SystemClock().now()
    rows = [(i["device"], i["fingerprint"], i["decision"], ago(i["asked_at"], now), i["address"]) for i in items]
    table(("device", "fingerprint", "state", "asked", "from"), rows)
    words("Compare the fingerprint with the device's own before you approve: anybody can ask under its name.")


def approve(session: Session, *, fingerprint: FingerprintArgument) -> None:
    """Let the key with this fingerprint have its certificate. Read it off the device, not off the list."""
    _decide(session, fingerprint, "approve", {}, "may enroll with this key; it fetches its certificate by itself.")


def refuse(session: Session, *, fingerprint: FingerprintArgument, why: WhyOption) -> None:
    """Turn the key with this fingerprint away."""
    _decide(session, fingerprint, "refuse", {"why": why}, "was turned away with this key.")


def allow(session: Session, *, device: DeviceArgument, why: WhyOption) -> None:
    """Let a device that was reset come once more with its manufacturer's certificate, within a day."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/enrollments/devices/{part(device)}/allow", {"why": why})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{device} may come once more, until {told['expires_at']}.")


def _decide(session: Session, fingerprint: str, act: str, body: dict[str, str], said: str) -> None:
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/enrollments/{part(fingerprint)}/{act}", body)
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{told['device']} {said}")
