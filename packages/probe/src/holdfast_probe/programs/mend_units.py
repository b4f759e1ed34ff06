"""Shutting services in: a drop-in of our own for each unit, with no more than its probe asks for.

1. Only what is not set is written; the unit itself and other drop-ins stay as they are.
2. What is taken away is what daemons do not need: modules, raw devices, other processes, the clock. A daemon that
   needs it after all is put right by removing the drop-in, which is why this is shown and never made unasked.
"""

from __future__ import annotations

from holdfast_core.baseline.probes.programs import Confined, Exposed
from holdfast_probe.case import Case
from holdfast_probe.editor import CannotMend, Editor
from holdfast_probe.patterns import fits_any
from holdfast_probe.programs.confinement import Unit, exposures, lacking, procd_scripts, services
from holdfast_probe.services.units import ADMIN_UNITS

_VALUES = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "~CAP_SYS_ADMIN CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_PTRACE CAP_SYS_BOOT CAP_BPF",
    "SystemCallFilter": "~@mount @module @raw-io @reboot @swap @cpu-emulation @obsolete @debug",
    "ProtectSystem": "full",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
}
_SERVICE = "[Service]\n"


def mend_confined(case: Case, editor: Editor, spec: Confined) -> None:
    """Give every unit that faces the network what it lacks."""
    for name, why in procd_scripts(case, spec).items():
        if why:
            raise CannotMend(f"/etc/init.d/{name}", f"what its jail must let through is its maker's to know; {why}")
    for unit in case.once(services):
        if unit.networked and not fits_any(unit.name, spec.but) and (missing := lacking(unit, spec)):
            _drop_in(editor, unit, missing)


def mend_exposed(case: Case, editor: Editor, spec: Exposed) -> None:
    """Give every unit that is exposed too much what most daemons can bear."""
    for unit in exposures(case, spec):
        missing = [name for name in _VALUES if not unit.grade(name)]
        now = Unit(unit.name, unit.unit, {**unit.given, **{name: _VALUES[name] for name in missing}}, unit.networked)
        if now.exposure > spec.maximum:
            raise CannotMend(unit.unit, f"it would still be exposed by {now.exposure} of 100; let it run as a user")
        _drop_in(editor, unit, missing)


def _drop_in(editor: Editor, unit: Unit, directives: list[str]) -> None:
    path = f"{ADMIN_UNITS}/{unit.unit}.d/50-holdfast.conf"
    if lost := [name for name in directives if name not in _VALUES]:
        raise CannotMend(path, f"nobody but its maker knows {', '.join(lost)} of {unit.unit}")
    before = (editor.read(path) or _SERVICE.encode()).decode("utf-8", "surrogateescape")
    lines = [f"{name}={_VALUES[name]}\n" for name in directives if f"\n{name}=" not in before]
    editor.write(path, (before + "".join(lines)).encode("utf-8", "surrogateescape"))
