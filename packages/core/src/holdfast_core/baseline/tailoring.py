"""Tailoring: ``(catalogue, model, now) -> baseline``, and the plan an agent is sent for it (DESIGN.md §3).

1. Every control of the catalogue gets a line, and every line a sentence a person can argue with.
2. A device is never failed for what it cannot bear, and never excused without a stand-in that is itself looked at.
   Where nothing can stand in, the control stays required: then a person signs a compensation with an owner and a date.
3. A compensation that has lapsed, names no stand-in, or names one that is not looked at here, excuses nothing.
4. A compensation that no person signed is the supplier's to answer for, and ends with the supplier's support.
5. What would kill the device is forbidden whatever the catalogue asks; a model may forbid further controls, but never
   one of critical severity, because an open door is not an operating constraint.
6. A service that several classes share is held to the strictest of them, in the controls that concern services.
"""

from __future__ import annotations

import msgspec

from holdfast_core.baseline.control import Ask, Burden, Catalogue, Control, MetBy
from holdfast_core.baseline.model import AuditBudget, Baseline, ControlId, Demand, Line, Plan
from holdfast_core.baseline.survival import NOUNS, destroyed_by
from holdfast_core.inventory.model import Compensation, DeviceClass, DeviceModel, Direction, Power, RootFilesystem
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.digests import canonical
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.severity import Severity

_BATTERY_INTERVAL_S = 7 * 86_400
_SAVING_CONTACTS = 4
"""A device that saves energy looks at what is cheap at every fourth contact."""
_LIGHT_S = 3_600
_CPU_PERCENT = {
    DeviceClass.SERVER: 50,
    DeviceClass.GATEWAY: 25,
    DeviceClass.LINUX_IOT: 25,
    DeviceClass.OT: 10,
    DeviceClass.MCU: 10,
}
_SITTING_SHARE = 20
"""One sitting lasts at most this part of a contact interval, a twentieth, sleep between two bursts included."""
_SITTING_S = (5, 60)
"""Seconds of CPU: no sitting is shorter, or nothing would get done, and none is longer."""
_MEMORY_SHARE = 8
"""A probe may take one eighth of a device's memory."""


def tailor(catalogue: Catalogue, model: DeviceModel, now: Instant) -> Baseline:
    """What is asked of `model`: a line for every control, and for every prohibition that concerns it.

    Pure; the result holds until a compensation lapses (`Line.expires`), and judging notices that by itself.

    Raises:
        HostileData: ``model.date`` when a compensation's last day is no date.
    """
    case = _Case(model, {control.id: control for control in catalogue.controls}, catalogue.stand_ins, now)
    lines = [case.line(control) for control in catalogue.controls]
    lines.extend(
        Line(entry.id, entry.title, entry.severity, Demand.FORBIDDEN, why)
        for entry in catalogue.prohibitions
        if (why := destroyed_by((entry.effect,), entry.filesystems, model))
    )
    return Baseline(model.name, model.device_class, catalogue.digest, tuple(lines), _of_the_whole(model))


def compile_plan(
    baseline: Baseline, model: DeviceModel, catalogue: Catalogue, own: frozenset[ControlId] = frozenset()
) -> Plan:
    """What an agent of `model` is asked to probe: the required and compensated lines, and their stand-ins.

    A class without an agent gets a plan without controls; a probe that the device has no memory for is left out.

    Args:
        baseline: the tailored catalogue.
        model: what it was tailored to.
        catalogue: the same catalogue.
        own: controls whose probes travel with the plan, since no device has them.
    """
    asked: set[ControlId] = set()
    for line in baseline.lines:
        if line.demand in {Demand.REQUIRED, Demand.COMPENSATED}:
            asked.update((line.control, *line.by))
    heavy = model.constraints.heavy_audit_interval_s
    if model.constraints.power is not Power.MAINS:
        heavy = max(heavy, _BATTERY_INTERVAL_S)
    probed = [
        control
        for control in catalogue.controls
        if control.id in asked
        and not judged_by_manifest(control, baseline.device_class)
        and not control.inspected
        and not _too_large(control, model)
    ]
    return Plan(
        device_class=baseline.device_class,
        catalogue=baseline.catalogue,
        controls=tuple(control.id for control in probed),
        probes={control.id: msgspec.Raw(canonical(control.probe)) for control in probed if control.id in own},
        heavy_interval_s=heavy,
        health=model.essential_function.probe,
        light_interval_s=_light_interval(model),
        budget=_budget(model),
        listening=tuple(sorted({(transport.value, port) for transport, port in model.listening})),
        autostart=model.expected.autostart,
        setuid=model.expected.setuid,
        writable=model.expected.writable,
        accounts=model.expected.accounts,
        root_fs_drivers=model.expected.root_fs_drivers,
        components=model.expected.components,
        root_daemons=model.expected.root_daemons,
        feed_keys=model.expected.feed_keys,
        programs=tuple(sorted({flow.program for flow in model.flows if flow.program})),
        outgoing=tuple(
            sorted({(flow.transport.value, flow.port) for flow in model.flows if flow.direction is Direction.OUT})
        ),
        interfaces=tuple(sorted({entry.kind for entry in model.interfaces if entry.enabled_in_production})),
    )


