"""The watch over rollouts: judging them soon after something changed, and seeing to what time alone changes.

1. It judges whenever something of a rollout became durable, at most every `JUDGE_SECONDS`; silence, deadlines, ended
   lives and new devices it looks for again and again, however lively the rest is.
2. A rollout that halts begins with nobody from the commit on that says so; what is under way is called off when it
   next checks in, and what is on trial falls back where the rollout says so (`Rollout.back`).
3. Devices that come later get the newest rollout that is for them and goes on or is finished.
4. A store that cannot write now is tried again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.store import Change, Removed, Store
from holdfast.update.assigning import Assigner, candidate_of
from holdfast.update.ledger import Ledger, Name
from holdfast.update.turns import Turns
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release
from holdfast_core.update.assignment import overdue, unheard
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Stage, Turn
from holdfast_core.update.rollout import Judgement, Verb, judge
from holdfast_core.update.waves import selects

TICK_SECONDS = 1.0
TICK_SHARE = 20
"""A look that takes long is made the more seldom: it gets a twentieth of the time."""
JUDGE_SECONDS = 0.1
"""Between two judgements: a thousand reports in it are judged once."""
AT_ONCE = 500
"""Devices that are looked at before others have their turn."""
_MOVING = (Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED, Stage.SOAKING, Stage.WAITING, Stage.SILENT)
"""Stages in which time, or the end of a life, may change something."""
_log = logging.getLogger("holdfast.update")


class RolloutWatch:
    """Watches the rollouts of every scope."""

    def __init__(self, *, store: Store, clock: Clock, ledger: Ledger, assigner: Assigner, turns: Turns) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._assigner = assigner
        self._turns = turns
        self._changed = asyncio.Event()
        ledger.on_change = self._changed.set

    async def run(self) -> None:
        """Judge rollouts soon after something of them changed, and look at what time changes again and again.

        A store that cannot write now is tried again: the next look finds the same.
        """
        due, loop = 0.0, asyncio.get_running_loop()
        while True:
            try:
                if loop.time() >= due:
                    begun = loop.time()
                    await self.tick()
                    due = loop.time() + max(TICK_SECONDS, TICK_SHARE * (loop.time() - begun))
                for name in self._ledger.take_dirty():
                    await self._judge(name)
            except WorldError as error:
                _log.warning("rollouts could not be judged now: %s", error)
            await asyncio.sleep(JUDGE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(JUDGE_SECONDS, due - loop.time()))
            self._changed.clear()

    async def tick(self) -> None:
        """See to what time alone changes, and judge every rollout that goes on."""
        self._ledger.take_dirty()
        arrivals, self._ledger.has_arrivals = self._ledger.has_arrivals, False
        for rollout in self._store.all_kept(Rollout):
            if rollout.state is RolloutState.DRAFT:
                continue
            await self._age(rollout)
            if rollout.begins and (arrivals or self._ledger.members((rollout.scope, rollout.id)) == 0):
                await self._catch_up(rollout)
            if not rollout.state.is_over or rollout.state is RolloutState.FINISHED:
                await self._ledger.look_for_away(rollout, self._clock.now(), partial(self._assigner.patience, rollout))
                await self._judge((rollout.scope, rollout.id))

    async def _age(self, rollout: Rollout) -> None:
        """Find who fell silent, who never comes to an end, and whose life is over."""
        name = (rollout.scope, rollout.id)
        for number in range(rollout.wave + 1):
            aged = []
            for index, device in enumerate(self._ledger.devices(name, number, *_MOVING)):
                key = DeviceKey(rollout.scope, DeviceId(device))
                if self._aged(rollout, key) is not None:
                    aged.append(key)
                if index % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
            await self._assigner.in_groups(aged, partial(self._aged, rollout))

    def _aged(self, rollout: Rollout, key: DeviceKey) -> Change | None:
        known, device = self._store.kept(Assignment, key.scope, key.device), self._store.device(key)
        if known is None or known.rollout != rollout.id:
            return None
        if device is None or device.lifecycle.is_over:
            return Removed(Assignment, key.scope, key.device)
        now, patience_s = self._clock.now(), self._assigner.patience_s(rollout, key)
        after = unheard(known, self._ledger.heard_of(key), patience_s=patience_s, now=now)
        if now - self._ledger.since >= patience_s * SECOND:  # nobody is late who could not be heard
            after = overdue(after, deadline_s=rollout.thresholds.deadline_s, now=now, patience_s=patience_s)
        return after if after != known else None

    async def _catch_up(self, rollout: Rollout) -> None:
        """Take in devices that came since, into the last wave; a device gets the newest rollout that is for it."""
        release = self._store.kept(Release, rollout.scope, rollout.release)
        if release is None:
            return
        newer = [
            other
            for other in self._store.all_kept(Rollout, rollout.scope)
            if other.state not in (RolloutState.DRAFT, RolloutState.ABORTED)
            and (other.started_at or 0) > (rollout.started_at or 0)
        ]
        last = len(rollout.waves) - 1
        missing = {
            device.key: last
            for device in self._assigner.candidates(rollout)
            if self._assigner.is_free(rollout, device.key)
            and not any(selects(other.selection, candidate_of(device)) for other in newer)
        }
        if missing:
            async with self._turns.lock:
                await self._assigner.put(rollout, release, missing, self._clock.now())

    async def _judge(self, name: Name) -> None:
        async with self._turns.lock:
            rollout = self._store.kept(Rollout, *name)
            if rollout is None or rollout.state not in (RolloutState.RUNNING, RolloutState.FINISHED):
                return
            now = self._clock.now()
            verdict = judge(rollout, self._ledger.tallies(rollout))
            await self._act(rollout, verdict, now)

    async def _act(self, rollout: Rollout, verdict: Judgement, now: Instant) -> None:
        wave = rollout.waves[verdict.wave].name
        match verdict.verb:
            case Verb.STAY:
                return
            case Verb.HALT:
                reason = verdict.reason
                code, why = (reason.code, reason.sentence) if reason is not None else ("rollout.halted", "")
                halted = msgspec.structs.replace(rollout, state=RolloutState.HALTED)
                turn = Turn(now, "halted", verdict.wave, "server", code, why)
                await self._turns.take(halted, Kind.ROLLOUT_HALTED, turn)
            case Verb.OPEN:
                opened = msgspec.structs.replace(rollout, wave=rollout.wave + 1, opened_at=now)
                why = f"{wave} is good; {opened.waves[opened.wave].name} opens"
                turn = Turn(now, "advanced", opened.wave, "server", "", why)
                await self._turns.take(opened, Kind.ROLLOUT_ADVANCED, turn)
            case Verb.FINISH:
                done = msgspec.structs.replace(rollout, state=RolloutState.FINISHED)
                await self._turns.take(done, Kind.ROLLOUT_FINISHED, Turn(now, "finished", rollout.wave, "server"))
