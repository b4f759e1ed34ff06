"""How large the reports of an audit are: the formats a person keeps, and what a device sends.

Formats are those of ``holdfast audit --format``, compact or not as they are written. What a device sends is the body of
its findings for the plan of its class, and after one changed file (the mode of ``/etc/shadow``, put back at once) what
changed; neither is compressed.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.cli.audit_files import Given
from holdfast.cli.audit_formats import Format, rendered
from holdfast.cli.audit_look import examine
from holdfast.cli.minimal import minimal
from holdfast_agent.sections import fitting
from holdfast_core.baseline.delta import delta_of
from holdfast_core.baseline.model import Findings, Plan
from holdfast_core.baseline.tailoring import compile_plan, tailor
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.severity import Severity
from holdfast_probe.audit import audit
from holdfast_probe.catalogue import shipped_catalogue
from holdfast_probe.roots import FolderRoot

_NOW = Instant(1_800_000_000_000)
"""A fixed day, so that nothing expires between the two audits."""


def formats(target: Path, device_class: DeviceClass) -> str:
    """The size of every format, in KB."""
    found = examine(target, Given(device_class))
    wanted = (each for each in Format if each is not Format.TABLE)
    return "  ".join(f"{each} {len(rendered(found, each, target, Severity.LOW)) / 1000:.0f} KB" for each in wanted)


def sent(root: Path, device_class: DeviceClass) -> str:
    """The sizes of a device's findings, and of what it sends after one changed file."""
    model, catalogue = minimal(device_class), shipped_catalogue()
    plan = compile_plan(tailor(catalogue, model, _NOW), model, catalogue)
    before = _findings(root, plan)
    shadow = root / "etc/shadow"
    mode = shadow.stat().st_mode & 0o7777
    try:
        shadow.chmod(0o666)
        after = _findings(root, plan)
    finally:
        shadow.chmod(mode)
    delta = delta_of(before, after)
    whole, part = len(fitting(before)), len(canonical(delta))
    return f"all findings {whole / 1000:.1f} KB; after one changed file {part:,} bytes ({len(delta.changed)} findings)"


def _findings(root: Path, plan: Plan) -> Findings:
    probes = {control.id: control.probe for control in shipped_catalogue().controls}
    asked = [(name, probe) for name in plan.controls if (probe := probes[name]) is not None]
    return audit(FolderRoot(root), asked, plan, now=_NOW)
