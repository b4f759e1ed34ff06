"""The time by which a device judges whether metadata has expired, though its clock may stand at 1970 or 2106.

1. Time never goes below a floor: when this agent was built, and when the newest verified metadata was issued.
2. A time that the server signed over this boot's nonce counts before the device's own clock, for as long as it runs.
3. No source lifts time above a ceiling, and none for good but verified metadata: what is kept is only when that was
   issued. A clock or a server that says 2106 may
   have metadata refused for now; once it tells the truth, nothing of it is left.
4. What was issued after the ceiling is refused. Where a new root changed the timestamp key, the floor that the old key
   made is dropped: whoever stole it could have set it (TUF specification 1.0.34, 5.3.11, of versions).
5. A clock between floor and ceiling is believed; it can be late by what the metadata's own life allows, no more, for
   the floor moves with every metadata.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, Instant, rfc3339

LIFE = 25 * 366 * DAY
"""How long after its build an agent may be in use."""


class Source(StrEnum):
    """Where a time comes from."""

    FLOOR = "floor"
    CLOCK = "clock"
    SIGNED = "signed"


class Floor(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device remembers of time: the newest issue of verified metadata, and which timestamp key signed it."""

    issued: Instant = Instant(0)
    key: str = ""

    def raised(self, issued: Instant, key: str, *, built: Instant) -> Floor:
        """After verified metadata that was issued at `issued`, under the timestamp key `key`.

        Raises:
            HostileData: ``update.time_impossible``.
        """
        if issued > built + LIFE:
            raise HostileData(
                "update.time_impossible",
                f"Metadata claims to be issued {rfc3339(issued)}, after the end of this device's life.",
                remedy="Whoever holds the timestamp key lied or errs: rotate it (holdfast keys drill).",
            )
        if key != self.key:
            return Floor(issued, key)
        return self if issued <= self.issued else Floor(issued, key)


class Signed(msgspec.Struct, frozen=True):
    """A time that the server signed over a nonce of this boot: what it said, and the uptime (ms) when it came."""

    said: Instant
    at_up: int


class Sense(msgspec.Struct, frozen=True):
    """A device's sense of time, and whose word it is."""

    now: Instant
    source: Source


def sense(wall: Instant, up: int, *, built: Instant, floor: Floor, signed: Signed | None) -> Sense:
    """What time it is.

    Args:
        wall: the device's clock.
        up: its uptime (milliseconds).
        built: when the agent was built.
        floor: what it remembers.
        signed: the server's word in this boot, if there was one.
    """
    lowest = Instant(max(built, floor.issued))
    highest = Instant(built + LIFE)
    if signed is not None:
        told = Instant(signed.said + max(0, up - signed.at_up))
        if lowest <= told <= highest:
            return Sense(told, Source.SIGNED)
    if lowest <= wall <= highest:
        return Sense(wall, Source.CLOCK)
    return Sense(lowest, Source.FLOOR)
