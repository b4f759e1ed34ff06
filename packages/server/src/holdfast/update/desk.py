"""What a device's word does to its part in a rollout, however it came: by a check-in, or by another client's protocol.

1. Everything that follows is returned as changes, to be committed with what brought the word.
2. A device is begun with when it calls, never before: it may be away for a month.
3. What a device is directed to under TUF follows its assignment, in the same commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from holdfast.ports.directing import Directing
from holdfast.ports.events import Emit, Noted
from holdfast.ports.store import Change, Store, StoredModel
from holdfast.update.ledger import Ledger
from holdfast.update.releases import ReleaseService
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release, target_path
from holdfast_core.update.assignment import Proof, heard, order_for
from holdfast_core.update.model import Assignment, Passage, Rollout, RolloutState, SlotHistory, Stage
from holdfast_core.update.windows import window_of
from holdfast_core.wire.update import Order, UpdateArgs, UpdateReport

_CALLS_OFF = frozenset({RolloutState.HALTED, RolloutState.ABORTED})
_UNENDED = frozenset({Stage.DIRECTED, Stage.INSTALLING, Stage.TRIED, Stage.SILENT})
_STOPS = frozenset({Stage.DIRECTED, Stage.INSTALLING, Stage.SILENT, Stage.FAILED, Stage.WITHDRAWN})
_ENDED = frozenset({Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN})
_TOLD = frozenset({Stage.SOAKING, Stage.DONE, Stage.FAILED, Stage.FELL_BACK, Stage.WITHDRAWN})
_PASSAGES = frozenset({Stage.SOAKING, Stage.FAILED, Stage.FELL_BACK})


class Word(msgspec.Struct, frozen=True):
    """What a device said: its report, what else is known of it, and under which number it was directed."""

    report: UpdateReport
    proof: Proof
    directive: int


class Heard(msgspec.Struct, frozen=True):
    """What follows from it: what the device is directed to now, what it should make of a trial, what changes."""

    args: UpdateArgs | None
    order: Order
    changes: tuple[Change, ...]
    assignment: Assignment | None


class _Case(msgspec.Struct, frozen=True):
    """Whose word it is, and what it is about."""

    device: Device
    rollout: Rollout
    release: Release
    report: UpdateReport
    now: Instant


class Desk:
    """Takes devices' words."""

    def __init__(
        self,
        *,
        store: Store,
        emit: Emit,
        ledger: Ledger,
        directing: Directing,
        releases: ReleaseService,
        exempts: Callable[[Scope, str, str, Instant], bool],
    ) -> None:
        self._store = store
        self._releases = releases
        self._exempts = exempts
        self._emit = emit
        self._ledger = ledger
        self._directing = directing

    def hear(self, device: Device, model: StoredModel, word: Word, now: Instant) -> Heard:
        """What follows from a device's word; the caller holds the device."""
        scope = device.key.scope
        before = self._store.kept(Assignment, scope, device.key.device)
        rollout = self._store.kept(Rollout, scope, before.rollout) if before is not None else None
        release = self._store.kept(Release, scope, before.release) if before is not None else None
        if before is None or rollout is None or release is None:
            return Heard(None, Order.WAIT, (), before)
        case = _Case(device, rollout, release, word.report, now)
        after = self._begun(case, _moved(case, before, word))
        revert = rollout.back and rollout.state in _CALLS_OFF
        order = order_for(after, word.report, word.proof, revert=revert)
        changes = self._changes(case, before, after) if after != before else []
        if after.stage is Stage.WAITING:
            changes.extend(self._directing.direct(device.key, None, now))  # another rollout may have directed it
        return Heard(args_for(rollout, after, release, model), order, tuple(changes), after)

    def _begun(self, case: _Case, waiting: Assignment) -> Assignment:
        """The assignment, begun with where the device waits and may; else with what keeps it."""
        if waiting.stage is not Stage.WAITING:
            return waiting
        code, sentence = self._kept_by(case)
        waiting = msgspec.structs.replace(waiting, code=code, sentence=sentence)
        if code or not self._admits(case, waiting):
            return waiting
        running, now = case.report.running, case.now
        return msgspec.structs.replace(
            waiting, stage=Stage.DIRECTED, at=now, directed_at=now, before=running.release, slot=running.slot
        )

    def _admits(self, case: _Case, waiting: Assignment) -> bool:
        attempt = case.report.attempt
        busy = attempt is not None and not attempt.step.is_end
        return not busy and self._ledger.admit(case.rollout, waiting.wave, waiting.id, case.now)

    def _kept_by(self, case: _Case) -> tuple[str, str]:
        """Code and sentence of what keeps a device from being directed; empty where nothing does."""
        offer, report, device = case.release.offer, case.report, case.device
        if offer is None or device.lifecycle.is_over:
            return "update.over", "Its life here has ended."
        if device.model.partition("@")[0] != case.release.model:
            return "update.other_model", f"It is a {device.model} now."
        if not set(offer.hardware) & set(report.hardware):
            return "update.hardware", f"The release is for {', '.join(offer.hardware)[:120]}."
        runs = max(report.floor, report.running.counter)
        scope, name = device.key.scope, case.release.id
        if offer.counter < runs and not self._exempts(scope, name, device.key.device, case.now):
            return "update.downgrade", f"It runs counter {runs}, and the release has {offer.counter}."
        if missing := self._releases.lacks(scope, case.release, frozenset({device.site})):
            return "update.not_cleared", f"For its site the release lacks {missing[0]}."
        return "", ""

    def _changes(self, case: _Case, before: Assignment, after: Assignment) -> list[Change]:
        changes: list[Change] = [after]
        if after.stage is before.stage:
            return changes
        told = {"rollout": after.rollout, "release": after.release, "wave": after.wave}
        if after.stage is Stage.DIRECTED:
            changes.extend(self._directing.direct(case.device.key, case.release, case.now))
            changes.extend(self._noted(Kind.UPDATE_DIRECTED, case, {**told, "trial": after.trial}))
        if after.stage in _ENDED:
            changes.extend(self._directing.direct(case.device.key, None, case.now))
        if after.stage in _TOLD:
            how = {"outcome": after.stage.value, "code": after.code, "weak": after.weak}
            changes.extend(self._noted(Kind.UPDATE_SETTLED, case, {**told, **how}))
        if after.stage in _PASSAGES:
            changes.append(self._history(case, after))
        return changes

    def _noted(self, kind: Kind, case: _Case, data: Mapping[str, object]) -> Sequence[Change]:
        return self._emit(Noted(kind, "server", case.device, case.device.key.scope, data, case.now))

    def _history(self, case: _Case, after: Assignment) -> SlotHistory:
        known = self._store.kept(SlotHistory, after.scope, after.id) or SlotHistory(after.scope, after.id)
        attempt = case.report.attempt
        tried_in = attempt.slot if attempt is not None and attempt.release == after.release else ""
        slot = tried_in or case.report.running.slot  # one that fell back runs the other again
        return known.with_passage(Passage(case.now, after.release, slot, after.stage, after.rollout, after.code))


