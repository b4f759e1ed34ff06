"""What a retiring device says: its section ``erasure``, and the refusal of the directive.

1. A report counts only while it is waited for; a device's word without an order is no evidence of anything.
2. What follows is one step of the retirement, in the commit of the check-in; the sweep does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.ports.appraisal import Appraised, Context, SectionEvidence
from holdfast.ports.events import ErasureReported, Event, Noted
from holdfast.ports.sections import SmallSection
from holdfast.ports.store import Change, Store, leaf
from holdfast_core.inventory.erasure import ERASE, SECTION, ErasureReport
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.inventory.retirement import Retirement, heard, refused
from holdfast_core.kernel.instants import Instant
from holdfast_core.record.model import Kind, entry
from holdfast_core.wire.frame import DirectiveState

BODY_BYTES = 8 * 1024


class ErasureAppraiser(SmallSection):
    """Reads section ``erasure``; it is no ground for a verdict."""

    def __init__(self) -> None:
        super().__init__(SECTION, ErasureReport, limit=BODY_BYTES)

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """Tell of the report."""
        report: ErasureReport | None = self.read(evidence, context)
        if report is None:
            return Appraised(wants_body=True)
        if context.device.lifecycle is not Lifecycle.RETIRING:
            return Appraised()
        return Appraised(events=(ErasureReported(context.device, report, context.now),))


class ErasureListener:
    """Moves a retirement on as its device speaks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self, event: Event) -> Sequence[Change]:
        """The changes that `event` sets off."""
        match event:
            case ErasureReported(device, report, at):
                before = self._of(device)
                return _step(device, before, heard(before, report, at), at) if before else ()
            case Noted(Kind.DIRECTIVE_SETTLED, device=Device() as device, data=data, at=at):
                before = self._of(device)
                if before is None or (data["kind"], data["state"]) != (ERASE, DirectiveState.REFUSED.value):
                    return ()
                why = f"The device refused to erase itself ({data['code'] or 'it does not say why'})."
                return _step(device, before, refused(before, why, at), at)
        return ()

    def _of(self, device: Device) -> Retirement | None:
        return self._store.kept(Retirement, device.key.scope, device.key.device)


def _step(device: Device, before: Retirement, after: Retirement, at: Instant) -> Sequence[Change]:
    if after == before:
        return ()
    data = {"step": after.step.value, "shortfall": after.shortfall, "report": after.report}
    name = device.key.device
    made = entry(Kind.DEVICE_ERASED, at=at, scope=device.key.scope, actor=f"device:{name}", device=name, data=data)
    return after, leaf(made)
