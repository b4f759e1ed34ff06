"""Where every device of every rollout is, counted as it changes; made anew from the store at a start.

1. It holds no truth of its own: it follows the store's feed of what became durable.
2. A device that was admitted and whose record is not durable yet is counted as under way (`admit`), so that two
   check-ins at one moment cannot both be the last that a bound allows.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from holdfast.ports.store import Change, Store
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.ids import DeviceKey, Scope
from holdfast_core.kernel.instants import HOUR, MINUTE, Instant
from holdfast_core.trust.posture import Posture
from holdfast_core.update.assignment import GUARDS
from holdfast_core.update.model import Assignment, Rollout, Stage
from holdfast_core.update.rollout import Tally, may_begin

Name = tuple[Scope, str]
"""A rollout: its scope and its id."""
ADMITTED_FOR = MINUTE
"""How long an admission counts whose commit never came."""


class Ledger:
    """The devices of all rollouts, by wave and stage."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stages: defaultdict[Name, defaultdict[int, defaultdict[Stage, set[str]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(set))
        )
        self._places: dict[tuple[Scope, str], Assignment] = {}
        self._begun: defaultdict[tuple[Name, int], deque[Instant]] = defaultdict(deque)
        self._admitted: dict[tuple[Name, int], dict[str, Instant]] = defaultdict(dict)
        self._seen: dict[DeviceKey, Instant] = {}
        self._dirty: set[Name] = set()
        self.on_change: Callable[[], None] = lambda: None
        self.has_arrivals = True
        """Whether a device was added or changed since somebody last looked who is new."""
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
            elif isinstance(change, Device):
                self.has_arrivals = True
            elif isinstance(change, Rollout):
                self._dirty.add((change.scope, change.id))
        if self._dirty:
            self.on_change()

    def _take(self, assignment: Assignment) -> None:
        place = (assignment.scope, assignment.id)
        before = self._places.get(place)
        if before is not None:
            name = (before.scope, before.rollout)
            self._stages[name][before.wave][before.stage].discard(before.id)
            self._dirty.add(name)
        name = (assignment.scope, assignment.rollout)
        self._stages[name][assignment.wave][assignment.stage].add(assignment.id)
        self._places[place] = assignment
        self._dirty.add(name)
        wave = (name, assignment.wave)
        self._admitted[wave].pop(assignment.id, None)
        if assignment.stage is Stage.DIRECTED and assignment.directed_at is not None:
            self._begun[wave].append(assignment.directed_at)

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

    def tallies(self, rollout: Rollout, now: Instant, patience: Callable[[DeviceKey], int]) -> tuple[Tally, ...]:
        """The tally of every wave; `patience` says after how many milliseconds of silence a device is away."""
        name = (rollout.scope, rollout.id)
        found = []
        for number in range(len(rollout.waves)):
            wave = self._stages[name][number]
            away = 0
            if number <= rollout.wave:
                keys = (DeviceKey(rollout.scope, device) for device in wave[Stage.WAITING])  # type: ignore[arg-type]  # ids of devices that are there
                away = sum(now - (self.last_seen(key) or 0) > patience(key) for key in keys)
            held = sum(
                (known := self._places.get((rollout.scope, device))) is not None and known.code in GUARDS
                for device in wave[Stage.DIRECTED]
            )
            found.append(_counted(wave, away, held))
        return tuple(found)

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
        begun = self._begun[name, wave]
        while begun and now - begun[0] > HOUR:
            begun.popleft()
        waiting = sum(1 for each in admitted if each != device)
        counted = Tally(directed=_counted(self._stages[name][wave]).under_way + waiting)
        if not may_begin(rollout, wave, counted, len(begun) + waiting):
            return False
        admitted[device] = now
        return True


def _counted(stages: Mapping[Stage, AbstractSet[str]], away: int = 0, held: int = 0) -> Tally:
    counts = {stage.value.replace("-", "_"): len(devices) for stage, devices in stages.items()}
    return Tally(**counts, away=away, held=held)
