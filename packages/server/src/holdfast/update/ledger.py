"""Where every device of every rollout is, counted as it changes; made anew from the store at a start.

1. It holds no truth of its own: it follows the store's feed of what became durable.
2. Silence is counted from when this server began to listen, at the earliest: while it was down nobody could be heard.
3. A device that was admitted and whose record is not durable yet is counted as under way (`admit`), so that two
   check-ins at one moment cannot both be the last that a bound allows.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from holdfast.ports.clock import Clock
from holdfast.ports.store import Change, Removed, Store
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import HOUR, MINUTE, Instant
from holdfast_core.trust.posture import Posture
from holdfast_core.update.assignment import GUARDS
from holdfast_core.update.model import Assignment, Rollout, Stage
from holdfast_core.update.rollout import Tally, may_begin

Name = tuple[Scope, str]
"""A rollout: its scope and its id."""
AT_ONCE = 500
"""Devices that are looked at before others have their turn."""
ADMITTED_FOR = MINUTE
"""How long an admission counts whose commit never came."""


class Ledger:
    """The devices of all rollouts, by wave and stage."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self.since = clock.now()
        """Since when devices can be heard."""
        self._stages: defaultdict[Name, defaultdict[int, defaultdict[Stage, set[str]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(set))
        )
        self._places: dict[tuple[Scope, str], Assignment] = {}
        self._begun: defaultdict[tuple[Name, int], dict[str, Instant]] = defaultdict(dict)
        self._held: defaultdict[tuple[Name, int], set[str]] = defaultdict(set)
        self._away: dict[tuple[Name, int], int] = {}
        self._admitted: dict[tuple[Name, int], dict[str, Instant]] = defaultdict(dict)
        self._seen: dict[DeviceKey, Instant] = {}
        self._dirty: set[Name] = set()
        self.on_change: Callable[[], None] = lambda: None
        self.has_arrivals = True
        """Whether devices came, changed or became free since somebody last looked who is new."""
        for assignment in store.all_kept(Assignment):
            self._take(assignment)
        store.watch_changes(self._watch)

    def _watch(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, Posture):
                if change.last_seen is not None:
                    self._seen[change.key] = max(change.last_seen, self._seen.get(change.key, Instant(0)))
            elif isinstance(change, Assignment):
                self._take(change)
            elif isinstance(change, Removed) and change.kind is Assignment:
                self._drop((change.scope, change.id))
            elif isinstance(change, Device):
                self.has_arrivals = True
            elif isinstance(change, Rollout):
                self.has_arrivals = True  # one that ended leaves its devices to others
                self._dirty.add((change.scope, change.id))
        if self._dirty:
            self.on_change()

    def _take(self, assignment: Assignment) -> None:
        self._drop((assignment.scope, assignment.id))
        name = (assignment.scope, assignment.rollout)
        wave, stage, device = (name, assignment.wave), assignment.stage, assignment.id
        self._stages[name][assignment.wave][stage].add(device)
        self._places[assignment.scope, device] = assignment
        self._dirty.add(name)
        self._admitted[wave].pop(device, None)
        if stage is Stage.DIRECTED and assignment.code in GUARDS:
            self._held[wave].add(device)
        if stage is not Stage.WAITING and assignment.directed_at is not None:
            self._begun[wave][device] = assignment.directed_at

    def _drop(self, place: tuple[Scope, str]) -> None:
        """Forget where a device was."""
        before = self._places.pop(place, None)
        if before is not None:
            name = (before.scope, before.rollout)
            self._stages[name][before.wave][before.stage].discard(before.id)
            self._held[name, before.wave].discard(before.id)
            self._dirty.add(name)

    def take_dirty(self) -> set[Name]:
        """The rollouts that changed since this was asked last."""
        dirty, self._dirty = self._dirty, set()
        return dirty

    def devices(self, name: Name, wave: int, *stages: Stage) -> list[str]:
        """The devices of a wave in some stages; in all, where none is named."""
        found = self._stages[name][wave]
        return sorted(device for stage in (stages or Stage) for device in found[stage])

    def members(self, name: Name) -> int:
        """How many devices a rollout has."""
        return sum(len(devices) for wave in self._stages[name].values() for devices in wave.values())

    def tallies(self, rollout: Rollout) -> tuple[Tally, ...]:
        """The tally of every wave; who is away is as it was when that was last looked at (`look_for_away`)."""
        name, found = (rollout.scope, rollout.id), []
        for number in range(len(rollout.waves)):
            stages = self._stages[name][number]
            away = min(self._away.get((name, number), 0), len(stages[Stage.WAITING]))
            found.append(_counted(stages, away, len(self._held[name, number])))
        return tuple(found)

    async def look_for_away(self, rollout: Rollout, now: Instant, patience: Callable[[DeviceKey], int]) -> None:
        """Count who is away in the open waves: who waits, and was not heard of for `patience` milliseconds.

        Who waits because something keeps it (`Assignment.code`) is counted with them: nothing moves it by itself.
        """
        name = (rollout.scope, rollout.id)
        for number in range(rollout.wave + 1):
            away = 0
            for index, device in enumerate(sorted(self._stages[name][number][Stage.WAITING])):
                key = DeviceKey(rollout.scope, DeviceId(device))
                is_kept = bool(self._places[rollout.scope, device].code)
                away += is_kept or now - self.heard_of(key) > patience(key)
                if index % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
            self._away[name, number] = away

    def heard_of(self, key: DeviceKey) -> Instant:
        """When a device was last heard of, or could have been."""
        return max(self.last_seen(key) or Instant(0), self.since)

    def last_seen(self, key: DeviceKey) -> Instant | None:
        """When a device was last heard of."""
        if key not in self._seen:
            posture = self._store.posture(key)
            if posture is None or posture.last_seen is None:
                return None
            self._seen[key] = posture.last_seen
        return self._seen[key]

    def heard(self, key: DeviceKey, at: Instant) -> None:
        """A device was heard of in another way than by a check-in."""
        self._seen[key] = at

    def admit(self, rollout: Rollout, wave: int, device: str, now: Instant) -> bool:
        """Whether a device may be begun with now; if so, it counts as under way from here on."""
        name = (rollout.scope, rollout.id)
        admitted = self._admitted[name, wave]
        for late in [each for each, at in admitted.items() if now - at > ADMITTED_FOR]:
            del admitted[late]
        waiting = sum(1 for each in admitted if each != device)
        counted = Tally(directed=_counted(self._stages[name][wave]).under_way + waiting)
        begun = self._begun_within_hour(name, wave, now) if rollout.waves[wave].per_hour else set()
        if not may_begin(rollout, wave, counted, len(begun | admitted.keys() - {device})):
            return False
        admitted[device] = now
        return True

    def _begun_within_hour(self, name: Name, wave: int, now: Instant) -> set[str]:
        """The devices of a wave that were begun with in the last hour; earlier ones are forgotten."""
        begun = self._begun[name, wave]
        for early in [each for each, at in begun.items() if now - at > HOUR]:
            del begun[early]
        return set(begun)


def _counted(stages: Mapping[Stage, AbstractSet[str]], away: int = 0, held: int = 0) -> Tally:
    counts = {stage.value.replace("-", "_"): len(devices) for stage, devices in stages.items()}
    return Tally(**counts, away=away, held=held)
