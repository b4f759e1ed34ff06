"""Instants and durations: whole milliseconds since 1970-01-01T00:00:00Z, so that they compare, store and sign alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NewType

from holdfast_core.kernel.errors import HostileData

Instant = NewType("Instant", int)
"""Milliseconds since the Unix epoch, UTC."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999, the last that RFC 3339 can write."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_datetime(moment: datetime) -> Instant:
    """The instant of an aware `datetime`."""
    return Instant((moment - _EPOCH) // timedelta(milliseconds=1))


def to_datetime(instant: Instant) -> datetime:
    """An aware UTC `datetime` of `instant`."""
    return _EPOCH + timedelta(milliseconds=instant)


def rfc3339(instant: Instant) -> str:
    """`instant` as RFC 3339 in UTC, to the millisecond: ``2026-11-21T10:15:00.000Z``."""
    return to_datetime(instant).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> Instant:
    """Parse an RFC 3339 time with an offset, or raise `HostileData` ``time.invalid``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise HostileData(
            "time.invalid",
            f"{text[:40]!r} is not a time.",
            remedy="Write an RFC 3339 time with an offset, such as 2027-01-31T00:00:00Z.",
        )
    return from_datetime(moment)


def in_words(duration: int) -> str:
    """A duration in milliseconds for a person: ``90 s``, ``15 min``, ``3 h``, ``2 days``."""
    for unit, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")):
        if duration >= 2 * unit:
            return f"{duration / unit:.3g} {name}"
    return f"{duration / SECOND:.3g} s"
