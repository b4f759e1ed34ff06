"""Releases by what they are looked for: their payload's digest, their release counter, their place in a list.

1. It holds no truth of its own: it is made of the store at a start and follows the store's feed of what became durable.
2. No look depends on how many releases there are, but for the length of a page.
3. Only releases that can be installed stand in it: those with an offer and a payload.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence

from holdfast.ports.store import Change, Removed, Store
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import Scope
from holdfast_core.supply.model import Release

_Place = tuple[str, int, str]
"""Of a release in the list of its scope: its model, its counter below zero, its name."""


class ReleaseIndex:
    """The releases of every scope.

    Args:
        store: whose releases these are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._named: dict[tuple[Scope, str], Release] = {}
        self._places: defaultdict[Scope, list[_Place]] = defaultdict(list)
        self._of_payload: defaultdict[Digest, set[tuple[Scope, str]]] = defaultdict(set)
        for release in store.all_kept(Release):
            if release.offer is not None and release.payload is not None:
                self._named[release.scope, release.id] = release
                self._of_payload[release.payload.digest].add((release.scope, release.id))
                self._places[release.scope].append(_place(release))
        for places in self._places.values():
            places.sort()
        store.watch_changes(self._watch)

    def _watch(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Release):
                self._drop(change.scope, change.id)
                self._take(change)
            elif isinstance(change, Removed) and change.kind is Release:
                self._drop(change.scope, change.id)

    def _take(self, release: Release) -> None:
        if release.offer is not None and release.payload is not None:
            self._named[release.scope, release.id] = release
            self._of_payload[release.payload.digest].add((release.scope, release.id))
            bisect.insort(self._places[release.scope], _place(release))

    def _drop(self, scope: Scope, name: str) -> None:
        before = self._named.pop((scope, name), None)
        if before is None or before.payload is None:
            return
        places, place = self._places[scope], _place(before)
        del places[bisect.bisect_left(places, place)]
        named = self._of_payload[before.payload.digest]
        named.discard((scope, name))
        if not named:
            del self._of_payload[before.payload.digest]

    def names(self, scope: Scope, payload: Digest) -> bool:
        """Whether a release of a scope names a payload."""
        return any(owner == scope for owner, _ in self._of_payload.get(payload, ()))

    def of_payload(self, payload: Digest) -> list[Release]:
        """The releases of all scopes that name a payload."""
        return [self._named[name] for name in sorted(self._of_payload.get(payload, ()))]

    def of_counter(self, scope: Scope, model: str, counter: int) -> Release | None:
        """The release of a model with this release counter."""
        places = self._places.get(scope, [])
        at = bisect.bisect_left(places, (model, -counter, ""))
        if at < len(places) and places[at][:2] == (model, -counter):
            return self._named[scope, places[at][2]]
        return None

    def page(self, scope: Scope, model: str = "", *, after: str = "", limit: int) -> list[Release]:
        """Releases by model and the newest first, of one model or of all.

        Args:
            scope: where.
            model: the one model; empty: all.
            after: the name of the release after which the page starts; one that is not here starts no page.
            limit: how many at most.
        """
        places = self._places.get(scope, [])
        start = bisect.bisect_left(places, (model,))
        if after:
            last = self._named.get((scope, after))
            start = max(start, bisect.bisect_right(places, _place(last))) if last is not None else len(places)
        found = (places[at] for at in range(start, min(start + limit, len(places))))
        return [self._named[scope, place[2]] for place in found if model in ("", place[0])]


def _place(release: Release) -> _Place:
    return release.model, -(release.offer.counter if release.offer is not None else 0), release.id
