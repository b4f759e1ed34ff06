"""Handing bundles out: each stands in the record, with who carries it, for which site, until when.

1. What may not roll out at a site is not carried there either: each release of a bundle is cleared as for a rollout.
"""

from __future__ import annotations

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.store import Store
from holdfast.update.bundle import Bundle, Bundles
from holdfast.update.releases import ReleaseService
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release


class Bundling:
    """Makes bundles for people."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit, bundles: Bundles, releases: ReleaseService) -> None:
        self._store, self._clock, self._emit = store, clock, emit
        self._bundles, self._releases = bundles, releases

    async def make(self, scope: Scope, site: str, *, release: Release | None, life: int, actor: str) -> Bundle:
        """A bundle for a site.

        Raises:
            HostileData: ``bundle.not_cleared`` (409), and as `Bundles.make`.
        """
        now = self._clock.now()
        made = self._bundles.make(scope, site, now=now, release=release, life=life)
        for name in made.releases:
            self._check_cleared(scope, site, name)
        told = {"site": site, "until": made.expires, "payloads": [each.digest for each in made.artefacts]}
        await self._store.commit(self._emit(Noted(Kind.BUNDLE_MADE, actor, None, scope, told, now)))
        return made

    def _check_cleared(self, scope: Scope, site: str, name: str) -> None:
        missing = self._releases.lacks(scope, self._releases.require(scope, name), frozenset({site}))
        if missing:
            raise HostileData(
                "bundle.not_cleared",
                f"{name} may not roll out at {site} yet. It lacks {'; '.join(missing)}.",
                remedy=f"Get what is missing, then make the bundle. See what that is: holdfast release show {name}",
                http_status=409,
            )
