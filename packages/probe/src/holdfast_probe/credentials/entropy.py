"""Randomness at the moment keys are made: what seeds the kernel's pool, and whether every device starts with the same.

Kernels from 5.4 on do not hand out randomness before they have gathered it, from timing jitter if from nothing else;
before that, a device without a seed of its own made guessable keys at its first boot.
"""

from __future__ import annotations

import re
from contextlib import suppress

from holdfast_core.baseline.probes.credentials import Entropy
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root
from holdfast_probe.sight import Sight, failed, passed

_SEEDS = (
    "/var/lib/systemd/random-seed",
    "/var/lib/urandom/random-seed",
    "/var/lib/random-seed",
    "/var/lib/seedrng/seed.*",
    "/var/lib/misc/random-seed",
    "/etc/random-seed",
    "/etc/urandom.seed",
    "/boot/loader/random-seed",
    "/boot/efi/loader/random-seed",
)
_SEEDERS = (
    "/lib/systemd/systemd-random-seed",
    "/usr/lib/systemd/systemd-random-seed",
    "/usr/sbin/rngd",
    "/sbin/rngd",
    "/usr/sbin/haveged",
    "/usr/sbin/jitterentropy-rngd",
    "/sbin/seedrng",
    "/usr/sbin/seedrng",
    "/sbin/urngd",
    "/etc/init.d/seedrng",
    "/etc/init.d/S20urandom",
    "/etc/init.d/S20seedrng",
)
_POOL = "/proc/sys/kernel/random/entropy_avail"
_SOURCE = "/sys/class/misc/hw_random/rng_current"
_FILLED = 256
"""Bits: a filled pool since Linux 5.18; before, more than any key needs."""
_SELF_SEEDING = (5, 4)
_RELEASE = re.compile(r"([0-9]{1,3})\.([0-9]{1,4})")


def see_entropy(case: Case, _spec: Entropy) -> Sight:
    """Judge one `Entropy` probe."""
    root = case.root
    if root.live:
        live = _live(root)
        if live is not None:
            return live
    elif seeds := [path for pattern in _SEEDS for path in root.glob(pattern) if root.status(path).st_size]:
        return failed(f"{path} seeds every device alike" for path in seeds)
    for path in _SEEDERS:
        if root.glob(path):
            return passed(f"{path} seeds the pool")
    for release in _releases(root):
        match = _RELEASE.match(release)
        if match and (int(match.group(1)), int(match.group(2))) >= _SELF_SEEDING:
            return passed(f"kernel {release} seeds itself before it hands out randomness")
    return failed(["nothing seeds the pool before keys are made"])


def _live(root: Root) -> Sight | None:
    """What the running kernel says; `None`: nothing."""
    with suppress(Missing):
        source = root.read(_SOURCE).decode("utf-8", "replace").strip()
        if source not in ("", "none"):
            return passed(f"the hardware source {source} is used")
    with suppress(Missing, ValueError):
        bits = int(root.read(_POOL))
        return passed(f"{bits} bits in the pool") if bits >= _FILLED else failed([f"only {bits} bits in the pool"])
    return None


def _releases(root: Root) -> tuple[str, ...]:
    if root.told.kernel_release:
        return (root.told.kernel_release,)
    for folder in ("/lib/modules", "/usr/lib/modules"):
        with suppress(Missing):
            return root.listing(folder)
    return ()
