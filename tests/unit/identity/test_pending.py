from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.pending import WAITS, Decision, PendingRequest, decided, may_wait, parse_readable, readable
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import Instant

SCOPE = Scope("acme", "test")
DIGEST = digest_of(b"a key")
REQUEST = PendingRequest(
    scope=SCOPE,
    id=readable(DIGEST),
    device=DeviceId("cam-1"),
    spki=DIGEST,
    asked_at=Instant(0),
    expires_at=Instant(WAITS),
)


@given(st.binary())
def test_a_fingerprint_is_read_however_it_is_typed(key: bytes) -> None:
    shown = readable(digest_of(key))
    assert len(shown.split("-")) == 8
    for typed in (shown, shown.upper(), shown.replace("-", ""), shown.replace("-", " "), shown.replace("-", ":")):
        assert parse_readable(typed) == shown


@given(st.text(max_size=60).filter(lambda text: len(re.sub(r"[^0-9a-fA-F]", "", text)) != 32))
def test_nothing_else_is_a_fingerprint(text: str) -> None:
    with pytest.raises(HostileData) as refused:
        parse_readable(text)
    assert refused.value.code == "enrollment.fingerprint"


@pytest.mark.parametrize("short", ["", "4f2a", "4f2a-91bc-4f2a-91bc-4f2a-91bc-4f2a"])
def test_a_part_of_a_fingerprint_is_none(short: str) -> None:
    with pytest.raises(HostileData):
        parse_readable(short)


@pytest.mark.parametrize(
    ("lifecycle", "owner", "waits"),
    [
        (Lifecycle.EXPECTED, "Ada", True),
        (Lifecycle.ACTIVE, "Ada", True),
        (Lifecycle.EXPECTED, "", False),
        (Lifecycle.UNMANAGED, "Ada", False),
        (Lifecycle.RETIRED, "Ada", False),
    ],
)
def test_only_what_is_expected_and_owned_waits(lifecycle: Lifecycle, owner: str, waits: bool) -> None:  # noqa: FBT001
    device = Device(DeviceKey(SCOPE, DeviceId("cam-1")), lifecycle, Instant(0), owner=owner)
    assert may_wait(device) is waits
    assert not may_wait(None)


def test_a_decision_stands_for_its_time_and_a_refusal_is_not_turned_round() -> None:
    approved = decided(REQUEST, Decision.APPROVED, "token:ada", Instant(1000))
    assert (approved.decision, approved.decided_by, approved.expires_at) == (
        Decision.APPROVED,
        "token:ada",
        1000 + WAITS,
    )
    taken_back = decided(approved, Decision.REFUSED, "token:eve", Instant(2000))
    assert (taken_back.decision, taken_back.decided_by) == (Decision.REFUSED, "token:eve")
    with pytest.raises(HostileData) as refused:
        decided(taken_back, Decision.APPROVED, "token:ada", Instant(3000))
    assert refused.value.code == "enrollment.decided"
