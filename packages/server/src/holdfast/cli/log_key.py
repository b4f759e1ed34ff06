"""``holdfast log key``: the key that verifies the record and everything else that the control plane signs with it."""

from __future__ import annotations

import typer

from holdfast.cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "key")(key)


def key(session: Session) -> None:
    """Print the log's verifier key. Give it to whoever verifies exports, results or certificates, by a safe way."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.terminal import emit, raw  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get("/log/checkpoint")["verifier_key"]
    if session.json:
        emit({"verifier_key": told})
    else:
        raw(told)
