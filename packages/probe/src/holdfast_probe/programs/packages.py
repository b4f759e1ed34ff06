"""What is installed: the package database of dpkg, opkg or apk, or else the parts list that the build left.

1. A database that is there and cannot be read raises `Unreadable`; rpm's is a binary one and is not read.
2. A package that is known but not installed (removed, configuration kept) does not count.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holdfast_probe.programs.stanzas import stanzas
from holdfast_probe.roots import FILE_BYTES, Missing, Root, Unreadable
from holdfast_probe.services.texts import fitting

_DATABASE_BYTES = 24 * 1024 * 1024
_STATUS = ("/var/lib/dpkg/status", "/usr/lib/opkg/status", "/var/lib/opkg/status", "/opt/var/lib/opkg/status")
_DISTROLESS = "/var/lib/dpkg/status.d/*"
_APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
_RPM = ("/var/lib/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages", "/usr/lib/sysimage/rpm/rpmdb.sqlite")


class Package(msgspec.Struct, frozen=True, order=True):
    """One installed package."""

    name: str
    version: str


def installed(root: Root) -> tuple[Package, ...]:
    """The installed packages by the package database, sorted; empty where there is none. Raises `Unreadable`."""
    found = set(_from_status(root)) | set(_from_apk(root))
    if not found and (rpm := fitting(root, *_RPM)):
        raise Unreadable(rpm[0], "it is rpm's own database, which only rpm reads")
    return tuple(sorted(found))


def _from_status(root: Root) -> Iterator[Package]:
    """The databases of dpkg and opkg, which are written alike."""
    small = [path for path in fitting(root, _DISTROLESS) if not path.endswith(".md5sums")]
    for path in (*fitting(root, *_STATUS), *small):
        limit = _DATABASE_BYTES if path in _STATUS else FILE_BYTES
        for entry in stanzas(root.read(path, limit=limit), "Package", "Version", "Status"):
            state = entry.get("Status", "install ok installed").split()
            if "Package" in entry and state[-1:] == ["installed"]:
                yield Package(entry["Package"], entry.get("Version", ""))


def _from_apk(root: Root) -> Iterator[Package]:
    for path in _APK:
        try:
            data = root.read(path, limit=_DATABASE_BYTES)
        except Missing:
            continue
        for entry in stanzas(data, "P", "V"):
            if "P" in entry:
                yield Package(entry["P"], entry.get("V", ""))
