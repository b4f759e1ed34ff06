"""Requests that wait for a person: who asks, and how a person recognises the key.

1. A request is known by the fingerprint of its key alone. That fingerprint is what a person compares, what they type,
   and what is certified: approving one key can never certify another.
2. What was approved is certified within its time or not at all; so is what was refused kept out, and then forgotten.
   An approval can be taken back until it was used, and does not outlast a revocation; a refusal stands.
3. The list is bounded, for a whole scope and for each name: who may ask without any proof must not fill a memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from holdfast_core.identity.model import Credential, Revocation
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.kept import Kept

WAITS = DAY
"""How long a request waits, and how long a decision about it stands."""
_GROUP, _GROUPS = 4, 8
"""128 bits: to make another key of the same fingerprint is out of reach; 64 would not be for long."""
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{_GROUP}}}(?:-[0-9a-f]{{{_GROUP}}}){{{_GROUPS - 1}}}")


class Decision(StrEnum):
    """What a person said of a request."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"


class PendingRequest(Kept, frozen=True, kw_only=True):
    """A request without any proof; `id` is the fingerprint of its key as people read it."""

    device: DeviceId
    spki: Digest
    asked_at: Instant
    expires_at: Instant
    address: str = ""
    """Where it came from, if that is known; for people, never for a decision of ours."""
    decision: Decision = Decision.WAITING
    decided_by: str = ""


def readable(spki: Digest) -> str:
    """The fingerprint of a key as a person can read it out: the first half of its SHA-256 in groups of four.

    The device shows the same with ``openssl pkey -pubout -outform DER | sha256sum``.
    """
    digits = spki.removeprefix("sha256:")
    return "-".join(digits[start : start + _GROUP] for start in range(0, _GROUP * _GROUPS, _GROUP))


def parse_readable(text: str) -> str:
    """The fingerprint that a person typed, with or without its hyphens, in either case.

    Raises:
        HostileData: ``enrollment.fingerprint``.
    """
    digits = re.sub(r"[\s:-]", "", text).lower()
    found = "-".join(digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP))
    if not _FINGERPRINT.fullmatch(found):
        raise HostileData(
            "enrollment.fingerprint",
            f"{text[:80]!r} is no fingerprint.",
            remedy="Type all eight groups of four, as whoever stands at the device reads them out.",
        )
    return found


def may_wait(device: Device | None) -> bool:
    """Whether a request under this name is shown to a person: only for a device that is expected and owned."""
    if device is None or not device.owner:
        return False
    return device.lifecycle not in (Lifecycle.UNMANAGED, Lifecycle.RETIRED)


def outlasts(request: PendingRequest, credentials: Iterable[Credential]) -> bool:
    """Whether nobody ended a certificate of the device since the decision: what came before does not undo that."""
    at = request.expires_at - WAITS
    return not any(
        c.revoked_at is not None and c.revoked_at >= at and c.revoked_code is not Revocation.SUPERSEDED
        for c in credentials
    )


def decided(request: PendingRequest, decision: Decision, by: str, now: Instant) -> PendingRequest:
    """The request with a person's decision, which stands for a while from now on.

    Raises:
        HostileData: ``enrollment.decided`` when it was refused before.
    """
    if request.decision is Decision.REFUSED and decision is not Decision.REFUSED:
        raise HostileData(
            "enrollment.decided",
            f"This request was {request.decision.value} by {request.decided_by}.",
            remedy="Have the device make a new key and ask again.",
            http_status=409,
        )
    return msgspec.structs.replace(request, decision=decision, decided_by=by, expires_at=Instant(now + WAITS))
