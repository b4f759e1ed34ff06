"""What an appraisal looks at, and what comes out of it: the values that `rules`, `by_tpm` and `by_token` share.

1. Everything that an outcome depends on is in `Facts`: the same facts lead to the same outcome, today and when an old
   verdict is made again.
2. Missing is none: where nothing says what software runs, the tier is none, however good the rest (`concluded`).
"""

from __future__ import annotations

import msgspec

from holdfast_core.attestation.ground import Ground
from holdfast_core.attestation.model import APPROVED_RUNTIME, DeviceState, Freshness, Result, Vector
from holdfast_core.attestation.quote import Nonce
from holdfast_core.attestation.refusals import Effect
from holdfast_core.formats.tpm.public import Public
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.wire.attestation import Evidence


class Facts(msgspec.Struct, frozen=True):
    """Everything that an appraisal looks at.

    `key` is of a TPM its parsed attestation key, of a token the SubjectPublicKeyInfo; `None` where none is bound.
    `log` is the event log whose digest is `log_digest`; it may be left out where `before` has read it already.
    """

    device: str
    now: Instant
    nonce: Nonce
    key: Public | bytes | None
    ground: Ground
    before: DeviceState
    evidence: Evidence
    log: bytes | None = None
    log_digest: str = ""
    too_much: bool = False
    """Whether the device has sent as much today as is kept of one."""


class Outcome(msgspec.Struct, frozen=True):
    """What came out.

    `result` is `None` where the evidence says nothing; `reason` says why it was refused. `again`: other evidence should
    follow at once. `wants_log`: with the event log.
    """

    state: DeviceState
    result: Result | None = None
    reason: Reason | None = None
    effect: Effect | None = None
    again: bool = False
    wants_log: bool = False


def held_back(before: DeviceState, release: str, svn: int) -> Reason | None:
    """Why a release is none for this device, where the same chip has proved a higher security version number."""
    if not 0 <= svn < before.highest_svn:
        return None
    return Reason(
        "attestation.release_downgraded",
        f"The device went back to {release} (security version number {svn}); it proved {before.highest_svn} before.",
        "Update it again, and find out who put the old one back. Going back on purpose: holdfast attest reset DEVICE.",
    )


def concluded(vector: Vector, freshness: Freshness, reasons: tuple[Reason, ...], release: str, svn: int) -> Result:
    """The result; where nothing is known of the software, the tier is none, however good the rest."""
    tier = vector.tier
    if tier is Tier.AFFIRMING and not vector.executables:
        tier = Tier.NONE
    if tier is Tier.AFFIRMING:
        reasons = (_affirmed(release, vector), *reasons)
    return Result(tier, freshness, vector, reasons, release, svn)


def _affirmed(release: str, vector: Vector) -> Reason:
    depth = "booted and runs" if vector.executables == APPROVED_RUNTIME else "booted"
    return Reason("attestation.affirmed", f"The device proved that it {depth} {release}.")
