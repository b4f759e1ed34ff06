"""Rollouts: creating, starting, pausing, halting; and the watch that judges them.

1. One hand moves a rollout: people's acts and the watch take turns (`_moving`), and each act is one commit.
2. The watch judges a rollout whenever something of it became durable, and every `TICK_SECONDS` for what time alone
   changes: silence, deadlines.
3. A rollout that halts begins with nobody from the commit on that says so; what is under way is called off when it
   next checks in, and what is on trial falls back where the rollout says so (`back`).
4. Devices that come later get the newest rollout of their model that goes on or is finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, RolloutTurned
from holdfast.ports.store import Change, DeviceFilter, Store
from holdfast.update.ledger import Ledger, Name
from holdfast.update.releases import ReleaseService
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey, Scope, parse_name
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release
from holdfast_core.trust.rules import MISSED_CONTACTS
from holdfast_core.update.assignment import FORGIVEN, overdue, unheard
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Stage, Turn
from holdfast_core.update.rollout import AWAY, Judgement, Tally, Verb, judge
from holdfast_core.update.waves import Candidate, check, check_filled, place, selects

TICK_SECONDS = 1.0
GROUP = 200
"""Devices that one commit takes."""
PAGE = 1_000
UNKNOWN_INTERVAL_S = 86_400
_OVER = (Stage.DONE, Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN, Stage.WAITING)
_CALLED_OFF = (Stage.DIRECTED, Stage.SILENT)
"""Where a device of an aborted rollout may stand for ever: it never began, or never came back."""


class View(msgspec.Struct, frozen=True):
    """A rollout as it stands: itself, the tally of each wave, and how many devices were given the release."""

    rollout: Rollout
    tallies: tuple[Tally, ...]
    exposed: int
    weak: int
    """Devices that are done by their own word alone."""


class _Act(msgspec.Struct, frozen=True):
    """What a person does to a rollout in one of some states."""

    what: str
    to: RolloutState
    kind: Kind
    states: tuple[RolloutState, ...]


_PAUSE = _Act("paused", RolloutState.PAUSED, Kind.ROLLOUT_PAUSED, (RolloutState.RUNNING,))
_ABORT = _Act(
    "aborted",
    RolloutState.ABORTED,
    Kind.ROLLOUT_ABORTED,
    (RolloutState.DRAFT, RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED),
)


class RolloutService:
    """The rollouts of every scope."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit, ledger: Ledger, releases: ReleaseService) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._ledger = ledger
        self._releases = releases
        self._moving = asyncio.Lock()
        self._changed = asyncio.Event()
        ledger.on_change = self._changed.set

    # Reading

    def require(self, scope: Scope, name: str) -> Rollout:
        """A rollout by its name. Raises HostileData ``rollout.unknown`` (404)."""
        found = self._store.kept(Rollout, scope, name)
        if found is None:
            raise HostileData(
                "rollout.unknown",
                f"No rollout is named {name[:80]!r}.",
                remedy="List them: holdfast rollout list.",
                http_status=404,
            )
        return found

    def listed(self, scope: Scope) -> list[View]:
        """Every rollout, the newest first."""
        found = sorted(self._store.all_kept(Rollout, scope), key=lambda each: each.created_at, reverse=True)
        return [self.view(each) for each in found]

    def view(self, rollout: Rollout) -> View:
        """A rollout as it stands now."""
        tallies = self._tallies(rollout, self._clock.now())
        weak = sum(
            1
            for number in range(len(rollout.waves))
            for device in self._ledger.devices((rollout.scope, rollout.id), number, Stage.DONE, Stage.SOAKING)
            if (known := self._store.kept(Assignment, rollout.scope, device)) is not None and known.weak
        )
        return View(rollout, tallies, sum(each.exposed for each in tallies), weak)

    def devices(
        self, rollout: Rollout, stages: Sequence[Stage] = (), *, after: str = "", limit: int = PAGE
    ) -> list[Assignment]:
        """The devices of a rollout, in id order."""
        name, found = (rollout.scope, rollout.id), []
        for number in range(len(rollout.waves)):
            found.extend(self._ledger.devices(name, number, *stages))
        wanted = sorted(device for device in found if device > after)[:limit]
        assignments = (self._store.kept(Assignment, rollout.scope, device) for device in wanted)
        return [each for each in assignments if each is not None]

    def _tallies(self, rollout: Rollout, now: Instant) -> tuple[Tally, ...]:
        return self._ledger.tallies(rollout, now, lambda key: self._patience_s(rollout, key) * SECOND)

    def _patience_s(self, rollout: Rollout, key: DeviceKey) -> int:
        if rollout.thresholds.patience_s:
            return rollout.thresholds.patience_s
        device = self._store.device(key)
        stored = self._store.model(key.scope, device.model) if device is not None else None
        interval = stored.model.constraints.contact_interval_s if stored is not None else UNKNOWN_INTERVAL_S
        return MISSED_CONTACTS * interval + rollout.guards.confirm_s

    def candidates(self, rollout: Rollout) -> list[Device]:
        """The devices that a rollout is for, in id order: those whose life goes on."""
        found: list[Device] = []
        after = ""
        while page := self._store.devices(rollout.scope, DeviceFilter(after=after, limit=PAGE)):
            after = page[-1].key.device
            found.extend(
                device
                for device in page
                if not device.lifecycle.is_over and selects(rollout.selection, _candidate(device))
            )
        return found

    # People's acts

    async def create(self, rollout: Rollout, *, actor: str) -> Rollout:
        """Keep a rollout as a draft.

        Raises:
            HostileData: ``name.invalid``, ``rollout.exists`` (409), ``rollout.waves``, ``rollout.thresholds``,
                ``rollout.model``, ``release.unknown`` (404).
        """
        parse_name(rollout.id, what="name of a rollout")
        check(rollout)
        release = self._releases.require(rollout.scope, rollout.release)
        if release.model != rollout.selection.model:
            raise _refused("model", f"{release.id} is not for {rollout.selection.model}.", "Select its own model.")
        async with self._moving:
            if self._store.kept(Rollout, rollout.scope, rollout.id) is not None:
                raise _conflict("exists", f"There is a rollout named {rollout.id!r}.", "Give it another name.")
            now = self._clock.now()
            made = msgspec.structs.replace(
                rollout, state=RolloutState.DRAFT, wave=0, created_at=now, by=actor, started_at=None, turns=()
            )
            await self._turn(made, Kind.ROLLOUT_CREATED, Turn(now, "created", by=actor))
            return self.require(rollout.scope, rollout.id)

    async def start(self, scope: Scope, name: str, *, actor: str) -> Rollout:
        """Begin: every device gets its wave, and the first wave opens.

        Raises:
            HostileData: ``rollout.unknown`` (404), ``rollout.state`` (409), ``rollout.not_cleared`` (409),
                ``rollout.nobody``, ``rollout.behind`` (409), ``rollout.busy`` (409), ``rollout.empty_wave``.
        """
        async with self._moving:
            rollout = self._expect(scope, name, RolloutState.DRAFT)
            release = self._releases.require(scope, rollout.release)
            devices = self.candidates(rollout)
            if not devices:
                raise _refused("nobody", "No device is selected.", "Look at the selection: holdfast rollout show.")
            sites = frozenset(device.site for device in devices)
            if missing := self._releases.lacks(scope, release, sites):
                raise _conflict("not_cleared", f"{release.id} lacks: {'; '.join(missing)}.", "See to each of these.")
            self._check_newest(rollout, release)
            now = self._clock.now()
            await self._assign(rollout, release, devices, now)
            begun = msgspec.structs.replace(rollout, state=RolloutState.RUNNING, started_at=now, opened_at=now)
            await self._turn(begun, Kind.ROLLOUT_STARTED, Turn(now, "started", by=actor))
            return self.require(scope, name)

    def _check_newest(self, rollout: Rollout, release: Release) -> None:
        """Refuse to begin while another rollout of the model goes on with devices of this one."""
        for other in self._store.all_kept(Rollout, rollout.scope):
            goes_on = other.state in (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED)
            if goes_on and other.selection == rollout.selection:
                raise _conflict(
                    "behind",
                    f"Rollout {other.id!r} is for the same devices and is {other.state.value}; "
                    f"{release.id} has to wait.",
                    f"Abort it first: holdfast rollout abort {other.id}.",
                )

    async def _assign(self, rollout: Rollout, release: Release, devices: Sequence[Device], now: Instant) -> None:
        placed = place(rollout.id, rollout.waves, [_candidate(device) for device in devices])
        check_filled(rollout, placed)
        filled = await self._put(rollout, release, {device.key: placed[device.key.device] for device in devices}, now)
        if filled.count(0) == 0:
            raise _conflict(
                "busy",
                f"Another rollout is under way with every device of wave {rollout.waves[0].name!r}.",
                "Wait until it has settled, or abort it; then start this one again.",
            )

    async def _put(self, rollout: Rollout, release: Release, placed: dict[DeviceKey, int], now: Instant) -> list[int]:
        """Write the assignments of devices that nothing else is under way with; the others come when they settled.

        Each group is held while it is looked at and written, for its devices may just check in. The waves that got one.
        """
        counter = release.offer.counter if release.offer is not None else 0
        keys, filled = list(placed), list[int]()
        for start in range(0, len(keys), GROUP):
            async with AsyncExitStack() as held:
                group: list[Change] = []
                for key in keys[start : start + GROUP]:
                    await held.enter_async_context(self._store.exclusive(key))
                    if self._is_free(rollout, key):
                        filled.append(placed[key])
                        group.append(
                            Assignment(
                                key.scope,
                                key.device,
                                rollout=rollout.id,
                                wave=placed[key],
                                release=release.id,
                                counter=counter,
                                at=now,
                            )
                        )
                if group:
                    await self._store.commit(group)
        return filled

    def _is_free(self, rollout: Rollout, key: DeviceKey) -> bool:
        """Whether a device may be taken into a rollout: it is in none, or in another that is through with it."""
        known = self._store.kept(Assignment, key.scope, key.device)
        if known is None:
            return True
        if known.rollout == rollout.id:
            return False
        other = self._store.kept(Rollout, key.scope, known.rollout)
        ended = other is None or other.state is RolloutState.ABORTED
        return known.stage in _OVER or (ended and known.stage in _CALLED_OFF)

    async def pause(self, scope: Scope, name: str, *, why: str, actor: str) -> Rollout:
        """Begin with nobody more; what is under way goes on.

        Raises:
            HostileData: as `require`, ``rollout.state`` (409), ``why.missing``.
        """
        return await self._move(scope, name, _PAUSE, why=why, actor=actor)

    async def resume(self, scope: Scope, name: str, *, why: str, actor: str, anyway: bool = False) -> Rollout:
        """Go on after a pause or a halt; `anyway` opens the next wave though the last is not good.

        Raises:
            HostileData: as `require`, ``rollout.state`` (409), ``why.missing``, ``rollout.still_bad`` (409).
        """
        require_why(why)
        async with self._moving:
            rollout = self._expect(scope, name, RolloutState.PAUSED, RolloutState.HALTED)
            now = self._clock.now()
            await self._reopen(rollout, (Stage.WITHDRAWN,), Stage.WAITING, now, why)
            verdict = judge(rollout, self._tallies(rollout, now))
            if verdict.verb is Verb.HALT and not anyway:
                why_not = verdict.reason.sentence if verdict.reason is not None else ""
                raise _conflict(
                    "still_bad",
                    f"It would halt again at once: {why_not}",
                    "Retry the devices that failed (holdfast rollout retry), or say --anyway to forgive them.",
                )
            moved = msgspec.structs.replace(rollout, state=RolloutState.RUNNING)
            if verdict.reason is not None and verdict.reason.code == AWAY:
                moved = _past(moved, now)
            elif verdict.verb is Verb.HALT:
                await self._reopen(rollout, (Stage.FAILED, Stage.FELL_BACK, Stage.SILENT), Stage.DONE, now, why)
            await self._turn(moved, Kind.ROLLOUT_RESUMED, Turn(now, "resumed", moved.wave, actor, "", why))
            return self.require(scope, name)

    async def retry(self, scope: Scope, name: str, *, why: str, actor: str) -> Rollout:
        """Let the devices that failed, fell back or were called off try once more, when the rollout goes on.

        Raises:
            HostileData: as `require`, ``rollout.state`` (409), ``why.missing``.
        """
        require_why(why)
        async with self._moving:
            rollout = self._expect(scope, name, RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED)
            now = self._clock.now()
            failed = (Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN)
            count = await self._reopen(rollout, failed, Stage.WAITING, now, why)
            turn = Turn(now, "retried", rollout.wave, actor, "", f"{count} devices: {why}")
            await self._turn(rollout, Kind.ROLLOUT_RETRIED, turn)
            return self.require(scope, name)

    async def abort(self, scope: Scope, name: str, *, why: str, actor: str) -> Rollout:
        """End it for good; what has not booted the release is called off. Raises as `pause`."""
        return await self._move(scope, name, _ABORT, why=why, actor=actor)

    async def _reopen(self, rollout: Rollout, stages: Sequence[Stage], to: Stage, now: Instant, why: str) -> int:
        """Move devices of some stages to another; each under its own lock, for it may just check in."""
        count = 0
        for number in range(len(rollout.waves)):
            for device in self._ledger.devices((rollout.scope, rollout.id), number, *stages):
                key = DeviceKey(rollout.scope, device)  # type: ignore[arg-type]  # an id that is there
                async with self._store.exclusive(key):
                    known = self._store.kept(Assignment, key.scope, key.device)
                    if known is None or known.rollout != rollout.id or known.stage not in stages:
                        continue
                    trial = known.trial + 1 if to is Stage.WAITING else known.trial
                    code, sentence = ("", "") if to is Stage.WAITING else (FORGIVEN, why[:200])
                    again = msgspec.structs.replace(
                        known, stage=to, at=now, trial=trial, percent=0, code=code, sentence=sentence
                    )
                    await self._store.commit([again])
                    count += 1
        return count

    async def _move(self, scope: Scope, name: str, act: _Act, *, why: str, actor: str) -> Rollout:
        require_why(why)
        async with self._moving:
            rollout = self._expect(scope, name, *act.states)
            moved = msgspec.structs.replace(rollout, state=act.to)
            await self._turn(moved, act.kind, Turn(self._clock.now(), act.what, rollout.wave, actor, "", why))
            return self.require(scope, name)

    def _expect(self, scope: Scope, name: str, *states: RolloutState) -> Rollout:
        rollout = self.require(scope, name)
        if rollout.state not in states:
            raise _conflict(
                "state",
                f"Rollout {name!r} is {rollout.state.value}; this needs it {' or '.join(s.value for s in states)}.",
                "Look at it: holdfast rollout show.",
            )
        return rollout

    async def _turn(self, rollout: Rollout, kind: Kind, turn: Turn) -> None:
        turned = rollout.turned(turn)
        await self._store.commit([turned, *self._emit(RolloutTurned(turned, kind, turn))])

    # The watch

    async def watch(self) -> None:
        """Judge rollouts whenever something of them changed, and now and then for what time changes."""
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), TICK_SECONDS)
            except TimeoutError:
                await self.tick()
                continue
            self._changed.clear()
            for name in self._ledger.take_dirty():
                await self._judge(name)

    async def tick(self) -> None:
        """See to what time alone changes, and judge every rollout that goes on."""
        self._ledger.take_dirty()
        arrivals, self._ledger.has_arrivals = self._ledger.has_arrivals, False
        for rollout in self._store.all_kept(Rollout):
            if rollout.state.is_over and rollout.state is not RolloutState.FINISHED:
                continue
            if rollout.state is not RolloutState.DRAFT:
                await self._age(rollout)
                if arrivals or rollout.state is RolloutState.RUNNING:
                    await self._catch_up(rollout)
                await self._judge((rollout.scope, rollout.id))

    async def _age(self, rollout: Rollout) -> None:
        """Find who fell silent, or never comes to an end."""
        name = (rollout.scope, rollout.id)
        stages = (Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED, Stage.SOAKING)
        for number in range(rollout.wave + 1):
            for device in self._ledger.devices(name, number, *stages):
                key = DeviceKey(rollout.scope, device)  # type: ignore[arg-type]  # an id that is there
                if self._aged(rollout, key) is not None:
                    async with self._store.exclusive(key):
                        after = self._aged(rollout, key)
                        if after is not None:
                            await self._store.commit([after])

    def _aged(self, rollout: Rollout, key: DeviceKey) -> Assignment | None:
        known = self._store.kept(Assignment, key.scope, key.device)
        if known is None or known.rollout != rollout.id:
            return None
        now = self._clock.now()
        patience_s = self._patience_s(rollout, key)
        after = unheard(known, self._ledger.last_seen(key), patience_s=patience_s, now=now)
        after = overdue(after, deadline_s=rollout.thresholds.deadline_s, now=now, patience_s=patience_s)
        return after if after != known else None

    async def _catch_up(self, rollout: Rollout) -> None:
        """Take in devices that came since, into the last wave; only the newest rollout of a selection does."""
        if rollout.state is RolloutState.PAUSED or rollout.state is RolloutState.HALTED:
            return
        release = self._store.kept(Release, rollout.scope, rollout.release)
        newer = any(
            other.selection.model == rollout.selection.model
            and other.state is not RolloutState.DRAFT
            and (other.started_at or 0) > (rollout.started_at or 0)
            for other in self._store.all_kept(Rollout, rollout.scope)
        )
        if release is None or newer:
            return
        last = len(rollout.waves) - 1
        missing = {}
        for device in self.candidates(rollout):
            if self._is_free(rollout, device.key):
                missing[device.key] = last
        if missing:
            async with self._moving:
                await self._put(rollout, release, missing, self._clock.now())

    async def _judge(self, name: Name) -> None:
        async with self._moving:
            rollout = self._store.kept(Rollout, *name)
            if rollout is None or rollout.state not in (RolloutState.RUNNING, RolloutState.FINISHED):
                return
            now = self._clock.now()
            verdict = judge(rollout, self._tallies(rollout, now))
            await self._act(rollout, verdict, now)

    async def _act(self, rollout: Rollout, verdict: Judgement, now: Instant) -> None:
        wave = rollout.waves[verdict.wave].name
        match verdict.verb:
            case Verb.STAY:
                return
            case Verb.HALT:
                reason = verdict.reason
                code, why = (reason.code, reason.sentence) if reason is not None else ("rollout.halted", "")
                halted = msgspec.structs.replace(rollout, state=RolloutState.HALTED)
                turn = Turn(now, "halted", verdict.wave, "server", code, why)
                await self._turn(halted, Kind.ROLLOUT_HALTED, turn)
            case Verb.OPEN:
                opened = msgspec.structs.replace(rollout, wave=rollout.wave + 1, opened_at=now)
                why = f"{wave} is good; {opened.waves[opened.wave].name} opens"
                turn = Turn(now, "advanced", opened.wave, "server", "", why)
                await self._turn(opened, Kind.ROLLOUT_ADVANCED, turn)
            case Verb.FINISH:
                done = msgspec.structs.replace(rollout, state=RolloutState.FINISHED)
                await self._turn(done, Kind.ROLLOUT_FINISHED, Turn(now, "finished", rollout.wave, "server"))


def _past(rollout: Rollout, now: Instant) -> Rollout:
    """A rollout beyond its last open wave, which nobody of was there for."""
    if rollout.wave == len(rollout.waves) - 1:
        return msgspec.structs.replace(rollout, state=RolloutState.FINISHED)
    return msgspec.structs.replace(rollout, wave=rollout.wave + 1, opened_at=now)


def _candidate(device: Device) -> Candidate:
    return Candidate(device.key.device, device.model.partition("@")[0], device.site, device.labels)


def _refused(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"rollout.{name}", sentence, remedy=remedy)


def _conflict(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"rollout.{name}", sentence, remedy=remedy, http_status=409)
