"""``holdfast-gateway``: what a site's gateway does for the devices behind it.

1. Exit codes: 0 fine, 1 it failed, 2 the command line is wrong, 3 (status) the cache is not running.
2. What happens is told on stderr, one line each; what was asked for on stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from holdfast_core.kernel.errors import HoldfastError, HostileData
from holdfast_gateway.meters import in_text, read_status
from holdfast_gateway.shelf import LOCK
from holdfast_gateway.sizes import parse_size

DEFAULT_STATE = "/var/lib/holdfast-agent"
DEFAULT_FOLDER = "/var/cache/holdfast-gateway"
DEFAULT_SIZE, DEFAULT_FREE = "2GiB", "256MiB"
DAILY_SIZES = 4
"""A day's fetches, where nothing else is said, in sizes of the cache."""
FINE, FAILED, USAGE, FOUND = 0, 1, 2, 3


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its exit code."""
    options = _parser().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {"cache": _cache, "status": _status}
    try:
        sys.exit(commands[options.command](options))
    except HoldfastError as error:
        say(str(error))
        sys.exit(USAGE if isinstance(error, HostileData) else FAILED)


def say(text: str) -> None:
    """Tell a person."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast-gateway", description="What runs at the edge of a site.")
    parser.add_argument("--version", action=_Version, nargs=0, help="which one")
    commands = parser.add_subparsers(dest="command", required=True)
    cache = commands.add_parser("cache", help="serve artefacts to the site's devices, fetching each only once")
    cache.add_argument(
        "--state", default=DEFAULT_STATE, type=Path, metavar="DIR", help=f"the agent's (default: {DEFAULT_STATE})"
    )
    cache.add_argument(
        "--listen", required=True, action="append", metavar="ADDRESS:PORT|unix:PATH", help="where; may be repeated"
    )
    cache.add_argument(
        "--size", default=DEFAULT_SIZE, metavar="SIZE", help=f"bytes that it may hold (default: {DEFAULT_SIZE})"
    )
    cache.add_argument(
        "--keep-free", default=DEFAULT_FREE, metavar="SIZE", help=f"left free on the disk (default: {DEFAULT_FREE})"
    )
    cache.add_argument("--daily", metavar="SIZE", help="bytes fetched within a day (default: four times --size)")
    status = commands.add_parser("status", help="show what the cache holds and did; exit 3 when none is running")
    status.add_argument("--json", action="store_true", help="as one JSON object on stdout")
    for command in (cache, status):
        command.add_argument(
            "--folder", default=DEFAULT_FOLDER, type=Path, metavar="DIR", help=f"its own (default: {DEFAULT_FOLDER})"
        )
    return parser


class _Version(argparse.Action):
    """Shows the version. The module that knows it is large, so no other command loads it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata  # noqa: PLC0415  (see above)

        parser.exit(FINE, f"holdfast-gateway {metadata.version('holdfast-gateway')}\n")


def _cache(options: argparse.Namespace) -> int:
    from holdfast_agent.state import Folder  # noqa: PLC0415  (the status does without all of these)
    from holdfast_gateway.bounds import BOUNDS  # noqa: PLC0415
    from holdfast_gateway.cache import Cache, run_until_told  # noqa: PLC0415
    from holdfast_gateway.upstream import Upstream  # noqa: PLC0415

    size, keep_free = parse_size(options.size), parse_size(options.keep_free)
    daily = parse_size(options.daily) if options.daily else DAILY_SIZES * size
    source = Upstream(Folder(options.state), exchange_s=BOUNDS.exchange_s, stall_s=BOUNDS.stall_s)
    cache = Cache(options.folder, source, size=size, keep_free=keep_free, daily=daily, say=say)

    def started() -> None:
        say(f"Serving at {', '.join(options.listen)}, from {options.folder}.")

    asyncio.run(run_until_told(cache, options.listen, started))
    return FINE


def _status(options: argparse.Namespace) -> int:
    status = read_status(options.folder)
    if status is None:
        say(f"No cache has run in {options.folder}. [gateway.no_status] Name its folder with --folder.")
        return FAILED
    status = msgspec.structs.replace(status, running=_in_use(options.folder / LOCK))
    sys.stdout.write(msgspec.json.encode(status).decode() + "\n" if options.json else in_text(status))
    return FINE if status.running else FOUND


def _in_use(lock: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


if __name__ == "__main__":
    main()
