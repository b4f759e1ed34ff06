"""The command line: ``holdfast-sim demo [--once] [--json]`` and ``holdfast-sim attest-soak [--devices N]``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from holdfast_sim.attested.command import attest_soak
from holdfast_sim.demo.run import run
from holdfast_sim.demo.stage import Stage


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code: 0 all was observed, 1 something was not, 2 usage."""
    options = _parser().parse_args(arguments)
    if options.command == "attest-soak":
        sys.exit(attest_soak(options))
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    stage = Stage(sys.stdout, as_json=options.json, colour=colour)
    # The programs of the demo get these as arguments and run elsewhere.
    sys.exit(run(stage, options.dir.resolve(), options.packages.resolve(), once=options.once))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast-sim", description="Virtual devices for Holdfast.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo", help="a control plane and a fleet of six on this machine, attacked and recovered"
    )
    demo.add_argument("--once", action="store_true", help="end after the story; exit 0 only if all of it was observed")
    demo.add_argument("--json", action="store_true", help="one JSON event per line")
    demo.add_argument("--dir", type=Path, default=Path(".demo"), help="the demo's folder, cleared (default: .demo)")
    demo.add_argument(
        "--packages",
        type=Path,
        default=Path(".cache/debs"),
        help="where Debian packages are kept (default: .cache/debs)",
    )
    soak = commands.add_parser(
        "attest-soak",
        help="devices with a TPM each attest at a control plane on this machine, and nothing may go wrong",
    )
    soak.add_argument("--devices", type=int, default=1000, help="how many (default: 1000; 6 MB each)")
    soak.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    soak.add_argument("--interval", type=int, default=60, help="seconds between two contacts (default: 60)")
    soak.add_argument("--dir", type=Path, default=Path(".soak"), help="the run's folder, cleared (default: .soak)")
    return parser


if __name__ == "__main__":
    main()
