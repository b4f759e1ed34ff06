"""An audit of this host beside ``lynis audit system --quick``, in the same run.

Method: each once, one after the other, on the live ``/``; wall time, CPU and peak memory of the largest process by
wait4. Caches are as they are: run it twice and read the second for warm figures. ``decided`` is what Holdfast's
baseline for a server could decide; Lynis counts the tests it performed.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from benchmarks.process import Used, run


def _figures(used: Used) -> str:
    return f"{used.wall_s:6.1f} s wall  {used.cpu_s:6.1f} s CPU  {used.peak_mib:5.0f} MiB"


def main() -> None:
    """Print the figures."""
    program = str(Path(sys.executable).parent / "holdfast")
    used = run([program, "audit", "/", "--class", "server", "--json"])
    share = json.loads(used.stdout)["coverage"]
    print(f"holdfast audit /  {_figures(used)}  (exit {used.exit}, {share:.0%} of the controls decided)")
    if shutil.which("lynis") is None:
        print("lynis is not installed: no peer in this run (make bench installs it where it may)")
        return
    used = run(["lynis", "audit", "system", "--quick", "--no-colors"])
    performed = [line.strip() for line in used.stdout.decode().splitlines() if "Tests performed" in line]
    print(f"lynis --quick     {_figures(used)}  (exit {used.exit}, {' '.join(performed)})")
