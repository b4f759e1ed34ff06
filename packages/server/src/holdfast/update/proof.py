"""What is known of a device beside its own report: what it proved, what speaks against it, whether it is well."""

from __future__ import annotations

import msgspec

from holdfast.ports.attested import state_of
from holdfast_core.attestation.model import FEATURE, Method
from holdfast_core.attestation.policy import policy_of
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.posture import Posture
from holdfast_core.update.assignment import Proof
from holdfast_core.wire.frame import Health

COUNTED = (FEATURE, "behaviour")
"""The features whose contraindicated appraisal counts against a release that a device booted before it.

`behaviour` is to come; whatever reads a device's behaviour counts by appraising it under that name.
"""
_HEALTH = msgspec.json.Decoder(Health)


def proof_of(model: DeviceModel, posture: Posture, now: Instant) -> Proof:
    """What is known of a device beside its own report."""
    health = posture.sections.get("health")
    healthy = _HEALTH.decode(health.body).ok if health is not None and health.body else None
    proof = Proof(policy_of(model).method is not Method.NONE, healthy=healthy)
    for feature in COUNTED:
        appraisal = posture.appraisal(feature)
        if appraisal is not None and (current := appraisal.at(now)).tier is Tier.CONTRAINDICATED:
            code = current.reasons[0].code if current.reasons else feature
            return msgspec.structs.replace(proof, against=code, against_at=appraisal.appraised_at)
    appraisal = posture.appraisal(FEATURE)
    if not proof.attests or appraisal is None or appraisal.at(now).tier is not Tier.AFFIRMING:
        return proof
    return msgspec.structs.replace(proof, release=state_of(posture).release, proved_at=appraisal.appraised_at)
