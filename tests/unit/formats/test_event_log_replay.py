"""Replaying logs, and whether a digest is of the data."""

from __future__ import annotations

import hashlib

import pytest

from event_log_builders import (
    HASHES,
    SIZES,
    a_boot,
    agile_log,
    event,
    header,
    legacy_event,
    locality,
    no_action,
    separator,
    spec_id,
    variable,
)
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import BANKS, SHA1, SHA256, computable, hasher
from holdfast_core.formats.eventlog.log import Event, parse_event_log
from holdfast_core.formats.eventlog.preimage import digest_matches
from holdfast_core.formats.eventlog.replay import gaps, replay, startup_locality
from holdfast_core.kernel.errors import HostileData


def extended(*digests: bytes, start: int = 0) -> bytes:
    value = bytes(31) + bytes([start])
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def replayed(*events: bytes) -> dict[int, bytes]:
    return replay(parse_event_log(agile_log(*events)), SHA256)


def test_registers_are_extended_in_the_logs_order() -> None:
    values = replayed(event(4, kinds.IPL, b"a"), event(5, kinds.IPL, b"b"), event(4, kinds.IPL, b"c"))
    assert values == {4: extended(sha256(b"a"), sha256(b"c")), 5: extended(sha256(b"b"))}


def test_what_only_informs_extends_nothing() -> None:
    assert replayed(no_action(0, b"x"), no_action(6, b"x")) == {}


@pytest.mark.parametrize("number", [0, 3, 4])
def test_pcr_0_starts_with_the_startup_locality(number: int) -> None:
    assert replayed(locality(number)) == {0: extended(start=number)}
    assert replayed(locality(number), separator(0))[0] == extended(sha256(bytes(4)), start=number)


def test_a_locality_named_after_the_first_extension_is_too_late() -> None:
    assert replayed(separator(0), locality(3))[0] == extended(sha256(bytes(4)))


@pytest.mark.parametrize("data", [b"StartupLocality\0", b"StartupLocality\0\3\0", b"StartupLocalitY\0\3"])
def test_what_is_no_startup_locality_changes_nothing(data: bytes) -> None:
    assert startup_locality(parse_event_log(agile_log(no_action(0, data), separator(0)))) is None


def test_a_startup_locality_of_another_register_is_none() -> None:
    assert replayed(no_action(1, b"StartupLocality\0\3"), separator(0))[0] == extended(sha256(bytes(4)))


def test_after_an_h_crtm_pcr_0_starts_at_4() -> None:
    hcrtm = event(0, kinds.EFI_HCRTM_EVENT, b"HCRTM")
    assert replayed(hcrtm)[0] == extended(sha256(b"HCRTM"), start=4)
    assert replayed(locality(0), hcrtm)[0] == extended(sha256(b"HCRTM"))
    assert replayed(separator(0), hcrtm)[0] == extended(sha256(bytes(4)), sha256(b"HCRTM"))


def test_registers_of_a_dynamic_launch_start_as_zeros() -> None:
    assert replayed(event(17, 0x10000000, b"x"))[17] == extended(sha256(b"x"))


def test_every_bank_is_replayed_with_its_own_hash() -> None:
    banks = tuple(HASHES)
    log = parse_event_log(
        header(spec_id([(bank, SIZES[bank]) for bank in banks])) + event(1, kinds.IPL, b"x", banks=banks)
    )
    for bank in banks:
        assert replay(log, bank) == {1: HASHES[bank](bytes(SIZES[bank]) + HASHES[bank](b"x"))}


def test_every_known_bank_that_can_be_computed_has_its_size() -> None:
    for bank, known in BANKS.items():
        if computable(bank):
            assert len(hasher(bank)(b"")) == known.size


def test_a_register_with_an_event_without_a_digest_is_not_replayed() -> None:
    log = parse_event_log(agile_log(separator(1), event(1, kinds.IPL, b"x", banks=(SHA1,)), separator(2)))
    assert (set(replay(log, SHA256)), gaps(log, SHA256)) == ({2}, {1})
    assert (set(replay(log, SHA1)), gaps(log, SHA1)) == ({1, 2}, set())


def test_a_bank_that_the_log_has_not_replays_to_nothing() -> None:
    log = parse_event_log(agile_log(separator(1)))
    assert (replay(log, 0x000C), gaps(log, 0x000C)) == ({}, {1})


def test_a_bank_that_nobody_computes_is_refused() -> None:
    with pytest.raises(HostileData) as caught:
        replay(parse_event_log(a_boot()), 0x7FFF)
    assert caught.value.code == "eventlog.bank"


def test_a_legacy_log_replays_in_sha1() -> None:
    log = parse_event_log(legacy_event(4, kinds.IPL, b"x"))
    assert replay(log, SHA1) == {4: HASHES[SHA1](bytes(20) + HASHES[SHA1](b"x"))}


def matches(data: bytes, of: bytes, kind: int) -> bool | None:
    return digest_matches(Event(0, 0, kind, {SHA256: sha256(of)}, data), SHA256)


BOOT = variable("BootOrder", b"\1\0")


@pytest.mark.parametrize(
    ("kind", "data", "of", "expected"),
    [
        (kinds.SEPARATOR, bytes(4), bytes(4), True),
        (kinds.SEPARATOR, bytes(4), b"\1\0\0\0", False),
        (kinds.EFI_ACTION, b"Calling", b"Calling", True),
        (kinds.EFI_ACTION, b"Calling", b"calling", False),
        (kinds.EFI_VARIABLE_DRIVER_CONFIG, BOOT, BOOT, True),
        (kinds.EFI_VARIABLE_DRIVER_CONFIG, BOOT, b"\1\0", False),
        (kinds.EFI_VARIABLE_DRIVER_CONFIG, b"odd", b"other", False),
        (kinds.EFI_VARIABLE_BOOT, BOOT, BOOT, True),
        (kinds.EFI_VARIABLE_BOOT, BOOT, b"\1\0", None),
        (kinds.EFI_VARIABLE_BOOT, BOOT, b"\2\0", False),
        (kinds.EFI_VARIABLE_BOOT2, BOOT, b"\1\0", False),
        (kinds.EFI_VARIABLE_AUTHORITY, BOOT + b"123456", BOOT, True),
        (kinds.EFI_VARIABLE_AUTHORITY, BOOT + b"123456", BOOT + b"12345", True),
        (kinds.EFI_VARIABLE_AUTHORITY, BOOT + bytes(9), BOOT, False),
        (kinds.IPL, b"grub_cmd: set x\0", b"set x", True),
        (kinds.IPL, b"grub_cmd: set x\0", b"set y", None),
        (kinds.IPL, b"/vmlinuz\0", b"the kernel", None),
        (kinds.EVENT_TAG, b"\1\0\0\0\2\0\0\0ab", b"ab", True),
        (kinds.EVENT_TAG, b"\1\0\0\0\2\0\0\0ab", b"else", None),
        (kinds.EVENT_TAG, b"odd", b"else", None),
        (kinds.EFI_BOOT_SERVICES_APPLICATION, b"path", b"image", None),
        (kinds.NO_ACTION, b"x", b"x", None),
    ],
)
def test_a_digest_is_of_the_data_or_is_not_or_says_nothing(
    *, kind: int, data: bytes, of: bytes, expected: bool | None
) -> None:
    assert matches(data, of, kind) is expected


def test_without_a_digest_in_the_bank_nothing_is_of_anything() -> None:
    assert digest_matches(Event(0, 0, kinds.IPL, {}, b""), SHA256) is False
    assert [digest_matches(each, SHA256) for each in parse_event_log(agile_log(separator(0))).events] == [None, True]
