"""What the build states, and whether this is the running system at all."""

from __future__ import annotations

import msgspec

from holdfast_core.baseline.model import BuildManifest
from holdfast_core.baseline.probes import Inspection, Manifest, Offline, judge_manifest
from holdfast_core.baseline.probes.statements import MANIFEST_PATH
from holdfast_core.kernel.limits import LIMITS
from holdfast_probe.case import Case, Looks
from holdfast_probe.roots import Missing, Root, Unreadable
from holdfast_probe.sight import Sight, failed, passed, unknown


def see_manifest(case: Case, spec: Manifest) -> Sight:
    """Judge one `Manifest` probe by the manifest that came with the audit, or by the one in the root."""
    manifest = build_manifest(case)
    if manifest is None:
        return unknown(f"The build states nothing: there is no {MANIFEST_PATH}.")
    finding = judge_manifest("XX-00", spec, manifest)
    return Sight(finding.outcome, finding.proof, finding.reason)


def build_manifest(case: Case) -> BuildManifest | None:
    """The manifest that came with the audit, or else the one in the root. Raises `Unreadable`."""
    return case.manifest or case.once(_manifest_in)


def _manifest_in(root: Root) -> BuildManifest | None:
    try:
        return msgspec.json.decode(root.read(MANIFEST_PATH, limit=LIMITS.section_bytes), type=BuildManifest)
    except Missing:
        return None
    except (msgspec.MsgspecError, RecursionError):
        raise Unreadable(MANIFEST_PATH, "it is not a build manifest") from None


def see_offline(case: Case, _spec: Offline) -> Sight:
    """Judge one `Offline` probe."""
    return failed(["this is the running system"]) if case.root.live else passed("this is not a running system")


def see_inspection(_case: Case, _spec: Inspection) -> Sight:
    """A person's matter."""
    return unknown("A person has to look; no inspection is known.")


LOOKS: Looks = {Manifest: see_manifest, Offline: see_offline, Inspection: see_inspection}
