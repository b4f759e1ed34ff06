"""Whose a device is: owners, possession codes, and the way from one owner to the next."""

from __future__ import annotations

from fastapi import APIRouter

from holdfast.web.api import device_shapes as shapes
from holdfast.web.api.callers import Operator, Served
from holdfast.web.api.device_shapes import DeviceSummary
from holdfast.web.api.shapes import DeviceName, Sentence, Shape, Text

router = APIRouter(prefix="/devices", tags=["devices"])


class NewOwner(Shape):
    """Who answers for a device from now on."""

    owner: Text


class TransferTo(Shape):
    """The new owner, and why; both stand in the record."""

    owner: Text
    why: Sentence


class CodeMade(Shape):
    """A possession code, shown this once."""

    device: str
    code: str


class CodeUsed(Shape):
    """A possession code, and who answers for its device from now on."""

    code: Text
    owner: Text


@router.post("/claim")
async def claim_device(body: CodeUsed, caller: Operator, services: Served) -> DeviceSummary:
    """Make the holder of a possession code the owner of its device; the code is used up."""
    device = await services.ownership.claim(caller.scope, body.code, owner=body.owner, actor=caller.actor)
    return shapes.summary(device, services.store)


@router.post("/{device}/owner")
async def set_owner(device: DeviceName, body: NewOwner, caller: Operator, services: Served) -> DeviceSummary:
    """Say who answers for a device, or correct it; its identity stays."""
    changed = await services.ownership.set_owner(caller.key(device), body.owner, actor=caller.actor)
    return shapes.summary(changed, services.store)


@router.post("/{device}/transfer")
async def transfer_device(device: DeviceName, body: TransferTo, caller: Operator, services: Served) -> DeviceSummary:
    """Give a device to another owner, and with it another identity; what the old one could still use ends now."""
    key = caller.key(device)
    changed = await services.ownership.transfer(key, body.owner, why=body.why, actor=caller.actor)
    return shapes.summary(changed, services.store)


@router.post("/{device}/code", status_code=201)
async def create_possession_code(device: DeviceName, caller: Operator, services: Served) -> CodeMade:
    """Make the possession code of a device; the one before ends."""
    key = caller.key(device)
    return CodeMade(device=key.device, code=await services.ownership.create_code(key, actor=caller.actor))
