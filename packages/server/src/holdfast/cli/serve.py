"""``holdfast serve``: run the control plane."""

from __future__ import annotations

import os
import sys

import typer

from holdfast.cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "serve")(run)


def run(session: Session) -> None:
    """Run the control plane until SIGTERM or Ctrl-C.

    Devices call on one port (mutual TLS), people and programs on another; health and metrics are on 127.0.0.1. The
    other commands reach the running server by themselves. With --json the addresses are one document, once it answers.
    """
    import asyncio  # noqa: PLC0415  (rule 3 of the package)
    import logging  # noqa: PLC0415

    import uvloop  # noqa: PLC0415

    from holdfast.cli.terminal import emit, exact, words  # noqa: PLC0415
    from holdfast.config import load  # noqa: PLC0415
    from holdfast.serving import Addresses, serve  # noqa: PLC0415

    def tell(where: Addresses) -> None:
        if session.json:
            emit(where)
            sys.stdout.flush()
            return
        exact(f"  devices  {where.devices}")
        exact(f"  older    {where.est}  (EST over TLS 1.2)")
        exact(f"  people   {where.people}")
        exact(f"           its certificate: {where.people_certificate}")
        exact(f"  health   {where.health}")
        if where.validation:
            exact(f"  anybody  {where.validation}  (revocation lists, OCSP)")

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.umask(0o077)
    config = load(session.folder, os.environ)
    words(("Holdfast", "bold"), f"  {config.scope}, data in {session.folder}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, session.folder, tell))
    words("Stopped; everything acknowledged is on disk.")
