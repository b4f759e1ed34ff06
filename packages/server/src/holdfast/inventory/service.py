"""The use cases of `inventory`.

1. A device's model must be known before the device is expected; one imported without a model stays unmanaged.
2. Models are never changed or removed, only added under a new version: what a verdict was made from stays readable.
3. A maker's serial number whose device was retired here comes with no other: the hardware lives on under a new record
   only where somebody says so by leaving the number out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from holdfast.inventory import model_file
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device
from holdfast.ports.store import Change, DeviceFilter, Store, StoredModel
from holdfast.ports.verdicts import Verdicts
from holdfast_core.inventory.lifecycle import Device, Lifecycle, LifecycleEvent, advance
from holdfast_core.inventory.retirement import Tombstone, tombstone_id
from holdfast_core.inventory.rows import Row, RowProblem, parse_rows
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.record.model import Kind

IMPORT_GROUP = 500
"""Devices that one commit of an import adds."""


class InventoryService:
    """Which devices there are, and of which models."""

    def __init__(self, *, store: Store, clock: Clock, verdicts: Verdicts, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._verdicts = verdicts
        self._emit = emit
        self._models = asyncio.Lock()

    async def add_model(self, scope: Scope, data: bytes, *, actor: str) -> StoredModel:
        """Add the model file `data`; adding the same bytes' worth again changes nothing.

        Raises:
            HostileData: ``model.*`` (see `model_file.load`), ``model.exists``.
        """
        # In a thread: a hostile file costs seconds of parsing, and the loop belongs to the devices.
        model = await asyncio.to_thread(model_file.load, data)
        stored = StoredModel(scope, f"{model.name}@{model.version}", model_file.digest(model), model, self._clock.now())
        async with self._models:
            return await self._add_model(stored, actor)

    async def _add_model(self, stored: StoredModel, actor: str) -> StoredModel:
        scope = stored.scope
        known = self._store.model(scope, stored.reference)
        if known is not None and known.digest == stored.digest:
            return known
        if known is not None:
            raise HostileData(
                "model.exists",
                f"{stored.reference} is known with another content.",
                remedy="Raise the version in the file; a model that was added never changes.",
                http_status=409,
            )
        told = {"reference": stored.reference, "digest": stored.digest}
        await self._store.commit(
            [stored, *self._emit(Noted(Kind.MODEL_ADDED, actor, None, scope, told, stored.added_at))]
        )
        return stored

    def models(self, scope: Scope) -> list[StoredModel]:
        """Every model of a scope."""
        return self._store.models(scope)

    def model(self, scope: Scope, reference: str) -> StoredModel:
        """One model.

        Raises:
            HostileData: ``model.unknown``.
        """
        stored = self._store.model(scope, reference)
        if stored is None:
            raise HostileData(
                "model.unknown",
                f"There is no model {reference[:80]!r} in {scope}.",
                remedy="Add its file first: holdfast model add FILE. Known ones: holdfast model list.",
                http_status=404,
            )
        return stored

    async def add_device(self, scope: Scope, row: Row, *, actor: str) -> Device:
        """Add a device; with a model it is expected, without one it is unmanaged. Who adds it answers for it at first.

        Raises:
            HostileData: ``device.exists``, ``device.serial_retired``, ``model.unknown``.
        """
        device = self._from_row(scope, row, owner=row.owner or actor)
        if self._store.device(device.key) is not None:
            raise _exists(device.key)
        async with self._store.exclusive(device.key):
            if self._store.device(device.key) is not None:
                raise _exists(device.key)
            await self._store.commit(self._added(device, Kind.DEVICE_ADDED, actor))
        return device

    def _from_row(self, scope: Scope, row: Row, *, owner: str) -> Device:
        if row.model:
            self.model(scope, row.model)
        self._check_serial(scope, row.model, row.serial)
        lifecycle = Lifecycle.EXPECTED if row.model else Lifecycle.UNMANAGED
        return Device(
            DeviceKey(scope, row.device),
            lifecycle,
            self._clock.now(),
            row.model,
            owner,
            row.site,
            row.zone,
            row.labels,
            serial=row.serial,
        )

    def _check_serial(self, scope: Scope, model: str, serial: str) -> None:
        if serial and self._store.kept(Tombstone, scope, tombstone_id(model, serial)) is not None:
            raise _serial_retired(serial)

    def _added(self, device: Device, kind: Kind, actor: str) -> list[Change]:
        data = {"model": device.model, "owner": device.owner, "site": device.site}
        return [device, *self._emit(Noted(kind, actor, device, device.key.scope, data, device.created_at))]

    async def import_devices(self, scope: Scope, text: str, *, actor: str) -> tuple[list[Device], Sequence[RowProblem]]:
        """Add the devices of a CSV list; rows with a problem are left out and told, the others are added."""
        rows, problems = await asyncio.to_thread(parse_rows, text)
        told = list(problems)
        devices: list[Device] = []
        for row in rows:
            try:
                device = self._from_row(scope, row, owner=row.owner)
                if self._store.device(device.key) is not None:
                    raise _exists(device.key)
            except HostileData as error:
                told.append(RowProblem(row.line, error.code, error.sentence, error.remedy))
            else:
                devices.append(device)
        added: list[Device] = []
        for start in range(0, len(devices), IMPORT_GROUP):
            new = await self._import_group(devices[start : start + IMPORT_GROUP], actor)
            added.extend(new)
        lost = {device.key.device for device in devices} - {device.key.device for device in added}
        for row in rows:
            if row.device in lost:
                late = _exists(DeviceKey(scope, row.device))
                told.append(RowProblem(row.line, late.code, late.sentence, late.remedy))
        return added, sorted(told, key=lambda problem: problem.line)

    async def _import_group(self, group: list[Device], actor: str) -> list[Device]:
        """Add a group; a device that somebody else added meanwhile stays as that one made it."""
        async with AsyncExitStack() as held:
            for device in sorted(group, key=lambda device: device.key):
                await held.enter_async_context(self._store.exclusive(device.key))
            new = [device for device in group if self._store.device(device.key) is None]
            await self._store.commit([c for d in new for c in self._added(d, Kind.DEVICE_IMPORTED, actor)])
        return new

    async def assign_model(self, key: DeviceKey, reference: str, *, actor: str) -> Device:
        """Say which model a device is of: an unmanaged one is expected then, another is judged by the new model.

        Raises:
            HostileData: ``device.unknown``, ``device.serial_retired``, ``model.unknown``, ``lifecycle.not_allowed``.
        """
        self.model(key.scope, reference)
        async with self._store.exclusive(key):
            device, now = require_device(self._store, key), self._clock.now()
            lifecycle = advance(device.lifecycle, LifecycleEvent.SET_MODEL)
            self._check_serial(key.scope, reference, device.serial)
            changed = msgspec.structs.replace(device, model=reference, lifecycle=lifecycle)
            data = {"model": reference, "before": device.model}
            changes = [changed, *self._emit(Noted(Kind.DEVICE_CHANGED, actor, changed, key.scope, data, now))]
            posture = self._store.posture(key)
            if posture is not None:
                settled, follow = self._verdicts.settle(changed, posture, now)
                changes.extend([settled, *follow])
            await self._store.commit(changes)
        return changed

    def device(self, key: DeviceKey) -> Device:
        """One device, or `HostileData` ``device.unknown``."""
        return require_device(self._store, key)

    def devices(self, scope: Scope, wanted: DeviceFilter) -> list[Device]:
        """Devices in id order."""
        return self._store.devices(scope, wanted)


def _exists(key: DeviceKey) -> HostileData:
    return HostileData(
        "device.exists",
        f"There is a device {key.device!r} in {key.scope} already.",
        remedy="Choose another id; ids are never used twice, also not after a device was retired.",
        http_status=409,
    )


def _serial_retired(serial: str) -> HostileData:
    return HostileData(
        "device.serial_retired",
        f"A device of this maker with the serial number {serial!r} was retired here.",
        remedy="If this is that hardware and it may live on, add it without the number, and enroll it with a claim.",
        http_status=409,
    )
