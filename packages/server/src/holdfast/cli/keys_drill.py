"""``holdfast keys drill``: what the loss of each key would mean here, and what would end it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.session import Exit, Session, command, finish

FileOption = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="What 'keys fetch --all' wrote; default: asked of the server."),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "drill")(drill)


def drill(session: Session, *, file: FileOption = None) -> None:
    """Play the loss of each key against a copy of the repositories: what a thief could do, and what ends it.

    Nothing real is touched, and no private key is needed. Exit 3: a loss was found that the thresholds do not hold.
    """
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected  # noqa: PLC0415
    from holdfast.cli.files import read_bounded  # noqa: PLC0415
    from holdfast.cli.keys_making import ceremony_from  # noqa: PLC0415
    from holdfast.cli.keys_text import show_drill  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415
    from holdfast.update.ceremony import LARGEST_CEREMONY, decode_ceremony  # noqa: PLC0415
    from holdfast.update.drill import drill as played  # noqa: PLC0415

    if file is not None:
        ceremony = decode_ceremony(read_bounded(file, LARGEST_CEREMONY))
    else:
        with connected(session.folder) as api:
            ceremony = ceremony_from(api.get("/update/ceremony", whole="true"))
    losses = played(ceremony, SystemClock().now())
    if session.json:
        emit({"losses": losses})
    else:
        show_drill(losses)
    finish(Exit.FINE if all(each.held for each in losses) else Exit.FINDINGS)
