"""What a rollout will be like, told before it begins: facts about its devices, gathered for `holdfast_core`'s planner.

1. A plan is of the devices as they are now, as if the rollout began now with its first wave.
2. Devices are gathered in groups, and the plan is computed in a thread: check-ins go on meanwhile.
3. One plan is computed at a time; they are large, and people ask for them rarely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from holdfast.ports.clock import Clock
from holdfast.ports.store import Store, StoredModel
from holdfast.update.ledger import Ledger
from holdfast.update.releases import ReleaseService
from holdfast.update.rollouts import RolloutService
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.trust.rules import MISSED_CONTACTS
from holdfast_core.update.model import Assignment, Rollout, RolloutState
from holdfast_core.update.plan_model import Assumptions, Plan, PlanFact
from holdfast_core.update.planning import plan
from holdfast_core.update.waves import Candidate, place
from holdfast_core.update.windows import window_of

GROUP = 500
"""Devices that are looked at before others may work."""


class Planner:
    """Plans rollouts."""

    def __init__(
        self, *, store: Store, clock: Clock, ledger: Ledger, releases: ReleaseService, rollouts: RolloutService
    ) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._releases = releases
        self._rollouts = rollouts
        self._planning = asyncio.Lock()

    async def plan(self, rollout: Rollout) -> Plan:
        """What a rollout will be like.

        Raises:
            HostileData: ``release.unknown`` (404), ``plan.*``.
            LimitExceeded: ``plan.too_many``.
        """
        release = self._releases.require(rollout.scope, rollout.release)
        assumed = Assumptions(size=release.payload.size if release.payload is not None else 0)
        async with self._planning:
            now = self._clock.now()
            facts = await self._facts(rollout, now)
            return await asyncio.to_thread(plan, rollout, facts, assumed, now)

    async def _facts(self, rollout: Rollout, now: Instant) -> list[PlanFact]:
        models = {stored.reference: stored for stored in self._store.models(rollout.scope)}
        devices = self._rollouts.candidates(rollout)
        placed = await self._placed(rollout, devices)
        facts: list[PlanFact] = []
        for start in range(0, len(devices), GROUP):
            for device in devices[start : start + GROUP]:
                stored = models.get(device.model)
                if stored is not None and device.key.device in placed:
                    facts.append(self._fact(rollout, device, stored, placed[device.key.device], now))
            await asyncio.sleep(0)
        return facts

    async def _placed(self, rollout: Rollout, devices: list[Device]) -> Mapping[str, int]:
        """The wave of every device: as it will be, or, once it has begun, as it was fixed."""
        candidates = [
            Candidate(device.key.device, device.model.partition("@")[0], device.site, device.labels)
            for device in devices
        ]
        if rollout.state is RolloutState.DRAFT:
            return await asyncio.to_thread(place, rollout.id, rollout.waves, candidates)
        return {
            each.id: each.wave for each in self._store.all_kept(Assignment, rollout.scope) if each.rollout == rollout.id
        }

    def _fact(self, rollout: Rollout, device: Device, stored: StoredModel, wave: int, now: Instant) -> PlanFact:
        constraints = stored.model.constraints
        interval = constraints.contact_interval_s
        seen = self._ledger.last_seen(device.key)
        patience = rollout.thresholds.patience_s or MISSED_CONTACTS * interval + rollout.guards.confirm_s
        return PlanFact(
            wave,
            interval,
            seen_at=seen,
            window=window_of(constraints.maintenance_window),
            kbit_s=rollout.guards.kbit_s or constraints.bandwidth_kbit_s or 0,
            away=seen is None or now - seen > patience * SECOND,
        )
