"""Which kind of system a root is: whose distribution, who starts things, who knows the packages.

1. Told from the root's own files, never from this host, and only what they say: a file that names the distribution may
   hold placeholders, so what is there counts for more than what is written.
2. A layout that nobody here knows is called unknown: then controls that need to know who starts what are undecided.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from holdfast_probe.roots import Missing, Root, Unreadable

_RELEASES = ("/etc/os-release", "/usr/lib/os-release", "/etc/openwrt_release")
_INITS = (
    ("systemd", ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")),
    ("procd", ("/sbin/procd",)),
    ("OpenRC", ("/sbin/openrc", "/sbin/openrc-run", "/usr/sbin/openrc")),
    ("SysV init", ("/etc/rc2.d", "/etc/rc5.d", "/sbin/init.sysvinit")),
    ("BusyBox init", ("/etc/init.d/rcS", "/etc/inittab")),
)
"""Who starts things, by what only they have; the first that is there."""
_PACKAGES = (
    ("dpkg", ("/var/lib/dpkg/status",)),
    ("opkg", ("/usr/lib/opkg/status", "/var/lib/opkg/status", "/usr/lib/opkg/info")),
    ("apk", ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")),
    ("rpm", ("/var/lib/rpm", "/usr/lib/sysimage/rpm")),
)
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
_WORDS = 80


class Layout(msgspec.Struct, frozen=True):
    """What a root is; a part that is empty is not known."""

    name: str = ""
    """The distribution and its version as the root names them: ``OpenWrt 23.05.3``."""
    init: str = ""
    packages: str = ""
    busybox: bool = False

    @property
    def known(self) -> bool:
        """Whether it is known who starts things here."""
        return bool(self.init)

    @property
    def words(self) -> str:
        """In a line: ``OpenWrt 23.05.3, procd, opkg, BusyBox``; says so where nothing is known."""
        parts = [self.name, self.init, self.packages, "BusyBox" if self.busybox and "BusyBox" not in self.init else ""]
        told = ", ".join(part for part in parts if part)
        return (
            told if self.known else f"{told}, unknown who starts things" if told else "a layout that nobody here knows"
        )


def layout_of(root: Root) -> Layout:
    """What `root` is."""
    return Layout(_name(root), _first(root, _INITS), _first(root, _PACKAGES), busybox=_any(root, _BUSYBOX))


def _name(root: Root) -> str:
    for path in _RELEASES:
        with suppress(Missing, Unreadable):
            fields = _fields(root.read(path, limit=16 * 1024))
            name = fields.get("NAME") or fields.get("DISTRIB_ID") or fields.get("ID", "")
            version = fields.get("VERSION_ID") or fields.get("DISTRIB_RELEASE") or fields.get("VERSION", "")
            if name and "%" not in name:
                return f"{name} {'' if '%' in version else version}".strip()[:_WORDS]
    with suppress(Missing, Unreadable):
        return f"Alpine Linux {root.read('/etc/alpine-release', limit=256).decode('utf-8', 'replace').strip()}"[:_WORDS]
    return ""


def _fields(data: bytes) -> dict[str, str]:
    pairs = (line.partition("=") for line in data.decode("utf-8", "replace").splitlines())
    return {key.strip(): value.strip().strip("\"'") for key, sign, value in pairs if sign}


def _first(root: Root, known: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return next((name for name, paths in known if _any(root, paths)), "")


def _any(root: Root, paths: tuple[str, ...]) -> bool:
    for path in paths:
        with suppress(Missing, Unreadable):
            root.status(path)
            return True
    return False
