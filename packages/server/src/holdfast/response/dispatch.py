"""Sending what waits for the outside, until it is taken or given up.

1. A message is durable before it is tried, and its every attempt is durable before the next: a restart loses none.
2. Retries follow the schedule of Standard Webhooks; after the last one the message is given up, and that is logged.
3. Messages may come twice (a crash between sending and noting it); the receiver tells by ``webhook-id``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.notifier import Notifier
from holdfast.ports.store import Delivery, Store
from holdfast_core.kernel.errors import WorldError
from holdfast_core.kernel.instants import HOUR, MINUTE, SECOND, Instant

SCHEDULE = (5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
POLL_SECONDS = 1.0
_log = logging.getLogger("holdfast.webhook")


def after_attempt(delivery: Delivery, now: Instant, *, taken: bool) -> Delivery:
    """The delivery after an attempt at `now`: done, or due again, or given up."""
    attempts = delivery.attempts + 1
    if taken or attempts > len(SCHEDULE):
        return msgspec.structs.replace(delivery, attempts=attempts, done=True)
    return msgspec.structs.replace(delivery, attempts=attempts, due_at=Instant(now + SCHEDULE[attempts - 1]))


class Dispatcher:
    """Sends due deliveries, one after another."""

    def __init__(self, *, store: Store, clock: Clock, notifier: Notifier) -> None:
        self._store = store
        self._clock = clock
        self._notifier = notifier

    async def dispatch(self) -> int:
        """Try every due delivery once; return how many were taken."""
        taken = 0
        for delivery in sorted(self._store.deliveries(), key=lambda d: d.created_at):
            now = self._clock.now()
            if delivery.due_at > now:
                continue
            accepted = await self._sent(delivery, now)
            taken += accepted
            after = after_attempt(delivery, now, taken=accepted)
            if after.done and not accepted:
                _log.error("webhook message %s was given up after %d attempts", delivery.id, after.attempts)
            await self._store.commit([after])
        return taken

    async def _sent(self, delivery: Delivery, now: Instant) -> bool:
        try:
            return await self._notifier.send(delivery, now)
        except Exception:  # noqa: BLE001  (one message that cannot be sent must not hold up the others)
            _log.exception("webhook message %s could not be sent", delivery.id)
            return False

    async def run(self) -> None:
        """Dispatch until cancelled; while the store cannot write, messages wait."""
        while True:
            with contextlib.suppress(WorldError):
                await self.dispatch()
            await asyncio.sleep(POLL_SECONDS)
