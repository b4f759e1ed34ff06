"""Whether a device is affirmed, for features that open something only then: sealed secrets, renewals.

1. The answer is made of the device's posture alone, so it is the same after a restart.
2. What is granted already is not asked for again: a renewal whose answer was lost is repeated without fresh evidence.
"""

from __future__ import annotations

import msgspec

from holdfast.ports.store import StoredModel
from holdfast_core.attestation.affirmed import Lack, lack_of
from holdfast_core.attestation.model import FEATURE, DeviceState
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.posture import Posture
from holdfast_core.wire.attestation import SECTION

ATTESTATION_REQUIRED = "identity.attestation_required"
"""The code of `check_renewable`'s refusal, as a device reports it."""
_decode = msgspec.msgpack.Decoder(DeviceState).decode


def state_of(posture: Posture | None) -> DeviceState:
    """What is remembered of a device's attestation."""
    known = posture.sections.get(SECTION) if posture is not None else None
    return _decode(known.body) if known is not None and known.body else DeviceState()


def lack(posture: Posture | None, now: Instant) -> Lack | None:
    """What keeps a device from being affirmed at `now`; `None` where nothing does."""
    appraisal = posture.appraisal(FEATURE) if posture is not None else None
    return lack_of(appraisal, state_of(posture), now)


def renewal_lack(stored: StoredModel | None, posture: Posture | None, now: Instant) -> Lack | None:
    """What keeps a device from renewing at `now`, where its model demands fresh attestation before it."""
    demanded = stored is not None and stored.model.attestation.before_renewal
    return lack(posture, now) if demanded else None


def check_renewable(device: Device, stored: StoredModel | None, posture: Posture | None, now: Instant) -> None:
    """Refuse to renew for a device that its model wants affirmed first, and that is not.

    Raises:
        IdentityRefused: ``identity.attestation_required`` (403).
    """
    missing = renewal_lack(stored, posture, now)
    if missing is not None:
        raise IdentityRefused(
            "identity.attestation_required",
            f"{device.key.device} {missing.sentence}; its model demands fresh attestation before a renewal.",
            remedy="Check in with fresh evidence first; the reply then says when to renew. A device that cannot check "
            "in any more enrolls with a new claim, or, once its certificate expired, with its TPM.",
        )
