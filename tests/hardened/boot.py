"""Group BOOT: a board with U-Boot, one squashfs root of two, and systemd that feeds its watchdog."""

from __future__ import annotations

import zlib
from typing import Any

from hardened.shape import Break
from probe_builders import Files

WORDS = "root=/dev/mmcblk0p2 ro quiet console=ttyS0,115200 lockdown=integrity roothash=" + "5e" * 32
"""The kernel command line; KERN-05 and FS-02 look at it too."""


def extlinux(words: str = WORDS) -> str:
    return f"default holdfast\n\nlabel holdfast\n  kernel /boot/zImage\n  append {words}\n"


def environment(**variables: str) -> bytes:
    """A block of U-Boot's variables with its checksum."""
    body = b"".join(f"{name}={value}\0".encode() for name, value in sorted(variables.items()))
    body = body.ljust(4096 - 4, b"\0")
    return zlib.crc32(body).to_bytes(4, "little") + body


GOOD: Files = {
    "boot/extlinux/extlinux.conf": extlinux(),
    "boot/uboot.env": environment(bootcmd="run distro_bootcmd", bootdelay="-2"),
    "etc/systemd/system.conf": "[Manager]\nRuntimeWatchdogSec=30\n",
    "etc/inittab": "::sysinit:/etc/init.d/rcS\nttyS0::respawn:/sbin/getty -L ttyS0 115200 vt100\n",
    "proc/cmdline": f"{WORDS}\n",
    "sys/class/watchdog/watchdog0/state": "active\n",
}
PLAN: dict[str, tuple[Any, ...]] = {"autostart": ("getty",)}
FACTS: dict[str, Any] = {
    "image_signed": True,
    "root_key_fused": True,
    "boot_chain_verified": True,
    "anti_rollback": True,
    "test_keys": False,
    "boot_shell_locked": True,
    "boot_environment_locked": True,
    "recovery_slot": True,
    "watchdog": True,
}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {
    "BOOT-01": Break(facts={"image_signed": False}),
    "BOOT-02": Break(facts={"root_key_fused": False}),
    "BOOT-03": Break(facts={"boot_chain_verified": False}),
    "BOOT-04": Break(facts={"anti_rollback": False}),
    "BOOT-05": Break(facts={"test_keys": True}),
    "BOOT-06": Break(
        files={"boot/uboot.env": environment(bootcmd="run distro_bootcmd", bootdelay="3")},
        facts={"boot_shell_locked": False},
    ),
    "BOOT-07": Break(facts={"boot_environment_locked": False}),
    # RAUC's two slots are group UPD's; without them, the build's word is left.
    "BOOT-08": Break(gone=("/etc/rauc/system.conf",), facts={"recovery_slot": False}),
    "BOOT-09": Break(
        files={"etc/systemd/system.conf": "[Manager]\n#RuntimeWatchdogSec=30\n"}, facts={"watchdog": False}
    ),
    "BOOT-10": Break(files={"boot/extlinux/extlinux.conf": extlinux(f"{WORDS} init=/bin/sh rd.break")}),
}
