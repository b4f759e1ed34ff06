"""What a device's word does to its part in a rollout, however it came: by a check-in, or by another client's protocol.

1. Everything that follows is returned as changes, to be committed with what brought the word.
2. A device is begun with when it calls, never before: it may be away for a month.
3. What a device is directed to under TUF follows its assignment, in the same commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from holdfast.ports.directing import Directing
from holdfast.ports.events import Emit, Noted
from holdfast.ports.store import Change, Store, StoredModel
from holdfast.update.ledger import Ledger
from holdfast_core.inventory.lifecycle import Device
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import Instant
from holdfast_core.record.model import Kind
from holdfast_core.supply.model import Release, target_path
from holdfast_core.update.assignment import Proof, heard, order_for
from holdfast_core.update.model import Assignment, Passage, Rollout, RolloutState, SlotHistory, Stage
from holdfast_core.update.windows import window_of
from holdfast_core.wire.update import Order, UpdateArgs, UpdateReport

_CALLS_OFF = frozenset({RolloutState.HALTED, RolloutState.ABORTED})
_STOPS = frozenset({Stage.DIRECTED, Stage.INSTALLING})
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

    def __init__(self, *, store: Store, emit: Emit, ledger: Ledger, directing: Directing) -> None:
        self._store = store
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
        soak_s = rollout.waves[before.wave].soak_s
        after = heard(before, word.report, word.proof, directive=word.directive, soak_s=soak_s, now=now)
        if _never_began(rollout, after, word.report):
            after = msgspec.structs.replace(after, stage=Stage.WITHDRAWN, at=now, code="update.stopped")
        case = _Case(device, rollout, release, word.report, now)
        if after.stage is Stage.WAITING and self._may_begin(case, after):
            running = word.report.running
            after = msgspec.structs.replace(
                after, stage=Stage.DIRECTED, at=now, directed_at=now, before=running.release, slot=running.slot
            )
        revert = rollout.back and rollout.state in _CALLS_OFF
        order = order_for(after, word.report, word.proof, revert=revert)
        changes = self._changes(case, before, after) if after != before else []
        return Heard(args_for(rollout, after, release, model), order, tuple(changes), after)

    def _may_begin(self, case: _Case, waiting: Assignment) -> bool:
        offer, report = case.release.offer, case.report
        attempt = report.attempt
        busy = attempt is not None and not attempt.step.is_end
        fits = offer is not None and set(offer.hardware) & set(report.hardware)
        if busy or not fits or case.device.lifecycle.is_over:
            return False
        return self._ledger.admit(case.rollout, waiting.wave, waiting.id, case.now)

    def _changes(self, case: _Case, before: Assignment, after: Assignment) -> list[Change]:
        changes: list[Change] = [after]
        if after.stage is before.stage:
            return changes
        told = {"rollout": after.rollout, "release": after.release, "wave": after.wave}
        if after.stage is Stage.DIRECTED:
            changes.extend(self._directing.direct(case.device.key, case.release, case.now))
            changes.extend(self._noted(Kind.UPDATE_DIRECTED, case, {**told, "trial": after.trial}))
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

    def withdrawn(self, device: Device, now: Instant) -> Sequence[Change]:
        """The changes by which a device is directed to nothing any more."""
        return self._directing.direct(device.key, None, now)


def _never_began(rollout: Rollout, assignment: Assignment, report: UpdateReport) -> bool:
    """Whether a device that is called off has nothing to stop: it was directed, and has not set out."""
    attempt = report.attempt
    busy = attempt is not None and attempt.release == assignment.release and not attempt.step.is_end
    return rollout.state in _CALLS_OFF and assignment.stage is Stage.DIRECTED and not busy


def args_for(rollout: Rollout, assignment: Assignment, release: Release, model: StoredModel) -> UpdateArgs | None:
    """What the directive of a device says; `None` where there is none for it."""
    if assignment.stage is Stage.WAITING or release.offer is None or release.payload is None:
        return None
    halted = rollout.state in _CALLS_OFF
    constraints = model.model.constraints
    return UpdateArgs(
        release=release.id,
        path=target_path(release.id, release.payload),
        digest=Digest(release.payload.digest),
        trial=assignment.trial,
        stop=halted and (assignment.stage in _STOPS or assignment.stage is Stage.WITHDRAWN),
        window=window_of(constraints.maintenance_window),
        battery=rollout.guards.battery,
        kbit_s=rollout.guards.kbit_s or constraints.bandwidth_kbit_s or 0,
        confirm_s=rollout.guards.confirm_s,
    )
