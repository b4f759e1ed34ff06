"""Boots: told once to an installer whose boot loader counts them, and of a board that boots by itself.

1. What was told is remembered by boot, so that an agent that is started every minute writes nothing every minute.
2. The time on a board counts from when its boot was first seen: its own uptime nobody knows. Where the agent's device
   boots meanwhile, the time begins anew; the board's boot stays the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast_agent.durable import replace
from holdfast_agent.update.installers import Counting, Installer
from holdfast_agent.update.ports import Boots as Clock
from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.confirm import Moment

TOLD, BOARD = "booted", "board.json"
LARGEST = 1024


class Boots:
    """What an installer was told of boots, remembered in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TOLD

    def told(self, installer: Installer, boot: str) -> None:
        """Tell the installer, once in a boot, where it wants to know. Raises WorldError ``installer.*``."""
        if not isinstance(installer, Counting) or _read(self._path) == boot.encode():
            return
        installer.booted()
        _write(self._path, boot.encode())


class _Seen(msgspec.Struct, frozen=True):
    """The boot of the agent's device, that of the board, and the device's uptime when they were first seen together."""

    host: str = ""
    board: str = ""
    since: int = 0


class BoardClock:
    """The boots of a board that boots by itself.

    Args:
        host: the clock of the agent's device.
        boot_id: the board's boot.
        folder: where it is remembered.
    """

    def __init__(self, host: Clock, boot_id: Callable[[], str], folder: Path) -> None:
        self._host, self._boot_id, self._path = host, boot_id, folder / BOARD
        self._seen = _Seen()
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._seen = msgspec.json.decode(_read(self._path), type=_Seen)

    def now(self) -> Moment:
        """Which boot of the board, and for how long it has been known.

        Raises:
            WorldError: ``installer.*``, ``update.boots``.
        """
        host, board = self._host.now(), self._boot_id()
        if (self._seen.host, self._seen.board) != (host.boot, board):
            seen = _Seen(host.boot, board, host.up_s)
            _write(self._path, msgspec.json.encode(seen))
            self._seen = seen
        return Moment(board, max(0, host.up_s - self._seen.since))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST)
    except OSError:
        return b""


def _write(path: Path, data: bytes) -> None:
    try:
        replace(path, data)
    except OSError as error:
        raise WorldError(
            "update.boots",
            f"{path} could not be written: {error.strerror}.",
            remedy="Make room or repair the disk of the agent's state folder.",
        ) from error
