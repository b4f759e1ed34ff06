"""``holdfast rollout watch`` and ``holdfast device slots``: looking while something goes on."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli.device import DeviceArgument
from holdfast.cli.rollout import RolloutArgument, ending, path_of
from holdfast.cli.session import Session, command, finish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.cli.connection import Api

EveryOption = Annotated[float, typer.Option("--every", min=0.2, max=3_600, help="Seconds between two looks.")]
OVER = frozenset({"halted", "aborted", "finished"})
"""States in which nothing moves before a person acts."""


def register(app: typer.Typer) -> None:
    """Add the command that watches a rollout to `app`."""
    command(app, "watch", epilog="Exit: 0 it is finished, 3 it halted, was aborted, or devices failed.")(watch)


def register_device(app: typer.Typer) -> None:
    """Add the command that looks at one device to `app`."""
    command(app, "slots")(slots)


def watch(session: Session, *, rollout: RolloutArgument, every: EveryOption = 2.0) -> None:
    """Look at a rollout until nothing moves any more. With --json one line for each change; Ctrl-C ends the looking."""
    from holdfast.cli.connection import connected  # noqa: PLC0415  (rule 3 of the package)

    with connected(session.folder) as api:
        looks = _looks(api, rollout, every)
        told = _as_lines(looks) if session.json else _live(looks)
    finish(ending(told))


def _looks(api: Api, rollout: str, every: float) -> Iterator[dict[str, Any]]:
    """The rollout again and again, until it is over."""
    while True:
        told: dict[str, Any] = api.get(path_of(rollout))
        yield told
        if told["state"] in OVER:
            return
        time.sleep(every)


def _as_lines(looks: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Each change as a line of JSON."""
    import msgspec  # noqa: PLC0415  (rule 3 of the package)

    last: dict[str, Any] = {}
    for told in looks:
        if told != last:
            sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
            sys.stdout.flush()
        last = told
    return last


def _live(looks: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """One picture that changes in its place; where there is no terminal, the last one."""
    from rich.console import Group  # noqa: PLC0415  (rule 3 of the package)
    from rich.live import Live  # noqa: PLC0415

    from holdfast.adapters.system import SystemClock  # noqa: PLC0415
    from holdfast.cli.rollout_text import rollout_lines  # noqa: PLC0415
    from holdfast.cli.terminal import out  # noqa: PLC0415

    told: dict[str, Any] = {}
    with Live(console=out(), auto_refresh=False) as picture:
        for told in looks:
            picture.update(Group(*rollout_lines(told, SystemClock().now())), refresh=True)
    return told


def slots(session: Session, *, device: DeviceArgument) -> None:
    """Show what a device runs, what its slots hold, the update under way, and what it ran before."""
    from holdfast.adapters.system import SystemClock  # noqa: PLC0415  (rule 3 of the package)
    from holdfast.cli.connection import connected, part  # noqa: PLC0415
    from holdfast.cli.slots_text import show_slots  # noqa: PLC0415
    from holdfast.cli.terminal import emit  # noqa: PLC0415

    with connected(session.folder) as api:
        told = api.get(f"/devices/{part(device)}/updates")
    if session.json:
        emit(told)
    else:
        show_slots(told, SystemClock().now())
