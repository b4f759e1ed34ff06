"""A TCG event log, from the bytes that the firmware left (``binary_bios_measurements``, the ACPI log area).

1. Two forms: SHA-1 only (TCG_PCClientPCREvent), and crypto-agile (TCG_PCR_EVENT2), which begins with one event of the
   first form that carries "Spec ID Event03" and names every algorithm with its size.
2. Nothing here is trusted: a log proves something only when it replays to registers that a TPM signed (`replay`), and
   even then only of digests; what an event's data says counts where its digest is that data's (`preimage`).
3. An event that overruns the log, an algorithm the header does not name or names twice, and a register that no TPM has
   are refused. What real firmware does stays: events without data, or without a digest in one of the banks, digests in
   another order than the header's, register 0xFFFFFFFF for events that extend none.
4. A log area of fixed size is filled up with 0x00 or 0xFF; that filling is counted, not read.

Source: PFP 1.06, sections 10.2 and 10.4.5.1; TCG EFI Protocol Specification, section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct

import msgspec

from holdfast_core.formats.eventlog.banks import BANKS, LARGEST_DIGEST, SHA1, bank_name
from holdfast_core.formats.eventlog.kinds import NO_ACTION
from holdfast_core.kernel.errors import HostileData, LimitExceeded

LARGEST_LOG = 1024 * 1024
"""Bytes of one log. Firmware reserves 64 KiB as a rule; the longest public ones have under 200 KiB."""
MOST_EVENTS = 16_384
MOST_BANKS = 16
"""Algorithms in a header, and digests of one event."""
REGISTERS = 24
NO_REGISTER = 0xFFFFFFFF
"""What stands for a register in events that only inform (PFP, section 10.4.5)."""
AGILE = b"Spec ID Event03\0"
_SHORTEST_FILLING = 8
"""Fewer bytes of filling cannot be told from an event that was cut off."""
_SHA1_EVENT = Struct("<II20sI")
_HEAD = Struct("<III")
_ALGORITHM = Struct("<HH")
_U16, _U32 = Struct("<H"), Struct("<I")
_SPEC_FIXED = 28
"""Bytes of a TCG_EfiSpecIDEvent before its algorithms; the last four count them."""
_Read = Callable[[bytes, int, int], "tuple[Event, int]"]
"""From a log, a position and a number to the event there and the position behind it."""


class Event(msgspec.Struct, frozen=True):
    """One event. `kind` is its TCG_EVENTTYPE, `digests` go by TPM_ALG_ID; the header of an agile log has none."""

    number: int
    register: int
    kind: int
    digests: Mapping[int, bytes]
    data: bytes


class EventLog(msgspec.Struct, frozen=True):
    """A log. `banks` are its algorithms (TPM_ALG_ID) in the header's order, `filling` what fills up its area."""

    banks: tuple[int, ...]
    events: tuple[Event, ...]
    agile: bool
    filling: int = 0


def parse_event_log(data: bytes) -> EventLog:
    """The log that `data` is.

    Raises:
        LimitExceeded: ``eventlog.too_large``.
        HostileData: ``eventlog.empty``, ``eventlog.truncated``, ``eventlog.malformed``.
    """
    if len(data) > LARGEST_LOG:
        raise _too_large(f"{len(data)} bytes, more than {LARGEST_LOG}")
    if not data:
        raise HostileData(
            "eventlog.empty",
            "The event log is empty.",
            remedy="Read it again on the device: /sys/kernel/security/tpm0/binary_bios_measurements.",
        )
    first, at = _sha1_event(data, 0, 0)
    if first.kind != NO_ACTION or not first.data.startswith(AGILE):
        return _parsed(data, (SHA1,), first, at, _sha1_event)
    sizes, at = _agile_header(data, first, at)
    banks = tuple(sizes)
    header = Event(0, first.register, NO_ACTION, {}, first.data)
    return _parsed(data, banks, header, at, _agile_reader(banks, sizes))


def _parsed(data: bytes, banks: tuple[int, ...], first: Event, at: int, read: _Read) -> EventLog:
    """The log whose first event is `first` and whose others begin at `at`."""
    events = [first]
    size = len(data)
    # Worked out once, so that a log of nothing but zeros is not searched again at every event.
    filled_from = min(len(data.rstrip(b"\0")), len(data.rstrip(b"\xff")))
    while at < size:
        if at >= filled_from and size - at >= _SHORTEST_FILLING:
            break
        if len(events) == MOST_EVENTS:
            raise _too_large(f"more than {MOST_EVENTS} events")
        event, at = read(data, at, len(events))
        events.append(event)
    return EventLog(banks, tuple(events), not first.digests, size - at)


def _sha1_event(data: bytes, at: int, number: int) -> tuple[Event, int]:
    """A TCG_PCClientPCREvent: register, kind, a SHA-1 digest, and the data with its size."""
    start = at + _SHA1_EVENT.size
    if start > len(data):
        raise _truncated(number)
    register, kind, digest, size = _SHA1_EVENT.unpack_from(data, at)
    return _event(data, start, size, (number, register, kind, {SHA1: digest}))


