"""An audit of this host beside ``lynis audit system --quick``, in the same run.

Method: each once, one after the other, on the live ``/``; wall time, CPU and peak memory of the largest process by
wait4. Caches are as they are: run it twice and read the second for warm figures. ``decided`` is what Holdfast's
baseline for a server could decide; Lynis counts the tests it performed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def _ran(argv: list[str]) -> tuple[str, int, str]:
    """What a program used, its exit code, and what it printed."""
    started = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu = time.monotonic() - started, usage.ru_utime + usage.ru_stime
    return f"{wall:6.1f} s wall  {cpu:6.1f} s CPU  {usage.ru_maxrss / 1024:5.0f} MiB", process.returncode, printed


def main() -> None:
    """Print the figures."""
    program = str(Path(sys.executable).parent / "holdfast")
    used, code, printed = _ran([program, "audit", "/", "--class", "server", "--json"])
    report = json.loads(printed)
    print(f"holdfast audit /  {used}  (exit {code}, coverage {report['coverage']})")
    if shutil.which("lynis") is None:
        print("lynis is not installed: no peer in this run (make bench installs it where it may)")
        return
    used, code, printed = _ran(["lynis", "audit", "system", "--quick", "--no-colors"])
    performed = [line.strip() for line in printed.splitlines() if "Tests performed" in line]
    print(f"lynis --quick     {used}  (exit {code}, {' '.join(performed)})")
