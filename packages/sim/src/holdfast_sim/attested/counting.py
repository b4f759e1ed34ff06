"""What a soak counts: contacts and what they came to, how long they took, and the server's memory."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast_sim.attested.device import Contact

TRUSTED = "trusted"
_KIB_PER_MIB = 1024
_SETTLED = 0.2
"""The first part of a run, in which a server fills its caches; the slope is of the rest."""


class Memory(msgspec.Struct, frozen=True):
    """The server's resident memory in MiB: at the start, at the end, the most, and MiB per hour once it had settled."""

    start: float
    end: float
    most: float
    slope: float


class Told(msgspec.Struct, frozen=True):
    """What a run came to, in figures; latencies are milliseconds."""

    devices: int
    seconds: float
    contacts: int
    quotes: int
    quotes_per_s: float
    exchange_p50: float
    exchange_p99: float
    contact_p50: float
    contact_p99: float
    reboots: dict[str, int]
    unreached: int
    wrong: dict[str, int]
    memory: tuple[Memory, ...]
    """Of each server that ran, one after the other."""
    kept: dict[str, int]
    """Evidence that the server kept in the run, by what it came to."""
    silent: int
    """Devices whose last contact in the run was never answered."""


class Counts:
    """Shared by those who contact; every method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.contacts = self.quotes = self.unreached = 0
        self.reboots: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self._contact: list[float] = []
        self._exchange: list[float] = []

    def answered(self, contact: Contact) -> None:
        """A contact went through."""
        with self._lock:
            self.contacts += 1
            self.quotes += contact.quotes
            self._contact.append(contact.seconds)
            self._exchange.extend(contact.exchanges)
            if contact.level != TRUSTED:
                self.wrong.update(contact.codes)

    def failed(self) -> None:
        """The server was not reached."""
        with self._lock:
            self.unreached += 1

    def rebooted(self, how: str) -> None:
        """A device started anew."""
        with self._lock:
            self.reboots[how] += 1

    def times(self) -> tuple[float, float, float, float]:
        """Milliseconds: median and 99th of an exchange, and of a contact."""
        with self._lock:
            exchange, contact = sorted(self._exchange), sorted(self._contact)
        return share(exchange, 0.5), share(exchange, 0.99), share(contact, 0.5), share(contact, 0.99)


def share(rising: Sequence[float], part: float) -> float:
    """The value below which `part` of `rising` lies, in milliseconds; 0 of nothing."""
    return round(rising[min(len(rising) - 1, int(len(rising) * part))] * 1000, 1) if rising else 0.0


class Watch:
    """Looks at a process's resident memory.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._seen: list[tuple[float, float]] = []

    def look(self) -> None:
        """Look once; a process that is gone is not looked at."""
        try:
            lines = self._status.read_text("ascii").splitlines()
        except OSError:
            return
        for line in lines:
            if line.startswith("VmRSS:"):
                self._seen.append((time.monotonic(), int(line.split()[1]) / _KIB_PER_MIB))

    def memory(self) -> Memory:
        """What was seen."""
        sizes = [size for _, size in self._seen] or [0.0]
        settled = self._seen[int(len(self._seen) * _SETTLED) :]
        return Memory(round(sizes[0], 1), round(sizes[-1], 1), round(max(sizes), 1), round(slope(settled) * 3600, 2))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line of least squares through `points`; 0 where there is none."""
    if len(points) < 2:  # noqa: PLR2004  (a line needs two)
        return 0.0
    middle = (sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points))
    spread = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread if spread else 0.0
