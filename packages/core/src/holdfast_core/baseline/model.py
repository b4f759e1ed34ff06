"""Controls, the baseline tailored from them, and the findings of an audit.

1. A control is data: who must meet it, a typed probe (never a shell string), what it expects, what it costs, why,
   and how to fix it.
2. Only a device has a verdict; a control has an outcome.
3. `not_applicable` needs a reason; an input that could not be read is `unknown`, never `not_applicable`, never `pass`.
4. A compensation counts only while the controls that stand in pass themselves.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from holdfast_core.inventory.model import DeviceClass, HealthProbe
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import Instant
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.severity import Severity

ControlId = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2,4}-[0-9]{2}$")]
Text = Annotated[str, msgspec.Meta(max_length=LIMITS.text)]


class Outcome(StrEnum):
    """How a control came out on a device."""

    PASS = "pass"  # noqa: S105  (an outcome, no password)
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"
    COMPENSATED = "compensated"


class Demand(StrEnum):
    """What tailoring makes of a control for one model."""

    REQUIRED = "required"
    COMPENSATED = "compensated"
    NOT_APPLICABLE = "not_applicable"
    FORBIDDEN = "forbidden"


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What running a control's probe asks of a device, and what meeting the control asks of its owner."""

    cpu_ms: int
    memory_kib: int = 64
    heavy: bool = False
    """Reads file contents or walks the tree: run rarely where power or flash is short."""
    reboot: bool = False
    upkeep: str = "none"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a probe saw for one control: the raw outcome on the device, before tailoring and compensation."""

    control: ControlId
    outcome: Outcome
    proof: Annotated[tuple[Text, ...], msgspec.Meta(max_length=LIMITS.proof_items)] = ()
    """Paths, settings or addresses that show it; never a secret's value."""
    reason: Text = ""
    """Why it is `unknown` or `not_applicable`."""


class Findings(msgspec.Struct, frozen=True, tag="findings"):
    """The body of an audit: one entry per control that was probed, in control order.

    It carries no time: its digest stays the same while nothing changed. Its age stands in `wire.Section.age_s`.
    """

    plan: Digest
    """Digest of the plan that was run."""
    findings: Annotated[tuple[Finding, ...], msgspec.Meta(max_length=LIMITS.findings)]


Facts: TypeAlias = Annotated[dict[Text, bool | int | Text], msgspec.Meta(max_length=128)]


class BuildManifest(msgspec.Struct, frozen=True, tag="manifest", omit_defaults=True):
    """What is stated of one build, or of one chip, as flat facts for manifest probes (``stack_protector: true``).

    The build system states `facts`; who read the chip after production states `fuses`; `token` are the claims of an
    attestation token, by their names. Where two state the same fact, both have to be right.
    """

    build: Text
    facts: Facts
    fuses: Facts = msgspec.field(default_factory=dict)
    token: Facts = msgspec.field(default_factory=dict)

    def stated(self, key: str) -> dict[str, str]:
        """What each source says of `key`: a truth value as ``true`` or ``false``, anything else as its text."""
        sources = {"build": self.facts, "fuses": self.fuses, "token": self.token}
        said = {name: facts[key] for name, facts in sources.items() if key in facts}
        return {name: str(fact).lower() if isinstance(fact, bool) else str(fact) for name, fact in said.items()}


class AuditBudget(msgspec.Struct, frozen=True):
    """What one sitting of an audit may take on a device; what is not done is gone on with at the next sitting."""

    cpu_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 120
    """Seconds of CPU."""
    cpu_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    """Of one core, on the average of a few seconds: the audit sleeps in between."""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device is asked to probe: compiled from model and catalogue, sent once, then named by its digest."""

    device_class: DeviceClass
    catalogue: Digest
    controls: tuple[ControlId, ...]
    heavy_interval_s: int
    """Seconds between two looks at what is costly."""
    health: HealthProbe
    """How the device tells that its essential function goes on; it travels with the plan so that a device needs one."""
    light_interval_s: int = 3_600
    """Seconds between two looks at what is cheap."""
    budget: AuditBudget = AuditBudget()
    listening: tuple[tuple[str, int], ...] = ()
    autostart: tuple[str, ...] = ()
    setuid: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    root_fs_drivers: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    root_daemons: tuple[str, ...] = ()
    feed_keys: tuple[str, ...] = ()
    probes: dict[ControlId, msgspec.Raw] = msgspec.field(default_factory=dict)
    """The probes (JSON) of controls that the device does not have in the catalogue it came with."""
    programs: tuple[str, ...] = ()
    """The device's own programs that serve the declared ports."""
    outgoing: tuple[tuple[str, int], ...] = ()
    """Transport and port of every conversation that the device itself may start."""
    interfaces: tuple[str, ...] = ()
    """Kinds of the interfaces that are there to be used in production (``wifi``, ``usb``)."""


class Line(msgspec.Struct, frozen=True):
    """One control in a tailored baseline, and the sentence a person can argue with."""

    control: ControlId
    title: str
    severity: Severity
    demand: Demand
    reason: str
    by: tuple[ControlId, ...] = ()
    """The controls that stand in, when `demand` is compensated."""
    owner: str = ""
    expires: Instant | None = None
    signed: bool = False
    """Whether a person declared the compensation, rather than its class or a constraint."""


class Baseline(msgspec.Struct, frozen=True):
    """The result of tailoring: every control of the catalogue, with what is asked of this model."""

    model: str
    device_class: DeviceClass
    catalogue: Digest
    lines: tuple[Line, ...]
    remarks: tuple[str, ...] = ()
    """What holds for all lines, in sentences."""


class Judged(msgspec.Struct, frozen=True, omit_defaults=True):
    """One control of one device after tailoring and compensation."""

    control: ControlId
    title: str
    severity: Severity
    outcome: Outcome
    reason: str
    proof: tuple[str, ...] = ()
    why: str = ""
    """Why it matters, where it failed or could not be decided."""
    remedy: str = ""
    """What to do about it, where it failed or could not be decided."""


class Report(msgspec.Struct, frozen=True):
    """An audit read against a baseline; `asked` counts the required and the compensated lines."""

    judged: tuple[Judged, ...]
    asked: int
    decided: int

    @property
    def coverage(self) -> float:
        """The share of what was asked that could be decided; 0.0 when nothing was asked."""
        return self.decided / self.asked if self.asked else 0.0
