"""Taking devices into a rollout: which it is for, which are free, and writing down where each of them is.

1. A device is in one rollout at a time. It is free once that is over, never in between.
2. Devices are written in groups; each of a group is held meanwhile, for it may just check in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from holdfast.ports.store import Change, DeviceFilter, Store
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.supply.model import Release
from holdfast_core.trust.rules import MISSED_CONTACTS
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Stage
from holdfast_core.update.waves import Candidate, selects

GROUP = 200
"""Devices that one commit takes."""
PAGE = 1_000
UNKNOWN_INTERVAL_S = 86_400
_OVER = (Stage.DONE, Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN, Stage.WAITING)


class Assigner:
    """Puts devices into rollouts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def patience_s(self, rollout: Rollout, key: DeviceKey) -> int:
        """After how many seconds of silence a device is silent, or away."""
        if rollout.thresholds.patience_s:
            return rollout.thresholds.patience_s
        device = self._store.device(key)
        stored = self._store.model(key.scope, device.model) if device is not None else None
        interval = stored.model.constraints.contact_interval_s if stored is not None else UNKNOWN_INTERVAL_S
        return MISSED_CONTACTS * interval + rollout.guards.confirm_s

    def patience(self, rollout: Rollout, key: DeviceKey) -> int:
        """The same in milliseconds."""
        return self.patience_s(rollout, key) * SECOND

    def candidates(self, rollout: Rollout) -> list[Device]:
        """The devices that a rollout is for, in id order: those whose life goes on."""
        found: list[Device] = []
        after = ""
        while page := self._store.devices(rollout.scope, DeviceFilter(after=after, limit=PAGE)):
            after = page[-1].key.device
            found.extend(
                device
                for device in page
                if not device.lifecycle.is_over and selects(rollout.selection, candidate_of(device))
            )
        return found

    async def put(self, rollout: Rollout, release: Release, placed: dict[DeviceKey, int], now: Instant) -> None:
        """Write the assignments of devices that are free; the others come when their rollout is over.

        Each group is held while it is looked at and written, for its devices may just check in.
        """
        counter = release.offer.counter if release.offer is not None else 0

        def made(key: DeviceKey) -> Assignment | None:
            if not self.is_free(rollout, key):
                return None
            return Assignment(
                key.scope,
                key.device,
                rollout=rollout.id,
                wave=placed[key],
                release=release.id,
                counter=counter,
                at=now,
            )

        await self.in_groups(list(placed), made)

    async def in_groups(self, keys: Sequence[DeviceKey], made: Callable[[DeviceKey], Change | None]) -> None:
        """Commit what `made` makes of devices, a group at a time; each device is held while it is looked at."""
        for start in range(0, len(keys), GROUP):
            async with AsyncExitStack() as held:
                for key in keys[start : start + GROUP]:
                    await held.enter_async_context(self._store.exclusive(key))
                group = [change for key in keys[start : start + GROUP] if (change := made(key)) is not None]
                if group:
                    await self._store.commit(group)

    def is_ours(self, rollout: Rollout, key: DeviceKey) -> bool:
        """Whether a device is in this rollout: a start that was cut off may have put it there."""
        known = self._store.kept(Assignment, key.scope, key.device)
        return known is not None and known.rollout == rollout.id

    def is_free(self, rollout: Rollout, key: DeviceKey) -> bool:
        """Whether a device may be taken into a rollout: it is in none, or in another that is over."""
        known = self._store.kept(Assignment, key.scope, key.device)
        if known is None:
            return True
        if known.rollout == rollout.id:
            return False
        other = self._store.kept(Rollout, key.scope, known.rollout)
        if other is None or other.state in (RolloutState.ABORTED, RolloutState.DRAFT):
            return True
        return other.state is RolloutState.FINISHED and known.stage in _OVER


def candidate_of(device: Device) -> Candidate:
    """What decides over a device's place."""
    return Candidate(device.key.device, device.model.partition("@")[0], device.site, device.labels)
