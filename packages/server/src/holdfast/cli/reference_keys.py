"""``holdfast reference trust``, ``distrust`` and ``keys``: whose statements about releases are taken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.session import Session, command

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="What you call the key, such as ci-2026.")]
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="Its public half, PEM or DER: openssl pkey -in KEY -pubout.")
]
WhyOption = Annotated[str, typer.Option("--why", help="Why, in a sentence; it stands in the record.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    command(app, "trust")(trust)
    command(app, "distrust")(distrust)
    command(app, "keys")(keys)


def trust(session: Session, *, name: NameArgument, file: FileArgument) -> None:
    """Take the releases that a key signs. Compare its digest with whoever builds, by another way than the file came."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415  (rule 3)

    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415
    from holdfast_core.formats.dsse import LARGEST_KEY, read_key  # noqa: PLC0415

    public = read_key(read_bounded(file, LARGEST_KEY)).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with connected(session.folder) as api:
        told = api.post("/release-keys", {"name": name, "key": public.decode()})
    if session.json:
        emit(told)
    else:
        words(("✓ ", "green"), f"Releases signed by {name} are taken: {told['digest']}")


def distrust(session: Session, *, name: NameArgument, why: WhyOption = "") -> None:
    """Take no more releases of a key. Those that it signed stay until they are revoked."""
    from holdfast.cli.connection import connected, part  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, words  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.post(f"/release-keys/{part(name)}/distrust", {"why": why})
        signed = [each["release"] for each in api.get("/releases")["items"] if each["signer"] == name]
    if session.json:
        emit({**told, "signed": signed})
        return
    words(("✓ ", "green"), f"Nothing that {name} signs is taken any more.")
    if signed:
        words(f"Still good is what it signed: {', '.join(signed)}.")
        words("If the key was stolen, look at each, and revoke what you did not build: holdfast reference revoke.")


def keys(session: Session) -> None:
    """List the keys whose releases are taken."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, table, words  # noqa: PLC0415

    with connected(session.folder) as api:
        items = api.get("/release-keys")["items"]
    if session.json:
        emit({"items": items})
    elif items:
        rows = [(each["name"], each["added_at"][:10], each["digest"]) for each in items]
        table(("name", "since", "digest"), rows, fold=("digest",))
    else:
        words("No key is trusted, so no release can be added: holdfast reference trust NAME FILE.")
