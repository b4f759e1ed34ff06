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
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, RolloutTurned
from holdfast.ports.store import Change, DeviceFilter, Removed, Store
from holdfast.update.ledger import Ledger, Name
from holdfast.update.releases import ReleaseService
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.errors import HostileData, WorldError
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope, parse_name
from holdfast_core.kernel.instants import SECOND, Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release
from holdfast_core.trust.rules import MISSED_CONTACTS
from holdfast_core.update.assignment import FORGIVEN, overdue, unheard
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Stage, Turn
from holdfast_core.update.rollout import AWAY, Judgement, RolloutResult, Tally, Verb, judge
from holdfast_core.update.waves import Candidate, check, check_filled, place, selects

TICK_SECONDS = 1.0
TICK_SHARE = 20
"""A look that takes long is made the more seldom: it gets a twentieth of the time."""
JUDGE_SECONDS = 0.1
"""Between two judgements: a thousand reports in it are judged once."""
AT_ONCE = 500
"""Devices that are looked at before others have their turn."""
GROUP = 200
"""Devices that one commit takes."""
PAGE = 1_000
UNKNOWN_INTERVAL_S = 86_400
_log = logging.getLogger("holdfast.update")
_MOVING = (Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED, Stage.SOAKING, Stage.WAITING, Stage.SILENT)
"""Stages in which time, or the end of a life, may change something."""
_OVER = (Stage.DONE, Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN, Stage.WAITING)


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
        """A rollout as it stands now; one that is over as it stood before its devices went on to the next."""
        tallies = self._ledger.tallies(rollout)
        kept = self._store.kept(RolloutResult, rollout.scope, rollout.id) if rollout.state.is_over else None
        if kept is not None and sum(each.all for each in tallies) < sum(each.all for each in kept.tallies):
            return View(rollout, kept.tallies, sum(each.exposed for each in kept.tallies), kept.weak)
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

    def _patience_s(self, rollout: Rollout, key: DeviceKey) -> int:
        """After how many seconds of silence a device is silent, or away."""
        if rollout.thresholds.patience_s:
            return rollout.thresholds.patience_s
        device = self._store.device(key)
        stored = self._store.model(key.scope, device.model) if device is not None else None
        interval = stored.model.constraints.contact_interval_s if stored is not None else UNKNOWN_INTERVAL_S
        return MISSED_CONTACTS * interval + rollout.guards.confirm_s

    def _patience(self, rollout: Rollout, key: DeviceKey) -> int:
        """The same in milliseconds."""
        return self._patience_s(rollout, key) * SECOND

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
        waves = {device.key: placed[device.key.device] for device in devices}
        first = [key for key, wave in waves.items() if wave == 0]
        if first and not any(self._is_free(rollout, key) or self._is_ours(rollout, key) for key in first):
            known = self._store.kept(Assignment, first[0].scope, first[0].device)
            other = known.rollout if known is not None else ""
            raise _conflict(
                "busy",
                f"Every device of wave {rollout.waves[0].name!r} is in rollout {other!r}, which is not over.",
                f"Let it finish, or abort it (holdfast rollout abort {other}); then start this one again.",
            )
        await self._keep_results(rollout, now)
        await self._put(rollout, release, waves, now)

    async def _keep_results(self, rollout: Rollout, now: Instant) -> None:
        """Write down what the rollouts came to whose devices may go on to this one."""
        over = (other for other in self._store.all_kept(Rollout, rollout.scope) if other.state.is_over)
        results = [self._result(other, now) for other in over if self._ledger.members((other.scope, other.id))]
        if results:
            await self._store.commit(results)

    def _result(self, rollout: Rollout, now: Instant) -> RolloutResult:
        view = self.view(rollout)
        return RolloutResult(rollout.scope, rollout.id, tallies=view.tallies, weak=view.weak, at=now)

    async def _put(self, rollout: Rollout, release: Release, placed: dict[DeviceKey, int], now: Instant) -> None:
        """Write the assignments of devices that are free; the others come when their rollout is over.

        Each group is held while it is looked at and written, for its devices may just check in.
        """
        counter = release.offer.counter if release.offer is not None else 0

        def made(key: DeviceKey) -> Assignment | None:
            if not self._is_free(rollout, key):
                return None
            return Assignment(
                key.scope,
                key.device,
                rollout=rollout.id,
                wave=placed[key],
                release=release.id,
                counter=counter,
                at=now,
            )

        await self._in_groups(list(placed), made)

    async def _in_groups(self, keys: Sequence[DeviceKey], made: Callable[[DeviceKey], Change | None]) -> None:
        """Commit what `made` makes of devices, a group at a time; each device is held while it is looked at."""
        for start in range(0, len(keys), GROUP):
            async with AsyncExitStack() as held:
                for key in keys[start : start + GROUP]:
                    await held.enter_async_context(self._store.exclusive(key))
                group = [change for key in keys[start : start + GROUP] if (change := made(key)) is not None]
                if group:
                    await self._store.commit(group)

    def _is_ours(self, rollout: Rollout, key: DeviceKey) -> bool:
        """Whether a device is in this rollout: a start that was cut off may have put it there."""
        known = self._store.kept(Assignment, key.scope, key.device)
        return known is not None and known.rollout == rollout.id

    def _is_free(self, rollout: Rollout, key: DeviceKey) -> bool:
        """Whether a device may be taken into a rollout: it is in none, or in another that is over."""
        known = self._store.kept(Assignment, key.scope, key.device)
        if known is None:
            return True
        if known.rollout == rollout.id:
            return False
        other = self._store.kept(Rollout, key.scope, known.rollout)
        if other is None or other.state in (RolloutState.ABORTED, RolloutState.DRAFT):
            return True
        return other.state is RolloutState.FINISHED and known.stage in _OVER

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
            verdict = judge(rollout, [_as_resumed(each) for each in self._ledger.tallies(rollout)])
            if verdict.verb is Verb.HALT and not anyway:
                why_not = verdict.reason.sentence if verdict.reason is not None else ""
                raise _conflict(
                    "still_bad",
                    f"It would halt again at once: {why_not}",
                    "Retry the devices that failed (holdfast rollout retry), or say --anyway to forgive them.",
                )
            await self._reopen(rollout, (Stage.WITHDRAWN,), Stage.WAITING, now, why)
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
            goes_on = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED, RolloutState.FINISHED)
            rollout = self._expect(scope, name, *goes_on)
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
        """Move devices of some stages to another; how many."""
        name, count = (rollout.scope, rollout.id), 0

        def again(key: DeviceKey) -> Assignment | None:
            nonlocal count
            known = self._store.kept(Assignment, key.scope, key.device)
            if known is None or known.rollout != rollout.id or known.stage not in stages:
                return None
            count += 1
            trial = known.trial + 1 if to is Stage.WAITING else known.trial
            code, sentence = ("", "") if to is Stage.WAITING else (FORGIVEN, why[:200])
            return msgspec.structs.replace(
                known, stage=to, at=now, trial=trial, percent=0, code=code, sentence=sentence
            )

        for number in range(len(rollout.waves)):
            found = self._ledger.devices(name, number, *stages)
            await self._in_groups([DeviceKey(rollout.scope, DeviceId(each)) for each in found], again)
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
        """Judge rollouts soon after something of them changed, and look at what time changes again and again.

        A store that cannot write now is tried again: the next look finds the same.
        """
        due, loop = 0.0, asyncio.get_running_loop()
        while True:
            try:
                if loop.time() >= due:
                    begun = loop.time()
                    await self.tick()
                    due = loop.time() + max(TICK_SECONDS, TICK_SHARE * (loop.time() - begun))
                for name in self._ledger.take_dirty():
                    await self._judge(name)
            except WorldError as error:
                _log.warning("rollouts could not be judged now: %s", error)
            await asyncio.sleep(JUDGE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(JUDGE_SECONDS, due - loop.time()))
            self._changed.clear()

    async def tick(self) -> None:
        """See to what time alone changes, and judge every rollout that goes on."""
        self._ledger.take_dirty()
        arrivals, self._ledger.has_arrivals = self._ledger.has_arrivals, False
        for rollout in self._store.all_kept(Rollout):
            if rollout.state is RolloutState.DRAFT:
                continue
            await self._age(rollout)
            if rollout.begins and (arrivals or self._ledger.members((rollout.scope, rollout.id)) == 0):
                await self._catch_up(rollout)
            if not rollout.state.is_over or rollout.state is RolloutState.FINISHED:
                await self._ledger.look_for_away(rollout, self._clock.now(), partial(self._patience, rollout))
                await self._judge((rollout.scope, rollout.id))

    async def _age(self, rollout: Rollout) -> None:
        """Find who fell silent, who never comes to an end, and whose life is over."""
        name = (rollout.scope, rollout.id)
        for number in range(rollout.wave + 1):
            aged = []
            for index, device in enumerate(self._ledger.devices(name, number, *_MOVING)):
                key = DeviceKey(rollout.scope, DeviceId(device))
                if self._aged(rollout, key) is not None:
                    aged.append(key)
                if index % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
            await self._in_groups(aged, partial(self._aged, rollout))

    def _aged(self, rollout: Rollout, key: DeviceKey) -> Change | None:
        known, device = self._store.kept(Assignment, key.scope, key.device), self._store.device(key)
        if known is None or known.rollout != rollout.id:
            return None
        if device is None or device.lifecycle.is_over:
            return Removed(Assignment, key.scope, key.device)
        now, patience_s = self._clock.now(), self._patience_s(rollout, key)
        after = unheard(known, self._ledger.heard_of(key), patience_s=patience_s, now=now)
        if now - self._ledger.since >= patience_s * SECOND:  # nobody is late who could not be heard
            after = overdue(after, deadline_s=rollout.thresholds.deadline_s, now=now, patience_s=patience_s)
        return after if after != known else None

    async def _catch_up(self, rollout: Rollout) -> None:
        """Take in devices that came since, into the last wave; a device gets the newest rollout that is for it."""
        release = self._store.kept(Release, rollout.scope, rollout.release)
        if release is None:
            return
        newer = [
            other
            for other in self._store.all_kept(Rollout, rollout.scope)
            if other.state not in (RolloutState.DRAFT, RolloutState.ABORTED)
            and (other.started_at or 0) > (rollout.started_at or 0)
        ]
        last = len(rollout.waves) - 1
        missing = {
            device.key: last
            for device in self.candidates(rollout)
            if self._is_free(rollout, device.key)
            and not any(selects(other.selection, _candidate(device)) for other in newer)
        }
        if missing:
            async with self._moving:
                await self._put(rollout, release, missing, self._clock.now())

    async def _judge(self, name: Name) -> None:
        async with self._moving:
            rollout = self._store.kept(Rollout, *name)
            if rollout is None or rollout.state not in (RolloutState.RUNNING, RolloutState.FINISHED):
                return
            now = self._clock.now()
            verdict = judge(rollout, self._ledger.tallies(rollout))
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


def _as_resumed(tally: Tally) -> Tally:
    """A wave as it will be once those that were called off wait again."""
    return msgspec.structs.replace(tally, waiting=tally.waiting + tally.withdrawn, withdrawn=0)


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
