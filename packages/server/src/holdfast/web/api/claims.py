"""Claims: the right of one device to enroll, and the command that uses it."""

from __future__ import annotations

import shlex
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from holdfast.identity.public import public_id
from holdfast.identity.service import DEFAULT_CLAIM, LONGEST_CLAIM
from holdfast.web.api.callers import Operator, Reader, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, Limit, Shape, Text, Time, maybe
from holdfast_core.identity.model import Claim
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import SECOND, Instant, rfc3339

router = APIRouter(prefix="/claims", tags=["claims"])


class NewClaim(Shape):
    """For which device, and for how many seconds."""

    device: Text
    lifetime_s: Annotated[int, Field(ge=1, le=LONGEST_CLAIM // SECOND)] = DEFAULT_CLAIM // SECOND


class ClaimMade(Shape):
    """A claim, shown this once, and the exact command to run on the device."""

    claim: str
    device: str
    expires_at: Time
    command: str


class ClaimShape(Shape):
    """A claim, by the public part of its digest; its text is never shown again."""

    id: str
    device: str
    state: str
    created_at: Time
    expires_at: Time
    used_at: Time | None
    withdrawn_at: Time | None


class ClaimList(Shape):
    """Claims, the newest first."""

    items: list[ClaimShape]


@router.get("")
async def list_claims(
    caller: Reader,
    services: Served,
    device: Annotated[Text, Query(description="Only those of this device.")] = "",
    limit: Limit = PAGE,
) -> ClaimList:
    """List claims, used and ended ones included."""
    found = [claim for claim in services.store.claims(caller.scope) if not device or claim.key.device == device]
    now = services.clock.now()
    return ClaimList(items=[_shown(claim, now) for claim in reversed(found[-limit:])])


@router.delete("/{claim}")
async def withdraw_claim(claim: Annotated[str, Path()], caller: Operator, services: Served) -> ClaimShape:
    """End a claim that was not used yet; `claim` is its public id."""
    ended = await services.identity.withdraw_claim(caller.scope, claim, actor=caller.actor)
    return _shown(ended, services.clock.now())


@router.post("", status_code=201)
async def create_claim(new: NewClaim, caller: Operator, services: Served) -> ClaimMade:
    """Make a single-use claim for a device."""
    key = caller.key(new.device)
    text, claim = await services.identity.create_claim(key, lifetime=new.lifetime_s * SECOND, actor=caller.actor)
    return made(services, text, claim)


def made(services: Services, text: str, claim: Claim) -> ClaimMade:
    """A claim as it is shown once."""
    return ClaimMade(
        claim=text,
        device=claim.key.device,
        expires_at=rfc3339(claim.expires_at),
        command=_command(services, claim.key.device, text),
    )


def _shown(claim: Claim, now: Instant) -> ClaimShape:
    state = "open" if claim.is_open(now) else "ended"
    if claim.used_at is not None:
        state = "used"
    elif claim.withdrawn_at is not None:
        state = "withdrawn"
    return ClaimShape(
        id=public_id(claim.digest),
        device=claim.key.device,
        state=state,
        created_at=rfc3339(claim.created_at),
        expires_at=rfc3339(claim.expires_at),
        used_at=maybe(claim.used_at),
        withdrawn_at=maybe(claim.withdrawn_at),
    )


def _command(services: Services, device: DeviceId, claim: str) -> str:
    """The claim travels in the environment: arguments are shown to every process of the device."""
    words = ["holdfast-agent", "enroll", services.device_url, "--device", device, "--ca", services.root_fingerprint]
    return f"HOLDFAST_CLAIM={shlex.quote(claim)} {shlex.join(words)}"
