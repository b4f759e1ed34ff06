"""When to audit, and how what was seen lately joins what was seen before.

1. A full audit is due for a new plan, after a boot, when the server asks, when the plan's interval has passed, and
   while the last one was put down unfinished.
2. Between full audits the light controls (those the catalogue does not call heavy) are looked at again: as often as
   the plan says, or, where the configuration says otherwise, at every check-in or once in an interval of its own.
3. The light controls are looked at first; where the server knows nothing yet, it is told of them before anything costly
   begins. The heavy ones go at the plan's pace, one sitting a contact; until their walk has ended, their last results
   stand, and of a new plan, for which there are none, nothing is told.
4. A light result replaces its control's last one; the age of the whole is the age of its oldest part.
5. `holdfast_probe` is imported here, inside the function that needs it: a check-in with no audit due stays small.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from holdfast_agent.state import AuditMark, Config, LightAudit
from holdfast_core.baseline.model import ControlId, Finding, Findings, Outcome, Plan
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HoldfastError
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
    if asked or mark is None or mark.plan != digest or mark.begun or full is None or light is None:
        return Extent.FULL
    if full >= plan.heavy_interval_s:
        return Extent.FULL
    if config.light_audit is LightAudit.EVERY_CHECK_IN or light >= (config.light_interval_s or plan.light_interval_s):
        return Extent.LIGHT
    return Extent.NOTHING


def look_light(plan: Plan, before: Findings | None, config: Config, *, wall_s: float) -> tuple[Findings, bool]:
    """Look at what is cheap; what is known of the rest stays. Also tells whether the plan asks for anything costly.

    Args:
        plan: what to ask.
        before: what is known already.
        config: where to look.
        wall_s: the device's wall clock, right or wrong.
    """
    from holdfast_probe.audit import audit  # noqa: PLC0415  (rule 5)

    asked = _asked(plan)
    seen = audit(root_of(config), asked.light, plan, now=_now(wall_s))
    return joined(before, Findings(seen.plan, (*seen.findings, *asked.unknown))), bool(asked.heavy or asked.own)


def look_heavy(
    plan: Plan, before: Findings | None, config: Config, *, wall_s: float, breath: Callable[[], bool], walk: bytes
) -> Seen:
    """Look at what is costly, at a pace, for one sitting.

    Args:
        plan: what to ask.
        before: what is known already.
        config: where to look.
        wall_s: the device's wall clock, right or wrong.
        breath: the pace; it says when the sitting is over.
        walk: where the walk was put down; empty begins it.
    """
    from holdfast_probe.audit import sit  # noqa: PLC0415  (rule 5)
    from holdfast_probe.bookmark import Mark  # noqa: PLC0415  (rule 5)
    from holdfast_probe.public import PublicRoot  # noqa: PLC0415  (rule 5)
    from holdfast_probe.whole import Sitting  # noqa: PLC0415  (rule 5)

    asked, root = _asked(plan), root_of(config)
    if not walk and asked.own:
        own, _ = sit(PublicRoot(root), asked.own, plan, Sitting(breath), now=_now(wall_s))
        before = joined(before, own)
    try:
        mark = msgspec.json.decode(walk, type=Mark) if walk else None
    except msgspec.MsgspecError:  # of another version, or damaged: begin anew
        mark = None
    seen, mark = sit(root, asked.heavy, plan, Sitting(breath, mark), now=_now(wall_s))
    if mark is not None:
        return Seen(joined(before, Findings(seen.plan, ())), msgspec.json.encode(mark))
    return Seen(joined(before, seen))


def _now(wall_s: float) -> Instant | None:
    """The wall clock, where it can be right."""
    return Instant(int(wall_s) * 1000) if wall_s >= OLDEST_S else None


_Probes: TypeAlias = "list[tuple[ControlId, ProbeSpec]]"


class _Asked(NamedTuple):
    """The controls of a plan, by how they are looked at."""

    light: _Probes
    heavy: _Probes
    own: _Probes
    """Of probes that came with the plan: at the pace of the heavy ones, and with the eyes of anybody (`public`)."""
    unknown: list[Finding]
    """What this agent cannot look at."""


def _asked(plan: Plan) -> _Asked:
    from holdfast_probe.catalogue import shipped_catalogue  # noqa: PLC0415  (rule 5)

    shipped = {control.id: control for control in shipped_catalogue().controls if control.probe is not None}
    asked = _Asked([], [], [], [])
    for name in plan.controls:
        control, probe = shipped.get(name), _own(plan.probes[name]) if name in plan.probes else None
        if probe is not None:
            asked.own.append((name, probe))
        elif name in plan.probes or control is None or control.probe is None:
            reason = "This agent does not know how to look at it; update the agent."
            asked.unknown.append(Finding(name, Outcome.UNKNOWN, reason=reason))
        else:
            (asked.heavy if control.cost.heavy else asked.light).append((name, control.probe))
    return asked


def _own(raw: msgspec.Raw) -> ProbeSpec | None:
    """A probe that came with the plan; nothing where it is of a kind, or a size, that this agent does not know."""
    from holdfast_core.baseline.probes import MAX_PARTS, ProbeSpec, parts  # noqa: PLC0415  (rule 5)

    try:
        probe: ProbeSpec = msgspec.json.decode(raw, type=ProbeSpec)
        return probe if sum(1 for _ in parts(probe)) <= MAX_PARTS else None
    except (msgspec.MsgspecError, HoldfastError, ValueError, RecursionError):
        return None


def joined(before: Findings | None, seen: Findings) -> Findings:
    """`seen`, with the entries of `before` for the controls that were not looked at; nothing of another plan's."""
    entries = {entry.control: entry for entry in before.findings} if before and before.plan == seen.plan else {}
    entries.update((entry.control, entry) for entry in seen.findings)
    return Findings(seen.plan, tuple(entries[control] for control in sorted(entries)))


def looked(extent: Extent, plan: Digest, mark: AuditMark | None, now: Moment) -> AuditMark:
    """The mark after a look at what is cheap. Where everything is due, the costly part begins, or goes on.

    Until that has ended, its results are as old as when it last did: `full` stays.
    """
    if mark is None or mark.plan != plan or now.since(mark.full) is None:
        return AuditMark(plan, now, now, now if extent is Extent.FULL else None, whole=False)
    begun = mark.begun if mark.begun is not None and now.since(mark.begun) is not None else None
    return AuditMark(plan, mark.full, now, begun or now if extent is Extent.FULL else begun, mark.whole)


def ended(mark: AuditMark) -> AuditMark:
    """The mark after what is costly was looked at whole: its results are as old as its first sitting."""
    return AuditMark(mark.plan, mark.begun or mark.full, mark.light)


def root_of(config: Config) -> Root:
    """The root the agent looks at: the running system, or a folder whose device runs in a namespace of its own."""
    from holdfast_probe.roots import FolderRoot, LiveRoot  # noqa: PLC0415  (rule 5)

    folder = Path(config.root)
    return LiveRoot() if folder == Path("/") else FolderRoot(folder, proc=Path(config.proc))
