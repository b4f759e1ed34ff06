"""Sealed secrets of devices: what there is, sealing one, releasing one on an affirming appraisal, destroying one.

1. Whoever seals, sees or destroys one needs the permission to administer. The edge keeps it from being cached.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from holdfast.web.api.callers import Admin, Reader, Served
from holdfast.web.api.shapes import PAGE, DeviceName, Limit, Shape, Text, Time, Why, maybe
from holdfast_core.attestation.sealed import SealedSecret
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import rfc3339
from holdfast_core.wire.sealed import LARGEST

router = APIRouter(prefix="/sealed-secrets", tags=["sealed-secrets"])

SecretName = Annotated[str, Path(description="The secret's name.")]
_BASE64 = 4 * (LARGEST + 3) // 3 + 4
"""Characters of the largest secret, so that what is a little larger is refused by the rule, in words."""


class SealedSecretShape(Shape):
    """A sealed secret and its releases; never the secret. `size` is in bytes."""

    device: str
    name: str
    size: int
    made_at: Time
    by: str
    released: int
    released_at: Time | None
    released_to: str
    withheld: str


class SealedSecretList(Shape):
    """Sealed secrets, by device and name."""

    items: list[SealedSecretShape]


class ToSeal(Shape):
    """A secret's bytes, as base64 (RFC 4648, section 4)."""

    data: Annotated[str, Field(max_length=_BASE64, json_schema_extra={"format": "byte"})]


class Released(Shape):
    """A secret's bytes, as base64."""

    device: str
    name: str
    data: str


class Destroyed(Shape):
    """The secret that is gone."""

    device: str
    name: str


@router.get("")
async def list_sealed_secrets(
    caller: Reader,
    services: Served,
    device: Annotated[Text, Query(description="Only those of this device.")] = "",
    limit: Limit = PAGE,
) -> SealedSecretList:
    """List the sealed secrets of devices, and when each was released last."""
    if device:
        caller.key(device)
    found = services.sealed.listed(caller.scope, device=device, limit=limit)
    return SealedSecretList(items=[_shown(each) for each in found])


@router.post("/{device}/{name}")
async def seal_secret(
    device: DeviceName, name: SecretName, secret: ToSeal, caller: Admin, services: Served
) -> SealedSecretShape:
    """Seal a secret for a device, in place of the one of that name."""
    sealed = await services.sealed.seal(caller.key(device), name, _bytes(secret.data), actor=caller.actor)
    return _shown(sealed)


@router.post("/{device}/{name}/release")
async def release_secret(device: DeviceName, name: SecretName, asked: Why, caller: Admin, services: Served) -> Released:
    """Release a secret to a person, while the device's own appraisal is affirming. It stands in the record."""
    data = await services.sealed.release(caller.key(device), name, why=asked.why, actor=caller.actor)
    return Released(device=device, name=name, data=base64.b64encode(data).decode())


@router.post("/{device}/{name}/destroy")
async def destroy_secret(
    device: DeviceName, name: SecretName, asked: Why, caller: Admin, services: Served
) -> Destroyed:
    """Destroy a secret; it is released to nobody any more."""
    await services.sealed.destroy(caller.key(device), name, why=asked.why, actor=caller.actor)
    return Destroyed(device=device, name=name)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise HostileData(
            "sealed.malformed", "The secret is not base64.", remedy="Send its bytes as base64, with padding."
        ) from None


def _shown(secret: SealedSecret) -> SealedSecretShape:
    return SealedSecretShape(
        device=secret.device,
        name=secret.name,
        size=secret.size,
        made_at=rfc3339(secret.made_at),
        by=secret.by,
        released=secret.released,
        released_at=maybe(secret.released_at),
        released_to=secret.released_to,
        withheld=secret.withheld,
    )
