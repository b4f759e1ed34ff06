"""Devices of a model that names local accounts."""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from builders import ACTOR, DeviceInTest, request_for
from holdfast.bootstrap import Plane
from holdfast.inventory.model_file import example_bytes
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import HOUR
from holdfast_core.wire.frame import Directive, Reply
from holdfast_core.wire.secrets import DIRECTIVE, SecretsArgs, SecretTold

PUMP = b"{name: pump, kind: service}"
BMC = b"{name: ADMIN, kind: bmc, set_by: hand, length: 16, alphabet: letters-digits-signs}"


def model_with(*accounts: bytes, example: str = "door-camera") -> bytes:
    """An example model file with these local accounts."""
    listed = b"".join(b"  - " + account + b"\n" for account in accounts)
    return example_bytes(example) + b"\nlocal_accounts:\n" + listed


async def device_with(plane: Plane, *accounts: bytes, name: str = "cam-1") -> DeviceInTest:
    """An enrolled device whose model names these accounts."""
    scope = plane.config.scope
    model = await plane.inventory.add_model(scope, model_with(*accounts), actor=ACTOR)
    device = await plane.inventory.add_device(scope, Row(1, DeviceId(name), model.reference), actor=ACTOR)
    claim, _ = await plane.identity.create_claim(device.key, lifetime=HOUR, actor=ACTOR)
    chain = await plane.identity.enroll(name, claim, request_for(name))
    return DeviceInTest(plane, device, digest_of(chain[0].public_bytes(Encoding.DER)))


def ordered(reply: Reply) -> dict[str, int]:
    """The versions that a reply says are waiting, by account."""
    found: list[Directive] = [each for each in reply.directives if each.kind == DIRECTIVE]
    if not found:
        return {}
    (directive,) = found
    return {each.account: each.version for each in msgspec.json.decode(directive.args, type=SecretsArgs).secrets}


async def fetched(device: DeviceInTest, account: str = "pump", version: int = 1) -> SecretTold:
    """The secret as the device fetches it."""
    return await device.plane.secret_delivery.fetch(device.fingerprint, account, version)


async def set_and_confirmed(device: DeviceInTest, account: str = "pump", version: int = 1) -> str:
    """The secret, fetched and confirmed."""
    told = await fetched(device, account, version)
    await device.plane.secret_delivery.confirm(device.fingerprint, account, version)
    return told.secret
