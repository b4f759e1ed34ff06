"""Looking at relying parties from outside: whether those that let devices in still refuse who is revoked.

1. What cannot be looked at is a finding: a list that cannot be fetched protects nobody either.
2. A look changes nothing at the relying party. What it finds opens an incident, and the next sound look closes it.
3. A list is behind when a newer one is older than `SPREAD`: until then it may be on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from holdfast.identity.canaries import SPREAD, Canaries
from holdfast.identity.lists import MadeList, RevocationLists
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, RelyingPartyLooked
from holdfast.ports.store import Store
from holdfast.ports.validity import Fetcher, RelyingPartyProbe
from holdfast_core.identity.published import Expected, examine, read_lists
from holdfast_core.identity.validity import LIST_BACKDATE, issuer_name
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.errors import HoldfastError, WorldError
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import Limits
from holdfast_core.kernel.reasons import Reason

LOOK_SECONDS = 60.0
_log = logging.getLogger("holdfast.relying-parties")


class RelyingParties:
    """Looks at relying parties.

    Args:
        store: where what is found goes.
        clock: the server's time.
        lists: what they should have.
        canaries: what they should refuse.
        fetcher: reads the lists as they are published.
        emit: who hears of what is found.
        limits: for what is fetched.
        scope: whose lists `published` are.
        published: files and addresses where relying parties find their lists.
        probes: relying parties that can be tried.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        lists: RevocationLists,
        canaries: Canaries,
        fetcher: Fetcher,
        emit: Emit,
        limits: Limits,
        scope: Scope,
        published: Sequence[str] = (),
        probes: Sequence[RelyingPartyProbe] = (),
    ) -> None:
        self._store, self._clock, self._lists, self._canaries = store, clock, lists, canaries
        self._fetcher, self._emit, self._limits = fetcher, emit, limits
        self._scope, self._published, self._probes = scope, tuple(published), tuple(probes)
        self._numbers: dict[Digest, list[tuple[Instant, int]]] = {}
        """Of every issuer since when which numbers must be everywhere; the first is in force, the others come."""
        lists.watch(self._made)

    def _made(self, made: MadeList) -> None:
        since = Instant(made.stamp.this_update + LIST_BACKDATE + SPREAD)
        self._numbers.setdefault(made.issuer, []).append((since, made.stamp.number))
        self._number(made.issuer, self._clock.now())

    def _number(self, issuer: Digest, now: Instant) -> int:
        """The lowest number that a published list may have at `now`."""
        known = self._numbers.get(issuer, [])
        while len(known) > 1 and known[1][0] <= now:
            known.pop(0)
        return known[0][1] if known and known[0][0] <= now else 0

    def expected(self, scope: Scope) -> list[Expected]:
        """What the published lists of a scope should be like now."""
        now = self._clock.now()
        return [
            Expected(
                certificate=issuer.certificate,
                name=issuer_name(issuer.id),
                number=self._number(issuer.id, now),
                canaries=self._canaries.serials(issuer, now),
                shards=self._lists.shards(issuer.id),
            )
            for issuer in self._lists.issuers(scope)
        ]

    async def look_at_lists(self, scope: Scope, address: str) -> tuple[Reason, ...]:
        """What is wrong with the lists at an address or in a file; empty when they may be gone by."""
        try:
            data = await self._fetcher.fetch(address)
            lists = await asyncio.to_thread(read_lists, data, self._limits)
        except HoldfastError as error:
            return (Reason(error.code, error.sentence, error.remedy),)
        return await asyncio.to_thread(examine, lists, self.expected(scope), self._clock.now())

    async def look_at_party(self, probe: RelyingPartyProbe) -> tuple[Reason, ...]:
        """What trying a party with every canary of its environment found."""
        found: list[Reason] = []
        for issuer in self._lists.issuers(probe.scope):
            live, now = await self._canaries.of(issuer), self._clock.now()
            if live.made_at + SPREAD <= now:
                found.extend(await probe.look(live.identity, now))
        return tuple(found)

    async def sweep(self) -> dict[str, tuple[Reason, ...]]:
        """Look at all of them once; what was found, by name."""
        for issuer in self._lists.issuers(self._scope):
            await self._canaries.of(issuer)  # one must be there to be missed
        looked: dict[str, tuple[Reason, ...]] = {}
        for address in self._published:
            looked[address] = await self._told(self._scope, address, await self.look_at_lists(self._scope, address))
        for probe in self._probes:
            looked[probe.party] = await self._told(probe.scope, probe.party, await self._tried(probe))
        return looked

    async def _tried(self, probe: RelyingPartyProbe) -> tuple[Reason, ...]:
        try:
            return await self.look_at_party(probe)
        except WorldError as error:
            return (Reason(error.code, error.sentence, error.remedy),)
        except Exception:  # noqa: BLE001  (whatever is wrong with one probe, the other parties must be looked at)
            _log.exception("the relying party %s could not be looked at", probe.party)
            remedy = "See the server's log of this moment."
            return (Reason("relying_party.unknown", f"{probe.party} could not be looked at.", remedy),)

    async def _told(self, scope: Scope, party: str, reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
        changes = self._emit(RelyingPartyLooked(scope, party, reasons, self._clock.now()))
        if changes:
            await self._store.commit(list(changes))
        return reasons

    async def run(self) -> None:
        """Look until cancelled; while the store cannot write, what was found is told at the next look."""
        while True:
            with contextlib.suppress(WorldError):
                await self.sweep()
            await asyncio.sleep(LOOK_SECONDS)
