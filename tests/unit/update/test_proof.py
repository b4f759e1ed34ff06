"""What counts as known of a device beside its own report."""

from __future__ import annotations

import msgspec
import pytest

from builders import example_bytes
from holdfast.inventory import model_file
from holdfast.update.proof import proof_of
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.trust.model import Verdict
from holdfast_core.trust.posture import Posture
from holdfast_core.wire.frame import Level

NOW = Instant(1_800_000_000_000)
KEY = DeviceKey(Scope("acme", "production"), DeviceId("cam-1"))
POSTURE = Posture(KEY, Verdict(Level.TRUSTED, (), NOW, None))


def reading(feature: str, tier: Tier, *, age: int = 0) -> Appraisal:
    at = Instant(NOW - age)
    return Appraisal(feature, tier, (Reason(f"{feature}.why", "Because."),), at, Instant(at + HOUR))


@pytest.mark.parametrize("feature", ["behaviour", "attestation"])
def test_what_is_contraindicated_counts_with_its_moment(feature):
    model = model_file.load(example_bytes("door-camera"))
    posture = POSTURE.with_appraisal(reading(feature, Tier.CONTRAINDICATED, age=60_000))
    proof = proof_of(model, posture, NOW)
    assert (proof.against, proof.against_at) == (f"{feature}.why", NOW - 60_000)


def test_what_another_feature_holds_against_a_device_is_no_fault_of_the_release():
    model = model_file.load(example_bytes("door-camera"))
    posture = POSTURE.with_appraisal(reading("baseline", Tier.CONTRAINDICATED))
    assert proof_of(model, posture, NOW).against == ""


def test_what_has_lapsed_counts_no_more():
    model = model_file.load(example_bytes("door-camera"))
    posture = POSTURE.with_appraisal(reading("behaviour", Tier.CONTRAINDICATED, age=2 * HOUR))
    assert proof_of(model, posture, NOW).against == ""


def test_no_appraisal_is_no_proof():
    model = model_file.load(example_bytes("site-gateway"))
    assert msgspec.structs.astuple(proof_of(model, POSTURE, NOW))[1:4] == ("", None, "")
