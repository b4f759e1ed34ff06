"""What an update needs of the device and of its server, so that tests and simulations can stand in for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from holdfast_agent.transport import Channel
from holdfast_agent.update.bundle import Bundle
from holdfast_agent.update.installers import Installer
from holdfast_agent.update.line import Line
from holdfast_core.update.agreement import Board, Exemption, Target
from holdfast_core.update.time import Sense
from holdfast_core.wire.confirm import Moment
from holdfast_core.wire.frame import Health
from holdfast_core.wire.update import Power


class Trusted(Protocol):
    """Two repositories, verified under TUF; `update.trust.Trust` is one. All of it raises HostileData, WorldError."""

    @property
    def named(self) -> str:
        """The device that the director's verified metadata is for."""
        ...

    @property
    def frozen(self) -> bool:
        """Whether what was verified last has expired."""
        ...

    @property
    def director_version(self) -> int:
        """The version of the newest director timestamp that was verified."""
        ...

    def refresh(self, channel: Channel, nonce: str | None = None) -> object:
        """Bring what is newer, and with a nonce the time."""
        ...

    def directed(self, path: str) -> Target | None:
        """What the director says of a target."""
        ...

    def imaged(self, path: str) -> Target | None:
        """What the image repository says of a target."""
        ...

    def exemptions(self, release: str) -> tuple[Exemption, ...]:
        """The exemptions that the image repository holds for a release."""
        ...

    def carried(self, bundle: Bundle, board: Board) -> Target:
        """The target that a bundle has for this device, and that it takes."""
        ...

    def sense(self) -> Sense:
        """What time it is."""
        ...


class Boots(Protocol):
    """Tells boots apart: those of the device, or of the board that it updates."""

    def now(self) -> Moment:
        """Which boot, and how long it lasts."""
        ...


@dataclass(frozen=True)
class Ports:
    """Everything outside. `well` says whether the device is; `None` where it has no way to tell.

    `cache` leads to the site's cache of payloads, where there is one.
    """

    clock: Boots
    trusted: Trusted
    installer: Installer
    dial: Callable[[], Line]
    reboot: Callable[[], None]
    well: Callable[[], Health | None]
    power: Callable[[], Power | None]
    say: Callable[[str], None]
    cache: Callable[[], Line] | None = None
