"""Whether a Debian system keeps up with its security updates by itself.

1. Only the lists of security archives count: they are small, and what they hold ought to be installed.
2. How old they are stands in the archive's own signed header: the times of files are lost by an extraction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from holdfast_core.baseline.probes.programs import PendingUpdates
from holdfast_core.kernel.instants import DAY, Instant, from_datetime
from holdfast_probe.case import Case
from holdfast_probe.programs.packages import installed
from holdfast_probe.programs.stanzas import stanzas
from holdfast_probe.programs.updates.apt import settings
from holdfast_probe.programs.versions import older
from holdfast_probe.roots import Root
from holdfast_probe.services.texts import exists, fitting, truthy
from holdfast_probe.sight import Sight, failed, not_applicable, passed, unknown

_DPKG = "/var/lib/dpkg/status"
_LISTS = "/var/lib/apt/lists/*security*_Packages"
_LIST_BYTES = 32 * 1024 * 1024
_HEADERS = ("/var/lib/apt/lists/*security*_InRelease", "/var/lib/apt/lists/*security*_Release")


def see_pending_updates(case: Case, spec: PendingUpdates) -> Sight:
    """Judge one `PendingUpdates` probe."""
    root = case.root
    if not exists(root, _DPKG):
        return not_applicable("There is no dpkg here.")
    bad = []
    if not truthy(settings(root).get("apt::periodic::unattended-upgrade", "0")):
        bad.append("security updates do not install themselves (APT::Periodic::Unattended-Upgrade)")
    bad += _waiting(case)
    fetched = _fetched(root)
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


def _waiting(case: Case) -> Iterator[str]:
    have = {package.name: package.version for package in case.once(installed)}
    for path in fitting(case.root, _LISTS):
        for entry in stanzas(case.root.read(path, limit=_LIST_BYTES), "Package", "Version"):
            name, version = entry.get("Package", ""), entry.get("Version", "")
            if name in have and older(have[name], version):
                yield f"{name} {have[name]} is installed, {version} is out"


def _fetched(root: Root) -> Instant | None:
    """The day of the newest security list, by its archive; `None` where there is none."""
    days = []
    for path in fitting(root, *_HEADERS):
        for header in stanzas(root.read(path), "Date"):
            with suppress(ValueError):
                day = datetime.strptime(header["Date"], "%a, %d %b %Y %H:%M:%S UTC").replace(tzinfo=UTC)
                days.append(from_datetime(day))
            break
    return max(days, default=None)
