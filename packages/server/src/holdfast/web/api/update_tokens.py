"""Update tokens of a device: its right to ask for its updates, for clients that have no certificate."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from holdfast.update.update_tokens import DEFAULT_TOKEN, LONGEST_TOKEN, public_id
from holdfast.web.api.callers import Admin, Served
from holdfast.web.api.shapes import DeviceName, Json, Shape, Time, maybe
from holdfast_core.kernel.instants import SECOND, rfc3339
from holdfast_core.update.ddi import UpdateToken

router = APIRouter(prefix="/devices/{device}/update-tokens", tags=["update-tokens"])


class NewUpdateToken(Shape):
    """For how many seconds."""

    lifetime_s: Annotated[int, Field(ge=1, le=LONGEST_TOKEN // SECOND)] = DEFAULT_TOKEN // SECOND


class UpdateTokenShape(Shape):
    """An update token, by the public part of its digest; its text is never shown again."""

    id: str
    device: str
    by: str
    created_at: Time
    expires_at: Time
    revoked_at: Time | None
    used_at: Time | None


class UpdateTokenMade(UpdateTokenShape):
    """A new update token, with its text, shown this once."""

    token: str


class UpdateTokenList(Shape):
    """A device's update tokens in order of making, ended ones included."""

    items: list[UpdateTokenShape]


@router.get("")
async def list_update_tokens(device: DeviceName, caller: Admin, services: Served) -> UpdateTokenList:
    """List a device's update tokens, and when each was used last."""
    return UpdateTokenList(
        items=[UpdateTokenShape(**_shown(each)) for each in services.update_tokens.listed(caller.key(device))]
    )


@router.post("", status_code=201)
async def create_update_token(
    new: NewUpdateToken, device: DeviceName, caller: Admin, services: Served
) -> UpdateTokenMade:
    """Make an update token for a device."""
    text, made = await services.update_tokens.create(
        caller.key(device), lifetime=new.lifetime_s * SECOND, actor=caller.actor
    )
    return UpdateTokenMade(**_shown(made), token=text)


@router.delete("/{token}")
async def revoke_update_token(
    device: DeviceName,
    token: Annotated[str, Path(description="Its public id.")],
    caller: Admin,
    services: Served,
) -> UpdateTokenShape:
    """End an update token; its next request is refused."""
    return UpdateTokenShape(
        **_shown(await services.update_tokens.revoke(caller.key(device), token, actor=caller.actor))
    )


def _shown(token: UpdateToken) -> Json:
    return {
        "id": public_id(token),
        "device": token.device,
        "by": token.by,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
        "revoked_at": maybe(token.revoked_at),
        "used_at": maybe(token.used_at),
    }
