"""Fleet claims: the right of a production line to enroll so many devices of one model, for so long."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field, StringConstraints

from holdfast.identity.fleet_claims import NewFleetClaim
from holdfast.web.api.callers import Admin, Reader, Served
from holdfast.web.api.shapes import Json, Shape, Text, Time, maybe
from holdfast_core.identity.fleet import LARGEST_QUOTA, LONGEST, FleetClaim
from holdfast_core.kernel.instants import SECOND, rfc3339
from holdfast_core.kernel.limits import LIMITS

router = APIRouter(prefix="/fleet-claims", tags=["fleet-claims"])


class NewFleetClaimShape(Shape):
    """For which line and model, for how many devices and seconds; `request` is a PEM PKCS#10 of the line's own key.

    With `hook`, the program in the server's configuration is asked about every device.
    """

    line: Text
    model: Text
    quota: Annotated[int, Field(ge=1, le=LARGEST_QUOTA)]
    lifetime_s: Annotated[int, Field(ge=1, le=LONGEST // SECOND)]
    owner: Text = ""
    hook: bool = False
    request: Annotated[str, StringConstraints(max_length=2 * LIMITS.csr_bytes)] = ""


class FleetClaimShape(Shape):
    """A claim and its use."""

    line: str
    model: str
    owner: str
    quota: int
    used: int
    hook: bool
    created_at: Time
    expires_at: Time
    withdrawn_at: Time | None
    fingerprint: str


class FleetClaimMadeShape(FleetClaimShape):
    """A new claim with its certificate and, unless the line brought its own, its key: PEM, shown this once."""

    certificate: str
    key: str


class FleetClaimList(Shape):
    """Claims by line, those that are over included for a while."""

    items: list[FleetClaimShape]


@router.get("")
async def list_fleet_claims(caller: Reader, services: Served) -> FleetClaimList:
    """List the claims of production lines."""
    return FleetClaimList(
        items=[FleetClaimShape(**_shown(claim)) for claim in services.fleet_claims.list(caller.scope)]
    )


@router.post("", status_code=201)
async def create_fleet_claim(new: NewFleetClaimShape, caller: Admin, services: Served) -> FleetClaimMadeShape:
    """Make a claim for a production line."""
    wanted = NewFleetClaim(
        line=new.line,
        model=new.model,
        quota=new.quota,
        lifetime=new.lifetime_s * SECOND,
        owner=new.owner,
        hook=new.hook,
        request=new.request.encode(),
    )
    made = await services.fleet_claims.create(caller.scope, wanted, actor=caller.actor)
    return FleetClaimMadeShape(**_shown(made.claim), certificate=made.certificate.decode(), key=made.key.decode())


@router.delete("/{line}")
async def withdraw_fleet_claim(line: Annotated[str, Path()], caller: Admin, services: Served) -> FleetClaimShape:
    """End the claim of a production line; devices that it enrolled stay."""
    return FleetClaimShape(**_shown(await services.fleet_claims.withdraw(caller.scope, line, actor=caller.actor)))


def _shown(claim: FleetClaim) -> Json:
    return {
        "line": claim.id,
        "model": claim.model,
        "owner": claim.owner,
        "quota": claim.quota,
        "used": claim.used,
        "hook": claim.hook,
        "created_at": rfc3339(claim.created_at),
        "expires_at": rfc3339(claim.expires_at),
        "withdrawn_at": maybe(claim.withdrawn_at),
        "fingerprint": claim.fingerprint,
    }
