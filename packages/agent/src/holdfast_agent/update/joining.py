"""Putting the updates of this device together from its configuration: what the agent loads where there is an installer.

1. Nothing of updates is imported by an agent whose device has none (`Config.installer` is empty).
2. What the device trusts hangs on the authority that a person pinned at enrollment (``origin.json``).
3. Everything that updates keep lies in the folder ``update`` of the agent's state folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast_agent.clock import Clock
from holdfast_agent.durable import replace
from holdfast_agent.state import ROOT, Config, Folder
from holdfast_agent.update import guards
from holdfast_agent.update.boots import BoardClock
from holdfast_agent.update.driver import Driver, Identity
from holdfast_agent.update.installers import Installer, OwnBoots
from holdfast_agent.update.line import dial
from holdfast_agent.update.ports import Ports
from holdfast_agent.update.roots import factory_roots
from holdfast_agent.update.site_cache import cache_line
from holdfast_agent.update.store import unusable
from holdfast_agent.update.trust import Trust
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.supply.model import PayloadKind
from holdfast_core.wire.frame import Health

FOLDER, TRUST, MEMORY, ORIGIN = "update", "trust", "slots.json", "origin.json"
CHOSEN = frozenset({PayloadKind.RAUC.value, PayloadKind.SWUPDATE.value, PayloadKind.MCUBOOT.value})
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
    installer = installer_of(config.installer, place)
    cache = config.update_cache
    ports = Ports(
        clock=BoardClock(clock, installer.boot_id, place) if isinstance(installer, OwnBoots) else clock,
        trusted=trust_of(folder, config, clock),
        installer=installer,
        dial=lambda: dial(folder, config),
        reboot=lambda: reboot(config.reboot_command),
        well=well,
        power=lambda: guards.power(Path(config.sys)),
        say=say,
        cache=(lambda: cache_line(cache)) if cache else None,
    )
    return Driver(place, Identity(config.device, config.hardware, config.model), ports)


class _Origin(msgspec.Struct, frozen=True):
    """What the trust of updates hangs on: the digest of the authority, and the folder of the factory's roots."""

    authority: str
    roots: str = ""


def trust_of(folder: Folder, config: Config, clock: Clock) -> Trust:
    """What the device trusts of updates.

    A device that was enrolled with another authority, or with other roots of its factory's, forgets what it trusted:
    that is what a person asked for by enrolling it. With the same ones nothing is forgotten, however often.

    Raises:
        WorldError: ``update.store``, ``update.factory_roots``, ``agent.identity_unusable``.
        HostileData: ``update.metadata_*``: the factory's roots are none.
    """

    def wall() -> Instant:
        return Instant(int(clock.wall_s() * SECOND))

    def up() -> int:
        return clock.now().up_s * SECOND

    place = folder.path / FOLDER
    trust = Trust(place / TRUST, config.device, wall=wall, up=up, pins_first=not config.update_roots)
    origin, path = _origin(folder, config), place / ORIGIN
    before = _read_origin(path)
    if before != origin:
        # Before origins were kept, roots came from the server alone.
        if before is not None or config.update_roots:
            trust.forget()
        try:
            replace(path, msgspec.json.encode(origin))
        except OSError as error:
            raise unusable(error, path) from error
    if config.update_roots and not trust.is_begun:
        trust.begin(*factory_roots(Path(config.update_roots)))
    return trust


def _origin(folder: Folder, config: Config) -> _Origin:
    try:
        return _Origin(digest_of((folder.path / ROOT).read_bytes()), config.update_roots)
    except OSError as error:
        raise WorldError(
            "agent.identity_unusable",
            f"The device's authority cannot be read: {error.strerror}.",
            remedy="Ask an operator for a new claim and enroll the device again.",
        ) from error


def _read_origin(path: Path) -> _Origin | None:
    """What the trust hung on; nothing known of where there is no file, something else where it cannot be read."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(LARGEST_FILE), type=_Origin)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WorldError(
            "update.origin_damaged",
            f"{path}, which says whose word updates hang on, cannot be read: {error}.",
            remedy="Repair the file system. Where that is in vain: remove the folder update/trust and this file.",
        ) from error


def installer_of(text: str, place: Path) -> Installer:
    """The installer that a configuration names: ``file:FOLDER``, ``rauc``, or ``rauc|swupdate|mcuboot:FILE``.

    Args:
        text: the name; the file says how it is used here (`installers.chosen`).
        place: where an installer remembers things.

    Raises:
        WorldError: ``installer.unknown``, ``installer.setup``, ``installer.layout``.
    """
    kind, _, where = text.partition(":")
    if kind == PayloadKind.FILE.value and where:
        from holdfast_agent.update.installers.file_ab import FileAB  # noqa: PLC0415  (one of several)

        return FileAB(Path(where))
    if text == PayloadKind.RAUC.value:
        from holdfast_agent.update.installers.memory import Memory  # noqa: PLC0415  (same)
        from holdfast_agent.update.installers.rauc import RaucInstaller  # noqa: PLC0415  (same)
        from holdfast_agent.update.installers.rauc_bus import Bus  # noqa: PLC0415  (same)

        return RaucInstaller(Bus(""), Memory(place / MEMORY))
    if kind in CHOSEN and where:
        from holdfast_agent.update.installers.chosen import chosen  # noqa: PLC0415  (imports cryptography)

        installer = chosen(Path(where), place)
        if installer.kind == kind:
            return installer
    raise WorldError(
        "installer.unknown",
        f"{text[:80]!r} names no installer.",
        remedy="Enroll the device again with --slots FOLDER, or --installer rauc, rauc:FILE, swupdate:FILE or "
        "mcuboot:FILE; the file's member 'kind' says the same.",
    )


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
