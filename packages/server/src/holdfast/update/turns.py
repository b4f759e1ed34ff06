"""The turns of rollouts: one hand at a time, and each turn one commit with what it owes the record and the webhook."""

from __future__ import annotations

import asyncio

from holdfast.ports.events import Emit, RolloutTurned
from holdfast.ports.store import Store
from holdfast_core.record.model import Kind
from holdfast_core.update.model import Rollout, Turn


class Turns:
    """Whoever moves a rollout holds `lock`: people's acts and the watch come one after another."""

    def __init__(self, *, store: Store, emit: Emit) -> None:
        self._store, self._emit = store, emit
        self.lock = asyncio.Lock()

    async def take(self, rollout: Rollout, kind: Kind, turn: Turn) -> None:
        """Write a rollout with one more turn."""
        turned = rollout.turned(turn)
        await self._store.commit([turned, *self._emit(RolloutTurned(turned, kind, turn))])
