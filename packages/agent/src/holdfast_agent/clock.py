"""The device's sense of time: which boot this is, and how long it lasts. The wall clock is asked for file ages only.

1. A device's wall clock may stand at 1970 or jump; intervals are measured in seconds since boot, suspend included.
2. The kernel's boot id never leaves the device: it is hashed together with the device's id.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from holdfast_core.kernel.errors import WorldError
from holdfast_core.wire.confirm import Moment

BOOT_CHARACTERS = 32


class Clock:
    """The kernel's clocks.

    Args:
        device: the device's id.
        proc: where procfs is mounted.

    Raises:
        WorldError: ``agent.no_boot_id``.
    """

    def __init__(self, device: str, proc: Path) -> None:
        self.boot = _boot(device, proc / "sys/kernel/random/boot_id")

    def now(self) -> Moment:
        """The current moment."""
        return Moment(self.boot, int(time.clock_gettime(time.CLOCK_BOOTTIME)))

    def wall_s(self) -> float:
        """Seconds since 1970 as the device has them, right or wrong."""
        return time.clock_gettime(time.CLOCK_REALTIME)

    def sleep(self, seconds: float) -> None:
        """Sleep; a signal handler that raises ends it."""
        time.sleep(seconds)


def _boot(device: str, path: Path) -> str:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WorldError(
            "agent.no_boot_id",
            f"The kernel's boot id could not be read: {error}.",
            remedy=f"Let the agent read {path}.",
        ) from error
    return hashlib.sha256(f"{device}\0{text}".encode()).hexdigest()[:BOOT_CHARACTERS]
