"""The ground of every model: policy and releases, made ready once and made anew when something changed.

1. Releases follow the store's change feed, so that a check-in never walks over all of them.
2. A ground is good until the next retire date, or until a release or key of its model changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from holdfast.ports.store import Change, Removed, Store, StoredModel
from holdfast_core.attestation.ground import Ground, ground
from holdfast_core.attestation.policy import policy_of
from holdfast_core.attestation.reference import Reference, standings
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import LATEST, Instant


class Grounds:
    """What evidence is appraised against, by model."""

    def __init__(self, store: Store) -> None:
        self._releases: defaultdict[tuple[Scope, str], dict[str, Reference]] = defaultdict(dict)
        for reference in store.all_kept(Reference):
            self._take(reference)
        self._made: dict[tuple[Scope, str], tuple[Ground, Instant]] = {}
        store.watch_changes(self._note)

    def _take(self, reference: Reference) -> None:
        self._releases[reference.scope, reference.statement.model][reference.id] = reference

    def _note(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Reference):
                self._take(change)
                self._forget(change.scope)
            elif isinstance(change, Removed) and change.kind is Reference:
                for (scope, _), releases in self._releases.items():
                    if scope == change.scope:  # a release of the same name elsewhere is another one
                        releases.pop(change.id, None)
                self._forget(change.scope)

    def _forget(self, scope: Scope) -> None:
        self._made = {key: made for key, made in self._made.items() if key[0] != scope}

    def releases(self, scope: Scope, model: str) -> list[Reference]:
        """The releases of a model by its name, the newest statement first."""
        known = self._releases.get((scope, model), {})
        return sorted(known.values(), key=lambda each: (each.statement.made_at, each.id), reverse=True)

    def of(self, stored: StoredModel, now: Instant) -> Ground:
        """The ground of a stored model at `now`."""
        key = stored.scope, stored.digest
        made = self._made.get(key)
        if made is None or now >= made[1]:
            made = self.make(stored.scope, stored.model, now)
            self._made[key] = made
        return made[0]

    def make(self, scope: Scope, model: DeviceModel, now: Instant) -> tuple[Ground, Instant]:
        """The ground at `now`, and until when it is good."""
        releases = self.releases(scope, model.name)
        dates = [each.retire_at for each in releases if each.retire_at is not None and each.retire_at > now]
        return ground(policy_of(model), standings(releases, now)), min(dates, default=Instant(LATEST))
