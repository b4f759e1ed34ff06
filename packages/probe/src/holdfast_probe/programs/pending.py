"""Whether a Debian system keeps up with its security updates by itself.

1. Only the lists of security archives count: they are small, and what they hold ought to be installed.
2. The times of files are the device's own; a list from the future is as good as one of today.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast_core.baseline.probes.programs import PendingUpdates
from holdfast_core.kernel.instants import DAY
from holdfast_probe.case import Case
from holdfast_probe.programs.packages import installed
from holdfast_probe.programs.stanzas import stanzas
from holdfast_probe.programs.updates.apt import lists, settings
from holdfast_probe.programs.versions import older
from holdfast_probe.roots import Missing, Root
from holdfast_probe.services.texts import exists, truthy
from holdfast_probe.sight import Sight, failed, not_applicable, passed, unknown

_DPKG = "/var/lib/dpkg/status"
_LIST_BYTES = 32 * 1024 * 1024
_STAMPS = ("/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/periodic/update-stamp")


def see_pending_updates(case: Case, spec: PendingUpdates) -> Sight:
    """Judge one `PendingUpdates` probe."""
    root = case.root
    if not exists(root, _DPKG):
        return not_applicable("There is no dpkg here.")
    bad = []
    if not truthy(settings(root).get("apt::periodic::unattended-upgrade", "0")):
        bad.append("security updates do not install themselves (APT::Periodic::Unattended-Upgrade)")
    waiting = [path for path in lists(root) if "security" in path]
    bad += _waiting(case, waiting)
    fetched = _fetched(root, waiting)
    if bad:
        return failed(bad)
    if fetched is None:
        return unknown("There are no lists of security updates to compare with.")
    if case.now is None:
        return unknown("There is no clock to trust.")
    days = max(0, case.now - fetched) // DAY
    if days > spec.within_days:
        return failed([f"nobody has looked for updates for {days} days"])
    return passed(f"no security update is waiting; the lists are {days} days old")


def _waiting(case: Case, paths: list[str]) -> Iterator[str]:
    have = {package.name: package.version for package in case.once(installed)}
    for path in paths:
        for entry in stanzas(case.root.read(path, limit=_LIST_BYTES), "Package", "Version"):
            name, version = entry.get("Package", ""), entry.get("Version", "")
            if name in have and older(have[name], version):
                yield f"{name} {have[name]} is installed, {version} is out"


def _fetched(root: Root, paths: list[str]) -> int | None:
    """When the lists were last looked for, in milliseconds; `None` where there are none."""
    times = []
    for path in (*_STAMPS, *paths) if paths else ():
        try:
            times.append(int(root.status(path).st_mtime * 1000))
        except Missing:
            continue
    return max(times, default=None)
