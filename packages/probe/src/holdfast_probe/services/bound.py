"""The management probe: what administers a device listens where administration comes from, and nowhere else."""

from __future__ import annotations

from holdfast_core.baseline.probes.network import ManagementBound
from holdfast_probe.case import Case
from holdfast_probe.services.listen_web import MANAGEMENT
from holdfast_probe.services.listeners import derived
from holdfast_probe.services.starts import NOTHING_STARTS, started
from holdfast_probe.sight import Sight, failed, judged, not_applicable, unknown


def see_management_bound(case: Case, _spec: ManagementBound) -> Sight:
    """Judge one `ManagementBound` probe."""
    items, sources = case.once(started)
    if not sources:
        return unknown(NOTHING_STARTS)
    names = {item.name for item in items if item.answers_to(MANAGEMENT)}
    if not names:
        return not_applicable("Nothing that starts administers the device over the network.")
    found = case.once(derived)
    mine = [each for each in found.listeners if each.program in names]
    wide = [f"{e.program} listens on every interface, port {e.port} ({e.where})" for e in mine if not e.address]
    silent = sorted(names & set(found.gaps))
    if silent and not wide:
        return unknown(f"The settings of {', '.join(silent)} do not say where it listens.")
    return failed(wide) if wide else judged((), f"only named addresses are listened on: {', '.join(sorted(names))}")
