"""A device's life, and what may be said of a device."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.inventory.lifecycle import TRANSITIONS, Device, Lifecycle, LifecycleEvent, advance, parse_labels
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant

KEY = DeviceKey(Scope("acme", "live"), DeviceId("cam-1"))


def test_the_usual_life() -> None:
    state = Lifecycle.UNMANAGED
    seen = [state]
    for event in (
        LifecycleEvent.SET_MODEL,
        LifecycleEvent.ENROLL,
        LifecycleEvent.CHECK_IN,
        LifecycleEvent.ORDER_ERASURE,
        LifecycleEvent.RETIRE,
    ):
        state = advance(state, event)
        seen.append(state)
    assert seen == list(Lifecycle)


@pytest.mark.parametrize("state", Lifecycle)
@pytest.mark.parametrize("event", LifecycleEvent)
def test_only_the_listed_moves_are_allowed(state: Lifecycle, event: LifecycleEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert advance(state, event) is TRANSITIONS[state, event]
        return
    with pytest.raises(HostileData) as refusal:
        advance(state, event)
    assert refusal.value.code == "lifecycle.not_allowed"
    assert refusal.value.http_status == 409
    assert state.value in refusal.value.sentence


@given(st.lists(st.sampled_from(LifecycleEvent), max_size=30))
def test_no_history_is_active_without_enrolling_or_leaves_retirement(events: list[LifecycleEvent]) -> None:
    state = Lifecycle.UNMANAGED
    enrolled = False
    for event in events:
        before = state
        try:
            state = advance(state, event)
        except HostileData:
            assert state is before
            continue
        assert before is not Lifecycle.RETIRED
        enrolled |= event is LifecycleEvent.ENROLL
    assert enrolled or state not in {Lifecycle.ENROLLED, Lifecycle.ACTIVE}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "model without a version": ({"model": "camera"}, "device.model"),
    "model with two versions": ({"model": "camera@1@2"}, "device.model"),
    "owner of two lines": ({"owner": "a\nb"}, "device.text"),
    "note without end": ({"note": "x" * 513}, "device.text"),
    "label twice": ({"labels": (("a", "1"), ("a", "2"))}, "device.labels"),
    "labels out of order": ({"labels": (("b", "1"), ("a", "2"))}, "device.labels"),
    "label key with a space": ({"labels": (("a b", "1"),)}, "device.labels"),
    "labels without end": ({"labels": tuple((f"k{n:02}", "") for n in range(33))}, "device.labels"),
    "key that is no name": ({"key": DeviceKey(KEY.scope, DeviceId("../x"))}, "name.invalid"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_device_that_cannot_be_is_not_built(name: str) -> None:
    parts, code = BAD[name]
    with pytest.raises(HostileData) as refusal:
        Device(**{"key": KEY, "lifecycle": Lifecycle.EXPECTED, "created_at": Instant(0), **parts})
    assert refusal.value.code == code


def test_a_device_survives_its_stored_form() -> None:
    labels = parse_labels((("rack", "7"), ("floor", "ground")))
    device = Device(KEY, Lifecycle.ACTIVE, Instant(5), "camera@1.0", "Ms Ähre", "Kiel", "door", labels, "by the door")
    assert labels[0] == ("floor", "ground")
    assert msgspec.json.decode(msgspec.json.encode(device), type=Device) == device
