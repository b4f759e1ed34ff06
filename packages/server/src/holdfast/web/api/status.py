"""The whole at a glance."""

from __future__ import annotations

from importlib import metadata

from fastapi import APIRouter

from holdfast.web.api.callers import Reader, Served
from holdfast.web.api.entries import ScopeShape
from holdfast.web.api.shapes import Shape

router = APIRouter(tags=["status"])


class StatusPage(Shape):
    """Devices by verdict (``none``: never enrolled), open incidents, and what devices need to know to call."""

    version: str
    scope: ScopeShape
    counts: dict[str, int]
    open_incidents: int
    log_size: int
    device_url: str
    root_fingerprint: str


@router.get("/status")
async def show_status(caller: Reader, services: Served) -> StatusPage:
    """Show how the fleet stands."""
    return StatusPage(
        version=metadata.version("holdfast"),
        scope=ScopeShape(tenant=caller.scope.tenant, environment=caller.scope.environment),
        counts=services.store.counts(caller.scope),
        open_incidents=len(services.store.open_incidents(caller.scope)),
        log_size=services.store.log_size(),
        device_url=services.device_url,
        root_fingerprint=services.root_fingerprint,
    )
