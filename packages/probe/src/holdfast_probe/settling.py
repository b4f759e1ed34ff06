"""Whether a running system's files say what its kernel and its programs do not do yet.

1. A running system is judged by what runs: a setting that was changed a moment ago still fails there. Whether it will
   pass once everything was started anew is told by the same probes, asked of the files alone.
2. Probes that walk see the files either way, so nothing is settled about them here; nor is the tree walked twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from holdfast_core.baseline.control import Control
from holdfast_core.baseline.model import ControlId, Outcome, Plan
from holdfast_core.baseline.probes import parts
from holdfast_core.kernel.instants import Instant
from holdfast_probe.audit import HUNTS, audit
from holdfast_probe.roots import FolderRoot


def settled(folder: Path, controls: Iterable[Control], plan: Plan, *, now: Instant | None = None) -> set[ControlId]:
    """Those of `controls` that the files below `folder` meet, whatever runs."""
    asked = [
        (control.id, control.probe)
        for control in controls
        if control.probe is not None and not any(type(part) in HUNTS for part in parts(control.probe))
    ]
    found = audit(FolderRoot(folder, owners_kept=True), asked, plan, now=now) if asked else None
    return {each.control for each in found.findings if each.outcome is Outcome.PASS} if found is not None else set()
