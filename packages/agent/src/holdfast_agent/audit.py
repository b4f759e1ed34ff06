"""When to audit, and how what was seen lately joins what was seen before.

1. A full audit is due for a new plan, after a boot, when the server asks, and when the plan's interval has passed.
2. Between full audits the light controls (those the catalogue does not call heavy) are looked at again: as often as
   the plan says, or, where the configuration says otherwise, at every check-in or once in an interval of its own.
3. A light result replaces its control's last one; the age of the whole is the age of its oldest part.
4. `holdfast_probe` is imported here, inside the function that needs it: a check-in with no audit due stays small.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from holdfast_agent.state import AuditMark, Config, LightAudit
from holdfast_core.baseline.model import Finding, Findings, Outcome, Plan
from holdfast_core.kernel.digests import Digest
from holdfast_core.wire.confirm import Moment

if TYPE_CHECKING:
    from holdfast_probe.roots import Root


class Extent(Enum):
    """How much of the plan to audit."""

    NOTHING = 0
    LIGHT = 1
    FULL = 2


def extent_due(
    digest: Digest, plan: Plan, mark: AuditMark | None, now: Moment, config: Config, *, asked: bool
) -> Extent:
    """How much is due at `now`.

    Args:
        digest: that of the plan in force.
        plan: the plan in force, for its intervals.
        mark: the last audit.
        now: the moment.
        config: how often to look at the light controls.
        asked: whether the server asked for an audit.
    """
    full = now.since(mark.full) if mark is not None else None
    light = now.since(mark.light) if mark is not None else None
    if asked or mark is None or mark.plan != digest or full is None or light is None or full >= plan.heavy_interval_s:
        return Extent.FULL
    if config.light_audit is LightAudit.EVERY_CHECK_IN or light >= (config.light_interval_s or plan.light_interval_s):
        return Extent.LIGHT
    return Extent.NOTHING


def look(extent: Extent, plan: Plan, before: Findings | None, config: Config) -> Findings:
    """Audit as much as `extent` says, and return everything known after it."""
    from holdfast_core.baseline.probes import ProbeSpec, parts  # noqa: PLC0415  (rule 4)
    from holdfast_probe.audit import HUNTS, audit  # noqa: PLC0415  (rule 4)
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415  (rule 4)

    shipped = shipped_catalogue().controls
    known = {control.id: control.probe for control in shipped if control.probe is not None}
    heavy = {control.id for control in shipped if control.cost.heavy}
    for name, raw in plan.probes.items():
        known[name] = probe = msgspec.json.decode(raw, type=ProbeSpec)
        if any(type(part) in HUNTS for part in parts(probe)):
            heavy.add(name)
    asked = [
        (name, known[name]) for name in plan.controls if name in known and (extent is Extent.FULL or name not in heavy)
    ]
    seen = audit(root_of(config), asked, plan)
    missing = [
        Finding(name, Outcome.UNKNOWN, reason="This agent's catalogue does not know the control; update the agent.")
        for name in plan.controls
        if name not in known
    ]
    return joined(before if extent is Extent.LIGHT else None, Findings(seen.plan, (*seen.findings, *missing)))


def joined(before: Findings | None, seen: Findings) -> Findings:
    """`seen`, with the entries of `before` for the controls that were not looked at; nothing of another plan's."""
    entries = {entry.control: entry for entry in before.findings} if before and before.plan == seen.plan else {}
    entries.update((entry.control, entry) for entry in seen.findings)
    return Findings(seen.plan, tuple(entries[control] for control in sorted(entries)))


def marked(extent: Extent, plan: Digest, mark: AuditMark | None, now: Moment) -> AuditMark:
    """The mark after an audit that began at `now`."""
    if extent is Extent.LIGHT and mark is not None:
        return AuditMark(plan, mark.full, now)
    return AuditMark(plan, now, now)


def root_of(config: Config) -> Root:
    """The root the agent looks at: the running system, or a folder whose device runs in a namespace of its own."""
    from holdfast_probe.roots import FolderRoot, LiveRoot  # noqa: PLC0415  (rule 4)

    folder = Path(config.root)
    return LiveRoot() if folder == Path("/") else FolderRoot(folder, proc=Path(config.proc))
