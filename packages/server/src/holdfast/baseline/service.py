"""The use cases of `baseline`, and its part in the check-in.

1. Baseline, plan and judge are compiled once per model and day: a compensation that lapses changes them.
2. An audit's body is appraised when it comes; a digest alone extends the last reading by the evidence's own age.
3. After a new compilation a digest alone no longer suffices: the body is asked for and judged anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import msgspec

from holdfast.ports.appraisal import Appraised, Context, Keep, SectionEvidence
from holdfast.ports.clock import Clock
from holdfast.ports.events import Emit, Noted
from holdfast.ports.lookup import require_device, require_living, require_posture
from holdfast.ports.store import Store, StoredModel
from holdfast_core.baseline.control import Catalogue, Control, Fix
from holdfast_core.baseline.delta import FindingsDelta, applied
from holdfast_core.baseline.inspections import InspectionRecord
from holdfast_core.baseline.model import Baseline, BuildManifest, ControlId, Demand, Findings, Plan, Report
from holdfast_core.baseline.overlay import own_probes
from holdfast_core.baseline.rules import FEATURE, Judge, appraise, judge_for
from holdfast_core.baseline.tailoring import compile_plan, tailor
from holdfast_core.inventory.model import DeviceClass, DeviceModel
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceKey
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.reasons import Reason
from holdfast_core.record.model import Kind
from holdfast_core.trust.model import Verdict
from holdfast_core.trust.posture import OpenDirective, Wish, wish
from holdfast_core.wire.codec import decode_body

SECTION = "baseline"
DEFAULT_MAX_AGE = 2 * DAY
AUDIT_NOW = "audit-now"
HARDEN = "harden"
PLAN = "plan"
CONFIRM_SECONDS = 300

_BODY: msgspec.json.Decoder[Findings | BuildManifest] = msgspec.json.Decoder(Findings | BuildManifest)
_DELTA: msgspec.json.Decoder[FindingsDelta] = msgspec.json.Decoder(FindingsDelta)


class Compiled(msgspec.Struct, frozen=True):
    """What a model's baseline comes to on one day."""

    baseline: Baseline
    plan: Plan
    judge: Judge
    wish: Wish | None
    day: int
    basis: Digest
    """Names the baseline: evidence that was read against another one has to be read again."""


class Compiler:
    """Compiles models, and keeps the result for the day."""

    def __init__(self, catalogue: Catalogue, shipped: Catalogue) -> None:
        self.catalogue = catalogue
        self._own = own_probes(catalogue, shipped)
        self._kept: dict[str, Compiled] = {}

    def compiled(self, stored: StoredModel, now: Instant) -> Compiled:
        """The compilation of a stored model in force at `now`."""
        day = now // DAY
        kept = self._kept.get(stored.digest)
        if kept is None or kept.day != day:
            kept = self.compile(stored.model, now)
            self._kept[stored.digest] = kept
        return kept

    def compile(self, model: DeviceModel, now: Instant) -> Compiled:
        """Tailor, plan and make ready to judge."""
        baseline = tailor(self.catalogue, model, now)
        plan = compile_plan(baseline, model, self.catalogue, self._own)
        wished = None if model.device_class is DeviceClass.MCU else wish(PLAN, canonical(plan))
        return Compiled(
            baseline, plan, judge_for(baseline, self.catalogue), wished, now // DAY, digest_of(canonical(baseline))
        )


