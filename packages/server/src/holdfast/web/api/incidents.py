"""Incidents: what needs looking at, and closing it by hand."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from holdfast.web.api.callers import Operator, Principal, Reader, Served
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, Limit, ReasonShape, Shape, Text, Time, Why, maybe, reasons
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import rfc3339
from holdfast_core.response.model import Incident

router = APIRouter(prefix="/incidents", tags=["incidents"])

IncidentName = Annotated[str, Path(description="The incident's id.")]


class IncidentShape(Shape):
    """An incident; `closed_at` is null while it is open."""

    id: str
    device: str
    cause: str
    severity: str
    title: str
    reasons: list[ReasonShape]
    opened_at: Time
    updated_at: Time
    closed_at: Time | None
    closed_why: str


class IncidentList(Shape):
    """Incidents, newest first."""

    items: list[IncidentShape]


@router.get("")
async def list_incidents(
    caller: Reader,
    services: Served,
    state: Literal["open", "all"] = "open",
    device: Annotated[Text, Query(description="Only those of this device.")] = "",
    limit: Limit = PAGE,
) -> IncidentList:
    """List incidents, newest first."""
    if state == "open":
        still = services.store.open_incidents(caller.scope)
        found = [incident for incident in still if device in ("", incident.key.device)][:limit]
    else:
        found = await services.store.incidents(caller.scope, device=device, limit=limit)
    return IncidentList(items=[_shown(incident) for incident in found])


@router.get("/{incident}")
async def show_incident(incident: IncidentName, caller: Reader, services: Served) -> IncidentShape:
    """Show an incident."""
    return _shown(await _require(incident, caller, services))


@router.post("/{incident}/close")
async def close_incident(incident: IncidentName, body: Why, caller: Operator, services: Served) -> IncidentShape:
    """Close an incident by hand."""
    found = await _require(incident, caller, services)
    if found.closed_at is not None:
        raise HostileData(
            "incident.closed",
            f"The incident was closed at {rfc3339(found.closed_at)}.",
            remedy="Nothing is needed.",
            http_status=409,
        )
    ended = await services.response.close_incident(found.key, found.cause, why=body.why, actor=caller.actor)
    return _shown(ended)


async def _require(name: str, caller: Principal, services: Services) -> Incident:
    incident = await services.store.incident(caller.scope, name)
    if incident is None:
        raise HostileData(
            "incident.unknown",
            f"There is no incident {name[:80]!r} in {caller.scope}.",
            remedy="List them: holdfast incident list.",
            http_status=404,
        )
    return incident


def _shown(incident: Incident) -> IncidentShape:
    return IncidentShape(
        id=incident.id,
        device=incident.key.device,
        cause=incident.cause,
        severity=incident.severity.value,
        title=incident.title,
        reasons=reasons(incident.reasons),
        opened_at=rfc3339(incident.opened_at),
        updated_at=rfc3339(incident.updated_at),
        closed_at=maybe(incident.closed_at),
        closed_why=incident.closed_why,
    )
