"""What lists and answers say, and when a list is due."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.identity.model import Credential, Revocation
from holdfast_core.identity.validity import (
    KEPT_PAST_EXPIRY,
    LIST_BACKDATE,
    LIST_LIFE,
    LIST_REFRESH,
    SERIAL_BYTES,
    Ended,
    Unrevoked,
    addresses,
    is_due,
    listed,
    next_number,
    revocation_of,
    shard_address,
    shard_of,
    stamp,
    status_of,
)
from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, HOUR, Instant

NOW = Instant(1_795_000_000_123)
ISSUER, OTHER = digest_of(b"issuer"), digest_of(b"other")
CREDENTIAL = Credential(
    fingerprint=digest_of(b"certificate"),
    key=DeviceKey(Scope("acme", "production"), DeviceId("cam-1")),
    serial="1f",
    spki=digest_of(b"key"),
    not_before=Instant(NOW - DAY),
    not_after=Instant(NOW + DAY),
    issuer=ISSUER,
    issued_at=NOW,
)
REVOKED = msgspec.structs.replace(
    CREDENTIAL, revoked_at=NOW, revoked_why="stolen", revoked_code=Revocation.KEY_COMPROMISE
)
serials = st.integers(1, (1 << (8 * SERIAL_BYTES)) - 1)
instants = st.integers(0, 4_000_000_000_000).map(Instant)


def test_status_of_a_credential_in_force_is_good():
    assert status_of(CREDENTIAL, ISSUER) is Unrevoked.GOOD
    assert revocation_of(CREDENTIAL) is None


def test_status_of_a_revoked_one_has_time_and_reason():
    assert status_of(REVOKED, ISSUER) == Ended(0x1F, NOW, Revocation.KEY_COMPROMISE, CREDENTIAL.not_after)


def test_status_of_a_serial_nobody_was_given_is_unknown():
    assert status_of(None, ISSUER) is Unrevoked.UNKNOWN


def test_status_of_another_issuers_serial_is_unknown():
    assert status_of(CREDENTIAL, OTHER) is Unrevoked.UNKNOWN
    assert status_of(REVOKED, OTHER) is Unrevoked.UNKNOWN


def test_a_revocation_without_a_code_is_unspecified():
    one = revocation_of(msgspec.structs.replace(CREDENTIAL, revoked_at=NOW))
    assert one is not None
    assert one.reason is Revocation.UNSPECIFIED


@pytest.mark.parametrize("serial", [0, -1, 1 << (8 * SERIAL_BYTES)])
def test_no_revocation_of_a_number_that_is_no_serial(serial):
    with pytest.raises(ValueError, match="serial number"):
        Ended(serial, NOW, Revocation.UNSPECIFIED, NOW)


@given(serials, st.integers(1, 4096))
def test_every_serial_has_one_shard(serial, shards):
    assert 0 <= shard_of(serial, shards) < shards
    assert shard_of(serial, shards) == shard_of(serial, shards)


def test_shards_are_about_equal_though_serials_are_not_random():
    counts = [0] * 16
    for serial in range(1, 16_001):
        counts[shard_of(serial, 16)] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


@given(st.lists(instants, min_size=2))
def test_numbers_rise_whatever_the_clock_does(times):
    number = 0
    for now in times:
        following = next_number(number, now)
        assert following > number
        number = following


@given(instants, st.integers(1, 1000))
def test_numbers_rise_though_an_older_backup_was_restored(now, lists):
    held = 0
    for _ in range(lists):
        held = next_number(held, now)
    # One list a second at most is made, so the time has passed what was numbered since the backup.
    assert next_number(0, Instant(now + lists * 1000)) > held - 1


def test_a_list_is_due_when_there_is_none_when_it_changed_and_when_its_time_came():
    made = stamp(1, NOW)
    assert is_due(None, NOW, changed=False)
    assert is_due(made, NOW, changed=True)
    assert not is_due(made, NOW, changed=False)
    assert not is_due(made, Instant(NOW + LIST_REFRESH - 1000), changed=False)
    assert is_due(made, Instant(NOW + LIST_REFRESH), changed=False)


def test_a_list_of_the_future_is_due_again_once_the_clock_was_set_right():
    made = stamp(1, Instant(NOW + DAY))
    assert is_due(made, NOW, changed=False)


@given(instants)
def test_a_list_is_always_due_long_before_it_lapses(now):
    made = stamp(1, now)
    assert made.next_update - LIST_LIFE <= now
    assert made.this_update <= now - LIST_BACKDATE
    due = next(hours for hours in range(200) if is_due(made, Instant(now + hours * HOUR), changed=False))
    assert due * HOUR <= LIST_REFRESH + HOUR
    assert made.next_update - (now + due * HOUR) > 2 * DAY


def test_a_list_holds_what_ended_until_long_past_its_expiry():
    fresh = Ended(3, NOW, Revocation.SUPERSEDED, Instant(NOW + DAY))
    expired = Ended(2, NOW, Revocation.SUPERSEDED, Instant(NOW - KEPT_PAST_EXPIRY + 1))
    gone = Ended(1, NOW, Revocation.SUPERSEDED, Instant(NOW - KEPT_PAST_EXPIRY))
    assert listed([fresh, expired, gone], NOW) == [expired, fresh]


def test_addresses_name_the_shard_that_holds_the_serial():
    found = addresses("http://pki.example:8080/", ISSUER, 77, 64)
    assert found.crl == shard_address("http://pki.example:8080", ISSUER, shard_of(77, 64))
    assert found.ocsp == f"http://pki.example:8080/ocsp/{ISSUER[7:23]}"
    assert found.issuer == f"http://pki.example:8080/issuers/{ISSUER[7:23]}.cer"
