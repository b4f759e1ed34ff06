"""Event logs: parsed as firmware writes them, refused where they cannot be one."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_log_builders import (
    BOTH,
    HASHES,
    a_boot,
    agile_log,
    an_old_boot,
    event,
    header,
    legacy_event,
    no_action,
    separator,
    spec_id,
)
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA1, SHA256, bank_name, computable
from holdfast_core.formats.eventlog.log import LARGEST_LOG, MOST_EVENTS, NO_REGISTER, parse_event_log
from holdfast_core.kernel.errors import HostileData

UNKNOWN = 0x7FFF


def code_of(data: bytes) -> str:
    with pytest.raises(HostileData) as caught:
        parse_event_log(data)
    assert caught.value.remedy
    return caught.value.code


def test_an_agile_log_has_its_headers_banks_and_every_event() -> None:
    log = parse_event_log(a_boot())
    assert (log.banks, log.agile, log.filling) == (BOTH, True, 0)
    assert [each.number for each in log.events] == list(range(15))
    assert log.events[0].digests == {}
    assert log.events[2].kind == kinds.EFI_VARIABLE_DRIVER_CONFIG
    assert log.events[2].digests == {bank: HASHES[bank](log.events[2].data) for bank in BOTH}


def test_a_legacy_log_is_of_sha1_alone() -> None:
    log = parse_event_log(an_old_boot())
    assert (log.banks, log.agile, len(log.events)) == ((SHA1,), False, 11)
    assert log.events[0].digests == {SHA1: HASHES[SHA1](b"1\0")}


@pytest.mark.parametrize("signature", [b"Spec ID Event00\0", b"Spec ID Event02\0"])
def test_a_legacy_log_may_say_its_specification(signature: bytes) -> None:
    log = parse_event_log(legacy_event(0, kinds.NO_ACTION, signature + bytes(9), bytes(20)) + an_old_boot())
    assert (log.banks, len(log.events)) == ((SHA1,), 12)


def test_a_first_event_that_only_informs_need_not_be_a_header() -> None:
    assert not parse_event_log(legacy_event(0, kinds.NO_ACTION, b"\0")).agile


def test_digests_may_be_fewer_than_the_headers_or_in_another_order() -> None:
    turned = event(1, kinds.IPL, b"x", banks=(SHA256, SHA1))
    alone = event(1, kinds.IPL, b"x", banks=(SHA256,))
    none = event(1, kinds.IPL, b"x", banks=())
    log = parse_event_log(agile_log(turned, alone, none, separator(0)))
    assert [tuple(each.digests) for each in log.events[1:]] == [(SHA256, SHA1), (SHA256,), (), BOTH]
    assert log.events[1].digests == {bank: HASHES[bank](b"x") for bank in BOTH}


def test_events_without_data_are_kept() -> None:
    assert parse_event_log(agile_log(event(0, kinds.IPL, b""), separator(1))).events[1].data == b""


def test_an_algorithm_nobody_knows_is_skipped_by_the_headers_size() -> None:
    banks = ((SHA256, 32), (UNKNOWN, 5))
    one = event(0, kinds.IPL, b"x", digests=((SHA256, bytes(32)), (UNKNOWN, b"12345")))
    log = parse_event_log(header(spec_id(banks)) + one)
    assert log.events[1].digests[UNKNOWN] == b"12345"
    assert (bank_name(UNKNOWN), computable(UNKNOWN), bank_name(SHA256)) == ("0x7fff", False, "sha256")


def test_vendor_information_belongs_to_the_header() -> None:
    assert len(parse_event_log(header(spec_id(vendor=b"acme")) + separator(0)).events) == 2


def test_a_vendor_length_of_four_bytes_is_taken_as_seabios_writes_it() -> None:
    assert len(parse_event_log(header(spec_id(tail=bytes(3))) + separator(0)).events) == 2


def test_vendor_information_that_the_event_does_not_count_is_skipped() -> None:
    data = spec_id(vendor=b"acme")
    uncounted = pack("<II20sI", 0, kinds.NO_ACTION, bytes(20), len(data) - 4) + data
    assert len(parse_event_log(uncounted + separator(0)).events) == 2


def test_events_of_no_register_inform_only() -> None:
    assert parse_event_log(agile_log(no_action(NO_REGISTER, b"x"))).events[1].register == NO_REGISTER
    assert code_of(agile_log(event(NO_REGISTER, kinds.IPL, b"x"))) == "eventlog.malformed"


@pytest.mark.parametrize("sign", [b"\0", b"\xff"])
@pytest.mark.parametrize("log", [a_boot(), an_old_boot()], ids=["agile", "legacy"])
@pytest.mark.parametrize("size", [8, 31, 4096])
def test_the_filling_of_a_fixed_area_is_counted_and_not_read(log: bytes, sign: bytes, size: int) -> None:
    filled = parse_event_log(log + sign * size)
    assert filled.filling == size
    assert filled.events == parse_event_log(log).events


@pytest.mark.parametrize("tail", [b"\0" * 7, b"\xff" * 7, b"\0" * 7 + b"\1" + b"\0" * 7, b"\xff" * 40 + b"\0"])
def test_what_is_no_filling_is_refused(tail: bytes) -> None:
    assert code_of(a_boot() + tail) in ("eventlog.truncated", "eventlog.malformed")


def test_data_that_ends_in_zeros_is_no_filling() -> None:
    log = parse_event_log(agile_log(event(0, kinds.IPL, bytes(100))))
    assert (log.filling, log.events[1].data) == (0, bytes(100))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "eventlog.empty"),
        (b"bogus\ninvalid\nevent\nlog\nfile\nhere\n", "eventlog.malformed"),
        (bytes(LARGEST_LOG + 1), "eventlog.too_large"),
        (legacy_event(24, 1, b"x"), "eventlog.malformed"),
        (agile_log(event(24, 1, b"x")), "eventlog.malformed"),
        (pack("<II20sI", 0, 1, bytes(20), 1), "eventlog.truncated"),
        (pack("<II20sI", 0, 1, bytes(20), 0xFFFFFFFF), "eventlog.truncated"),
        (agile_log(pack("<IIII", 0, 1, 0, 0xFFFFFFFF)), "eventlog.truncated"),
        (agile_log(pack("<III", 0, 1, 17) + bytes(400)), "eventlog.malformed"),
        (agile_log(pack("<III", 0, 1, 0xFFFFFFFF)), "eventlog.malformed"),
        (agile_log(event(0, 1, b"x", banks=(SHA1, SHA1))), "eventlog.malformed"),
        (agile_log(event(0, 1, b"x", banks=(0x000C,))), "eventlog.malformed"),
        (header(spec_id([])), "eventlog.malformed"),
        (header(spec_id(count=17)), "eventlog.malformed"),
        (header(spec_id(count=0xFFFFFFFF)), "eventlog.malformed"),
        (header(spec_id(count=3)), "eventlog.malformed"),
        (header(spec_id([(SHA1, 20), (SHA1, 20)])), "eventlog.malformed"),
        (header(spec_id([(SHA256, 20)])), "eventlog.malformed"),
        (header(spec_id([(UNKNOWN, 0)])), "eventlog.malformed"),
        (header(spec_id([(UNKNOWN, 129)])), "eventlog.malformed"),
        (header(spec_id()[:20]), "eventlog.malformed"),
        (header(spec_id()[:-1]), "eventlog.malformed"),
        (header(spec_id()[:-1] + b"\4"), "eventlog.truncated"),
    ],
)
def test_what_is_no_log_is_refused_with_its_code(data: bytes, code: str) -> None:
    assert code_of(data) == code


def test_more_events_than_any_boot_has_are_refused() -> None:
    one = event(0, kinds.IPL, b"", banks=())
    most = agile_log(*[one] * (MOST_EVENTS - 1), b"")
    assert len(parse_event_log(most).events) == MOST_EVENTS
    assert code_of(most + one) == "eventlog.too_large"


@pytest.mark.parametrize("data", [a_boot(), an_old_boot()], ids=["agile", "legacy"])
def test_a_cut_at_every_byte_loses_events_or_is_refused(data: bytes) -> None:
    whole = parse_event_log(data).events
    for size in range(len(data)):
        try:
            cut = parse_event_log(data[:size])
        except HostileData as error:
            assert error.code in ("eventlog.empty", "eventlog.truncated", "eventlog.malformed")  # noqa: PT017  (either may come)
        else:
            assert cut.events == whole[: len(cut.events)]
            assert len(cut.events) < len(whole)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_log_or_hostile_data(data: bytes) -> None:
    for tried in (data, header() + data):
        try:
            parse_event_log(tried)
        except HostileData:
            continue


@settings(max_examples=300)
@given(st.sampled_from([a_boot(), an_old_boot()]), st.data())
def test_changed_logs_are_logs_or_hostile_data(log: bytes, data: st.DataObject) -> None:
    changed = bytearray(log)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(log) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_event_log(bytes(changed))
    except HostileData:
        return
