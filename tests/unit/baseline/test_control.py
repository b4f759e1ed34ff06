"""What a control and a catalogue refuse to be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from baseline_builders import EVERYWHERE, REQUIRED, by_manifest, catalogue, compensated, control, excused
from holdfast_core.baseline.conditions import ConstraintIs
from holdfast_core.baseline.control import (
    Ask,
    ClassDemand,
    Control,
    Fix,
    Remedy,
    parse_catalogue,
)
from holdfast_core.baseline.probes import Cmdline, Every, Inspection
from holdfast_core.inventory.model import DeviceClass
from holdfast_core.kernel.errors import HostileData

ONE = Cmdline(("single",))
MANY = Every((Every((ONE,) * 12), Every((ONE,) * 12), ONE))
MIXED = Every((ONE, Inspection("Look at the casing, please.")))
OTHERWISE = "It does not hold for this model."


def test_a_plain_control_is_accepted() -> None:
    assert control("FS-01").id == "FS-01"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"group": "NET"}, "not of group", id="a foreign group"),
        pytest.param({"classes": {DeviceClass.SERVER: REQUIRED}}, "leaves out", id="a class left open"),
        pytest.param({"probe": None}, "has no probe", id="required without a probe"),
        pytest.param({"probe": MANY}, "more than 24", id="too many probes"),
        pytest.param({"probe": MIXED}, "combines an inspection", id="an inspection and a probe"),
        pytest.param(
            {"classes": {**EVERYWHERE, DeviceClass.MCU: ClassDemand(Ask.MANIFEST)}},
            "names no fact",
            id="judged by a manifest that says nothing",
        ),
    ],
)
def test_a_control_that_cannot_be_judged_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        control("FS-01", **given)


@pytest.mark.parametrize(
    ("ask", "by", "reason"),
    [
        pytest.param(Ask.COMPENSATE, (), "why", id="compensated by nothing"),
        pytest.param(Ask.COMPENSATE, ("FS-02",), "", id="compensated without a reason"),
        pytest.param(Ask.NOT_APPLICABLE, (), "", id="excused without a reason"),
        pytest.param(Ask.REQUIRED, ("FS-02",), "", id="required and yet stood in for"),
    ],
)
def test_an_excuse_without_its_grounds_is_refused(ask: Ask, by: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=r"needs a reason|names the stand-ins"):
        ClassDemand(ask, by, reason)


@pytest.mark.parametrize("danger", ["reboot", "may_brick"])
def test_a_dangerous_fix_is_never_automatic(danger: str) -> None:
    safe = Remedy(("Take the bit away.",), ("Give it back.",), fix=Fix.AUTOMATIC)
    with pytest.raises(ValueError, match="never automatic"):
        msgspec.structs.replace(safe, **{danger: True}).__post_init__()


def test_a_condition_on_a_constraint_that_no_model_declares_is_refused() -> None:
    assert ConstraintIs(name="power", one_of=("mains",), otherwise=OTHERWISE).name == "power"
    with pytest.raises(ValueError, match="no constraint"):
        ConstraintIs(name="voltage", one_of=(12,), otherwise=OTHERWISE)


def stood_in_for(stand_in: str) -> Control:
    return control("FS-01", classes={**EVERYWHERE, DeviceClass.OT: compensated(stand_in)})


def test_a_stand_in_that_is_itself_asked_is_accepted() -> None:
    assert len(catalogue(stood_in_for("FS-02"), control("FS-02")).controls) == 2


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(control("FS-03"), id="a stand-in that does not exist"),
        pytest.param(
            control("FS-02", classes={**EVERYWHERE, DeviceClass.OT: excused()}), id="a stand-in not asked there"
        ),
        pytest.param(
            control("FS-02", classes={**EVERYWHERE, DeviceClass.OT: compensated("FS-01")}), id="stand-ins in a circle"
        ),
    ],
)
def test_a_stand_in_that_nobody_looks_at_is_refused(second: Control) -> None:
    with pytest.raises(ValueError, match="FS-02"):
        catalogue(stood_in_for("FS-02"), second)


def test_a_control_never_stands_in_for_itself() -> None:
    with pytest.raises(ValueError, match="cannot stand in"):
        catalogue(control("FS-01", stand_in=("FS-01",)))


def test_an_id_is_used_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        catalogue(control("FS-01"), control("FS-01"))


def test_a_catalogue_survives_its_own_encoding() -> None:
    original = catalogue(stood_in_for("FS-02"), control("FS-02"), by_manifest("BOOT-01", "signed"))
    again = parse_catalogue(msgspec.json.encode(original))
    assert again == original
    assert again.digest == original.digest


def test_two_catalogues_have_two_digests() -> None:
    assert catalogue(control("FS-01")).digest != catalogue(control("FS-02")).digest


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"version":"1","controls":[],"more":1}', id="an unknown key"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"version":"1","controls":[{"id":"FS-1"}]}', id="a control that is none"),
    ],
)
def test_what_is_no_catalogue_is_refused(data: bytes) -> None:
    with pytest.raises(HostileData) as refused:
        parse_catalogue(data)
    assert refused.value.code == "catalogue.invalid"
