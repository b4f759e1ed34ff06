"""Rollouts: what people do to them, and how they stand.

1. One hand moves a rollout: people's acts and the watch (`rollout_watch`) take turns, and each act is one commit.
2. Starting gives every device its wave; a start that was cut off is made again.
3. A device is in one rollout at a time; who is in one that is not over stays there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdfast.ports.clock import Clock
from holdfast.ports.store import Store
from holdfast.update.assigning import Assigner, candidate_of
from holdfast.update.ledger import Ledger
from holdfast.update.releases import ReleaseService
from holdfast.update.turns import Turns
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope, parse_name
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.reasons import require_why
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release
from holdfast_core.update.assignment import FORGIVEN
from holdfast_core.update.model import Assignment, Rollout, RolloutState, Stage, Turn
from holdfast_core.update.rollout import AWAY, RolloutResult, Tally, Verb, judge
from holdfast_core.update.waves import check, check_filled, place

PAGE = 1_000


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

    def __init__(
        self, *, store: Store, clock: Clock, ledger: Ledger, releases: ReleaseService, assigner: Assigner, turns: Turns
    ) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._releases = releases
        self._assigner = assigner
        self._turns = turns

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

    def candidates(self, rollout: Rollout) -> list[Device]:
        """The devices that a rollout is for, in id order."""
        return self._assigner.candidates(rollout)

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
        async with self._turns.lock:
            if self._store.kept(Rollout, rollout.scope, rollout.id) is not None:
                raise _conflict("exists", f"There is a rollout named {rollout.id!r}.", "Give it another name.")
            now = self._clock.now()
            made = msgspec.structs.replace(
                rollout, state=RolloutState.DRAFT, wave=0, created_at=now, by=actor, started_at=None, turns=()
            )
            await self._turns.take(made, Kind.ROLLOUT_CREATED, Turn(now, "created", by=actor))
            return self.require(rollout.scope, rollout.id)

    async def start(self, scope: Scope, name: str, *, actor: str) -> Rollout:
        """Begin: every device gets its wave, and the first wave opens.

        Raises:
            HostileData: ``rollout.unknown`` (404), ``rollout.state`` (409), ``rollout.not_cleared`` (409),
                ``rollout.nobody``, ``rollout.behind`` (409), ``rollout.busy`` (409), ``rollout.empty_wave``.
        """
        async with self._turns.lock:
            rollout = self._expect(scope, name, RolloutState.DRAFT)
            release = self._releases.require(scope, rollout.release)
            devices = self._assigner.candidates(rollout)
            if not devices:
                raise _refused("nobody", "No device is selected.", "Look at the selection: holdfast rollout show.")
            sites = frozenset(device.site for device in devices)
            if missing := self._releases.lacks(scope, release, sites):
                raise _conflict("not_cleared", f"{release.id} lacks: {'; '.join(missing)}.", "See to each of these.")
            self._check_newest(rollout, release)
            now = self._clock.now()
            await self._assign(rollout, release, devices, now)
            begun = msgspec.structs.replace(rollout, state=RolloutState.RUNNING, started_at=now, opened_at=now)
            await self._turns.take(begun, Kind.ROLLOUT_STARTED, Turn(now, "started", by=actor))
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
        placed = place(rollout.id, rollout.waves, [candidate_of(device) for device in devices])
        check_filled(rollout, placed)
        waves = {device.key: placed[device.key.device] for device in devices}
        first = [key for key, wave in waves.items() if wave == 0]
        if first and not any(
            self._assigner.is_free(rollout, key) or self._assigner.is_ours(rollout, key) for key in first
        ):
            known = self._store.kept(Assignment, first[0].scope, first[0].device)
            other = known.rollout if known is not None else ""
            raise _conflict(
                "busy",
                f"Every device of wave {rollout.waves[0].name!r} is in rollout {other!r}, which is not over.",
                f"Let it finish, or abort it (holdfast rollout abort {other}); then start this one again.",
            )
        await self._keep_results(rollout, now)
        await self._assigner.put(rollout, release, waves, now)

    async def _keep_results(self, rollout: Rollout, now: Instant) -> None:
        """Write down what the rollouts came to whose devices may go on to this one."""
        over = (other for other in self._store.all_kept(Rollout, rollout.scope) if other.state.is_over)
        results = [self._result(other, now) for other in over if self._ledger.members((other.scope, other.id))]
        if results:
            await self._store.commit(results)

    def _result(self, rollout: Rollout, now: Instant) -> RolloutResult:
        view = self.view(rollout)
        return RolloutResult(rollout.scope, rollout.id, tallies=view.tallies, weak=view.weak, at=now)

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
        async with self._turns.lock:
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
            await self._turns.take(moved, Kind.ROLLOUT_RESUMED, Turn(now, "resumed", moved.wave, actor, "", why))
            return self.require(scope, name)

    async def retry(self, scope: Scope, name: str, *, why: str, actor: str) -> Rollout:
        """Let the devices that failed, fell back or were called off try once more, when the rollout goes on.

        Raises:
            HostileData: as `require`, ``rollout.state`` (409), ``why.missing``.
        """
        require_why(why)
        async with self._turns.lock:
            goes_on = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED, RolloutState.FINISHED)
            rollout = self._expect(scope, name, *goes_on)
            now = self._clock.now()
            failed = (Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN)
            count = await self._reopen(rollout, failed, Stage.WAITING, now, why)
            turn = Turn(now, "retried", rollout.wave, actor, "", f"{count} devices: {why}")
            await self._turns.take(rollout, Kind.ROLLOUT_RETRIED, turn)
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
            await self._assigner.in_groups([DeviceKey(rollout.scope, DeviceId(each)) for each in found], again)
        return count

    async def _move(self, scope: Scope, name: str, act: _Act, *, why: str, actor: str) -> Rollout:
        require_why(why)
        async with self._turns.lock:
            rollout = self._expect(scope, name, *act.states)
            moved = msgspec.structs.replace(rollout, state=act.to)
            await self._turns.take(moved, act.kind, Turn(self._clock.now(), act.what, rollout.wave, actor, "", why))
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


def _as_resumed(tally: Tally) -> Tally:
    """A wave as it will be once those that were called off wait again."""
    return msgspec.structs.replace(tally, waiting=tally.waiting + tally.withdrawn, withdrawn=0)


def _past(rollout: Rollout, now: Instant) -> Rollout:
    """A rollout beyond its last open wave, which nobody of was there for."""
    if rollout.wave == len(rollout.waves) - 1:
        return msgspec.structs.replace(rollout, state=RolloutState.FINISHED)
    return msgspec.structs.replace(rollout, wave=rollout.wave + 1, opened_at=now)


def _refused(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"rollout.{name}", sentence, remedy=remedy)


def _conflict(name: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"rollout.{name}", sentence, remedy=remedy, http_status=409)
