"""What changed from one audit to the next: only that travels (DESIGN.md §1).

1. A delta names, by the section that carries it, the audit it starts from and the audit it leads to; whoever applies it
   checks the second digest, so a delta that was applied to something else is noticed.
2. Pure and exact: `applied(before, delta_of(before, after)) == after`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from holdfast_core.baseline.model import ControlId, Finding, Findings
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.limits import LIMITS


class FindingsDelta(msgspec.Struct, frozen=True, tag="delta", omit_defaults=True):
    """The findings that are new or came out differently, and the controls that are no longer asked."""

    plan: Digest
    changed: Annotated[tuple[Finding, ...], msgspec.Meta(max_length=LIMITS.findings)] = ()
    gone: Annotated[tuple[ControlId, ...], msgspec.Meta(max_length=LIMITS.findings)] = ()


def delta_of(before: Findings, after: Findings) -> FindingsDelta:
    """What leads from `before` to `after`."""
    known = {finding.control: finding for finding in before.findings}
    names = {finding.control for finding in after.findings}
    return FindingsDelta(
        plan=after.plan,
        changed=tuple(finding for finding in after.findings if known.get(finding.control) != finding),
        gone=tuple(sorted(known.keys() - names)),
    )


def applied(before: Findings, delta: FindingsDelta) -> Findings:
    """`before` as `delta` leaves it, in control order."""
    entries = {finding.control: finding for finding in before.findings if finding.control not in delta.gone}
    entries.update((finding.control, finding) for finding in delta.changed)
    return Findings(delta.plan, tuple(entries[control] for control in sorted(entries)))