def _agile_reader(banks: tuple[int, ...], sizes: Mapping[int, int]) -> _Read:
    """A reader of TCG_PCR_EVENT2 with these algorithms: at once where they stand in the header's order."""
    whole = Struct("<III" + "".join(f"H{sizes[bank]}s" for bank in banks) + "I")
    count = len(banks)

    def read(data: bytes, at: int, number: int) -> tuple[Event, int]:
        start = at + whole.size
        if start <= len(data):
            register, kind, counted, *fields, size = whole.unpack_from(data, at)
            if counted == count and tuple(fields[::2]) == banks:
                digests = dict(zip(banks, fields[1::2], strict=True))
                return _event(data, start, size, (number, register, kind, digests))
        return _agile_event(data, at, number, sizes)

    return read


def _agile_event(data: bytes, at: int, number: int, sizes: Mapping[int, int]) -> tuple[Event, int]:
    """A TCG_PCR_EVENT2 whose digests are fewer than the header's, or in another order."""
    if at + _HEAD.size > len(data):
        raise _truncated(number)
    register, kind, counted = _HEAD.unpack_from(data, at)
    if counted > MOST_BANKS:
        raise _malformed(f"event {number} has {counted} digests")
    at += _HEAD.size
    digests: dict[int, bytes] = {}
    for _ in range(counted):
        bank, digest = _digest(data, at, number, sizes)
        if bank in digests:
            raise _malformed(f"event {number} has two digests of {bank_name(bank)}")
        digests[bank] = digest
        at += _U16.size + len(digest)
    start = at + _U32.size
    if start > len(data):
        raise _truncated(number)
    (size,) = _U32.unpack_from(data, at)
    return _event(data, start, size, (number, register, kind, digests))


def _digest(data: bytes, at: int, number: int, sizes: Mapping[int, int]) -> tuple[int, bytes]:
    """A TPMT_HA: the algorithm and its digest."""
    start = at + _U16.size
    if start > len(data):
        raise _truncated(number)
    (bank,) = _U16.unpack_from(data, at)
    if bank not in sizes:
        raise _malformed(f"event {number} has a digest of {bank_name(bank)}, which the log's header does not name")
    end = start + sizes[bank]
    if end > len(data):
        raise _truncated(number)
    return bank, data[start:end]


def _event(data: bytes, start: int, size: int, head: tuple[int, int, int, Mapping[int, bytes]]) -> tuple[Event, int]:
    """The event that begins with `head` and has `size` bytes of data from `start` on."""
    number, register, kind, _ = head
    if register >= REGISTERS and not (register == NO_REGISTER and kind == NO_ACTION):
        raise _malformed(f"event {number} is of the register {register}, which no TPM has")
    end = start + size
    if end > len(data):
        raise _truncated(number)
    return Event(*head, data[start:end]), end


def _agile_header(data: bytes, first: Event, behind: int) -> tuple[dict[int, int], int]:
    """The algorithms of a TCG_EfiSpecIDEvent with the sizes of their digests, in its order, and where the log goes on.

    Its vendor information ends where the event ends. Some firmware writes the length of that information in four bytes
    instead of one (SeaBIOS), and some counts it in no event's size (a public fixture of tpm2-tools does): the log goes
    on behind whichever ends later.
    """
    header = first.data
    if len(header) < _SPEC_FIXED:
        raise _malformed("its header is too short")
    (count,) = _U32.unpack_from(header, _SPEC_FIXED - _U32.size)
    if not 1 <= count <= MOST_BANKS:
        raise _malformed(f"its header names {count} algorithms")
    vendor = _SPEC_FIXED + count * _ALGORITHM.size
    if vendor >= len(header):
        raise _malformed("its header is too short for its algorithms")
    goes_on = max(behind, behind - len(header) + vendor + 1 + header[vendor])
    if goes_on > len(data):
        raise _truncated(0)
    return _sizes(header[_SPEC_FIXED:vendor]), goes_on


def _sizes(table: bytes) -> dict[int, int]:
    """Digest sizes by algorithm, from an array of TCG_EfiSpecIdEventAlgorithmSize."""
    sizes: dict[int, int] = {}
    for bank, size in _ALGORITHM.iter_unpack(table):
        known = BANKS[bank].size if bank in BANKS else size
        if bank in sizes or size != known or not 1 <= size <= LARGEST_DIGEST:
            raise _malformed(f"its header gives {bank_name(bank)} twice or with a wrong size")
        sizes[bank] = size
    return sizes


def _truncated(number: int) -> HostileData:
    return HostileData(
        "eventlog.truncated",
        f"The event log ends within event {number}.",
        remedy="Read the log again as a whole; a copy through a pipe or a limit may have cut it.",
    )


def _malformed(why: str) -> HostileData:
    return HostileData(
        "eventlog.malformed",
        f"This is no TCG event log: {why}.",
        remedy="Give the log as the kernel shows it: /sys/kernel/security/tpm0/binary_bios_measurements.",
    )


def _too_large(what: str) -> LimitExceeded:
    return LimitExceeded(
        "eventlog.too_large",
        f"The event log has {what}.",
        remedy="Check that it is an event log; firmware writes some hundred events.",
    )
