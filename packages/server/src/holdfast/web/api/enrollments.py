"""Enrollments that wait for a person: who asks, and what is decided."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from holdfast.web.api.callers import Operator, Reader, Served
from holdfast.web.api.shapes import DeviceName, Shape, Text, Time, Why
from holdfast_core.identity.pending import PendingRequest
from holdfast_core.kernel.instants import rfc3339

router = APIRouter(prefix="/enrollments", tags=["enrollments"])

Fingerprint = Annotated[str, Path(description="The fingerprint of the key, eight groups of four hexadecimal digits.")]


class PendingShape(Shape):
    """A request: for which device, the fingerprint of its key, when and from where it came, and what was decided."""

    device: Text
    fingerprint: str
    asked_at: Time
    expires_at: Time
    address: str
    decision: str
    decided_by: str


class PendingList(Shape):
    """Requests, the oldest first."""

    items: list[PendingShape]


class AllowanceShape(Shape):
    """Until when a device may come once more with its manufacturer's certificate."""

    device: str
    expires_at: Time


@router.get("")
async def list_enrollments(caller: Reader, services: Served) -> PendingList:
    """List the requests that wait for a person, and those decided within the last day that were not fetched."""
    return PendingList(items=[_shown(request) for request in services.approvals.pending(caller.scope)])


@router.post("/{fingerprint}/approve")
async def approve_enrollment(fingerprint: Fingerprint, caller: Operator, services: Served) -> PendingShape:
    """Let the key with this fingerprint have its certificate, once the device asks again."""
    return _shown(await services.approvals.approve(caller.scope, fingerprint, actor=caller.actor))


@router.post("/{fingerprint}/refuse")
async def refuse_enrollment(fingerprint: Fingerprint, body: Why, caller: Operator, services: Served) -> PendingShape:
    """Turn the key with this fingerprint away."""
    return _shown(await services.approvals.refuse(caller.scope, fingerprint, why=body.why, actor=caller.actor))


@router.post("/devices/{device}/allow")
async def allow_enrollment(device: DeviceName, body: Why, caller: Operator, services: Served) -> AllowanceShape:
    """Let a device come once more with its manufacturer's certificate, within a day."""
    made = await services.manufacturers.allow(caller.key(device), why=body.why, actor=caller.actor)
    return AllowanceShape(device=made.id, expires_at=rfc3339(made.expires_at))


def _shown(request: PendingRequest) -> PendingShape:
    return PendingShape(
        device=request.device,
        fingerprint=request.id,
        asked_at=rfc3339(request.asked_at),
        expires_at=rfc3339(request.expires_at),
        address=request.address,
        decision=request.decision.value,
        decided_by=request.decided_by,
    )
