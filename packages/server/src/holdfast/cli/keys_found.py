"""``holdfast keys found`` and ``delegate``: the whole founding at one machine, and a model's role for others.

1. ``found`` makes every person's key and signs everything in one go, for small teams, labs and the demo. It is only as
   good as that one machine and folder: the keys are to be carried apart afterwards.
2. An interrupted run is repeated with the same folder: keys that are there are used, never overwritten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.session import Session, command, usage

FolderOption = Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="Where the people's keys are put.")]
PeopleOption = Annotated[int, typer.Option("--people", min=1, max=16, help="How many people sign.")]
ThresholdOption = Annotated[int, typer.Option("--threshold", min=1, max=16, help="How many of them have to.")]
PassphraseOption = Annotated[
    Path | None,
    typer.Option("--passphrase-file", metavar="FILE", help="Default: a new one in FOLDER/passphrase.", dir_okay=False),
]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="The device model's name.")]
SignerOption = Annotated[list[Path], typer.Option("--signer", metavar="PUB", help="Who signs its releases.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "found")(found)
    command(app, "delegate")(delegate)


def found(
    session: Session,
    *,
    folder: FolderOption,
    people: PeopleOption = 3,
    threshold: ThresholdOption = 2,
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make every person's key, sign both repositories' first files and publish them, all at this machine."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.files import write_whole  # noqa: PLC0415
    from holdfast.cli.keys_files import parse_online, team  # noqa: PLC0415
    from holdfast.cli.keys_making import signed, started  # noqa: PLC0415
    from holdfast.cli.keys_text import show_progress  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast.update.ceremony import encode_ceremony  # noqa: PLC0415
    from holdfast.update.making import Holders  # noqa: PLC0415
    from holdfast_core.kernel.digests import canonical  # noqa: PLC0415

    if threshold > people:
        usage(f"{people} people never reach a threshold of {threshold}.")
    keys = team(folder, people, passphrase_file)
    holders = Holders(tuple(key.public_key() for key in keys), threshold)
    with connected(session.folder) as api:
        scope, publics = parse_online(canonical(api.post("/update/keys", {"fresh": []})), folder)
        ceremony = started(scope, publics, holders, holders, SystemClock().now())
        for key in keys:
            ceremony = signed(ceremony, range(len(ceremony.files)), key)
        told = api.post("/update/ceremony", content=encode_ceremony(ceremony))
    kept = folder / "founding.json"
    write_whole(kept, encode_ceremony(ceremony))
    if session.json:
        emit({"folder": str(folder), "people": people, "threshold": threshold, **told})
        return
    show_progress(told["items"])
    words(("✓ ", "green"), f"{people} people's keys are in {folder}; {threshold} of them sign releases and roots.")
    words("Carry them apart: whoever has this folder and its passphrase can sign anything.")
    words(f"Let each person keep {kept}: 'keys sign --root' compares with it what is to be signed later.")


def delegate(session: Session, *, model: ModelArgument, signer: SignerOption, threshold: ThresholdOption = 2) -> None:
    """Propose that these people sign a model's releases; those who sign 'targets' decide."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.keys_files import public_pem, read_holders  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    holders = read_holders(signer, threshold)
    body = {"model": model, "keys": [public_pem(key) for key in holders.keys], "threshold": threshold}
    with connected(session.folder) as api:
        told = api.post("/update/delegations", body)
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), "Proposed. It waits for the signers of targets: holdfast keys fetch -o FILE.")
