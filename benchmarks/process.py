"""One process, and what it used."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

LAUNCHER = """
import os, resource, sys, time
started = time.monotonic()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
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


def run(argv: list[str], environ: dict[str, str] | None = None) -> Used:
    """Run a program to its end."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *argv]
    told = subprocess.run(launcher, env={**os.environ, **(environ or {})}, capture_output=True, check=True)
    said, _, figures = told.stderr.decode().rstrip().rpartition("\n")
    code, wall, cpu, peak = figures.split()
    return Used(int(code), float(wall), float(cpu), float(peak), told.stdout, said)
