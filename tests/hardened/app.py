"""Group APP: hardened programs, a service that is shut in, a package list that is declared, and what the build states.

The parts list and the package database are group UPD's.
"""

from __future__ import annotations

import hashlib
from typing import Any

from elf_builders import EXECUTABLE, program
from hardened.shape import Break
from probe_builders import Files

_FUNCTION = program()
_UNIT = "/etc/systemd/system/rauc-hawkbit-updater.service"
_ORDER = "[Unit]\nAfter=network-online.target\n[Service]\nExecStart=/usr/bin/rauc-hawkbit-updater\nDynamicUser=yes\n"
_SHUT = "CapabilityBoundingSet=\nSystemCallFilter=@system-service\nPrivateDevices=yes\nProtectKernelModules=yes\n"
_OPEN = "[Unit]\nAfter=sysinit.target\n[Service]\nExecStart=/sbin/watchdogd -F\n"
GOOD: Files = {
    "/usr/bin/function": (_FUNCTION, 0o755),
    "/usr/bin/rauc-hawkbit-updater": (program(), 0o755),
    "/usr/lib/libfunction.so.1": program(),
    _UNIT: _ORDER + _SHUT,
    "/etc/systemd/system/multi-user.target.wants/rauc-hawkbit-updater.service": "-> ../rauc-hawkbit-updater.service",
}
PLAN: dict[str, tuple[Any, ...]] = {
    "autostart": ("rauc-hawkbit-updater", "watchdogd"),
    "components": ("function", "libfunction*"),
    "root_daemons": ("watchdogd",),
}
FACTS: dict[str, Any] = {
    "mpu": True,
    "signed_manifest": "sha256:" + "ab" * 32,
    "file:/usr/bin/function": "sha256:" + hashlib.sha256(_FUNCTION).hexdigest(),
}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()


def _beside(content: bytes) -> Break:
    return Break(files={"/usr/bin/other": (content, 0o755)})


BREAKS: dict[str, Break] = {
    "APP-01": _beside(program(stack=7)),
    "APP-02": _beside(program(kind=EXECUTABLE)),
    "APP-03": _beside(program(now=False)),
    "APP-04": _beside(program(calls=("strcpy", "__printf_chk"))),
    "APP-05": _beside(program(calls=("__stack_chk_fail", "printf"))),
    "APP-06": _beside(program(rpath="/tmp/lib")),  # noqa: S108  (searched for, not used)
    "APP-07": Break(facts={"file:/usr/bin/function": "sha256:" + "00" * 32}),
    "APP-08": Break(files={_UNIT: _ORDER + _SHUT.replace("SystemCallFilter=@system-service\n", "")}),
    "APP-10": Break(
        files={
            "/etc/systemd/system/watchdogd.service": _OPEN,
            "/etc/systemd/system/multi-user.target.wants/watchdogd.service": "-> ../watchdogd.service",
        }
    ),
    "APP-11": Break(
        files={
            "/var/lib/dpkg/status": (
                "Package: function\nStatus: install ok installed\nVersion: 1:2.0-1\n\n"
                "Package: libfunction1\nStatus: install ok installed\nVersion: 1.4\n\n"
                "Package: gdbserver\nStatus: install ok installed\nVersion: 13.1-3\n"
            )
        }
    ),
}
