"""Controls and the catalogue: what is asked, of whom, how it is looked at, and how it is put right.

1. A control says for every device class what it asks there; a class that is left out is asked nothing, and the
   catalogue is refused, because an omission must be a decision with a reason.
2. A stand-in is itself asked of the class it stands in for: nothing is excused by a control that nobody looks at.
3. Conditions are typed and read the model file only; each carries the sentence that is shown where it does not hold.
4. What common server guides prescribe and what would destroy a device here is a *prohibition*: it is listed in the
   baseline as forbidden and is never probed.
5. Words are ours; other catalogues are named by their ids only.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Annotated

import msgspec

from holdfast_core.baseline.conditions import Condition, Data, Sentence
from holdfast_core.baseline.model import ControlId, Cost
from holdfast_core.baseline.probes import MAX_PARTS, Inspection, Manifest, ProbeSpec, parts
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.digests import Digest, canonical, digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.severity import Severity

MappedId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 .:()-]{0,31}$")]
ControlIds = tuple[ControlId, ...]


class Group(StrEnum):
    """The twelve groups; a control's id starts with its group."""

    BOOT = "BOOT"
    KERN = "KERN"
    FS = "FS"
    SVC = "SVC"
    NET = "NET"
    ACC = "ACC"
    CRY = "CRY"
    LOG = "LOG"
    UPD = "UPD"
    APP = "APP"
    PHY = "PHY"
    DAT = "DAT"


class Ask(StrEnum):
    """What a control asks of one device class."""

    REQUIRED = "required"
    COMPENSATE = "compensate"
    """The class cannot meet it; the named controls stand in."""
    MANIFEST = "manifest"
    """Required, and judged from the build manifest, because no agent runs there."""
    NOT_APPLICABLE = "not_applicable"


class MetBy(StrEnum):
    """Who can meet a control: it decides what a locked vendor, or no agent, excuses."""

    HOST = "host"
    """Whoever can change the device's own software and settings."""
    NETWORK = "network"
    """Whoever runs the network around it."""
    SUPPLIER = "supplier"
    """Whoever makes it: what it states, signs and promises."""
    SITE = "site"
    """Whoever has it in hand: its case, its place."""


class Burden(StrEnum):
    """Why a device cannot bear a control."""

    VENDOR_LOCKED = "vendor_locked"
    NO_REBOOT = "no_reboot"
    SMALL_MEMORY = "small_memory"


class Effect(StrEnum):
    """A thing that meeting a control does to a device, and that some devices do not survive."""

    DISABLES_FILESYSTEM = "disables-filesystem"
    VERIFIES_ROOT = "verifies-root"
    """Block-by-block verification (dm-verity): the root can no longer change in place."""
    UPGRADES_PACKAGES = "upgrades-packages"
    REBOOTS = "reboots"


class Fix(StrEnum):
    """Whether the change that meets a control is worked out by its probes' mends, and when it may be made."""

    BY_HAND = "by_hand"
    """Nothing is worked out; a person follows the steps."""
    PLANNED = "planned"
    """Worked out, shown, and made when a person says so."""
    AUTOMATIC = "automatic"
    """The same, and harmless: it only takes permission away from somebody who should not have it."""


