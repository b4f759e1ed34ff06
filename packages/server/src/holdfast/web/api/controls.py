"""The catalogue in force: what is asked at all, why, and how it is put right."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from holdfast.web.api.callers import Reader, Served
from holdfast.web.api.shapes import Json, Shape, plain
from holdfast_core.baseline.control import Control
from holdfast_core.kernel.errors import HostileData

router = APIRouter(prefix="/controls", tags=["controls"])

ControlName = Annotated[str, Path(description="The control, such as ACC-06.", max_length=16)]


class ControlSummary(Shape):
    """One control in short. `fix`: whether its change can be worked out, and when it may be made."""

    id: str
    group: str
    severity: str
    title: str
    fix: str


class ControlList(Shape):
    """The catalogue: its version, the digest that baselines name it by, and its controls in order."""

    version: str
    digest: str
    items: list[ControlSummary]


@router.get("")
async def list_controls(caller: Reader, services: Served) -> ControlList:
    """List the controls of the catalogue in force."""
    del caller  # any reader may
    whole = services.baseline.catalogue
    return ControlList(version=whole.version, digest=whole.digest, items=[_summary(c) for c in whole.controls])


@router.get("/{control}")
async def show_control(control: ControlName, caller: Reader, services: Served) -> Json:
    """Show one control: what it asks of whom, its probe, its cost, its remedy, and what it is mapped to."""
    del caller  # any reader may
    found = next((entry for entry in services.baseline.catalogue.controls if entry.id == control.upper()), None)
    if found is None:
        raise HostileData(
            "control.unknown",
            f"There is no control {control!r}.",
            remedy="GET /controls lists every control.",
            http_status=404,
        )
    whole: Json = plain(found)
    return whole


def _summary(control: Control) -> ControlSummary:
    return ControlSummary(
        id=control.id,
        group=control.group.value,
        severity=control.severity.value,
        title=control.title,
        fix=control.remedy.fix.value,
    )
