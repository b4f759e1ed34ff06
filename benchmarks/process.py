"""One process, and what it used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

LAUNCHER = """
import os, resource, signal, sys, time
limit, argv = float(sys.argv[1]), sys.argv[2:]
started = time.monotonic()
pid = os.posix_spawnp(argv[0], argv, os.environ, setpgroup=0)
signal.signal(signal.SIGALRM, lambda *_: os.killpg(pid, signal.SIGTERM))
signal.setitimer(signal.ITIMER_REAL, limit, 5)
_, status, usage = os.wait4(pid, 0)
figures = os.waitstatus_to_exitcode(status), time.monotonic() - started, usage.ru_utime + usage.ru_stime
print(*figures, usage.ru_maxrss / 1024, file=sys.stderr)
"""
"""A process counts its parent's memory as its own until it has become another program, so a small parent starts it."""


@dataclass(frozen=True)
class Used:
    """How a process ended, what it printed, and what it used, its children included (peak: of the largest)."""

    exit: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    stdout: bytes
    stderr: str

    @property
    def cut(self) -> bool:
        """Whether its time was up."""
        return self.exit == -signal.SIGTERM


def run(argv: list[str], environ: dict[str, str] | None = None, *, limit_s: float = 0) -> Used:
    """Run a program to its end, or until `limit_s` seconds are up (0: no limit)."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(limit_s), *argv]
    told = subprocess.run(
        launcher, env={**os.environ, **(environ or {})}, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    said, _, figures = told.stderr.decode(errors="replace").rstrip().rpartition("\n")
    code, wall, cpu, peak = figures.split()
    return Used(int(code), float(wall), float(cpu), float(peak), told.stdout, said)
