"""``holdfast tpm``: which chip is in which device, and whose word for a chip is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.session import Session, command

DigestArgument = Annotated[
    str, typer.Argument(metavar="DIGEST", help="Of the endorsement key, as 'holdfast-agent tpm' prints it.")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What you call it, such as infineon-2031.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Its certificate, PEM or DER.")]
WhyOption = Annotated[str, typer.Option("--why", help="The reason; it stands in the record.")]
FirstUseOption = Annotated[
    bool,
    typer.Option(
        "--first-use",
        help="Its chips need no claim: each binds itself to the expected device that it first enrolls as. Only for an "
        "authority all of whose chips are yours.",
    ),
]
LARGEST_FILE = 16 * 1024


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "pin")(pin)
    command(app, "release")(release)
    command(app, "list")(list_chips)
    command(app, "trust")(trust)
    command(app, "distrust")(distrust)
    command(app, "roots")(list_roots)


def pin(session: Session, *, device: DeviceArgument, digest: DigestArgument) -> None:
    """Say that a chip is in a device. It may then enroll with it, and come back with it, without a claim."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post("/tpm/chips", {"device": device, "digest": digest})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"{device} has this chip. Enroll it with: holdfast-agent enroll … --key tpm")


def release(session: Session, *, digest: DigestArgument, why: WhyOption) -> None:
    """Say that a chip is in no device any more; its device keeps its certificate, and needs a claim to come back."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/tpm/chips/{part(digest)}/release", {"why": why})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"The chip is no longer {told['device']}'s.")


def list_chips(session: Session) -> None:
    """List chips, the devices they are in, and who said so."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/tpm/chips")["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [(c["device"], c["digest"], f"{ago(c['bound_at'], now)} by {c['by']}") for c in items]
    table(("device", "chip", "bound"), rows, fold=("chip", "bound"))


def trust(session: Session, *, name: NameArgument, file: FileArgument, first_use: FirstUseOption = False) -> None:
    """Take the word of a maker of chips: that a chip under it is genuine. Which device it is in, a claim says."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.identity.endorsement import read_root  # noqa: PLC0415

    certificate = read_root(read_bounded(file, LARGEST_FILE))
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    pem = certificate.public_bytes(Encoding.PEM).decode("ascii")
    with connected(session.folder) as api:
        told = api.post("/tpm/roots", {"name": name, "certificate": pem, "first_use": first_use})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"Chips under {name} are taken as genuine.")


def distrust(session: Session, *, name: NameArgument, why: WhyOption) -> None:
    """Take an authority's word no more; chips that are bound to devices stay so."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/tpm/roots/{part(name)}/distrust", {"why": why})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"Chips under {name} are no longer taken as genuine.")


def list_roots(session: Session) -> None:
    """List the authorities whose word for a chip is taken."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.terminal import ago, emit, table  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/tpm/roots")["items"]
    if session.json:
        emit({"items": items})
        return
    now = SystemClock().now()
    rows = [(r["name"], r["fingerprint"], "no" if r["first_use"] else "yes", ago(r["added_at"], now)) for r in items]
    table(("name", "certificate", "needs a claim", "since"), rows, fold=("certificate",))
