"""Replacing a device by another: the role moves, nothing that proves an identity does.

1. What the role is moves: owner, site, zone, labels, note, and the model where the new device has none of its own.
2. What the hardware is stays: keys and credentials, posture and evidence, serial number, pins, the history. So do
   inspections: a person looked at that casing and its seals, and somebody has to look at the new one's. So do open
   incidents: they are about what happened to the old one.
3. The old device is retired in the same commit; a role has one holder.
"""

from __future__ import annotations

import msgspec

from holdfast.inventory.retiring import RetirementService
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_living
from holdfast.ports.store import Store
from holdfast_core.inventory.lifecycle import Device, Lifecycle, LifecycleEvent, advance
from holdfast_core.inventory.retirement import DEADLINE
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, parse_device_id
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind

_FREE = (Lifecycle.UNMANAGED, Lifecycle.EXPECTED)


class ReplacementService:
    """Gives a device's role to another."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit, retirement: RetirementService) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._retirement = retirement

    async def replace(
        self, old: DeviceKey, new: str, *, why: str, actor: str, at_once: bool = False, lifetime: int = DEADLINE
    ) -> Device:
        """Give the role of `old` to the device called `new`, which is added if it is not known; return the new one.

        Raises:
            HostileData: ``device.unknown``, ``device.retired``, ``device.modelless``, ``replace.*``, ``name.invalid``,
                ``retirement.deadline``, ``why.missing``.
        """
        require_why(why)
        key = DeviceKey(old.scope, DeviceId(parse_device_id(new)))
        if key == old:
            raise HostileData("replace.itself", "A device cannot replace itself.", remedy="Name two devices.")
        first, second = sorted((old, key))
        async with self._store.exclusive(first), self._store.exclusive(second):
            before = require_living(self._store, old)
            after = self._taking_over(before, key, actor)
            now = self._clock.now()
            leaving = msgspec.structs.replace(before, replaced_by=key.device)
            data = {"by": key.device, "why": why}
            taken = {"replaces": old.device, "why": why}
            await self._store.commit(
                [
                    after,
                    *self._retirement.ordered(leaving, why=why, actor=actor, at_once=at_once, lifetime=lifetime),
                    *self._emit(Noted(Kind.DEVICE_REPLACED, actor, leaving, old.scope, data, now)),
                    *self._emit(Noted(Kind.DEVICE_CHANGED, actor, after, old.scope, taken, now)),
                ]
            )
        await self._retirement.withdraw(old)
        return after

    def _taking_over(self, before: Device, key: DeviceKey, actor: str) -> Device:
        """The new device in the role of `before`; where nobody owned that, who replaces it answers for it at first."""
        known = self._store.device(key)
        if known is not None and (known.lifecycle not in _FREE or self._store.posture(key) is not None):
            raise HostileData(
                "replace.not_new",
                f"{key.device} is {known.lifecycle.value}; only a device that never enrolled takes over a role.",
                remedy="Name another device, or a name that is not in use.",
                http_status=409,
            )
        if not before.model and (known is None or not known.model):
            raise HostileData(
                "replace.no_model",
                f"Neither {before.key.device} nor {key.device} has a model.",
                remedy="Say first which one the new one is of: holdfast device model DEVICE NAME@VERSION.",
                http_status=409,
            )
        device = known or Device(key, Lifecycle.UNMANAGED, self._clock.now())
        return msgspec.structs.replace(
            device,
            # What hardware it is its own record knows better than that of another device.
            model=device.model or before.model,
            lifecycle=advance(device.lifecycle, LifecycleEvent.SET_MODEL),
            owner=before.owner or actor,
            site=before.site,
            zone=before.zone,
            labels=before.labels,
            note=before.note,
            replaces=before.key.device,
        )
