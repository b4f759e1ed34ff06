"""Models, controls and findings for the tests of the baseline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from holdfast_core.baseline.control import Ask, Catalogue, ClassDemand, Control, Group, Mappings, Remedy
from holdfast_core.baseline.model import ControlId, Cost, Finding, Findings, Outcome
from holdfast_core.baseline.probes import Cmdline, Manifest
from holdfast_core.inventory.model import (
    Constraints,
    DeviceClass,
    DeviceModel,
    EssentialFunction,
    HealthProbe,
    Supplier,
    Update,
    UpdateKind,
)
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_core.kernel.severity import Severity

NOW = parse_rfc3339("2026-11-21T10:00:00Z")
PLAN = Digest("sha256:" + "0" * 64)
REQUIRED = ClassDemand(Ask.REQUIRED)
EVERYWHERE = dict.fromkeys(DeviceClass, REQUIRED)


def excused(reason: str = "Nothing of the kind exists there.") -> ClassDemand:
    return ClassDemand(Ask.NOT_APPLICABLE, reason=reason)


def compensated(*by: ControlId) -> ClassDemand:
    return ClassDemand(Ask.COMPENSATE, by, "This class cannot meet it.")


def control(name: ControlId, severity: Severity = Severity.HIGH, **given: Any) -> Control:
    """A control that is required everywhere, with `given` changed."""
    fields: dict[str, Any] = {
        "id": name,
        "title": f"Title of {name}",
        "group": Group(name.split("-", maxsplit=1)[0]),
        "severity": severity,
        "classes": EVERYWHERE,
        "fault": f"Fault of {name}.",
        "rationale": f"Rationale of {name}.",
        "cost": Cost(cpu_ms=1),
        "remedy": Remedy((f"Remedy of {name}.",), (f"Undo of {name}.",)),
        "mappings": Mappings(),
        "probe": Cmdline(("single",)),
    }
    return Control(**(fields | given))


def by_manifest(name: ControlId, key: str, severity: Severity = Severity.HIGH) -> Control:
    """A control of microcontrollers, met when the build says that `key` is true."""
    classes = {**dict.fromkeys(DeviceClass, excused()), DeviceClass.MCU: ClassDemand(Ask.MANIFEST)}
    return control(name, severity, classes=classes, probe=None, manifest=Manifest(key=key, one_of=("true",)))


def catalogue(*controls: Control, **given: Any) -> Catalogue:
    return Catalogue("test", controls, **given)


def model(device_class: DeviceClass = DeviceClass.LINUX_IOT, **given: Any) -> DeviceModel:
    """A model with nothing special; constraints are given by their own names, anything else by the model's."""
    names = set(Constraints.__struct_fields__)
    constraints = {"memory_mib": 128, "storage_mib": 256, "contact_interval_s": 3600}
    constraints |= {name: value for name, value in given.items() if name in names}
    plain = DeviceModel(
        schema=1,
        name="lamp",
        version="1",
        device_class=device_class,
        description="A lamp.",
        constraints=Constraints(**constraints),
        supplier=Supplier("Lamps Ltd", "security@lamps.example", "2031-01-01"),
        update=Update(UpdateKind.AB_IMAGE),
        essential_function=EssentialFunction("shining", (), HealthProbe("self-reported")),
    )
    return msgspec.structs.replace(plain, **{name: value for name, value in given.items() if name not in names})


def findings(passed: Iterable[ControlId] = (), failed: Iterable[ControlId] = (), *others: Finding) -> Findings:
    return Findings(
        PLAN,
        (
            *(Finding(name, Outcome.PASS) for name in passed),
            *(Finding(name, Outcome.FAIL, (f"/etc/{name.lower()}",)) for name in failed),
            *others,
        ),
    )
