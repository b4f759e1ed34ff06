"""Devices: adding, listing, showing them, and what people do about one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from holdfast.ports.lookup import require_device
from holdfast.ports.store import DeviceFilter
from holdfast.web.api import device_shapes as shapes
from holdfast.web.api.callers import Admin, Operator, Principal, Reader, Served
from holdfast.web.api.device_shapes import (
    AssignModel,
    DeviceList,
    DevicePage,
    DeviceQuery,
    DeviceSummary,
    DirectiveShape,
    Ended,
    Harden,
    Imported,
    NewDevice,
    ReportPage,
    RowProblemShape,
)
from holdfast.web.api.entries import EntryList, shown
from holdfast.web.api.services import Services
from holdfast.web.api.shapes import PAGE, DeviceName, Limit, Why, plain
from holdfast_core.inventory.rows import Row
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId
from holdfast_core.record.model import Kind

router = APIRouter(prefix="/devices", tags=["devices"])

_CSV = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}


@router.get("")
async def list_devices(caller: Reader, services: Served, query: Annotated[DeviceQuery, Query()]) -> DeviceList:
    """List devices in id order."""
    lifecycle = query.lifecycle.value if query.lifecycle else ""
    # One more than asked for tells whether there is a next page.
    wanted = DeviceFilter(query.level, lifecycle, query.model, query.site, query.after, query.limit + 1)
    found = services.inventory.devices(caller.scope, wanted)
    listed = found[: query.limit]
    after_this = listed[-1].key.device if len(found) > query.limit else None
    return DeviceList(items=[shapes.summary(device, services.store) for device in listed], next=after_this)


@router.post("", status_code=201)
async def add_device(new: NewDevice, caller: Operator, services: Served) -> DeviceSummary:
    """Add a device."""
    labels = tuple(sorted(new.labels.items()))
    row = Row(0, DeviceId(new.device), new.model, new.owner, new.site, new.zone, labels, new.serial)
    device = await services.inventory.add_device(caller.scope, row, actor=caller.actor)
    return shapes.summary(device, services.store)


@router.post("/import", openapi_extra=_CSV)
async def import_devices(request: Request, caller: Operator, services: Served) -> Imported:
    """Add the devices of a CSV list (device, model, owner, site, zone, labels, serial); faulty lines are left out."""
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise HostileData(
            "rows.not_text", f"Byte {error.start} is not UTF-8.", remedy="Save the list as UTF-8."
        ) from None
    added, problems = await services.inventory.import_devices(caller.scope, text, actor=caller.actor)
    return Imported(
        added=[device.key.device for device in added],
        problems=[RowProblemShape(line=p.line, code=p.code, sentence=p.sentence, remedy=p.remedy) for p in problems],
    )


@router.get("/{device}")
async def show_device(device: DeviceName, caller: Reader, services: Served) -> DevicePage:
    """Show everything that is known of a device."""
    found = services.inventory.device(caller.key(device))
    return shapes.page(found, services.store, services.clock.now())


@router.get("/{device}/report")
async def show_report(device: DeviceName, caller: Reader, services: Served) -> ReportPage:
    """Show the newest audit of a device, judged now."""
    report = await services.baseline.report(caller.key(device))
    if report is None:
        raise HostileData(
            "report.none",
            f"{device} has sent no audit yet.",
            remedy="Wait for its next check-in, or ask for one: holdfast device audit DEVICE.",
            http_status=404,
        )
    return shapes.report(device, report)


@router.get("/{device}/history")
async def show_history(
    device: DeviceName,
    caller: Reader,
    services: Served,
    kinds: Annotated[list[Kind] | None, Query(description="Only entries of these kinds.")] = None,
    limit: Limit = PAGE,
) -> EntryList:
    """Show what the record holds of a device, newest first."""
    key = caller.key(device)
    require_device(services.store, key)
    names = [kind.value for kind in kinds or ()]
    leaves = await services.record.history(key, kinds=names, limit=limit)
    return EntryList(items=[shown(leaf) for leaf in leaves], next=None)


@router.post("/{device}/model")
async def assign_model(device: DeviceName, body: AssignModel, caller: Operator, services: Served) -> DeviceSummary:
    """Say which model an unmanaged device is of; it is expected from then on."""
    await services.inventory.assign_model(caller.key(device), body.model, actor=caller.actor)
    return _now(device, caller, services)


@router.post("/{device}/quarantine")
async def quarantine_device(device: DeviceName, body: Why, caller: Operator, services: Served) -> DeviceSummary:
    """Hold a device in quarantine until a person releases it."""
    await services.response.quarantine(caller.key(device), why=body.why, actor=caller.actor)
    return _now(device, caller, services)


@router.post("/{device}/release")
async def release_device(device: DeviceName, body: Why, caller: Operator, services: Served) -> DeviceSummary:
    """End a hold; the verdict is then what the evidence says."""
    await services.response.release(caller.key(device), why=body.why, actor=caller.actor)
    return _now(device, caller, services)


@router.post("/{device}/revoke")
async def revoke_credentials(device: DeviceName, body: Why, caller: Admin, services: Served) -> Ended:
    """End every credential of a device; from the next request on it is refused."""
    return Ended(ended=await services.identity.revoke(caller.key(device), why=body.why, actor=caller.actor))


@router.post("/{device}/audit")
async def audit_device(device: DeviceName, caller: Operator, services: Served) -> DirectiveShape:
    """Direct a device to audit itself at its next check-in."""
    return shapes.directive(await services.baseline.audit_now(caller.key(device), actor=caller.actor))


@router.post("/{device}/harden")
async def harden_device(device: DeviceName, body: Harden, caller: Operator, services: Served) -> DirectiveShape:
    """Direct a device to mend one control by itself; it keeps the change only if it then checks in healthy."""
    return shapes.directive(await services.baseline.harden(caller.key(device), body.control, actor=caller.actor))


@router.get("/{device}/inspections")
async def list_inspections(device: DeviceName, caller: Reader, services: Served) -> shapes.InspectionList:
    """List what people looked at with their own eyes, one entry a control."""
    return shapes.InspectionList(
        items=[shapes.InspectionShape(**plain(record)) for record in services.inspections.of(caller.key(device))]
    )


@router.post("/{device}/inspections", status_code=201)
async def add_inspection(
    device: DeviceName, body: shapes.InspectionShape, caller: Operator, services: Served
) -> shapes.InspectionShape:
    """Keep what a person saw of a device; it counts from its next check-in on, until its last day."""
    record = shapes.inspection(body)
    await services.inspections.add(caller.key(device), record, actor=caller.actor)
    return body


def _now(device: str, caller: Principal, services: Services) -> DeviceSummary:
    """The device as it is after what was done."""
    return shapes.summary(require_device(services.store, caller.key(device)), services.store)
