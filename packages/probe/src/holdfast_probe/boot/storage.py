"""The probes of the root and of the flash below: read-only, verified, not worn out.

1. An overlay whose upper layer is kept in memory is as good as read-only: a restart brings the image back.
2. Verification is looked for where it is switched on: command line, device mapper, IMA's policy.

Sources: the kernel's admin-guide/device-mapper/verity, Documentation/security/IMA-templates, systemd-veritysetup(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from holdfast_core.baseline.model import Outcome
from holdfast_core.baseline.probes.boot import ReadOnlyRoot, VerifiedRoot, Wear
from holdfast_probe.boot.cmdline import command_lines
from holdfast_probe.boot.mounts import FSTAB, Mounted, mounts_at_boot, mounts_of
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.roots import Missing, Root
from holdfast_probe.sight import Sight, failed, judged, passed, unknown

_NEVER_WRITTEN = frozenset({"squashfs", "erofs", "cramfs", "romfs", "iso9660"})
_VERITY_WORDS = ("roothash=", "usrhash=", "systemd.verity", "androidboot.veritymode=enforcing", "verity_root")
_IMA_POLICIES = ("/etc/ima/ima-policy", "/sys/kernel/security/ima/policy")
_FLASH = re.compile(r"/dev/(?:mmcblk|mtd|ubi)|ubi[0-9:]|mtd[0-9:]")
_SWAPS = "/proc/swaps"


def see_read_only_root(case: Case, _spec: ReadOnlyRoot) -> Sight:
    """Judge one `ReadOnlyRoot` probe."""
    told = case.root.told.filesystem
    if told in _NEVER_WRITTEN:
        return passed(f"the root is {told}")
    mounts = case.once(mounts_at_boot) or []
    roots = [mounted for mounted in mounts if mounted.path == "/" and mounted.kind != "rootfs"]
    if roots:
        return _judged_mount(roots[-1], mounts)
    return unknown("Nothing mounts the root.") if case.root.live else _judged_words(case)


def _judged_mount(root: Mounted, mounts: list[Mounted]) -> Sight:
    if root.kind in _NEVER_WRITTEN or "ro" in root.options:
        return passed(f"the root is {root.kind}, {'ro' if 'ro' in root.options else 'never written'} ({root.where})")
    upper = next((option.partition("=")[2] for option in root.options if option.startswith("upperdir=")), "")
    below = max(
        (m for m in mounts if m.path != "/" and upper.startswith(m.path + "/")), key=lambda m: len(m.path), default=None
    )
    if upper and below is not None and below.kind in {"tmpfs", "ramfs"}:
        return passed(f"what is written to the root stays in memory ({below.path})")
    return failed([f"the root is {root.kind} and can be written ({root.where})"])


def _judged_words(case: Case) -> Sight:
    """What the command line says, where no table does."""
    lines = case.once(command_lines)
    states = {where: _state(line.split()) for where, line in lines.items()}
    if not any(states.values()):
        return unknown("Neither a table of mounts nor a command line says how the root is mounted.")
    bad = [f"the root is mounted rw ({where})" for where, state in states.items() if state != "ro"]
    return judged(bad, f"the root is mounted read-only ({', '.join(sorted(lines))})")


def _state(words: list[str]) -> str:
    """How a command line mounts the root: ``ro``, ``rw``, or nothing."""
    if any(word == f"rootfstype={kind}" for word in words for kind in _NEVER_WRITTEN):
        return "ro"
    return next((word for word in reversed(words) if word in ("ro", "rw")), "")


def see_verified_root(case: Case, _spec: VerifiedRoot) -> Sight:
    """Judge one `VerifiedRoot` probe."""
    root = case.root
    proof = next(_verified(case), "")
    if proof:
        return passed(proof)
    if not root.live and not case.once(command_lines):
        return unknown("No boot loader file with a kernel command line was found, and nothing else verifies the root.")
    return failed(["neither dm-verity nor an appraising IMA policy verifies the root"])


def _verified(case: Case) -> Iterator[str]:
    root = case.root
    for where, line in case.once(command_lines).items():
        if any(word.startswith(_VERITY_WORDS) for word in line.split()) or (
            "dm-mod.create=" in line and " verity " in line
        ):
            yield f"dm-verity ({where})"
        if any(map(_appraises, line.split())):
            yield f"IMA appraises ({where})"
    for path in _IMA_POLICIES:
        if any(line.startswith("appraise ") for line in _lines(root, path)):
            yield f"IMA appraises ({path})"
    for path in root.glob("/sys/block/dm-*/dm/uuid") if root.live else ():
        if any(line.startswith("CRYPT-VERITY") for line in _lines(root, path)):
            yield f"dm-verity ({path})"


def _appraises(word: str) -> bool:
    return word == "ima_appraise=enforce" or (word.startswith("ima_policy=") and "appraise_tcb" in word)


def see_wear(case: Case, _spec: Wear) -> Sight:
    """Judge one `Wear` probe."""
    mounts = case.once(mounts_at_boot)
    if mounts is None:
        return unknown("Nothing here says what is mounted.")
    swaps = _swaps(case.root)
    bad = [f"{device} is swapped to ({where})" for device, where in swaps if _FLASH.match(device)]
    bad += [
        f"{mounted.path} is mounted {option} ({mounted.where})"
        for mounted in mounts
        if _FLASH.match(mounted.device)
        for option in sorted({"sync", "strictatime"} & mounted.options)
    ]
    nameless = next((device for device, _ in swaps if not device.startswith("/")), "")
    if nameless and not bad:
        return unknown(f"{nameless} is swapped to, and nothing here tells whether that is flash.")
    return judged(bad, "no flash is swapped to, and none writes access times or synchronously")


def _swaps(root: Root) -> list[tuple[str, str]]:
    """The devices that are swapped to, as far as they are no compressed memory."""
    if root.live:
        found = [(line.split()[0], _SWAPS) for line in _lines(root, _SWAPS)[1:] if line.split()]
    else:
        try:
            found = [(m.device, FSTAB) for m in mounts_of(root, FSTAB) if m.kind == "swap"]
        except Missing:
            found = []
    return [(device, where) for device, where in found if "zram" not in device]


def mend_wear(case: Case, editor: Editor, spec: Wear) -> None:
    """Drop the swap on flash and the options that write it without need from ``/etc/fstab``."""
    if see_wear(case, spec).outcome is Outcome.PASS:
        return
    text = (editor.read(FSTAB) or b"").decode("utf-8", "surrogateescape")
    lines = [_gentle(line) for line in text.splitlines(keepends=True)]
    if "".join(lines) == text:
        raise CannotMend(FSTAB, "what wears the flash is not set there")
    editor.write(FSTAB, "".join(lines).encode("utf-8", "surrogateescape"))


def _gentle(line: str) -> str:
    fields = line.split()
    if len(fields) < 4 or not _FLASH.match(fields[0]):  # noqa: PLR2004  (fstab(5))
        return line
    if fields[2] == "swap":
        return ""
    kept = [option for option in fields[3].split(",") if option not in ("sync", "strictatime")]
    return line.replace(fields[3], ",".join(kept) or "defaults", 1) if kept != fields[3].split(",") else line


def _lines(root: Root, path: str) -> list[str]:
    try:
        return root.read(path).decode("ascii", "replace").splitlines()
    except Missing:
        return []
