"""The probe of a second system to fall back to: each updater has its own way of saying that there are two.

1. An updater that is set up for one slot only is a failure; where neither updater nor boot loader speaks, nothing is.

Sources: RAUC's reference, Mender's configuration file, U-Boot's bootcount, ostree(1), systemd's boot assessment.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import msgspec

from holdfast_core.baseline.probes.boot import FallbackSlot
from holdfast_probe.boot.cmdline import command_lines
from holdfast_probe.boot.environment import boot_environment
from holdfast_probe.case import Case
from holdfast_probe.roots import Missing, Root
from holdfast_probe.services.texts import fitting, text
from holdfast_probe.sight import Sight, either, failed, not_applicable, passed

_RAUC = ("/etc/rauc/system.conf", "/usr/lib/rauc/system.conf", "/run/rauc/system.conf")
_RAUC_SLOT = re.compile(r"^\[slot\.([\w-]{1,64})\.\d{1,4}\]", re.MULTILINE | re.ASCII)
_MENDER = ("/etc/mender/mender.conf", "/var/lib/mender/mender.conf", "/data/mender/mender.conf")
_SWUPDATE = ("/etc/default/swupdate*", "/etc/swupdate/conf.d/*", "/usr/lib/swupdate/conf.d/*")
_SWUPDATE_CHOICE = re.compile(r"(?:-e|--select)[ =]?[\"']?\w{1,64},\w{1,64}", re.ASCII)
_SLOT_WORDS = ("rauc.slot=", "androidboot.slot_suffix=")


def see_fallback_slot(case: Case, _spec: FallbackSlot) -> Sight:
    """Judge one `FallbackSlot` probe."""
    said = [sight for reader in _READERS if (sight := reader(case)) is not None]
    if not said:
        return not_applicable("Nothing here tells of a second system: no updater that knows slots, no boot counting.")
    return either(said)


def _rauc(case: Case) -> Sight | None:
    path = next((path for path in _RAUC if case.root.glob(path)), "")
    if not path:
        return None
    classes = Counter(_RAUC_SLOT.findall(text(case.root, path)))
    double = sorted(name for name, count in classes.items() if count > 1)
    return (
        passed(f"RAUC has two slots of {', '.join(double)}")
        if double
        else failed([f"{path} has no class of two slots"])
    )


def _mender(case: Case) -> Sight | None:
    for path in _MENDER:
        settings = _json(case.root, path)
        parts = {settings.get("RootfsPartA"), settings.get("RootfsPartB")} - {None, ""}
        if parts:
            return (
                passed(f"Mender has two root partitions ({path})")
                if len(parts) > 1
                else failed([f"{path} names one root"])
            )
    return None


def _json(root: Root, path: str) -> dict[str, str]:
    """The settings of a file that are text; none where there is no such file."""
    try:
        found = msgspec.json.decode(root.read(path))
    except (Missing, msgspec.DecodeError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _swupdate(case: Case) -> Sight | None:
    for path in fitting(case.root, *_SWUPDATE):
        if _SWUPDATE_CHOICE.search(text(case.root, path)):
            return passed(f"SWUpdate chooses between two copies ({path})")
    return None


def _ostree(case: Case) -> Sight | None:
    path = next((p for p in ("/ostree/repo/config", "/sysroot/ostree/repo/config") if case.root.glob(p)), "")
    return passed(f"OSTree keeps the deployment before the last ({path})") if path else None


def _boot_counting(case: Case) -> Sight | None:
    environment = case.once(boot_environment)
    if environment is None or not environment.variables:
        return None
    variables = environment.variables
    if len(variables.get("BOOT_ORDER", "").split()) > 1:
        return passed(f"BOOT_ORDER names two slots ({environment.where})")
    if variables.get("bootlimit", "0").strip() not in {"", "0"} and variables.get("altbootcmd"):
        return passed(f"altbootcmd starts another system after bootlimit tries ({environment.where})")
    return None


def _assessed(case: Case) -> Sight | None:
    entries = case.root.glob("/boot/loader/entries/*.conf") + case.root.glob("/boot/EFI/Linux/*.efi")
    counted = [path for path in entries if re.search(r"\+\d{1,4}(?:-\d{1,4})?\.\w{3,4}$", path, re.ASCII)]
    return passed(f"systemd-boot counts tries ({counted[0]})") if counted and len(entries) > 1 else None


def _named_slot(case: Case) -> Sight | None:
    for where, line in case.once(command_lines).items():
        if any(word.startswith(_SLOT_WORDS) for word in line.split()):
            return passed(f"the boot loader chose a slot ({where})")
    return None


_READERS: tuple[Callable[[Case], Sight | None], ...] = (
    _rauc, _mender, _swupdate, _ostree, _boot_counting, _assessed, _named_slot,
)  # fmt: skip
