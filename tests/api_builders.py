"""Callers of the operator API over a control plane of `builders`, without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from builders import ACTOR
from holdfast.bootstrap import Plane
from holdfast.serving import services_of
from holdfast.web.api.app import BASE, operator_app
from holdfast_core.identity.model import Permission
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import HOUR

DEVICE_PORT = 8444


@asynccontextmanager
async def anybody(app: Any, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `app`; paths are relative to ``/api/v1``."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test" + BASE, headers=headers) as client:
        yield client


def remote_app(plane: Plane) -> Any:
    """The application of the operator port."""
    return operator_app(services_of(plane, DEVICE_PORT), local=False)


@asynccontextmanager
async def holder(
    plane: Plane, permission: Permission = Permission.ADMIN, *, scope: Scope | None = None, name: str = "robot"
) -> AsyncIterator[httpx.AsyncClient]:
    """A program with a fresh token."""
    text, _ = await plane.tokens.create(
        scope or plane.config.scope, name, permission=permission, lifetime=HOUR, actor=ACTOR
    )
    async with anybody(remote_app(plane), authorization=f"Bearer {text}") as client:
        yield client


def problem_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that must be a problem with everything a problem has."""
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == answer.status_code
    assert told["type"] == f"urn:holdfast:problem:{told['code']}"
    assert told["title"]
    assert told["detail"]
    assert told["remedy"]
    return answer.status_code, told["code"]
