"""``holdfast release withdraw`` and ``exempt``: what else is asked of the signers of the image repository."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.session import Session, command

ReleaseArgument = Annotated[str, typer.Argument(metavar="MODEL:VERSION", help="The release.")]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in a sentence; signers see it, and it is on record.")]
DeviceOption = Annotated[list[str], typer.Option("--device", metavar="DEVICE", help="Who may go back.")]
NameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="What to call the exemption.")]
UntilOption = Annotated[str, typer.Option("--until", metavar="TIME", help="RFC 3339; 90 days from now at most.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`, the group of releases."""
    command(app, "withdraw")(withdraw)
    command(app, "exempt")(exempt)


def withdraw(session: Session, *, release: ReleaseArgument, why: WhyOption) -> None:
    """Propose that a release is taken out of the image repository. Once its signers agree, no device installs it."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        told = api.post(f"/update/releases/{part(release)}/withdraw", {"why": why})
    _say(session, told)


def exempt(
    session: Session,
    *,
    release: ReleaseArgument,
    device: DeviceOption,
    name: NameOption,
    until: UntilOption,
    why: WhyOption,
) -> None:
    """Propose leave for devices to go back to an older release. Its security version may not fall all the same."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast_core.kernel.instants import parse_rfc3339, rfc3339  # noqa: PLC0415

    body = {
        "name": name,
        "release": release,
        "devices": device,
        "until": rfc3339(parse_rfc3339(until)),
        "why": why,
    }
    with connected(session.folder) as api:
        told = api.post("/update/exemptions", body)
    _say(session, told)


def _say(session: Session, told: dict[str, list[dict[str, object]]]) -> None:
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415  (rule 3 of the package)

    if session.json:
        emit(told)
        return
    roles = ", ".join(str(each["role"]) for each in told["items"])
    words(("✓ ", "green"), f"Proposed. It waits for the signers of {roles}: holdfast keys fetch -o FILE.")
