"""Group FS: a read-only root, a data partition, and nothing that everybody may write but /tmp."""

from __future__ import annotations

from typing import Any

from hardened.boot import WORDS, extlinux
from hardened.shape import Break
from probe_builders import Files

TABLE = """\
/dev/mmcblk0p2  /         squashfs  ro                              0 0
tmpfs           /tmp      tmpfs     nosuid,nodev,noexec,size=16m    0 0
/dev/mmcblk0p5  /var      ext4      nosuid,nodev,noatime            0 2
tmpfs           /var/log  tmpfs     nosuid,nodev,noexec,size=8m     0 0
"""


def table(old: str = "", new: str = "") -> Files:
    """What is mounted at boot, with something changed."""
    return {"etc/fstab": TABLE.replace(old, new)}


GOOD: Files = {
    **table(),
    "proc/mounts": TABLE,
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0\tpartition\t65532\t0\t100\n",
    "tmp/": ("", 0o1777),
    "var/lib/aide/aide.db.gz": "a database\n",
}
PLAN: dict[str, tuple[Any, ...]] = {
    "writable": ("/tmp",),  # noqa: S108  (audited, not used)
    "root_fs_drivers": ("squashfs", "ext4"),
}
FACTS: dict[str, Any] = {"root_verified": True}
LIVE_ONLY: frozenset[str] = frozenset()
FOLDER_ONLY: frozenset[str] = frozenset()
BREAKS: dict[str, Break] = {
    "FS-01": Break(files=table("squashfs  ro ", "ext4      rw ")),
    "FS-02": Break(
        files={"boot/extlinux/extlinux.conf": extlinux(WORDS.partition(" roothash=")[0])},
        facts={"root_verified": False},
    ),
    "FS-03": Break(files={"srv/share/": ("", 0o1777)}),
    "FS-04": Break(files=table("noexec,size=16m", "exec,size=16m")),
    "FS-05": Break(files={"usr/bin/helper": ("a program\n", 0o4755)}),
    "FS-06": Break(files={"srv/notes": ("a note\n", 0o666)}),
    "FS-07": Break(files={"srv/notes": "a note\n"}, owners={"/srv/notes": (4711, 4711)}),
    "FS-08": Break(modes={"/etc/shadow": 0o644}),
    "FS-09": Break(files={"etc/fstab": f"{TABLE}/dev/mmcblk0p6  none  swap  sw  0 0\n"}),
    "FS-10": Break(files={"etc/modprobe.d/cis.conf": "install cramfs /bin/true\ninstall squashfs /bin/true\n"}),
    "FS-11": Break(gone=("/var/lib/aide",)),
}
