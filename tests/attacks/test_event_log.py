"""A boot log made to tell another boot than the one that the TPM's registers hold.

The log comes from the device that is judged, so all of it may be forged. What holds is that it replays to the registers
that a TPM signed. Each forgery here either does not, or is told by something that the reader gets.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from event_log_builders import HASHES, a_boot, an_old_boot, event, header, locality, no_action, separator, variable
from holdfast_core.formats.eventlog import kinds
from holdfast_core.formats.eventlog.banks import SHA1, SHA256
from holdfast_core.formats.eventlog.contents import content_of
from holdfast_core.formats.eventlog.facts import facts_of
from holdfast_core.formats.eventlog.log import Event, EventLog, parse_event_log
from holdfast_core.formats.eventlog.preimage import digest_matches
from holdfast_core.formats.eventlog.replay import gaps, replay
from holdfast_core.kernel.errors import HostileData

AGILE = "attestation/tpm2-tools/event-sd-boot-fedora37.bin"
LEGACY = "attestation/tpm2-tools/event-uefi-sha1-log.bin"
LONG = "attestation/keylime/test__data__mb_log.b64"
CODES = {"eventlog.empty", "eventlog.truncated", "eventlog.malformed", "eventlog.too_large"}
PUBLIC = pytest.mark.parametrize(("name", "bank"), [(AGILE, SHA256), (LEGACY, SHA1)], ids=["agile", "legacy"])


def log_bytes(vectors: Path, name: str) -> bytes:
    data = (vectors / name).read_bytes()
    return base64.b64decode(data) if name.endswith(".b64") else data


def written(log: EventLog) -> bytes:
    """The bytes of a log whose events have been changed."""
    if not log.agile:
        return b"".join(
            each.register.to_bytes(4, "little")
            + each.kind.to_bytes(4, "little")
            + each.digests[SHA1]
            + len(each.data).to_bytes(4, "little")
            + each.data
            for each in log.events
        )
    first, *others = log.events
    return header(first.data) + b"".join(
        event(each.register, each.kind, each.data, digests=tuple(each.digests.items())) for each in others
    )


def with_events(log: EventLog, events: list[Event]) -> EventLog:
    return parse_event_log(written(EventLog(log.banks, tuple(events), log.agile)))


def outcome(data: bytes, bank: int) -> dict[int, bytes] | None:
    """The registers that `data` replays to; None where it is refused, which only `HostileData` may say."""
    try:
        return replay(parse_event_log(data), bank)
    except HostileData as error:
        assert error.remedy and error.code in CODES  # noqa: PT017, PT018  (most data is a log, and replays)
        return None


@PUBLIC
def test_control_an_unchanged_log_replays_to_its_registers(vectors: Path, name: str, bank: int) -> None:
    data = log_bytes(vectors, name)
    log = parse_event_log(data)
    assert written(log) == data
    assert replay(log, bank) == outcome(data, bank) != {}


@PUBLIC
def test_a_log_cut_at_any_byte_does_not_replay_to_the_registers(vectors: Path, name: str, bank: int) -> None:
    data = log_bytes(vectors, name)
    honest = outcome(data, bank)
    assert all(outcome(data[:size], bank) != honest for size in range(len(data)))


@PUBLIC
def test_a_flipped_bit_is_another_register_or_data_that_is_not_proven(vectors: Path, name: str, bank: int) -> None:
    data = log_bytes(vectors, name)
    honest = parse_event_log(data)
    registers = replay(honest, bank)
    proven = [digest_matches(each, bank) for each in honest.events]
    for at in random.Random(7).sample(range(len(data)), 1500):  # noqa: S311  (the places need not be unforeseeable)
        flipped = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        if outcome(flipped, bank) != registers:
            continue
        forged = parse_event_log(flipped)
        changed = [number for number, each in enumerate(forged.events) if each != honest.events[number]]
        # What is left to change without the registers' notice: what only informs, an event's kind, and its data.
        for number in changed:
            before, after = honest.events[number], forged.events[number]
            if before.kind == kinds.NO_ACTION:
                continue
            assert (after.register, after.digests) == (before.register, before.digests)
            if after.data != before.data and proven[number]:
                assert digest_matches(after, bank) is not True or after.data.rstrip(b"\0") == before.data.rstrip(b"\0")


@PUBLIC
def test_a_dropped_event_does_not_replay_to_the_registers(vectors: Path, name: str, bank: int) -> None:
    log = parse_event_log(log_bytes(vectors, name))
    for number in range(1, len(log.events)):
        left = [each for each in log.events if each.number != number]
        assert replay(with_events(log, left), bank) != replay(log, bank)


@PUBLIC
def test_events_of_one_register_in_another_order_do_not_replay(vectors: Path, name: str, bank: int) -> None:
    log = parse_event_log(log_bytes(vectors, name))
    tried = 0
    for first in range(1, len(log.events)):
        for second in range(first + 1, len(log.events)):
            one, other = log.events[first], log.events[second]
            if one.register != other.register or one.digests == other.digests:
                continue
            turned = list(log.events)
            turned[first], turned[second] = other, one
            assert replay(with_events(log, turned), bank) != replay(log, bank)
            tried += 1
    assert tried > 15


@PUBLIC
def test_an_event_with_new_data_and_a_digest_to_fit_does_not_replay(vectors: Path, name: str, bank: int) -> None:
    log = parse_event_log(log_bytes(vectors, name))
    for number in range(1, len(log.events)):
        events = list(log.events)
        old = events[number]
        made = {each: HASHES[each](b"forged") for each in old.digests}
        events[number] = Event(number, old.register, old.kind, made, b"forged")
        assert replay(with_events(log, events), bank) != replay(log, bank)


@PUBLIC
def test_an_appended_event_does_not_replay_to_the_registers(vectors: Path, name: str, bank: int) -> None:
    log = parse_event_log(log_bytes(vectors, name))
    for register in range(24):
        added = Event(0, register, kinds.IPL, {each: HASHES[each](b"x") for each in log.banks}, b"x")
        assert replay(with_events(log, [*log.events, added]), bank) != replay(log, bank)


def test_appended_filling_is_counted() -> None:
    """It extends nothing, so the registers cannot tell it; the log does."""
    for data, bank in ((a_boot(), SHA256), (an_old_boot(), SHA1)):
        log = parse_event_log(data + bytes(64))
        assert replay(log, bank) == outcome(data, bank)
        assert log.filling == 64
        assert parse_event_log(data).filling == 0


def test_an_extension_said_to_be_information_does_not_replay() -> None:
    honest = outcome(a_boot(), SHA256)
    log = parse_event_log(a_boot())
    for number in range(1, len(log.events)):
        events = list(log.events)
        old = events[number]
        events[number] = Event(number, old.register, kinds.NO_ACTION, old.digests, old.data)
        assert replay(with_events(log, events), SHA256) != honest


def test_another_startup_locality_does_not_replay() -> None:
    honest = outcome(header() + locality(3) + separator(0), SHA256)
    assert honest
    for forged in (locality(0), locality(4), no_action(0, b"StartupLocality\0")):
        assert outcome(header() + forged + separator(0), SHA256) != honest


def test_digests_left_out_of_the_quoted_bank_do_not_hide_an_event() -> None:
    """An event with a SHA-1 digest alone is no event in SHA-256: its register must not replay without it."""
    hidden = header() + separator(4) + event(4, kinds.IPL, b"a bootkit", banks=(SHA1,))
    honest = header() + separator(4)
    assert outcome(honest, SHA256) == {4: HASHES[SHA256](bytes(32) + HASHES[SHA256](bytes(4)))}
    log = parse_event_log(hidden)
    assert (replay(log, SHA256), gaps(log, SHA256)) == ({}, {4})
    assert digest_matches(log.events[2], SHA256) is False


def test_secure_boot_told_on_over_a_digest_of_off_is_no_fact() -> None:
    def boot(told: bytes, measured: bytes) -> bytes:
        name = "SecureBoot"
        data = variable(name, told)
        return header() + event(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, data, of=variable(name, measured)) + separator(7)

    honest, forged = boot(b"\0", b"\0"), boot(b"\1", b"\0")
    assert outcome(forged, SHA256) == outcome(honest, SHA256)
    assert facts_of(parse_event_log(honest), SHA256).secure_boot is False
    told = facts_of(parse_event_log(forged), SHA256)
    assert (told.secure_boot, told.unproven) == (None, (1,))


def test_secure_boot_extended_once_more_by_who_runs_later_is_no_fact() -> None:
    off = event(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\0"))
    on = event(7, kinds.EFI_VARIABLE_DRIVER_CONFIG, variable("SecureBoot", b"\1"))
    disguised = event(7, kinds.EFI_VARIABLE_AUTHORITY, variable("SecureBoot", b"\1"))
    for log in (off + separator(7) + on, separator(7) + on, separator(7) + disguised):
        assert facts_of(parse_event_log(header() + log), SHA256).secure_boot is None
    assert facts_of(parse_event_log(header() + off + separator(7) + disguised), SHA256).secure_boot is False
    assert facts_of(parse_event_log(header() + on + separator(7)), SHA256).secure_boot is True


def doubled(data: bytes) -> bytes:
    return data + data


def lengths_high(data: bytes) -> bytes:
    return data.replace(b"\x04\x00\x00\x00", b"\xff\xff\xff\xff")


def counts_high(data: bytes) -> bytes:
    return data.replace(b"\x01\x00\x00\x00", b"\xff\xff\xff\x7f")


@pytest.mark.parametrize("forge", [doubled, lengths_high, counts_high, lambda data: data * 40])
def test_lengths_and_counts_beyond_the_log_are_refused(vectors: Path, forge: Callable[[bytes], bytes]) -> None:
    data = log_bytes(vectors, LONG)
    honest = outcome(data, SHA256)
    assert honest
    assert outcome(forge(data), SHA256) != honest


def test_every_vector_cut_and_spoiled_raises_nothing_else(vectors: Path) -> None:
    data = log_bytes(vectors, LONG)
    places = random.Random(11)  # noqa: S311  (the places need not be unforeseeable)
    for _ in range(400):
        spoiled = bytearray(data)
        for _ in range(places.randrange(1, 9)):
            spoiled[places.randrange(len(data))] = places.randrange(256)
        try:
            log = parse_event_log(bytes(spoiled))
        except HostileData:
            continue
        facts_of(log, SHA256)
        for each in log.events:
            content_of(each)
