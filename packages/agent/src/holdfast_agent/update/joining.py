"""Putting the updates of this device together from its configuration: what the agent loads where there is an installer.

1. Nothing of updates is imported by an agent whose device has none (`Config.installer` is empty).
2. Everything that updates keep lies in the folder ``update`` of the agent's state folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast_agent.clock import Clock
from holdfast_agent.state import Config, Folder
from holdfast_agent.update import guards
from holdfast_agent.update.driver import Driver, Identity
from holdfast_agent.update.installers import Installer
from holdfast_agent.update.line import dial
from holdfast_agent.update.ports import Ports
from holdfast_agent.update.trust import Trust
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.supply.model import PayloadKind
from holdfast_core.wire.frame import Health

FOLDER, TRUST, MEMORY = "update", "trust", "slots.json"
REBOOT_S = 60.0
LARGEST_FILE = 64 * 1024


def updates_of(
    folder: Folder, config: Config, clock: Clock, *, well: Callable[[], Health | None], say: Callable[[str], None]
) -> Driver:
    """The updates of this device.

    Args:
        folder: the agent's state folder.
        config: which installer it has, and which hardware it is.
        clock: its sense of time.
        well: whether its essential function goes on.
        say: tells a person.

    Raises:
        WorldError: ``update.*``, ``installer.*``: it cannot update as it is.
    """
    place = folder.path / FOLDER
    place.mkdir(mode=0o700, exist_ok=True)

    def wall() -> Instant:
        return Instant(int(clock.wall_s() * SECOND))

    def up() -> int:
        return clock.now().up_s * SECOND

    ports = Ports(
        clock=clock,
        trusted=Trust(place / TRUST, config.device, wall=wall, up=up),
        installer=installer_of(config.installer, place),
        dial=lambda: dial(folder, config),
        reboot=lambda: reboot(config.reboot_command),
        well=well,
        power=lambda: guards.power(Path(config.sys)),
        say=say,
    )
    return Driver(place, Identity(config.device, config.hardware), ports)


def installer_of(text: str, place: Path) -> Installer:
    """The installer that a configuration names: ``file:FOLDER``, ``rauc``, or ``swupdate:FILE``.

    Args:
        text: the name; the file of SWUpdate is JSON (`installers.swupdate.SwConfig`).
        place: where an installer remembers things.

    Raises:
        WorldError: ``installer.unknown``, ``installer.config``.
    """
    kind, _, where = text.partition(":")
    if kind == PayloadKind.FILE.value and where:
        from holdfast_agent.update.installers.file_ab import FileAB  # noqa: PLC0415  (one of several)

        return FileAB(Path(where))
    if kind == PayloadKind.RAUC.value:
        from holdfast_agent.update.installers.memory import Memory  # noqa: PLC0415  (same)
        from holdfast_agent.update.installers.rauc import RaucInstaller  # noqa: PLC0415  (same)
        from holdfast_agent.update.installers.rauc_bus import Bus  # noqa: PLC0415  (same)

        return RaucInstaller(Bus(where), Memory(place / MEMORY))
    if kind == PayloadKind.SWUPDATE.value and where:
        return _swupdate(Path(where), place)
    raise WorldError(
        "installer.unknown",
        f"{text[:80]!r} names no installer.",
        remedy="Enroll the device again with --slots FOLDER, or --installer rauc or swupdate:FILE.",
    )


def _swupdate(file: Path, place: Path) -> Installer:
    from holdfast_agent.update.installers.memory import Memory  # noqa: PLC0415  (one of several)
    from holdfast_agent.update.installers.swupdate import SwConfig, SwupdateInstaller  # noqa: PLC0415  (same)

    try:
        with file.open("rb") as opened:
            config = msgspec.json.decode(opened.read(LARGEST_FILE), type=SwConfig)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WorldError(
            "installer.config",
            f"{file} does not say how SWUpdate is used here: {error}.",
            remedy="See the page on updates for what it holds.",
        ) from error
    return SwupdateInstaller(config, Memory(place / MEMORY))


def reboot(command: tuple[str, ...]) -> None:
    """Begin a new boot. Raises WorldError ``update.reboot``."""
    try:
        ended = subprocess.run(  # noqa: S603  (words of the configuration, without a shell)
            command, stdin=subprocess.DEVNULL, timeout=REBOOT_S, check=False
        )
        why = f"it ended with {ended.returncode}" if ended.returncode else ""
    except (OSError, subprocess.TimeoutExpired, IndexError) as error:
        why = type(error).__name__
    if why:
        raise WorldError(
            "update.reboot",
            f"{' '.join(command)[:80]} did not begin a new boot: {why}.",
            remedy="Name another program with --reboot-command, or let the agent's user reboot the device.",
        )
