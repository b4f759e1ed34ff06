"""The firmware's event log, as the kernel shows it, packed for the way.

1. It changes with a boot only: a resident agent reads it once and looks at size and time afterwards.
2. A log that is missing, unreadable or too large to send is no log: the quote then carries the registers themselves.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from holdfast_agent.state import Config
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.wire.attestation import LARGEST_LOG, BootLog, pack

LOG = "kernel/security/tpm0/binary_bios_measurements"


class BootLogFile:
    """The log of this device, read when it changed."""

    def __init__(self, config: Config) -> None:
        self._path = Path(config.boot_log or Path(config.sys, LOG))
        self._seen: tuple[str, int, int] | None = None
        self._body = b""

    def body(self, boot: str) -> bytes:
        """The body of section ``boot-log``; empty where there is none. `boot` is the boot's id."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                seen = (boot, status.st_size, status.st_mtime_ns)
                if seen != self._seen:
                    self._body = _body(file.read(LARGEST_LOG + 1))
                    self._seen = seen
        except OSError:
            self._seen, self._body = None, b""
        return self._body


def _body(log: bytes) -> bytes:
    if not log or len(log) > LARGEST_LOG:
        return b""
    body = msgspec.json.encode(BootLog(pack(log)))
    return body if len(body) <= LIMITS.section_bytes else b""
