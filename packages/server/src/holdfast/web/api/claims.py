"""Claims: the right of one device to enroll, and the command that uses it."""

from __future__ import annotations

import shlex
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from holdfast.identity.service import DEFAULT_CLAIM, LONGEST_CLAIM
from holdfast.web.api.callers import Operator, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import Shape, Text, Time
from holdfast_core.identity.model import Claim
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.kernel.instants import SECOND, rfc3339

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


def _command(services: Services, device: DeviceId, claim: str) -> str:
    """The claim travels in the environment: arguments are shown to every process of the device."""
    words = ["holdfast-agent", "enroll", services.device_url, "--device", device, "--ca", services.root_fingerprint]
    return f"HOLDFAST_CLAIM={shlex.quote(claim)} {shlex.join(words)}"
