"""Every way in which a model argues with itself: the edit that makes it do so, by name, against quiet examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from holdfast.inventory.model_file import EXAMPLES
from holdfast_core.inventory import contradictions as rules_module
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.inventory.rules import contradictions, problems
from holdfast_core.kernel.instants import parse_rfc3339

Edited = Callable[..., DeviceModel]

NOW = parse_rfc3339("2026-11-21T12:00:00Z")
CAMERA = "door-camera"
GATEWAY = "site-gateway"
PUMP = "pump-controller"
SENSOR = "soil-sensor"
SERVER = "edge-server"

ARGUES: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "renewal missed": (
        SENSOR,
        {"identity.leaf_days": 7, "constraints.contact_interval_s": 86_400},
        {"model.renewal_missed", "model.need_never_fresh"},
    ),
    "a key in a file that never changes": (PUMP, {"identity.renewal_key": "same"}, {"model.key_never_changes"}),
    "daily heavy audit on battery": (
        SENSOR,
        {"constraints.heavy_audit_interval_s": 86_400},
        {"model.heavy_audit_drains"},
    ),
    "daily heavy audit on harvested power": (CAMERA, {"constraints.power": "harvested"}, {"model.heavy_audit_drains"}),
    "immutable root with packages": (CAMERA, {"update.kind": "package-manager"}, {"model.immutable_packages"}),
    "packages on a microcontroller": (
        SENSOR,
        {"update.kind": "package-manager", "constraints.root_filesystem": "mutable"},
        {"model.mcu_packages"},
    ),
    "two image slots, no fallback": (GATEWAY, {"update.fallback": "none"}, {"model.slots_without_fallback"}),
    "two swap slots, no fallback": (SENSOR, {"update.fallback": "none"}, {"model.slots_without_fallback"}),
    "no way back": (CAMERA, {"update.recovery": " "}, {"model.no_way_back"}),
    "reboot needed, never allowed": (
        GATEWAY,
        {"constraints.reboot_allowed": False, "constraints.maintenance_window": None},
        {"model.reboot_never"},
    ),
    "topics beyond the own name": (CAMERA, {"flows.0.subscribe": ["fleet/+/up/x"]}, {"model.topic_unexcepted"}),
    "an exception nobody needs": (
        CAMERA,
        {
            "exceptions": [
                {"name": "all", "filters": ["#"], "reason": "r", "owner": "o", "expires": "2026-12-31"},
            ]
        },
        {"model.exception_unused"},
    ),
    "an exception that ended": (
        CAMERA,
        {
            "flows.0.subscribe": ["#"],
            "exceptions": [
                {"name": "all", "filters": ["#"], "reason": "r", "owner": "o", "expires": "2026-11-20"},
            ],
        },
        {"model.topic_unexcepted", "model.exception_expired"},
    ),
    "support ended": (CAMERA, {"supplier.support_end": "2026-11-20"}, {"model.support_ended"}),
    "support ends today": (CAMERA, {"supplier.support_end": "2026-11-21"}, {"model.support_ends_soon"}),
    "support ends within the year": (CAMERA, {"supplier.support_end": "2027-11-20"}, {"model.support_ends_soon"}),
    "support without updates": (CAMERA, {"update.kind": "none"}, {"model.support_without_updates"}),
    "measured boot, no root of trust": (SENSOR, {"constraints.root_of_trust": "none"}, {"model.measured_without_root"}),
    "attestation owed, no root of trust": (
        PUMP,
        {"needs": [{"appraisal": "attestation", "max_age_s": 86_400}]},
        {"model.attestation_without_root"},
    ),
    "renewal on evidence, no root of trust": (
        PUMP,
        {"attestation.before_renewal": True},
        {"model.renewal_unattested"},
    ),
    "renewal on evidence that is never asked for": (
        CAMERA,
        {"constraints.root_of_trust": "tpm", "attestation.before_renewal": True},
        {"model.renewal_unattested"},
    ),
    "renewal on evidence of a chip that only keeps keys": (
        CAMERA,
        {"boot.measured_boot": True, "attestation.before_renewal": True},
        {"model.renewal_unattested"},
    ),
    "rollback refused by nobody": (
        SERVER,
        {"boot": {"measured_boot": True, "anti_rollback": True}},
        {"model.rollback_unguarded"},
    ),
    "personal data in the clear": (CAMERA, {"flows.0.encrypted": False}, {"model.cleartext_data"}),
    "cleartext that does not say what it carries": (SERVER, {"flows.0.encrypted": False}, {"model.cleartext_data"}),
    "harmless cleartext in public": (CAMERA, {"flows.3.encrypted": False}, {"model.cleartext_in_public"}),
    "safety data in the clear": (PUMP, {"compensations": []}, {"model.cleartext_data"}),
    "safety data, compensation over": (
        PUMP,
        {"compensations.0.expires": "2026-11-20"},
        {"model.cleartext_data", "model.compensation_expired"},
    ),
    "personal data at rest in public": (CAMERA, {"data.0.encrypted_at_rest": False}, {"model.plaintext_at_rest"}),
    "personal data that nothing erases": (CAMERA, {"retirement": {"erase": "none"}}, {"model.erases_nothing"}),
    "debug port open in production": (
        CAMERA,
        {"interfaces.2.enabled_in_production": True},
        {"model.debug_in_production"},
    ),
    "serial console open in production": (
        SERVER,
        {"interfaces.2.enabled_in_production": True},
        {"model.debug_in_production"},
    ),
    "evidence shorter than silence": (SENSOR, {"needs.1.max_age_s": 3_600}, {"model.need_never_fresh"}),
    "evidence exactly as old as silence": (SENSOR, {"needs.1.max_age_s": 21_600}, {"model.need_never_fresh"}),
    "offline but owing evidence": (PUMP, {"constraints.reachability": "offline"}, {"model.offline_owes_evidence"}),
    "essential function without flows": (CAMERA, {"essential_function.flows": []}, {"model.essential_flow_missing"}),
    "essential flow undeclared": (CAMERA, {"essential_function.flows": ["steam"]}, {"model.essential_flow_missing"}),
    "process probe on a microcontroller": (
        SENSOR,
        {"essential_function.probe": {"kind": "process", "process": "x"}},
        {"model.probe_impossible"},
    ),
    "own word where a probe could look": (
        CAMERA,
        {"essential_function.probe": {"kind": "self-reported"}},
        {"model.probe_own_word"},
    ),
    "probe of an undeclared port": (CAMERA, {"essential_function.probe.port": 8555}, {"model.probe_undeclared_port"}),
    "vendor-locked, vendor unknown": (PUMP, {"supplier.security_contact": ""}, {"model.vendor_unreachable"}),
    "flash worn by checking in": (CAMERA, {"constraints.contact_interval_s": 60}, {"model.flash_worn"}),
    "anybody may connect, in public": (CAMERA, {"flows.0.peer": "Any"}, {"model.open_inbound"}),
    "immutable root, driver unnamed": (CAMERA, {"expected.root_fs_drivers": []}, {"model.root_driver_unnamed"}),
}

AT_ONE: dict[str, tuple[str, dict[str, Any]]] = {
    "weekly heavy audit on battery": (SENSOR, {"constraints.heavy_audit_interval_s": 604_800}),
    "no reboot, but a window": (GATEWAY, {"constraints.reboot_allowed": False}),
    "no reboot, package updates": (
        SERVER,
        {"constraints.reboot_allowed": False, "constraints.maintenance_window": None},
    ),
    "a year of support": (CAMERA, {"supplier.support_end": "2027-11-21"}),
    "cleartext without anything sensitive": (PUMP, {"flows.0.carries": ["runtime-counters"], "compensations": []}),
    "anybody may connect, in a locked room": (SERVER, {"flows.0.peer": "any"}),
    "vendor unknown, owner may change it": (SERVER, {"supplier.security_contact": ""}),
    "flash that does not wear": (
        CAMERA,
        {"constraints.contact_interval_s": 60, "constraints.flash_writes_mib_per_day": None},
    ),
    "no slots, no fallback, but recovery": (CAMERA, {"update.fallback": "none"}),
    "plaintext at rest, compensated": (
        CAMERA,
        {
            "data.0.encrypted_at_rest": False,
            "compensations.0": {
                "control": "DAT-01",
                "by": ["PHY-06"],
                "reason": "r",
                "owner": "o",
                "expires": "2027-01-01",
            },
        },
    ),
}


@pytest.mark.parametrize("name", ARGUES)
def test_a_model_that_argues_with_itself_is_reported(name: str, edited: Edited) -> None:
    example, edits, codes = ARGUES[name]
    reasons = contradictions(edited(example, edits), NOW)
    assert {reason.code for reason in reasons} == codes
    assert all(reason.sentence.endswith(".") and reason.remedy.endswith(".") for reason in reasons)


@pytest.mark.parametrize("name", AT_ONE)
def test_a_model_at_one_with_itself_is_left_alone(name: str, edited: Edited) -> None:
    example, edits = AT_ONE[name]
    model = edited(example, edits)
    assert problems(model) == ()
    assert contradictions(model, NOW) == ()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_at_one_with_themselves(name: str, edited: Edited) -> None:
    assert contradictions(edited(name, {}), NOW) == ()


def test_every_rule_has_a_case() -> None:
    told = {code for _, _, codes in ARGUES.values() for code in codes}
    assert told == set(re.findall(r'"(model\.[a-z_]+)"', inspect.getsource(rules_module)))