def _light_interval(model: DeviceModel) -> int:
    """Cheap checks often: with every contact, but not more than hourly, and sparingly where energy is short."""
    contact = model.constraints.contact_interval_s
    saving = model.constraints.power is not Power.MAINS
    return max(contact * _SAVING_CONTACTS if saving else contact, _LIGHT_S)


def _budget(model: DeviceModel) -> AuditBudget:
    shortest, longest = _SITTING_S
    percent = _CPU_PERCENT[model.device_class]
    sitting = model.constraints.contact_interval_s * percent // (100 * _SITTING_SHARE)
    return AuditBudget(cpu_s=min(max(sitting, shortest), longest), cpu_percent=percent)


def _of_the_whole(model: DeviceModel) -> tuple[str, ...]:
    """What a constraint means for all that is asked, said once."""
    if model.constraints.root_filesystem is RootFilesystem.IMMUTABLE:
        return ("The root is immutable: what fails on it is put right in the next image.",)
    return ()


def judged_by_manifest(control: Control, device_class: DeviceClass) -> bool:
    """Whether `control` is judged from the build manifest on this class, rather than by an agent."""
    return control.classes[device_class].ask is Ask.MANIFEST or control.probe is None


class _Case(msgspec.Struct, frozen=True):
    """One model and one catalogue at one instant."""

    model: DeviceModel
    known: dict[ControlId, Control]
    stand_ins: dict[Burden, tuple[ControlId, ...]]
    now: Instant

    def line(self, control: Control) -> Line:
        """The line of `control`: the first rule that has something to say decides, and else it is required."""
        return (
            self._forbidden(control)
            or self._not_asked(control)
            or self._signed(control)
            or self._compensated_by_class(control)
            or self._replaced(control)
            or self._cannot_bear(control)
            or self._required(control)
        )

    def _forbidden(self, control: Control) -> Line | None:
        if why := destroyed_by(control.effects, control.filesystems, self.model):
            return self._made(control, Demand.FORBIDDEN, why)
        if control.id in self.model.forbidden and control.severity is not Severity.CRITICAL:
            return self._made(control, Demand.FORBIDDEN, f"The model file of {self.model.name} forbids it.")
        return None

    def _not_asked(self, control: Control) -> Line | None:
        demand = control.classes[self.model.device_class]
        if demand.ask is Ask.NOT_APPLICABLE and not self._inherited(control):
            return self._made(control, Demand.NOT_APPLICABLE, demand.reason)
        for condition in control.applies_if:
            if not condition.holds(self.model):
                return self._made(control, Demand.NOT_APPLICABLE, condition.otherwise)
        return None

    def _signed(self, control: Control) -> Line | None:
        """A compensation that a person signed and that counts."""
        for entry in self.model.compensations:
            if entry.control == control.id and not self._void(entry):
                reason = (
                    f"{entry.reason.rstrip('.')}. {self._in_words(entry.by)}; "
                    f"{entry.owner} answers for it until {entry.expires}."
                )
                line = self._made(control, Demand.COMPENSATED, reason, entry.by)
                return msgspec.structs.replace(
                    line, owner=entry.owner, expires=last_day_ends(entry.expires), signed=True
                )
        return None

    def _compensated_by_class(self, control: Control) -> Line | None:
        demand = control.classes[self.model.device_class]
        if demand.ask is not Ask.COMPENSATE or self._inherited(control):
            return None
        return self._unsigned(control, demand.reason, demand.by)

    def _replaced(self, control: Control) -> Line | None:
        """What a declared constraint puts in the control's place."""
        for replacement in control.replaced:
            if replacement.when.holds(self.model) and (
                line := self._unsigned(control, replacement.reason, replacement.by)
            ):
                return line
        return None

    def _cannot_bear(self, control: Control) -> Line | None:
        """The stand-ins of the burden itself, or those of the control."""
        burden, why = self._burden(control)
        if burden is None:
            return None
        general = tuple(name for name in self.stand_ins.get(burden, ()) if name != control.id)
        return self._unsigned(control, why, general) or self._unsigned(control, why, control.stand_in)

    def _unsigned(self, control: Control, why: str, by: tuple[ControlId, ...]) -> Line | None:
        """A compensation by `by` that no person signed (rule 4), or nothing where it would excuse without grounds."""
        supplier = self.model.supplier
        ends = last_day_ends(supplier.support_end)
        if not by or self.now >= ends or not all(map(self._looked_at, by)):
            return None
        reason = f"{why} {self._in_words(by)}; {supplier.name} answers for it while support lasts."
        line = self._made(control, Demand.COMPENSATED, reason, by)
        return msgspec.structs.replace(line, owner=supplier.security_contact or supplier.name, expires=ends)

    def _required(self, control: Control) -> Line:
        model = self.model
        demand = control.classes[model.device_class]
        because = self._inherited(control) or demand.reason
        sentences = [because or f"Asked of every {NOUNS[model.device_class]}. {control.rationale}"]
        if demand.ask is Ask.COMPENSATE and not self._inherited(control):
            sentences.append("What should stand in is not looked at here, so it stays required.")
        sentences += [self._void(entry) for entry in model.compensations if entry.control == control.id]
        burden, why = self._burden(control)
        if burden is not None:
            sentences += [why, "Nothing stands in for it, so it stays required until a person signs a compensation."]
        return self._made(control, Demand.REQUIRED, " ".join([*sentences, *_remarks(control, model)]))

    def _inherited(self, control: Control) -> str:
        """The sentence of a demand that comes from a dependant of a shared service, or nothing."""
        model = self.model
        asked_already = control.classes[model.device_class].ask in {Ask.REQUIRED, Ask.MANIFEST}
        if not control.shared or control.probe is None or asked_already or model.device_class is DeviceClass.MCU:
            return ""
        for service in model.shared_services:
            for dependant in service.dependants:
                if control.classes[dependant].ask in {Ask.REQUIRED, Ask.MANIFEST}:
                    return (
                        f"{service.name} also serves {NOUNS[dependant]}s, of which this is required, "
                        f"so its host must meet it too. {control.rationale}"
                    )
        return ""

    def _void(self, entry: Compensation) -> str:
        """Why a declared compensation does not count, or nothing when it does."""
        if self.now >= last_day_ends(entry.expires):
            return f"The compensation that {entry.owner} signed lapsed after {entry.expires}."
        if not entry.by:
            return "The declared compensation names no stand-in, so it excuses nothing."
        for name in entry.by:
            if name == entry.control or not self._looked_at(name):
                return f"The declared compensation leans on {name}, which is not looked at here: it excuses nothing."
        return ""

    def _looked_at(self, name: ControlId) -> bool:
        """Whether the control of that name is judged on this model by itself, so that it may stand in for another."""
        control = self.known.get(name)
        if control is None or self._forbidden(control):
            return False
        return control.classes[self.model.device_class].ask in {Ask.REQUIRED, Ask.MANIFEST}

    def _burden(self, control: Control) -> tuple[Burden | None, str]:
        """What the model cannot bear in `control`, in a sentence. Closing an open door is never too much to ask."""
        model, constraints = self.model, self.model.constraints
        if control.severity is Severity.CRITICAL or judged_by_manifest(control, model.device_class):
            return None, ""
        if constraints.vendor_locked and control.met_by is MetBy.HOST:
            return Burden.VENDOR_LOCKED, f"Only {model.supplier.name} can change this device's software and settings."
        if (control.remedy.reboot or control.cost.reboot) and not constraints.reboot_allowed:
            why = f"Meeting it takes a reboot, and this device must not reboot ({model.essential_function.name})."
            return Burden.NO_REBOOT, why
        if _too_large(control, model):
            why = f"Looking takes {control.cost.memory_kib} KiB, too much of {constraints.memory_mib} MiB of memory."
            return Burden.SMALL_MEMORY, why
        return None, ""

    def _made(self, control: Control, demand: Demand, reason: str, by: tuple[ControlId, ...] = ()) -> Line:
        """A line, with the severity that the model's own facts raise it to."""
        severity = control.severity
        if demand in {Demand.REQUIRED, Demand.COMPENSATED}:
            for step in control.raised:
                if step.to.rank < severity.rank and step.when.holds(self.model):
                    severity, reason = step.to, f"{reason} {step.reason}"
        return Line(control.id, control.title, severity, demand, reason, by)

    def _in_words(self, by: tuple[ControlId, ...]) -> str:
        """The stand-ins in words, without the full stop."""
        titles = "; ".join(f"{self.known[name].title.rstrip('.')} ({name})" for name in by)
        return f"What stands in, and must pass: {titles}"


def _remarks(control: Control, model: DeviceModel) -> list[str]:
    """What a constraint changes about how a required control is looked at or put right."""
    if judged_by_manifest(control, model.device_class):
        return ["Judged from the build manifest, since no agent runs there."]
    remarks = []
    if control.cost.heavy and model.constraints.power is not Power.MAINS:
        remarks.append(f"Looking is costly on {model.constraints.power} power: it is done once a week at most.")
    return remarks


def _too_large(control: Control, model: DeviceModel) -> bool:
    """Whether the probe of `control` takes more memory than `model` can spare."""
    return control.cost.memory_kib * _MEMORY_SHARE > model.constraints.memory_mib * 1024
