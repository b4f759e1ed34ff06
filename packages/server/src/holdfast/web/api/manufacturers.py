"""Manufacturers: whose certificates admit devices, and to which models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field, StringConstraints

from holdfast.web.api.callers import Admin, Reader, Served
from holdfast.web.api.shapes import Shape, Text, Time
from holdfast_core.identity.manufacturers import Manufacturer, SerialFrom
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.instants import Instant, rfc3339
from holdfast_core.kernel.limits import LIMITS

router = APIRouter(prefix="/manufacturers", tags=["manufacturers"])

_MOST_MODELS = 64
Models = Annotated[list[Text], Field(min_length=1, max_length=_MOST_MODELS)]


class NewManufacturer(Shape):
    """A name, its certificates in PEM, and the models (``NAME`` or ``NAME@VERSION``) it may admit devices of.

    With `add`, a device that nobody expects is added, of the one model, for `owner`.
    """

    name: Text
    certificates: Annotated[str, StringConstraints(max_length=LIMITS.manufacturer_bytes)]
    models: Models
    serial_from: SerialFrom = SerialFrom.SUBJECT
    add: bool = False
    owner: Text = ""


class ManufacturerShape(Shape):
    """A manufacturer; its certificates by their fingerprints."""

    name: str
    fingerprints: list[str]
    models: list[str]
    serial_from: SerialFrom
    add: bool
    owner: str
    added_at: Time


class ManufacturerList(Shape):
    """Manufacturers by name."""

    items: list[ManufacturerShape]


@router.get("")
async def list_manufacturers(caller: Reader, services: Served) -> ManufacturerList:
    """List the manufacturers whose certificates admit devices."""
    return ManufacturerList(items=[_shown(one) for one in services.manufacturers.list(caller.scope)])


@router.post("", status_code=201)
async def add_manufacturer(new: NewManufacturer, caller: Admin, services: Served) -> ManufacturerShape:
    """Let a manufacturer's certificates admit devices; one of the same name is replaced."""
    wanted = Manufacturer(
        scope=caller.scope,
        id=new.name,
        certificates=(),
        models=tuple(new.models),
        added_at=Instant(0),
        serial_from=new.serial_from,
        add=new.add,
        owner=new.owner,
    )
    return _shown(await services.manufacturers.add(wanted, new.certificates.encode(), actor=caller.actor))


@router.delete("/{name}")
async def remove_manufacturer(name: Annotated[str, Path()], caller: Admin, services: Served) -> ManufacturerShape:
    """Let a manufacturer's certificates admit nobody any more; devices that were admitted stay."""
    return _shown(await services.manufacturers.remove(caller.scope, name, actor=caller.actor))


def _shown(one: Manufacturer) -> ManufacturerShape:
    return ManufacturerShape(
        name=one.id,
        fingerprints=[digest_of(der) for der in one.certificates],
        models=list(one.models),
        serial_from=one.serial_from,
        add=one.add,
        owner=one.owner,
        added_at=rfc3339(one.added_at),
    )
