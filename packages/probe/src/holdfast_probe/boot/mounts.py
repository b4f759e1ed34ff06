"""What is mounted where: the mount probe, and which local disks a live walk may enter. Format: fstab(5)."""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

from holdfast_core.baseline.probes import Mount
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, failed, judged, unknown

_LOCAL = frozenset({
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jffs2", "ubifs", "squashfs", "erofs", "overlay", "vfat", "exfat",
    "reiserfs", "jfs", "nilfs2", "yaffs2", "cramfs", "romfs", "zfs", "bcachefs",
})  # fmt: skip
"""File systems on disks of this device; network mounts and the kernel's own are in none of them."""


class Mounted(msgspec.Struct, frozen=True):
    """One line of a mount table."""

    path: str
    kind: str
    options: frozenset[str]


def see_mount(case: Case, spec: Mount) -> Sight:
    """Judge one `Mount` probe."""
    root = case.root
    table = "/proc/mounts" if root.live else "/etc/fstab"
    try:
        mounts = [m for m in mounts_of(root, table) if m.path == (spec.path.rstrip("/") or "/")]
    except Missing:
        return unknown(f"There is no {table}.")
    if not mounts:
        return failed([f"{spec.path} is not a mount of its own ({table})"])
    options = mounts[-1].options
    absent = [o for o in spec.options if o not in options]
    return judged(
        (f"{spec.path} is mounted without {o} ({table})" for o in absent), f"{spec.path} has {', '.join(spec.options)}"
    )


def mounts_of(root: Root, table: str) -> list[Mounted]:
    """The lines of a mount table, in order. Raises `Missing` or `Unreadable`."""
    mounts = []
    for line in root.read(table).decode("utf-8", "surrogateescape").splitlines():
        fields = line.split()
        if len(fields) >= 4 and not fields[0].startswith("#"):  # noqa: PLR2004  (fstab(5))
            path = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), fields[1])
            mounts.append(Mounted(path.rstrip("/") or "/", fields[2], frozenset(fields[3].split(","))))
    return mounts


def local_devices(root: Root) -> frozenset[int]:
    """The device numbers of the local disks of a running system; a folder has none beside the one it lies on."""
    if not root.live:
        return frozenset()
    devices = set()
    with suppress(Missing, Unreadable):
        for mounted in mounts_of(root, "/proc/mounts"):
            if mounted.kind in _LOCAL:
                with suppress(Missing, Unreadable):
                    devices.add(root.status(mounted.path).st_dev)
    return frozenset(devices)
