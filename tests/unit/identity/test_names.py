"""Certified names: one for each device, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.names import certified_name, device_named
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope

PART = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?", fullmatch=True)
DEVICE = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,8}[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]{0,8}[a-z0-9])?){0,3}", fullmatch=True)


@given(PART, PART, DEVICE)
def test_a_name_leads_back_to_its_device(tenant: str, environment: str, device: str) -> None:
    key = DeviceKey(Scope(tenant, environment), DeviceId(device))
    assert device_named(certified_name(key)) == key


@given(st.tuples(PART, PART, DEVICE), st.tuples(PART, PART, DEVICE))
def test_two_devices_never_share_a_name(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    names = {certified_name(DeviceKey(Scope(t, e), DeviceId(d))) for t, e, d in (one, other)}
    assert len(names) == len({one, other})


@pytest.mark.parametrize(
    "name", ["", "cam.production.default.example.com", "holdfast.internal", "production.default.holdfast.internal"]
)
def test_other_names_are_no_devices(name: str) -> None:
    with pytest.raises(HostileData):
        device_named(name)


def test_a_tenant_with_a_dot_has_no_names() -> None:
    with pytest.raises(HostileData) as refused:
        certified_name(DeviceKey(Scope("acme.works", "production"), DeviceId("cam-1")))
    assert refused.value.code == "authority.scope_name"
