"""What is mounted where: the probes of mounts and of the root, and which local disks a live walk may enter.

1. A running system is asked through ``/proc/mounts``; a folder through ``/etc/fstab`` and the mount units of systemd
   that something starts, which is what would mount it.
2. A path is judged by the mount that it lies on, links followed: ``/tmp`` often leads to ``/var/volatile/tmp``.

Formats: fstab(5), systemd.mount(5).
"""

from __future__ import annotations

import re
from contextlib import suppress

import msgspec

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.boot import Mount
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.services.texts import fitting
from holdfast_probe.services.units import unit_folders, unit_settings
from holdfast_probe.sight import Sight, failed, judged, not_applicable, unknown

FSTAB = "/etc/fstab"
_RUNNING = "/proc/mounts"
_FIELDS = 4
_LOCAL = frozenset({
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jffs2", "ubifs", "squashfs", "erofs", "overlay", "vfat", "exfat",
    "reiserfs", "jfs", "nilfs2", "yaffs2", "cramfs", "romfs", "zfs", "bcachefs",
})  # fmt: skip
"""File systems on disks of this device; network mounts and the kernel's own are in none of them."""
_LOCAL_TARGET = "local-fs.target.wants"
_OPTION_COLUMN = re.compile(r"([ \t]*\S+[ \t]+\S+[ \t]+\S+[ \t]+)(\S+)")


class Mounted(msgspec.Struct, frozen=True):
    """One line of a mount table, or one mount unit."""

    path: str
    kind: str
    options: frozenset[str]
    where: str
    device: str = ""


def see_mount(case: Case, spec: Mount) -> Sight:
    """Judge one `Mount` probe."""
    mounts = case.once(mounts_at_boot)
    if mounts is None:
        return unknown(f"There is no {_RUNNING if case.root.live else FSTAB}.")
    mounted = _own(mounts, case.root.real(spec.path))
    if mounted is None:
        why = f"{spec.path} is not a mount of its own"
        return failed([why]) if spec.own else not_applicable(f"{why}.")
    absent = [option for option in spec.options if not _has(mounted, option)]
    return judged(
        (f"{mounted.path} is mounted without {option.rstrip('=')} ({mounted.where})" for option in absent),
        f"{mounted.path} has {', '.join(spec.options) or 'a mount of its own'} ({mounted.where})",
    )


def _has(mounted: Mounted, option: str) -> bool:
    if option.endswith("="):
        return any(each.startswith(option) for each in mounted.options)
    return option in mounted.options


def _own(mounts: list[Mounted], path: str) -> Mounted | None:
    """The deepest mount that `path` lies on, of several at one place the last; `None` if that is the root's."""
    best: Mounted | None = None
    for mounted in mounts:
        inside = mounted.path in ("/", path) or path.startswith(mounted.path + "/")
        if inside and (best is None or len(mounted.path) >= len(best.path)):
            best = mounted
    on_root = best is not None and best.path == "/"
    return None if on_root and path != "/" else best


def mounts_at_boot(root: Root) -> list[Mounted] | None:
    """What is mounted, or would be once a folder runs; `None` where nothing says so. Raises `Unreadable`."""
    if root.live:
        return _table(root, _RUNNING)
    listed = _table(root, FSTAB)
    units = _mount_units(root)
    return None if listed is None and not units else [*units, *(listed or [])]


def _table(root: Root, path: str) -> list[Mounted] | None:
    try:
        return mounts_of(root, path)
    except Missing:
        return None


def mounts_of(root: Root, table: str) -> list[Mounted]:
    """The lines of a mount table, in order. Raises `Missing` or `Unreadable`."""
    mounts = []
    for line in root.read(table).decode("utf-8", "surrogateescape").splitlines():
        fields = line.split()
        if len(fields) >= _FIELDS and not fields[0].startswith("#"):
            path = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), fields[1])
            options = frozenset(fields[3].split(","))
            mounts.append(Mounted(path.rstrip("/") or "/", fields[2], options, table, fields[0]))
    return mounts


def _mount_units(root: Root) -> list[Mounted]:
    """The mounts that systemd makes beside the table."""
    units = unit_folders(root)
    found = []
    for folder in units:
        for link in fitting(root, f"{folder}/{_LOCAL_TARGET}/*.mount"):
            name = link.rsplit("/", 1)[-1]
            said = dict(unit_settings(root, name, units))
            options = frozenset(option for option in said.get("Options", "").split(",") if option)
            if said.get("Where", "").startswith("/"):
                where = said["Where"].rstrip("/") or "/"
                found.append(Mounted(where, said.get("Type", ""), options, name, said.get("What", "")))
    return found


def mend_mount(case: Case, editor: Editor, spec: Mount) -> None:
    """Add the missing options to the line of ``/etc/fstab`` that mounts the path."""
    if see_mount(case, spec).outcome in {Outcome.PASS, Outcome.NOT_APPLICABLE}:
        return
    mounts = case.once(mounts_at_boot)
    mounted = _own(mounts or [], case.root.real(spec.path))
    if any(option.endswith("=") for option in spec.options):
        raise CannotMend(FSTAB, "how much room a mount may take is for a person to say")
    text = (editor.read(FSTAB) or b"").decode("utf-8", "surrogateescape")
    lines = text.splitlines(keepends=True)
    edited = False
    for number, line in enumerate(lines):
        fields = line.split()
        if mounted is None or len(fields) < _FIELDS or fields[0].startswith("#") or fields[1] != mounted.path:
            continue
        lines[number] = _OPTION_COLUMN.sub(lambda m: m.group(1) + _with(m.group(2), spec.options), line, count=1)
        edited = True
    if not edited:
        raise CannotMend(FSTAB, f"no line of it mounts {spec.path}")
    editor.write(FSTAB, "".join(lines).encode("utf-8", "surrogateescape"))


def _with(column: str, wanted: tuple[str, ...]) -> str:
    """The options of a line with the wanted ones, and without those that say the opposite."""
    opposites = {"ro": "rw"} | {option: option.removeprefix("no") for option in wanted if option.startswith("no")}
    refused = {opposites[option] for option in wanted if option in opposites}
    kept = [option for option in column.split(",") if option not in refused]
    return ",".join([*kept, *(option for option in wanted if option not in kept)])


def local_devices(root: Root) -> frozenset[int]:
    """The device numbers of the local disks of a running system; a folder has none beside the one it lies on."""
    if not root.live:
        return frozenset()
    devices = set()
    with suppress(Missing, Unreadable):
        for mounted in mounts_of(root, _RUNNING):
            if mounted.kind in _LOCAL:
                with suppress(Missing, Unreadable):
                    devices.add(root.status(mounted.path).st_dev)
    return frozenset(devices)
