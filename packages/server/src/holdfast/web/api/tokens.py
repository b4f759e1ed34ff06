"""Tokens: the right of a program to call this API."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from holdfast.identity.public import public_id
from holdfast.identity.tokens import DEFAULT_TOKEN, LONGEST_TOKEN
from holdfast.web.api.callers import Admin, Served
from holdfast.web.api.shapes import Json, Shape, Text, Time, maybe
from holdfast_core.identity.model import Permission, Token
from holdfast_core.kernel.instants import SECOND, rfc3339

router = APIRouter(prefix="/tokens", tags=["tokens"])


class NewToken(Shape):
    """A name for the program, what it may do, and for how many seconds."""

    name: Text
    permission: Permission
    lifetime_s: Annotated[int, Field(ge=1, le=LONGEST_TOKEN // SECOND)] = DEFAULT_TOKEN // SECOND


class TokenShape(Shape):
    """A token, by the public part of its digest; its text is never shown again."""

    id: str
    name: str
    permission: str
    created_at: Time
    expires_at: Time
    revoked_at: Time | None


class TokenMade(TokenShape):
    """A new token, with its text, shown this once."""

    token: str


class TokenList(Shape):
    """Tokens in order of making, ended ones included."""

    items: list[TokenShape]


@router.get("")
async def list_tokens(caller: Admin, services: Served) -> TokenList:
    """List the tokens."""
    tokens = sorted(services.store.tokens(caller.scope), key=lambda token: (token.created_at, token.name))
    return TokenList(items=[TokenShape(**_shown(token)) for token in tokens])


@router.post("", status_code=201)
async def create_token(new: NewToken, caller: Admin, services: Served) -> TokenMade:
    """Make a token."""
    text, token = await services.tokens.create(
        caller.scope,
        new.name,
        permission=new.permission,
        lifetime=new.lifetime_s * SECOND,
        actor=caller.actor,
    )
    return TokenMade(**_shown(token), token=text)


@router.delete("/{name}")
async def revoke_token(name: Annotated[str, Path()], caller: Admin, services: Served) -> TokenShape:
    """End a token; its next request is refused."""
    return TokenShape(**_shown(await services.tokens.revoke(caller.scope, name, actor=caller.actor)))


def _shown(token: Token) -> Json:
    return {
        "id": public_id(token.digest),
        "name": token.name,
        "permission": token.permission.value,
        "created_at": rfc3339(token.created_at),
        "expires_at": rfc3339(token.expires_at),
        "revoked_at": maybe(token.revoked_at),
    }
