"""Settling verdicts: at a check-in, after a human action, and when nothing happens.

1. The verdict is `holdfast_core.trust.rules.decide`; this service only gathers its facts and tells who cares.
2. An event is told when the level or the reasons' codes change; a mere extension of `until` is none.
3. A lapsed verdict falls within `SWEEP_SECONDS` though nobody looks, also one that lapsed while the server was down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, VerdictChanged
from holdfast.ports.store import Change, Store
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import Instant
from holdfast_core.trust.model import Facts, Policy, Verdict
from holdfast_core.trust.posture import Desired, Posture
from holdfast_core.trust.rules import decide, policy_of

SWEEP_SECONDS = 10.0
SWEEP_BATCH = 256
_log = logging.getLogger("holdfast.trust")


class VerdictService:
    """Implements `holdfast.ports.verdicts.Verdicts`, and the sweep that lets verdicts fall."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit

    def settle(self, device: Device, posture: Posture, now: Instant) -> tuple[Posture, Sequence[Change]]:
        """The posture with the verdict that its facts give at `now`, and what follows from a change of verdict."""
        facts = Facts(device.lifecycle, posture.last_seen, posture.appraisals, posture.hold, posture.identified)
        policy = self._policy(device)
        before, after = posture.verdict, decide(facts, policy, now)
        if _reads_alike(before, after):
            # The reasons are taken anew: their sentences may say more than their codes.
            kept = msgspec.structs.replace(after, since=before.since)
            return msgspec.structs.replace(posture, verdict=kept), ()
        changes = self._emit(VerdictChanged(device, before, after, facts, policy, now))
        return msgspec.structs.replace(posture, verdict=after), changes

    def begin(self, device: Device, before: Posture | None, now: Instant) -> tuple[Posture, Sequence[Change]]:
        """The posture of a device that just enrolled.

        A hold and the directives' numbering outlive its old key, and so does what a feature remembers of the device
        for good, with what it holds against it: enrolling again is no way out of a quarantine.
        """
        hold = before.hold if before else None
        desired = Desired(next_id=before.desired.next_id) if before else Desired()
        sections = {name: s for name, s in before.sections.items() if s.lasting} if before else {}
        appraisals = tuple(
            each
            for each in (before.appraisals if before else ())
            if each.feature in sections and each.tier is Tier.CONTRAINDICATED
        )
        facts, policy = Facts(device.lifecycle, None, appraisals, hold), self._policy(device)
        verdict = decide(facts, policy, now)
        changed = VerdictChanged(device, before.verdict if before else None, verdict, facts, policy, now)
        posture = Posture(device.key, verdict, appraisals=appraisals, sections=sections, hold=hold, desired=desired)
        return posture, self._emit(changed)

    def _policy(self, device: Device) -> Policy:
        model = self._store.model(device.key.scope, device.model)
        return policy_of(model.model) if model is not None else Policy((), 0)

    async def sweep(self) -> int:
        """Look again at every verdict that is due; return how many changed."""
        due = self._store.lapsing(self._clock.now())
        changed = 0
        # Together, so that they share commits; in batches, so that a night's silence of a whole fleet stays bounded.
        for start in range(0, len(due), SWEEP_BATCH):
            changed += sum(await asyncio.gather(*map(self._look_again, due[start : start + SWEEP_BATCH])))
        return changed

    async def _look_again(self, key: DeviceKey) -> bool:
        try:
            return await self._settle_again(key)
        except WorldError:
            raise
        except Exception:  # noqa: BLE001  (whatever is wrong with one device, the verdicts of the others must fall)
            _log.exception("the verdict of %s could not be looked at again", key)
            return False

    async def _settle_again(self, key: DeviceKey) -> bool:
        async with self._store.exclusive(key):
            now = self._clock.now()
            device, posture = self._store.device(key), self._store.posture(key)
            if device is None or posture is None:
                return False
            settled, changes = self.settle(device, posture, now)
            if settled != posture:
                await self._store.commit([settled, *changes])
            return bool(changes)

    async def watch(self) -> None:
        """Sweep until cancelled. A store that cannot write now is tried again at the next sweep."""
        while True:
            # The store tells its own trouble through /readyz; the verdicts stay due and are swept again.
            with contextlib.suppress(WorldError):
                await self.sweep()
            await asyncio.sleep(SWEEP_SECONDS)


def _reads_alike(before: Verdict, after: Verdict) -> bool:
    return before.level is after.level and [r.code for r in before.reasons] == [r.code for r in after.reasons]
