"""Devices that attested, without a TPM: an appraisal put into the posture as a check-in leaves it there."""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, request_for
from holdfast.bootstrap import Plane
from holdfast.inventory.model_file import example_bytes
from holdfast.ports.attested import state_of
from holdfast_core.attestation.model import FEATURE, DeviceState, Freshness
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR, Instant
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind, parse_entry
from holdfast_core.trust.posture import SectionState
from holdfast_core.wire.attestation import SECTION

LIFE = 6 * HOUR
WHY = "the disk is read on the bench"
DEMAND = b"\nattestation: {before_renewal: true}\n"


def reason_of(tier: Tier) -> Reason:
    """The first reason of an appraisal of this tier."""
    return Reason(f"attestation.test_{tier.value}", f"It is {tier.value}.", "Mend it.")


async def attested(
    device: DeviceInTest,
    tier: Tier = Tier.AFFIRMING,
    *,
    freshness: Freshness = Freshness.FRESH,
    refused: Reason | None = None,
) -> None:
    """Put what attestation came to into the device's posture, as of now."""
    plane, key = device.plane, device.key
    posture = plane.store.posture(key)
    assert posture is not None
    now = plane.clock.now()
    state = msgspec.structs.replace(state_of(posture), freshness=freshness, refused=refused)
    section = SectionState(digest_of(b"evidence"), now, msgspec.msgpack.encode(state))
    posture = msgspec.structs.replace(posture, sections={**posture.sections, SECTION: section})
    posture = posture.with_appraisal(Appraisal(FEATURE, tier, (reason_of(tier),), now, Instant(now + LIFE)))
    await plane.store.commit([posture])


def state(freshness: Freshness = Freshness.FRESH, refused: Reason | None = None) -> DeviceState:
    """What is remembered of a device."""
    return DeviceState(freshness=freshness, refused=refused)


async def device_demanding(plane: Plane, name: str = "cam-1", *, leaf_days: int = 30) -> DeviceInTest:
    """An enrolled device whose certificate is renewed only on fresh evidence."""
    scope = plane.config.scope
    data = example_bytes("door-camera") + DEMAND + b"identity: {leaf_days: %d}\n" % leaf_days
    model = await plane.inventory.add_model(scope, data, actor=ACTOR)
    device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    chain = await plane.identity.enroll(name, claim, request_for(name))
    return DeviceInTest(plane, device, digest_of(chain[0].public_bytes(Encoding.DER)))


def on_record(plane: Plane, *kinds: Kind) -> list[tuple[str, str, bytes]]:
    """What the record says of some kinds: kind, actor and data."""
    leaves = [parse_entry(each.data) for each in plane.store.every_leaf()]
    return [(entry.kind.value, entry.actor, bytes(entry.data)) for entry in leaves if entry.kind in kinds]