def _moved(case: _Case, before: Assignment, word: Word) -> Assignment:
    """The assignment as the device's word and the rollout's state make it."""
    rollout, now = case.rollout, case.now
    soak_s = rollout.waves[before.wave].soak_s
    if before.stage is Stage.WITHDRAWN and rollout.begins:
        return msgspec.structs.replace(
            before, stage=Stage.WAITING, at=now, trial=before.trial + 1, code="", sentence=""
        )
    after = heard(before, word.report, word.proof, directive=word.directive, soak_s=soak_s, now=now)
    if before.stage is Stage.DONE and after.stage is Stage.FELL_BACK and rollout.state is RolloutState.FINISHED:
        return before  # whoever put another release on it since: that is no fault of this one
    if rollout.state in _CALLS_OFF and after.stage in _UNENDED and not _works_at(after, word.report):
        return msgspec.structs.replace(after, stage=Stage.WITHDRAWN, at=now, code="update.stopped")
    return after


def _works_at(assignment: Assignment, report: UpdateReport) -> bool:
    """Whether a device has an attempt under way, or runs the release."""
    attempt = report.attempt
    ours = attempt is not None and attempt.release == assignment.release and not attempt.step.is_end
    return ours or report.running.release == assignment.release


def args_for(rollout: Rollout, assignment: Assignment, release: Release, model: StoredModel) -> UpdateArgs | None:
    """What the directive of a device says; `None` where there is none for it."""
    called_off = rollout.state in _CALLS_OFF
    if assignment.stage is Stage.WAITING or release.offer is None or release.payload is None:
        return None
    if assignment.stage is Stage.WITHDRAWN and not called_off:
        return None
    constraints = model.model.constraints
    return UpdateArgs(
        release=release.id,
        path=target_path(release.id, release.payload),
        digest=Digest(release.payload.digest),
        trial=assignment.trial,
        stop=called_off and assignment.stage in _STOPS,
        window=window_of(constraints.maintenance_window),
        battery=rollout.guards.battery,
        kbit_s=rollout.guards.kbit_s or constraints.bandwidth_kbit_s or 0,
        confirm_s=rollout.guards.confirm_s,
    )