class BaselineAppraiser:
    """Reads section ``baseline``: an agent's findings or a build manifest."""

    section = SECTION
    rebuilds = True

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    def appraise(self, evidence: SectionEvidence, context: Context) -> Appraised:
        """See the port."""
        compiled = self._compiler.compiled(context.model, context.now)
        basis = _basis(compiled, context.posture.inspections)
        until = Instant(evidence.gathered_at + context.policy.max_age(FEATURE, DEFAULT_MAX_AGE))
        if evidence.body is not None:
            whole = None
            if evidence.base is not None:
                whole = _rebuilt(evidence.base, evidence.body)
                if digest_of(whole) != evidence.digest or len(whole) > LIMITS.section_bytes:
                    return Appraised(wants_body=True)  # made against something else, or grown beyond what may travel
            body = decode_body(msgspec.Raw(whole) if whole else evidence.body, _BODY, section=SECTION)
            reading = _reading(compiled, body, context.posture.inspections, context.now)
            reading = msgspec.structs.replace(reading, valid_until=until)
            return Appraised(reading, whole=whole, keep=Keep.BY_DIGEST, basis=basis)
        previous = context.posture.appraisal(FEATURE)
        known = context.posture.sections.get(SECTION)
        if previous is None or known is None or known.digest != evidence.digest or known.basis != basis:
            return Appraised(wants_body=True)
        if _may_have_changed(compiled, context.posture.inspections, previous):
            return Appraised(wants_body=True)
        return Appraised(msgspec.structs.replace(previous, valid_until=until), basis=basis)


def _rebuilt(base: bytes, body: msgspec.Raw) -> bytes:
    """The whole audit that changes lead to; nothing where the base is no audit, as after a new kind of client."""
    delta = decode_body(body, _DELTA, section=SECTION)
    before = _BODY.decode(base)
    return canonical(applied(before, delta)) if isinstance(before, Findings) else b""


def _basis(compiled: Compiled, inspections: tuple[InspectionRecord, ...]) -> Digest:
    """What evidence is read against: the baseline, and what people saw."""
    return digest_of(canonical((compiled.basis, inspections))) if inspections else compiled.basis


def _reading(
    compiled: Compiled, body: Findings | BuildManifest, inspections: tuple[InspectionRecord, ...], now: Instant
) -> Appraisal:
    """The reading of an audit. One made with another plan says nothing: an older plan may have asked for less."""
    if _of_another_plan(body, compiled):
        return Appraisal(FEATURE, Tier.NONE, (_OTHER_PLAN,), now, now)
    return appraise(compiled.judge.report(body, now, inspections), now=now, max_age_ms=0)


def _of_another_plan(body: Findings | BuildManifest, compiled: Compiled) -> TypeGuard[Findings]:
    return isinstance(body, Findings) and compiled.wish is not None and body.plan != compiled.wish.digest


_OTHER_PLAN = Reason(
    "baseline.other_plan",
    "The device's audit was made with another plan than its model's.",
    "Wait for the next check-in: the plan in force has been sent. If it stays so, look at the agent's status.",
)


