"""When incidents open, change and close.

1. A verdict that falls to quarantined opens (or sharpens) the device's ``verdict`` incident; restricted opens one of
   lower severity, except for a device that has never been trusted: its start is not an incident.
2. Trusted or retired closes it.
3. A clone opens a ``clone`` incident; only a release by a person closes it.
4. A log that is not what a device has seen, shorter or rewritten, opens a ``log`` incident; only a person closes it.
5. A credential that was ended and is used all the same opens a ``credential`` incident; only a person closes it.
6. Who tries to enroll as a device that was admitted for good, or is not what they say, opens an ``enrollment``
   incident; only a person closes it.
7. Evidence that contradicts its key, its device or itself opens an ``attestation`` incident; only a person closes it.
8. A relying party that lets revoked certificates in, or soon cannot tell them, opens a ``relying-party`` incident; the
   next look that finds it sound closes it. It is of no device: its key names the party.
9. A broker that does not obey opens a ``broker`` incident under its own name (``broker:<name>``), which ends when it
   obeys again; a device that comes to a broker as somebody else opens one too, and only a person closes that.
10. Whatever belonged to a retired device and is tried again opens a ``retired-…`` incident, one for each way.
11. An erasure that nobody verified until its deadline opens an ``erasure`` incident; verifying it closes that.
"""

from __future__ import annotations

import msgspec

from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.kernel.severity import Severity
from holdfast_core.response.model import Incident
from holdfast_core.trust.model import Verdict
from holdfast_core.wire.frame import Level

VERDICT = "verdict"
CLONE = "clone"
LOG = "log"
CREDENTIAL = "credential"
ENROLLMENT = "enrollment"
ATTESTATION = "attestation"
RELYING_PARTY = "relying-party"
BROKER = "broker"
ERASURE = "erasure"
RETIRED = "retired"
"""With what was tried after it, such as ``retired-claim``: each way back is an incident of its own."""

_SEVERITY = {Level.QUARANTINED: Severity.CRITICAL, Level.RESTRICTED: Severity.MEDIUM}


def after_verdict(
    key: DeviceKey, before: Verdict | None, after: Verdict, current: Incident | None, *, fresh_id: str, now: Instant
) -> Incident | None:
    """The ``verdict`` incident after a change of verdict, or `None` when there is nothing to open, change or close.

    Args:
        key: the device.
        before: its verdict before the change; `None` when it had none.
        after: its verdict now.
        current: its open ``verdict`` incident, if any.
        fresh_id: the id for a new incident.
        now: when the change happened.
    """
    severity = _SEVERITY.get(after.level)
    if severity is None:
        return close(current, f"verdict is {after.level}", now) if current else None
    title = f"{key.device} is {after.level}"
    if current is not None:
        return msgspec.structs.replace(current, severity=severity, title=title, reasons=after.reasons, updated_at=now)
    if after.level is Level.RESTRICTED and (before is None or before.level is not Level.TRUSTED):
        return None
    return Incident(fresh_id, key, VERDICT, severity, title, after.reasons, now, now)


def relying_party(scope: Scope, party: str) -> DeviceKey:
    """The key of the incidents of a relying party; no device id has a colon."""
    return DeviceKey(scope, DeviceId(f"{RELYING_PARTY}:{party}"))


def after_look(
    key: DeviceKey, reasons: tuple[Reason, ...], current: Incident | None, *, fresh_id: str, now: Instant
) -> Incident | None:
    """The ``relying-party`` incident after a look at a party, or `None` when there is nothing to open, change or close.

    Args:
        key: see `relying_party`.
        reasons: what the look found; empty when all is well.
        current: its open incident, if any.
        fresh_id: the id for a new incident.
        now: when it was looked at.
    """
    if not reasons:
        return close(current, "the relying party refuses revoked certificates", now) if current else None
    if current is None:
        title = f"{key.device} may let revoked devices in"
        return Incident(fresh_id, key, RELYING_PARTY, Severity.CRITICAL, title, reasons, now, now)
    if [reason.code for reason in reasons] == [reason.code for reason in current.reasons]:
        return None
    return msgspec.structs.replace(current, reasons=reasons, updated_at=now)


def close(incident: Incident, why: str, now: Instant) -> Incident:
    """The incident, ended."""
    return msgspec.structs.replace(incident, updated_at=now, closed_at=now, closed_why=why)


def opened(key: DeviceKey, cause: str, title: str, reason: Reason, *, fresh_id: str, now: Instant) -> Incident:
    """A critical incident that a person must close."""
    return Incident(fresh_id, key, cause, Severity.CRITICAL, title, (reason,), now, now)
