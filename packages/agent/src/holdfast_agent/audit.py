"""When to audit, and how what was seen lately joins what was seen before.

1. A full audit is due for a new plan, after a boot, when the server asks, when the plan's interval has passed, and
   while the last one was put down unfinished.
2. Between full audits the light controls (those the catalogue does not call heavy) are looked at again: as often as
   the plan says, or, where the configuration says otherwise, at every check-in or once in an interval of its own.
3. The light controls are looked at first, always. The heavy ones go at the plan's pace, in sittings; until their walk
   has ended, their last results stand.
4. A light result replaces its control's last one; the age of the whole is the age of its oldest part.
5. `holdfast_probe` is imported here, inside the function that needs it: a check-in with no audit due stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from holdfast_agent.state import AuditMark, Config, LightAudit
from holdfast_core.baseline.model import ControlId, Finding, Findings, Outcome, Plan
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import Instant
from holdfast_core.wire.confirm import Moment

if TYPE_CHECKING:
    from holdfast_core.baseline.probes import ProbeSpec
    from holdfast_probe.roots import Root

OLDEST_S = 1_767_225_600
"""A wall clock before 2026 is wrong: this program is younger."""


class Extent(Enum):
    """How much of the plan to audit."""

    NOTHING = 0
    LIGHT = 1
    FULL = 2


class Seen(msgspec.Struct, frozen=True):
    """What is known after an audit, and, while its walk is unfinished, where that was put down (JSON)."""

    findings: Findings
    walk: bytes = b""


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
    if asked or mark is None or mark.plan != digest or mark.resting or full is None or light is None:
        return Extent.FULL
    if full >= plan.heavy_interval_s:
        return Extent.FULL
    if config.light_audit is LightAudit.EVERY_CHECK_IN or light >= (config.light_interval_s or plan.light_interval_s):
        return Extent.LIGHT
    return Extent.NOTHING


def look(
    extent: Extent,
    plan: Plan,
    before: Findings | None,
    config: Config,
    *,
    wall_s: float,
    breath: Callable[[], bool] | None = None,
    walk: bytes = b"",
) -> Seen:
    """Audit as much as `extent` says.

    Args:
        extent: how much.
        plan: what to ask.
        before: what is known already.
        config: where to look.
        wall_s: the device's wall clock, right or wrong.
        breath: the pace of the costly part; without it, it is done at a stretch.
        walk: where its walk was put down.
    """
    from holdfast_probe.audit import sit  # noqa: PLC0415  (rule 5)
    from holdfast_probe.bookmark import Mark  # noqa: PLC0415  (rule 5)
    from holdfast_probe.whole import Sitting  # noqa: PLC0415  (rule 5)

    root, now = root_of(config), Instant(int(wall_s) * 1000) if wall_s >= OLDEST_S else None
    light, heavy, unknown = _asked(plan)
    known = joined(before, _and(sit(root, light, plan, None, now=now)[0], unknown))
    if extent is Extent.LIGHT:
        return Seen(known)
    mark = msgspec.json.decode(walk, type=Mark) if walk else None
    seen, mark = sit(root, heavy, plan, Sitting(breath, mark) if breath else None, now=now)
    if mark is not None:
        return Seen(known, msgspec.json.encode(mark))
    asked = {name for name, _ in (*light, *heavy)} | {entry.control for entry in unknown}
    whole = joined(known, seen)
    return Seen(Findings(whole.plan, tuple(entry for entry in whole.findings if entry.control in asked)))


_Asked = list[tuple[ControlId, "ProbeSpec"]]


def _asked(plan: Plan) -> tuple[_Asked, _Asked, list[Finding]]:
    """The plan's controls: the light ones, the heavy ones, and those that this agent cannot look at."""
    from holdfast_core.baseline.probes import ProbeSpec, parts  # noqa: PLC0415  (rule 5)
    from holdfast_probe.audit import HUNTS  # noqa: PLC0415  (rule 5)
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415  (rule 5)

    shipped = shipped_catalogue().controls
    known = {control.id: control.probe for control in shipped if control.probe is not None}
    costly = {control.id for control in shipped if control.cost.heavy}
    for name, raw in plan.probes.items():
        known[name] = probe = msgspec.json.decode(raw, type=ProbeSpec)
        if any(type(part) in HUNTS for part in parts(probe)):
            costly.add(name)
    light = [(name, known[name]) for name in plan.controls if name in known and name not in costly]
    heavy = [(name, known[name]) for name in plan.controls if name in known and name in costly]
    unknown = [
        Finding(name, Outcome.UNKNOWN, reason="This agent's catalogue does not know the control; update the agent.")
        for name in plan.controls
        if name not in known
    ]
    return light, heavy, unknown


def _and(findings: Findings, more: list[Finding]) -> Findings:
    return Findings(findings.plan, (*findings.findings, *more))


def joined(before: Findings | None, seen: Findings) -> Findings:
    """`seen`, with the entries of `before` for the controls that were not looked at; nothing of another plan's."""
    entries = {entry.control: entry for entry in before.findings} if before and before.plan == seen.plan else {}
    entries.update((entry.control, entry) for entry in seen.findings)
    return Findings(seen.plan, tuple(entries[control] for control in sorted(entries)))


def marked(extent: Extent, plan: Digest, mark: AuditMark | None, now: Moment, *, resting: bool = False) -> AuditMark:
    """The mark after an audit that began at `now`; `resting` when its walk was put down.

    A full audit in sittings is as old as its first one.
    """
    if extent is Extent.LIGHT and mark is not None:
        return AuditMark(plan, mark.full, now)
    goes_on = mark is not None and mark.plan == plan and mark.resting and now.since(mark.full) is not None
    return AuditMark(plan, mark.full if mark is not None and goes_on else now, now, resting)


def root_of(config: Config) -> Root:
    """The root the agent looks at: the running system, or a folder whose device runs in a namespace of its own."""
    from holdfast_probe.roots import FolderRoot, LiveRoot  # noqa: PLC0415  (rule 5)

    folder = Path(config.root)
    return LiveRoot() if folder == Path("/") else FolderRoot(folder, proc=Path(config.proc))
