"""The probe of a second system to fall back to: what the updaters have slots for, and what the boot loader counts.

1. An updater that is set up for one slot only is a failure; where neither updater nor boot loader speaks, nothing is.

Sources: U-Boot's doc/README.bootcount, RAUC's U-Boot script, systemd's automatic boot assessment.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from holdfast_core.baseline.probes.boot import FallbackSlot
from holdfast_probe.boot.cmdline import command_lines
from holdfast_probe.boot.environment import boot_environment
from holdfast_probe.case import Case
from holdfast_probe.programs.updates import images
from holdfast_probe.sight import Sight, either, failed, not_applicable, passed

_SLOT_WORDS = ("rauc.slot=", "androidboot.slot_suffix=")
_COUNTED = re.compile(r"\+[0-9]{1,4}(?:-[0-9]{1,4})?\.(?:conf|efi)$")
_ENTRIES = ("/boot/loader/entries/*.conf", "/boot/EFI/Linux/*.efi")


def see_fallback_slot(case: Case, _spec: FallbackSlot) -> Sight:
    """Judge one `FallbackSlot` probe."""
    said = [sight for reader in _READERS if (sight := reader(case)) is not None]
    if not said:
        return not_applicable("Nothing here tells of a second system: no updater that knows slots, no boot counting.")
    return either(said)


def _updaters(case: Case) -> Sight | None:
    """What RAUC, Mender and OSTree have slots for; where that is left open, nothing is said."""
    readers = (images.rauc_fallback, images.mender_fallback, images.ostree_fallback)
    said = [word for reader in readers for word in reader(case.root) if word.good is not None]
    if not said:
        return None
    good = [word.said for word in said if word.good]
    return passed(*good) if good else failed(word.said for word in said)


def _boot_counting(case: Case) -> Sight | None:
    environment = case.once(boot_environment)
    if environment is None:
        return None
    variables = environment.variables
    if len(variables.get("BOOT_ORDER", "").split()) > 1:
        return passed(f"BOOT_ORDER names two slots ({environment.where})")
    if variables.get("bootlimit", "0").strip() not in {"", "0"} and variables.get("altbootcmd"):
        return passed(f"altbootcmd starts another system after bootlimit tries ({environment.where})")
    return None


def _assessed(case: Case) -> Sight | None:
    entries = [path for glob in _ENTRIES for path in case.root.glob(glob)]
    counted = [path for path in entries if _COUNTED.search(path)]
    return passed(f"systemd-boot counts tries ({counted[0]})") if counted and len(entries) > 1 else None


def _named_slot(case: Case) -> Sight | None:
    for where, line in case.once(command_lines).items():
        if any(word.startswith(_SLOT_WORDS) for word in line.split()):
            return passed(f"the boot loader chose a slot ({where})")
    return None


_READERS: tuple[Callable[[Case], Sight | None], ...] = (_updaters, _boot_counting, _assessed, _named_slot)
