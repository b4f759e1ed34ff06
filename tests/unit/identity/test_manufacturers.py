from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.manufacturers import IDevID, Manufacturer, _hardware_serial, added_id, checked
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant

SCOPE = Scope("acme", "test")
TYPE = bytes.fromhex("0603550401")


def manufacturer(*models: str, add: bool = False, owner: str = "") -> Manufacturer:
    return Manufacturer(
        scope=SCOPE, id="acme", certificates=(), models=models, added_at=Instant(0), add=add, owner=owner
    )


@given(st.binary(max_size=100).filter(bool))
def test_a_hardware_module_name_gives_its_serial_number(serial: bytes) -> None:
    inner = TYPE + bytes([4, len(serial)]) + serial
    read = _hardware_serial(bytes([0x30, len(inner)]) + inner)
    assert read in (serial.decode("ascii", "replace"), serial.hex())


@given(st.binary(max_size=40))
def test_any_other_bytes_give_an_error_of_value(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"element|follows"):
        _hardware_serial(b"\x30\x05" + der + b"\x00\x01\x02\x03\x04\x05")


@pytest.mark.parametrize(
    ("models", "model", "makes"),
    [
        (("cam",), "cam@1.0", True),
        (("cam@1.0",), "cam@1.0", True),
        (("cam@1.0",), "cam@2.0", False),
        (("cam",), "camera@1.0", False),
        (("cam",), "", False),
    ],
)
def test_which_models_a_manufacturer_makes(models: tuple[str, ...], model: str, makes: bool) -> None:  # noqa: FBT001
    assert manufacturer(*models).makes(model) is makes


@pytest.mark.parametrize(
    "record",
    [
        manufacturer(),
        manufacturer("cam", add=True, owner="Ada"),
        manufacturer("cam@1", "pump@1", add=True, owner="Ada"),
        manufacturer("cam@1", add=True),
    ],
    ids=["no model", "no version", "two models", "no owner"],
)
def test_records_that_make_no_sense(record: Manufacturer) -> None:
    assert checked(manufacturer("cam@1", add=True, owner="Ada"))
    with pytest.raises(HostileData) as refused:
        checked(record)
    assert refused.value.code == "manufacturer.models"


@pytest.mark.parametrize(("serial", "device"), [("SN 1/Ä", "acme-sn-1"), ("A1B2", "acme-a1b2")])
def test_the_id_of_a_device_that_was_added(serial: str, device: str) -> None:
    assert added_id(manufacturer("cam@1"), IDevID(serial, x509.Name([]))) == device


def test_a_serial_number_that_makes_no_id_is_refused() -> None:
    with pytest.raises(HostileData):
        added_id(manufacturer("cam@1"), IDevID("x" * 80, x509.Name([])))
