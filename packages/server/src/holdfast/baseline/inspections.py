"""What people saw of a device with their own eyes, and its part in the audit's reading.

1. An inspection is kept with the device's posture, one a control; a newer one takes the place of the older.
2. Making one stands in the record, with who made it; its photo is named by digest and kept by whoever took it.
3. After one, and after one has lapsed, the audit is read anew at the next check-in.
"""

from __future__ import annotations

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device, require_posture
from holdfast.ports.store import Store
from holdfast_core.baseline.control import Catalogue
from holdfast_core.baseline.inspections import InspectionRecord, check_inspections
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.record.model import Kind


class InspectionService:
    """Recording what a person looked at."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit, catalogue: Catalogue) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._inspected = {control.id for control in catalogue.controls if control.inspected}

    def of(self, key: DeviceKey) -> tuple[InspectionRecord, ...]:
        """The inspections of a device, in control order."""
        require_device(self._store, key)
        return require_posture(self._store, key).inspections

    async def add(self, key: DeviceKey, record: InspectionRecord, *, actor: str) -> None:
        """Keep what a person saw of a device.

        Raises:
            HostileData: ``inspections.control`` where no person is asked to look, ``inspections.date``.
        """
        if record.control not in self._inspected:
            raise HostileData(
                "inspections.control",
                f"{record.control} is not a control that a person looks at.",
                remedy=f"People look at {', '.join(sorted(self._inspected))}; a device audits the rest itself.",
            )
        check_inspections((record,), self._clock.now())
        device = require_device(self._store, key)
        async with self._store.exclusive(key):
            posture, now = require_posture(self._store, key), self._clock.now()
            others = [entry for entry in posture.inspections if entry.control != record.control]
            kept = tuple(sorted((*others, record), key=lambda entry: entry.control))
            noted = Noted(Kind.DEVICE_INSPECTED, actor, device, key.scope, msgspec.to_builtins(record), now)
            await self._store.commit([msgspec.structs.replace(posture, inspections=kept), *self._emit(noted)])