def _may_have_changed(compiled: Compiled, inspections: tuple[InspectionRecord, ...], previous: Appraisal) -> bool:
    """Whether a compensation or an inspection ended, or ends today, since the last reading."""
    ends = [line.expires for line in compiled.baseline.lines if line.expires is not None]
    ends += [last_day_ends(record.expires) for record in inspections]
    return any(previous.appraised_at < end and end // DAY <= compiled.day for end in ends)


class PlanContributor:
    """Wishes that a device has the plan of its model."""

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler

    def wishes(self, context: Context, _verdict: Verdict) -> Sequence[Wish]:
        """The plan; a device that has it is not asked again."""
        wish = self._compiler.compiled(context.model, context.now).wish
        return (wish,) if wish is not None else ()


class BaselineService:
    """Asking for audits and fixes, and reading reports."""

    def __init__(self, *, store: Store, clock: Clock, emit: Emit, compiler: Compiler) -> None:
        self._store = store
        self._clock = clock
        self._emit = emit
        self._compiler = compiler

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue in force."""
        return self._compiler.catalogue

    def show(self, stored: StoredModel) -> Compiled:
        """The baseline of a model, with every reason."""
        return self._compiler.compiled(stored, self._clock.now())

    async def report(self, key: DeviceKey) -> Report | None:
        """The newest audit of a device, judged now; `None` when it has sent none."""
        device, posture = require_device(self._store, key), require_posture(self._store, key)
        model, known = self._store.model(key.scope, device.model), posture.sections.get(SECTION)
        body = await self._store.body(key, SECTION, known.digest) if known else None
        if body is None or model is None:
            return None
        now = self._clock.now()
        compiled, said = self._compiler.compiled(model, now), _BODY.decode(body)
        if _of_another_plan(said, compiled):
            said = Findings(said.plan, ())  # what it says is no answer to what is asked now: all of it is undecided
        return compiled.judge.report(said, now, posture.inspections)

    async def audit_now(self, key: DeviceKey, *, actor: str) -> OpenDirective:
        """Direct a device to audit itself at its next check-in."""
        # The instant makes each order a new wish: an audit that was done can be asked for again.
        return await self._order(key, wish(AUDIT_NOW, canonical({"asked_at": self._clock.now()})), actor)

    async def harden(self, key: DeviceKey, control: ControlId, *, actor: str) -> OpenDirective:
        """Direct a device to mend one control by itself, kept only if it checks in healthy afterwards.

        What is changed is worked out on the device; here is only said which control, and that it may be met.

        Raises:
            HostileData: ``control.unknown``, ``control.by_hand``, ``control.forbidden``, ``control.not_asked``,
                ``control.may_brick``, ``control.reboot``.
        """
        found = next((entry for entry in self._compiler.catalogue.controls if entry.id == control), None)
        if found is None:
            raise HostileData(
                "control.unknown",
                f"There is no control {control[:20]!r}.",
                remedy="holdfast control list shows every control.",
                http_status=404,
            )
        may_reboot = self._require_bearable(key, found)
        args = {
            "control": control,
            "confirm_s": CONFIRM_SECONDS,
            "may_reboot": may_reboot,
            "asked_at": self._clock.now(),
        }
        return await self._order(key, wish(HARDEN, canonical(args)), actor)

    def _require_bearable(self, key: DeviceKey, control: Control) -> bool:
        """Refuse what a device must not do by itself; whether its model lets it reboot."""
        remedy = control.remedy
        by_hand = "Follow its steps by hand: " + " ".join(remedy.steps)
        if remedy.fix is Fix.BY_HAND:
            raise _conflict("by_hand", f"{control.id} has no fix that a device can make by itself.", by_hand)
        if remedy.may_brick:
            raise _conflict(
                "may_brick", f"Meeting {control.id} can brick the device; somebody has to be there.", by_hand
            )
        model = self._store.model(key.scope, require_device(self._store, key).model)
        if model is None:
            return False  # it has no plan yet, and refuses by itself what no plan asks
        compiled = self._compiler.compiled(model, self._clock.now())
        line = next(line for line in compiled.baseline.lines if line.control == control.id)
        if line.demand is Demand.FORBIDDEN:
            raise _conflict("forbidden", f"{control.id} is forbidden for {model.model.name}: {line.reason}", _LEAVE)
        if control.id not in compiled.plan.controls:
            raise _conflict("not_asked", f"{control.id} is not asked of {model.model.name}: {line.reason}", _LEAVE)
        may_reboot = model.model.constraints.reboot_allowed
        if remedy.reboot and not may_reboot:
            raise _conflict("reboot", f"Meeting {control.id} takes a reboot, which the device must not do.", by_hand)
        return may_reboot

    async def _order(self, key: DeviceKey, wanted: Wish, actor: str) -> OpenDirective:
        device = require_living(self._store, key)
        require_posture(self._store, key)
        async with self._store.exclusive(key):
            posture, now = require_posture(self._store, key), self._clock.now()
            desired = posture.desired.issue(wanted, by=actor, now=now)
            issued = desired.open[-1]
            data = {"id": issued.id, "kind": wanted.kind, "args": wanted.digest}
            noted = Noted(Kind.DIRECTIVE_ISSUED, actor, device, key.scope, data, now)
            await self._store.commit([msgspec.structs.replace(posture, desired=desired), *self._emit(noted)])
        return issued


_LEAVE = "Leave it as it is; 'holdfast baseline show MODEL' tells what is asked, and what stands in."


def _conflict(code: str, sentence: str, remedy: str) -> HostileData:
    return HostileData(f"control.{code}", sentence, remedy=remedy, http_status=409)
