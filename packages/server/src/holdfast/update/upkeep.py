"""What keeps the update repositories alive: files signed online are signed anew, and people are asked in time.

1. Every hour what the server signs itself is issued again once half of its life is over.
2. Every day what people signed and will soon expire is proposed anew; roots, which only people can make, are told.
3. What cannot be done now is told and tried again: an hour later nothing has expired yet.
"""

from __future__ import annotations

import asyncio
import logging

from holdfast.ports.clock import Clock
from holdfast.ports.store import Store
from holdfast.update.image_repository import ImageRepository
from holdfast.update.releasing import Releasing, roots_expiring
from holdfast_core.kernel.errors import HoldfastError
from holdfast_core.kernel.ids import Scope
from holdfast_core.update.repository import Repository

HOUR_S = 3_600.0
DAILY = 24
_log = logging.getLogger("holdfast.update")


class Upkeep:
    """Looks after the repositories of every scope."""

    def __init__(self, *, store: Store, clock: Clock, images: ImageRepository, releasing: Releasing) -> None:
        self._store, self._clock = store, clock
        self._images, self._releasing = images, releasing

    async def watch(self) -> None:
        """Look after them, for ever."""
        hours = 0
        while True:
            await self.look(daily=hours % DAILY == 0)
            hours += 1
            await asyncio.sleep(HOUR_S)

    async def look(self, *, daily: bool) -> None:
        """Issue again what is due; with `daily` ask people for what will be."""
        try:
            await self._images.refresh_due(self._clock.now())
            if daily:
                for scope in sorted({each.scope for each in self._store.all_kept(Repository)}):
                    await self._renew(scope)
        except HoldfastError as error:
            _log.error("update metadata could not be renewed: %s", error)

    async def _renew(self, scope: Scope) -> None:
        for made in await self._releasing.renew(scope):
            _log.warning("%s: role %s expires soon and waits for signatures: holdfast keys fetch", scope, made.role)
        for name in roots_expiring(self._images.shelf(scope).state, self._clock.now()):
            _log.warning(
                "%s: the %s root expires soon: holdfast keys root --from FILE, then sign and publish", scope, name
            )
