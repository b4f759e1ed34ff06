"""Print Holdfast's figures: ``make bench`` for all, ``make bench ARGS=check_ins`` for one.

Each module says what it measures, how, on what input, and which peer it runs beside in the same run. Nothing here is
asserted: a figure belongs to the machine it was measured on, which is printed first.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys

MODULES = (
    "check_ins",
    "attestation",
    "fleet",
    "agent",
    "audit",
    "keys",
    "issuance",
    "validity",
    "renewal_storm",
    "brokers",
    "cut_off",
    "director",
    "install",
    "rollouts",
    "update_check",
)


def main() -> None:
    """Run the named benchmarks, or all."""
    wanted = sys.argv[1:] or list(MODULES)
    unknown = [name for name in wanted if name not in MODULES]
    if unknown:
        sys.exit(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(MODULES)}")
    load = os.getloadavg()[0]
    print(
        f"machine: {os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}, load {load:.1f}"
    )
    for name in wanted:
        print(f"\n== {name}")
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
