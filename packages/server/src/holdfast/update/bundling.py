"""Handing bundles out: each stands in the record, with who carries it, for which site, until when."""

from __future__ import annotations

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.store import Store
from holdfast.update.bundle import Bundle, Bundles
from holdfast_core.kernel.ids import Scope
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release


class Bundling:
    """Makes bundles for people."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit, bundles: Bundles) -> None:
        self._store, self._clock, self._emit, self._bundles = store, clock, emit, bundles

    async def make(self, scope: Scope, site: str, *, release: Release | None, life: int, actor: str) -> Bundle:
        """A bundle for a site. Raises as `Bundles.make`."""
        now = self._clock.now()
        made = self._bundles.make(scope, site, now=now, release=release, life=life)
        told = {"site": site, "until": made.expires, "payloads": [each.digest for each in made.artefacts]}
        await self._store.commit(self._emit(Noted(Kind.BUNDLE_MADE, actor, None, scope, told, now)))
        return made
