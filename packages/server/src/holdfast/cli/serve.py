"""``holdfast serve``: run the control plane."""

from __future__ import annotations

import os

import typer

from holdfast.cli.session import Session, command


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "serve")(run)


def run(session: Session) -> None:
    """Run the control plane until SIGTERM or Ctrl-C.

    Devices call on one port (mutual TLS), people and programs on another; health and metrics are on 127.0.0.1. The
    other commands reach the running server by themselves.
    """
    import asyncio  # noqa: PLC0415  (rule 3 of the package)
    import logging  # noqa: PLC0415

    import uvloop  # noqa: PLC0415

    from holdfast.cli.terminal import words  # noqa: PLC0415
    from holdfast.config import load  # noqa: PLC0415
    from holdfast.serving import serve  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("alembic", "uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.umask(0o077)
    config = load(session.folder, os.environ)
    words(("Holdfast", "bold"), f"  {config.scope}, data in {session.folder}")
    words(f"  devices  https://{config.names[0]}:{config.device_port}")
    words(f"  people   https://{config.operator_host}:{config.operator_port}/api/v1")
    words(f"  health   http://127.0.0.1:{config.metrics_port}/readyz")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config, session.folder))
    words("Stopped; everything acknowledged is on disk.")
