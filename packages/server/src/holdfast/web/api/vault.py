"""The vault of secrets at rest. Its keys never leave the server; here they are rotated."""

from __future__ import annotations

from fastapi import APIRouter

from holdfast.web.api.callers import Admin, Served
from holdfast.web.api.shapes import Shape
from holdfast_core.identity.rules import IdentityRefused

router = APIRouter(prefix="/vault", tags=["vault"])


class VaultRotated(Shape):
    """The new key's name, how many secrets were sealed anew, and how many older keys were destroyed."""

    key: str
    resealed: int
    destroyed: int


@router.post("/rotate")
async def rotate_vault(caller: Admin, services: Served) -> VaultRotated:
    """Seal every secret at rest under a new key; only administrators of the installation may."""
    if caller.scope != services.scope:
        raise IdentityRefused(
            "vault.not_installation",
            f"A caller of {caller.scope} cannot seal the secrets of others anew.",
            remedy=f"Call with a token of {services.scope}, or on the server: holdfast vault rotate.",
        )
    done = await services.vault.rotate(caller.scope, actor=caller.actor)
    return VaultRotated(key=done.key, resealed=done.resealed, destroyed=done.destroyed)
