"""The model that stands for a bare class, where somebody audits a tree without having described its device.

1. It declares nothing that only the maker knows: no flows, no lists, no boot, no data. The questions have no answer.
2. A control that compares the device with a list that nobody declared is undecided, not failed: whatever it found may
   belong there.
3. It is never stored: a device's verdict always comes from a model that somebody answers for.
"""

from __future__ import annotations

import msgspec

from holdfast_core.baseline.control import Catalogue, Control
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.baseline.probes import (
    AccountCheck,
    Accounts,
    Autostart,
    Listening,
    Setuid,
    Simple,
    WritableList,
    parts,
)
from holdfast_core.baseline.probes.boot import Radios
from holdfast_core.baseline.probes.network import Firewall, FirewallCheck
from holdfast_core.baseline.probes.services import DaemonUsers
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

_MEMORY_MIB = {
    DeviceClass.SERVER: 16_384,
    DeviceClass.GATEWAY: 1_024,
    DeviceClass.LINUX_IOT: 256,
    DeviceClass.OT: 256,
    DeviceClass.MCU: 1,
}
_UPDATES = {
    DeviceClass.SERVER: UpdateKind.PACKAGE_MANAGER,
    DeviceClass.GATEWAY: UpdateKind.AB_IMAGE,
    DeviceClass.LINUX_IOT: UpdateKind.SINGLE_IMAGE,
    DeviceClass.OT: UpdateKind.VENDOR,
    DeviceClass.MCU: UpdateKind.MCU_SWAP,
}


def minimal(device_class: DeviceClass) -> DeviceModel:
    """A device of `device_class` of which nothing else is known."""
    return DeviceModel(
        schema=1,
        name=f"any-{device_class.value}",
        version="0",
        device_class=device_class,
        description=f"Any device of class {device_class.value}.",
        constraints=Constraints(
            memory_mib=_MEMORY_MIB[device_class], storage_mib=_MEMORY_MIB[device_class], contact_interval_s=3600
        ),
        supplier=Supplier(name="unknown", security_contact="unknown", support_end="2999-12-31"),
        update=Update(kind=_UPDATES[device_class]),
        essential_function=EssentialFunction(name="unknown", flows=(), probe=HealthProbe(kind="self-reported")),
    )


def without_lists(findings: Findings, catalogue: Catalogue) -> Findings:
    """`findings` of a bare class, with rule 2 applied."""
    known = {control.id: control for control in catalogue.controls}
    told = tuple(
        Finding(each.control, Outcome.UNKNOWN, each.proof, _UNDECLARED)
        if each.outcome is Outcome.FAIL and _compares(known[each.control])
        else each
        for each in findings.findings
    )
    return msgspec.structs.replace(findings, findings=told)


def _compares(control: Control) -> bool:
    """Whether the control's probe holds the device against a list of the model file."""
    return control.probe is not None and any(map(compares, parts(control.probe)))


def compares(probe: Simple) -> bool:
    """Whether `probe` fails what a list of the model file does not name, even where that list is empty."""
    match probe:
        case Setuid() | WritableList() | Autostart() | Listening() | DaemonUsers() | Radios():
            return True
        case Accounts(check):
            return check is AccountCheck.UNEXPECTED_LOGIN
        case Firewall(check):
            return check is FirewallCheck.OUTBOUND
    return False


_UNDECLARED = "Only a model file says what belongs here; give --model."
