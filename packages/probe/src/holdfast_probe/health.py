"""Whether the essential function goes on: the same question for the agent, and for whoever hardens by hand.

1. Cheap: one connection, one stat, or the names of the processes.
2. What cannot be asked is `None`, never "fine".
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from holdfast_core.inventory.model import HealthProbe
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.frame import Health

ASKABLE = frozenset({"tcp", "file-fresh", "process"})
"""The kinds of health probe that are asked from here; an MCU's own word is not."""
CONNECT_S = 2.0
PROCESSES = 32_768
"""Processes that are looked through, at most."""
COMM_LENGTH = 15
"""The kernel cuts a process's name to this."""


def health(probe: HealthProbe, *, root: Path, proc: Path, wall_s: float) -> Health | None:
    """Whether the essential function goes on; `None` where there is no way to tell.

    Args:
        probe: how to tell.
        root: the device's file tree.
        proc: where the device's own procfs is mounted.
        wall_s: seconds since 1970 by the device's clock, for the age of a file.
    """
    match probe.kind:
        case "tcp":
            return _accepts(probe.port)
        case "file-fresh":
            return _fresh(probe, root, wall_s)
        case "process":
            return _runs(probe.process, proc)
    return None


def _accepts(port: int) -> Health:
    try:
        socket.create_connection(("127.0.0.1", port), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        return Health(ok=False, detail=f"Nothing answers on port {port}: {getattr(error, 'strerror', None) or error}.")
    return Health(ok=True)


def _fresh(probe: HealthProbe, root: Path, wall_s: float) -> Health:
    from holdfast_probe.roots import LiveRoot  # noqa: PLC0415  (only models with such a probe pay for it)

    try:
        changed = LiveRoot(root).status(probe.path).st_mtime
    except HoldfastError as error:
        return Health(ok=False, detail=error.sentence[: LIMITS.text])
    age = wall_s - changed
    if age < -probe.max_age_s:
        # After a lost clock, the file is from before the loss: nothing was written since.
        return Health(ok=False, detail=f"{probe.path} was changed in the future of this device's clock.")
    if age > probe.max_age_s:
        return Health(ok=False, detail=f"{probe.path} has not changed for {int(age)} s.")
    return Health(ok=True)


def _runs(name: str, proc: Path) -> Health:
    wanted = name[:COMM_LENGTH]
    with os.scandir(proc) as entries:
        for _, entry in zip(range(PROCESSES), (e for e in entries if e.name.isdigit()), strict=False):
            try:
                comm = Path(entry.path, "comm").read_text("utf-8", "replace").rstrip("\n")
                if comm == wanted and not _is_zombie(Path(entry.path)):
                    return Health(ok=True)
            except OSError:
                continue  # it ended while we looked
    return Health(ok=False, detail=f"No process named {name} runs.")


def _is_zombie(process: Path) -> bool:
    return (process / "stat").read_bytes().rpartition(b")")[2].split()[:1] == [b"Z"]
