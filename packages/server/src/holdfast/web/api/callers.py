"""Who calls the operator API, and what they may do.

1. A program calls with a token; whoever reaches the local socket calls as the user the kernel says they are.
2. Which permission an operation needs stands at the operation, as the type of its `caller`.
3. An unknown, an expired and a revoked token read alike, so that guessing teaches nothing.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import Scope as AsgiScope

from holdfast.web.api.services import Services
from holdfast.web.device.protocol import peer_user
from holdfast_core.identity.model import Permission
from holdfast_core.identity.rules import IdentityRefused
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_device_id

CALLER = "caller"
ROOT = 0


@dataclass(frozen=True)
class Principal:
    """Who acts, as the record names them, and in which scope."""

    actor: str
    scope: Scope

    def key(self, device: str) -> DeviceKey:
        """The key of a device in the caller's scope, or `HostileData` ``name.invalid``."""
        return DeviceKey(self.scope, parse_device_id(device))


Caller = Callable[[Permission], Principal]
"""The caller of one request: asked for a permission, it is a principal or raises `IdentityRefused`."""


def by_token(services: Services, asgi: AsgiScope) -> Caller:
    """The holder of the request's bearer token (RFC 6750, section 2.1).

    Raises:
        IdentityRefused: ``token.required``, ``token.invalid``.
    """
    scheme, _, text = Headers(scope=asgi).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise IdentityRefused(
            "token.required",
            "This needs a token.",
            remedy="Send 'Authorization: Bearer hft_…'; on the server, holdfast token create NAME makes one.",
            http_status=401,
        )

    def caller(wanted: Permission) -> Principal:
        token = services.tokens.authenticate(text.strip(), wanted)
        return Principal(f"token:{token.name}", token.scope)

    caller(Permission.READ)
    return caller


def by_local_user(services: Services, asgi: AsgiScope) -> Caller:
    """The user at the other end of the local socket, who must be the server's own or root.

    Raises:
        IdentityRefused: ``local.not_owner``.
    """
    uid = peer_user(asgi)
    # The socket's mode keeps others out already; this holds also when somebody changes the mode.
    if uid is None or uid not in (ROOT, os.geteuid()):
        raise IdentityRefused(
            "local.not_owner",
            "Only the user that the server runs as, or root, may use its local socket.",
            remedy="Run the command as that user (sudo -u), or call the operator port with a token.",
        )
    principal = Principal(f"os-user:{_user_name(uid)}", services.scope)
    return lambda _wanted: principal


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _with(wanted: Permission) -> Callable[[Request], Awaitable[Principal]]:
    async def principal(request: Request) -> Principal:
        return cast("Caller", request.scope["state"][CALLER])(wanted)

    return principal


def require_admin(request: Request) -> None:
    """Refuse whoever is no admin, where that depends on more than the operation. Raises IdentityRefused."""
    cast("Caller", request.scope["state"][CALLER])(Permission.ADMIN)


async def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


Served = Annotated[Services, Depends(_services)]
Reader = Annotated[Principal, Depends(_with(Permission.READ))]
Operator = Annotated[Principal, Depends(_with(Permission.OPERATE))]
Admin = Annotated[Principal, Depends(_with(Permission.ADMIN))]
