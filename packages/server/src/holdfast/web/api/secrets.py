"""Local secrets of devices: what there is, seeing one, ordering another.

1. Seeing one needs the permission to administer and a reason, and is on record. The edge keeps it from being cached.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from holdfast.identity.secrets import Listed
from holdfast.web.api.callers import Admin, Operator, Principal, Reader, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, DeviceName, Limit, Sentence, Shape, Text, Time, Why, maybe
from holdfast_core.identity.secrets import LocalSecret
from holdfast_core.kernel.limits import LIMITS

router = APIRouter(prefix="/secrets", tags=["secrets"])

AccountName = Annotated[str, Path(description="The local account's name.")]


class SecretShape(Shape):
    """An account and where its secret stands; never the secret.

    `state` is ``due``, ``waiting``, ``delivered`` or ``confirmed``. `version` is the one that is in force, 0 where none
    is known to be; `unconfirmed` are those that may be.
    """

    device: str
    account: str
    kind: str
    set_by: str
    state: str
    version: int
    unconfirmed: list[int]
    confirmed_at: Time | None
    shown_at: Time | None
    rotate_days: int


class SecretList(Shape):
    """Accounts with local secrets, by device and name."""

    items: list[SecretShape]


class SecretSeen(Shape):
    """A secret, shown this once; `confirmed` says whether the device is known to have it, or only may."""

    version: int
    secret: str
    confirmed: bool


class SecretsSeen(Shape):
    """What opens the account, most likely first."""

    device: str
    account: str
    items: list[SecretSeen]


class Found(Shape):
    """A secret that is on the device already, and how one comes to know it."""

    secret: Annotated[str, Field(max_length=LIMITS.text)]
    why: Sentence


class Confirmed(Shape):
    """Which version the device has."""

    version: Annotated[int, Field(ge=1)]


@router.get("")
async def list_secrets(
    caller: Reader,
    services: Served,
    device: Annotated[Text, Query(description="Only those of this device.")] = "",
    limit: Limit = PAGE,
) -> SecretList:
    """List the local accounts of devices and where their secrets stand."""
    if device:
        caller.key(device)
    found = services.secrets.listed(caller.scope, device=device, limit=limit)
    return SecretList(items=[_shown(each) for each in found])


@router.post("/{device}/{account}/show")
async def show_secret(
    device: DeviceName, account: AccountName, asked: Why, caller: Admin, services: Served
) -> SecretsSeen:
    """Show a secret, once. It stands in the record, and another secret is due from then on."""
    key = caller.key(device)
    seen = await services.secrets.show(key, account, why=asked.why, actor=caller.actor)
    items = [SecretSeen(version=each.version, secret=each.secret, confirmed=each.confirmed) for each in seen]
    return SecretsSeen(device=device, account=account, items=items)


@router.post("/{device}/{account}/rotate")
async def rotate_secret(
    device: DeviceName, account: AccountName, asked: Why, caller: Operator, services: Served
) -> SecretShape:
    """Order another secret; the device fetches it at its next check-in, or a person types it in."""
    after = await services.secrets.rotate(caller.key(device), account, why=asked.why, actor=caller.actor)
    return _again(services, caller, after)


@router.post("/{device}/{account}/confirm")
async def confirm_secret(
    device: DeviceName, account: AccountName, which: Confirmed, caller: Operator, services: Served
) -> SecretShape:
    """Say that the device has a version; the older ones end."""
    after = await services.secrets.confirm(caller.key(device), account, which.version, actor=caller.actor)
    return _again(services, caller, after)


@router.post("/{device}/{account}/import")
async def import_secret(
    device: DeviceName, account: AccountName, found: Found, caller: Admin, services: Served
) -> SecretShape:
    """Keep a secret that is on the device already; another one is due at once."""
    after = await services.secrets.take_over(
        caller.key(device), account, found.secret, why=found.why, actor=caller.actor
    )
    return _again(services, caller, after)


def _again(services: Services, caller: Principal, after: LocalSecret) -> SecretShape:
    found = services.secrets.listed(caller.scope, device=after.device, limit=LIMITS.model_items)
    return next(_shown(each) for each in found if each.record.account == after.account)


def _shown(each: Listed) -> SecretShape:
    current = each.record.current
    return SecretShape(
        device=each.record.device,
        account=each.record.account,
        kind=each.declared.kind.value,
        set_by=each.declared.set_by.value,
        state=each.state.value,
        version=current.number if current else 0,
        unconfirmed=[version.number for version in each.record.versions if version.confirmed_at is None],
        confirmed_at=maybe(current.confirmed_at) if current else None,
        shown_at=maybe(current.shown_at) if current else None,
        rotate_days=each.declared.rotate_days,
    )
