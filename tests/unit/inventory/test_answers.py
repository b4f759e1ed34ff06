"""The questions that every model answers first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast_core.inventory.model import DeviceModel
from holdfast_core.inventory.rules import Says, integrity_answer, recovery_answer, update_answer
from holdfast_core.kernel.instants import parse_rfc3339

Edited = Callable[..., DeviceModel]

NOW = parse_rfc3339("2026-11-21T12:00:00Z")
LATER = parse_rfc3339("2029-01-01T00:00:00Z")
CAMERA = "door-camera"
GATEWAY = "site-gateway"
PUMP = "pump-controller"
SENSOR = "soil-sensor"
SERVER = "edge-server"

INTEGRITY: dict[str, tuple[str, dict[str, Any], Says]] = {
    "TPM, measured, verified, guarded": (GATEWAY, {}, Says.YES),
    "PSA, measured, verified, guarded": (SENSOR, {}, Says.YES),
    "measured, but old software still boots": (SERVER, {}, Says.PARTLY),
    "verified, but nothing measures": (CAMERA, {}, Says.PARTLY),
    "measured, but nothing can sign": (GATEWAY, {"constraints.root_of_trust": "none"}, Says.PARTLY),
    "nothing at all": (PUMP, {}, Says.NO),
    "a TPM that nothing uses": (PUMP, {"constraints.root_of_trust": "tpm"}, Says.NO),
}

UPDATE: dict[str, tuple[str, dict[str, Any], Says]] = {
    "signed, two slots": (GATEWAY, {}, Says.YES),
    "signed, swapped": (SENSOR, {}, Says.YES),
    "signed, rolled back by hand": (SERVER, {}, Says.PARTLY),
    "signed, recovered by hand": (CAMERA, {}, Says.PARTLY),
    "by the vendor": (PUMP, {"update.fallback": "automatic"}, Says.PARTLY),
    "unsigned": (GATEWAY, {"update.signed": False}, Says.NO),
    "no way back": (CAMERA, {"update.recovery": ""}, Says.NO),
    "support over": (GATEWAY, {"supplier.support_end": "2026-11-20"}, Says.NO),
    "may never reboot": (
        GATEWAY,
        {"constraints.reboot_allowed": False, "constraints.maintenance_window": None},
        Says.NO,
    ),
    "no updates": (GATEWAY, {"update.kind": "none"}, Says.NO),
}

RECOVERY: dict[str, tuple[str, dict[str, Any], Says]] = {
    "by itself, then by somebody": (GATEWAY, {}, Says.YES),
    "by itself only": (GATEWAY, {"update.recovery": ""}, Says.PARTLY),
    "by somebody only": (PUMP, {}, Says.PARTLY),
    "by nobody": (PUMP, {"update.recovery": ""}, Says.NO),
    "by a fallback that no update uses": (GATEWAY, {"update.kind": "none", "update.recovery": ""}, Says.NO),
}


@pytest.mark.parametrize("name", INTEGRITY)
def test_integrity(name: str, edited: Edited) -> None:
    example, edits, says = INTEGRITY[name]
    answer = integrity_answer(edited(example, edits))
    assert answer.says is says
    assert bool(answer.lacking) == (says is not Says.YES)


@pytest.mark.parametrize("name", UPDATE)
def test_update(name: str, edited: Edited) -> None:
    example, edits, says = UPDATE[name]
    answer = update_answer(edited(example, edits), NOW)
    assert answer.says is says
    assert bool(answer.lacking) == (says is not Says.YES)


@pytest.mark.parametrize("name", RECOVERY)
def test_recovery(name: str, edited: Edited) -> None:
    example, edits, says = RECOVERY[name]
    assert recovery_answer(edited(example, edits)).says is says


def test_what_stands_in_is_named_with_its_owner_and_its_end(edited: Edited) -> None:
    (stand_in,) = integrity_answer(edited(PUMP, {}), NOW).stands_in
    assert (stand_in.what, stand_in.owner, stand_in.until) == (
        "NET-03 and SVC-03 for BOOT-01",
        "Plant engineering",
        "2028-03-31",
    )
    assert "2028-03-31" in integrity_answer(edited(PUMP, {}), NOW).sentence


def test_what_has_expired_no_longer_stands_in(edited: Edited) -> None:
    pump = edited(PUMP, {})
    assert update_answer(pump, NOW).stands_in
    for answer in (integrity_answer(pump, LATER), update_answer(pump, LATER), recovery_answer(pump, LATER)):
        assert answer.stands_in == ()
        assert answer.sentence.endswith("Nothing stands in for that.")