class ClassDemand(Data, frozen=True):
    """What is asked of one class; `by` where it compensates, `reason` where it asks less than the control says."""

    ask: Ask
    by: ControlIds = ()
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse a compensation by nothing, and an excuse without a reason."""
        if (self.ask is Ask.COMPENSATE) != bool(self.by):
            raise ValueError("`by` names the stand-ins of ask=compensate, and only of it")
        if self.ask in {Ask.COMPENSATE, Ask.NOT_APPLICABLE} and not self.reason:
            raise ValueError(f"ask={self.ask} needs a reason")


class Remedy(Data, frozen=True):
    """How to put it right, and how to take that back."""

    steps: Annotated[tuple[Sentence, ...], msgspec.Meta(min_length=1, max_length=6)]
    undo: Annotated[tuple[Sentence, ...], msgspec.Meta(min_length=1, max_length=6)]
    reboot: bool = False
    may_brick: bool = False
    fix: Fix = Fix.BY_HAND

    def __post_init__(self) -> None:
        """Refuse an automatic fix that reboots or can brick."""
        if self.fix is Fix.AUTOMATIC and (self.reboot or self.may_brick):
            raise ValueError("a fix that reboots or can brick is never automatic")


class Mappings(Data, frozen=True):
    """Where other catalogues ask for the same; ids only."""

    etsi: tuple[MappedId, ...] = ()
    cra: tuple[MappedId, ...] = ()
    csf2: tuple[MappedId, ...] = ()
    nistir8259a: tuple[MappedId, ...] = ()
    isvs: tuple[MappedId, ...] = ()
    nhi: tuple[MappedId, ...] = ()
    iec62443: tuple[MappedId, ...] = ()


class Replacement(Data, frozen=True):
    """Where a declared constraint makes something else the right way to the same end.

    A root that cannot change is not patched package by package: its image is replaced and its digest proven.
    """

    when: Condition
    by: Annotated[ControlIds, msgspec.Meta(min_length=1, max_length=6)]
    reason: Sentence


class Raise(Data, frozen=True):
    """Where a declared fact makes a control weigh more: what the device holds, who can touch it."""

    when: Condition
    to: Severity
    reason: Sentence


class Control(Data, frozen=True):
    """One thing asked of devices."""

    id: ControlId
    title: Sentence
    group: Group
    severity: Severity
    classes: dict[DeviceClass, ClassDemand]
    fault: Sentence
    """What is wrong when it fails."""
    rationale: Sentence
    """Why that matters: what an attacker, or a fault, does with it."""
    cost: Cost
    remedy: Remedy
    mappings: Mappings
    probe: ProbeSpec | None = None
    """How an agent or an audit looks."""
    manifest: Manifest | None = None
    """How a build manifest is read, for classes without an agent."""
    applies_if: tuple[Condition, ...] = ()
    """All must hold; the first that does not is the reason why nothing is asked."""
    stand_in: ControlIds = ()
    """What stands in where a device cannot bear it: a locked vendor, no reboot, too little memory."""
    replaced: tuple[Replacement, ...] = ()
    """The first whose condition holds, and whose stand-ins are looked at, takes the control's place."""
    raised: tuple[Raise, ...] = ()
    """The highest of those whose condition holds."""
    met_by: MetBy = MetBy.HOST
    shared: bool = False
    """A service that several classes share must meet this as the strictest of them."""
    effects: tuple[Effect, ...] = ()
    filesystems: tuple[str, ...] = ()
    """The drivers that an effect of disabling file systems touches."""

    def __post_init__(self) -> None:
        """Refuse a control that is asked somewhere and cannot be looked at there, or leaves a class open."""
        if not self.id.startswith(f"{self.group}-"):
            raise ValueError(f"{self.id} is not of group {self.group}")
        if missing := set(DeviceClass) - self.classes.keys():
            raise ValueError(f"{self.id} leaves out {', '.join(sorted(missing))}")
        asks = {demand.ask for demand in self.classes.values()}
        if self.probe is None and asks & {Ask.REQUIRED, Ask.COMPENSATE}:
            raise ValueError(f"{self.id} is required of an audited class and has no probe")
        if any(not condition.otherwise for condition in self.applies_if):
            raise ValueError(f"{self.id} does not say why it does not apply where a condition does not hold")
        if any(step.to.rank >= self.severity.rank for step in self.raised):
            raise ValueError(f"{self.id} is raised to a severity that is not above its own")
        if self.probe is not None:
            self._check_probe(self.probe)
        if self.manifest is None and Ask.MANIFEST in asks:
            raise ValueError(f"{self.id} is judged from a manifest and names no fact of it")

    def _check_probe(self, probe: ProbeSpec) -> None:
        count = sum(1 for _ in parts(probe))
        if count > MAX_PARTS:
            raise ValueError(f"{self.id} combines {count} probes, more than {MAX_PARTS}")
        if count > 1 and any(isinstance(part, Inspection) for part in parts(probe)):
            raise ValueError(f"{self.id} combines an inspection with something a device can look at")

    @property
    def inspected(self) -> bool:
        """Whether a person looks, rather than the device."""
        return isinstance(self.probe, Inspection)


class Prohibition(Data, frozen=True):
    """A step that server guides prescribe and that destroys some devices."""

    id: ControlId
    title: Sentence
    severity: Severity
    effect: Effect
    filesystems: tuple[str, ...] = ()


class Catalogue(Data, frozen=True, dict=True):
    """All controls, in id order within their groups, and what is forbidden."""

    version: str
    controls: Annotated[tuple[Control, ...], msgspec.Meta(max_length=512)]
    prohibitions: tuple[Prohibition, ...] = ()
    stand_ins: dict[Burden, ControlIds] = msgspec.field(default_factory=dict)
    """What stands in for anything that a device cannot bear for this reason, where it is looked at on the model."""

    def __post_init__(self) -> None:
        """Refuse an id twice, and stand-ins that are missing, circular, or not asked of the class they stand in for."""
        ids = [*(control.id for control in self.controls), *(entry.id for entry in self.prohibitions)]
        if len(set(ids)) != len(ids):
            raise ValueError("an id is used twice")
        known = {control.id: control for control in self.controls}
        if strangers := sorted({name for by in self.stand_ins.values() for name in by} - known.keys()):
            raise ValueError(f"{strangers[0]} cannot stand in for anything: there is no such control")
        for control in self.controls:
            for name in (name for replacement in control.replaced for name in replacement.by):
                if name == control.id or name not in known:
                    raise ValueError(f"{name} cannot replace {control.id}")
            for device_class, stand_in in _stand_ins(control):
                if stand_in == control.id or stand_in not in known:
                    raise ValueError(f"{stand_in} cannot stand in for {control.id}")
                if known[stand_in].classes[device_class].ask not in {Ask.REQUIRED, Ask.MANIFEST}:
                    raise ValueError(f"{stand_in} stands in for {control.id} on {device_class} and is not asked there")

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the catalogue's canonical form; worked out once, since a catalogue is large and never changes."""
        return digest_of(canonical(self))


def _stand_ins(control: Control) -> Iterator[tuple[DeviceClass, ControlId]]:
    """Every stand-in of `control`, with each class it may stand in for."""
    for device_class, demand in control.classes.items():
        yield from ((device_class, stand_in) for stand_in in demand.by)
        if demand.ask is Ask.REQUIRED:
            yield from ((device_class, stand_in) for stand_in in control.stand_in)
    # What replaces a control is checked when a model is tailored: which classes its condition concerns is the model's.


def parse_catalogue(data: bytes) -> Catalogue:
    """Decode a compiled catalogue (JSON).

    Raises:
        HostileData: ``catalogue.invalid``, with the place of the fault in the sentence.
    """
    try:
        return msgspec.json.decode(data, type=Catalogue)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise HostileData(
            "catalogue.invalid",
            f"The control catalogue cannot be read: {error}.",
            remedy="Compile it anew with tools/compile_catalogue.py.",
        ) from error
