"""Renewals of a fleet that was born together: how high their rate peaks, and what an outage of the authority costs.

Method: a simulated clock, no server. 100,000 certificates are issued within ten minutes; then six lives pass. A device
renews at its first contact after `renewal_due` (core/identity/lifetimes.py, the code that runs); each renewal is a new
key, so a new lot. A device that contacts hourly is met at a hashed moment of its hour, for after hundreds of contacts
that vary by a tenth each its minute is anybody's guess; the daily contacts are followed one by one (core/wire/
schedule.py) from birth on. The authority certifies `CAPACITY` a second; beyond that
it says Retry-After, 20 to 59 s. Rates are counted by the hour, from the first renewal on; the mean is that of the same
span. An outage of 24 h is tried at four moments of the first life's end; during it a device tries at its contacts
and no sooner. A lapse is a certificate that ended before it was renewed.

The peer is the plain schedule of the same run: equal lives, each renewed at a hashed moment of its third quarter. Its
peak is bound to be 2.5 times the mean: a whole fleet, which needs 0.625 lives a renewal, falls due within 0.25.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable

import msgspec

from holdfast_core.identity.lifetimes import LOTS, ends_at, lot_of, renewal_due
from holdfast_core.kernel.digests import Digest
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND, Instant
from holdfast_core.wire.schedule import next_contact

FLEET, BIRTH, LIVES = 100_000, 10 * MINUTE, 6
CAPACITY = 150
"""Certificates a second: the target of one core over EST with new connections."""
OUTAGE, OUTAGES = 24 * HOUR, 4
START = Instant(0)


class Fleet(msgspec.Struct, frozen=True):
    """Who renews: the days of a life, and the seconds between contacts."""

    leaf_days: int
    contact_s: int

    def __str__(self) -> str:
        return f"{self.leaf_days} days, contact every {self.contact_s // 3600} h"


FLEETS = (Fleet(7, 3_600), Fleet(14, 86_400), Fleet(30, 86_400))
Schedule = Callable[[Digest, Instant, int], tuple[Instant, Instant]]
"""Of key, moment of issue and days: when the certificate is due, and when it ends."""


def even(spki: Digest, issued_at: Instant, leaf_days: int) -> tuple[Instant, Instant]:
    """The schedule in use."""
    not_after = ends_at(spki, issued_at, leaf_days)
    return renewal_due(spki, issued_at, not_after), not_after


def plain(spki: Digest, issued_at: Instant, leaf_days: int) -> tuple[Instant, Instant]:
    """Equal lives, renewed at a hashed moment of the third quarter."""
    life = leaf_days * DAY
    share = 0.50 + 0.25 * lot_of(spki, issued_at) / LOTS
    return Instant(issued_at + int(life * share)), Instant(issued_at + life)


class Outcome(msgspec.Struct):
    """What came of one run."""

    hours: Counter[int]
    lapses: int = 0
    refusals: int = 0
    least_left: int = 10**15
    """Milliseconds that were left of the certificate that was renewed last in its life."""


def _lot(text: str, below: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") * below >> 48


class World:
    """One run."""

    def __init__(
        self, fleet: Fleet, schedule: Schedule, *, lives: float = LIVES, outage: tuple[int, int] = (0, 0)
    ) -> None:
        self._fleet, self._schedule, self._outage = fleet, schedule, outage
        self._until = int(lives * fleet.leaf_days * DAY)
        self._second, self._made = -1, 0
        self._seqs: Counter[int] = Counter()
        self.outcome = Outcome(Counter())

    def run(self) -> Outcome:
        """Let six lives pass."""
        waiting: list[tuple[int, int, int, int]] = []
        for number in range(FLEET):
            born = Instant(_lot(f"birth {number}", BIRTH))
            due, end = self._issued(number, 0, born)
            waiting.append((self._contact(number, born, due), number, 1, end))
        heapq.heapify(waiting)
        while waiting[0][0] < self._until:
            now, number, generation, end = waiting[0]
            again = self._asked(number, now)
            if again is None:
                self.outcome.hours[now // HOUR] += 1
                self.outcome.lapses += now >= end
                self.outcome.least_left = min(self.outcome.least_left, end - now)
                due, end = self._issued(number, generation, Instant(now))
                generation, again = generation + 1, self._contact(number, now, due)
            heapq.heapreplace(waiting, (again, number, generation, end))
        return self.outcome

    def _issued(self, number: int, generation: int, now: Instant) -> tuple[Instant, Instant]:
        spki = Digest("sha256:" + hashlib.sha256(f"{number} {generation}".encode()).hexdigest())
        return self._schedule(spki, now, self._fleet.leaf_days)

    def _contact(self, number: int, last: int, due: int) -> int:
        """The first contact at or after `due`; `last` was one."""
        if self._fleet.contact_s < DAY // SECOND:
            return due + _lot(f"{number} {due}", self._fleet.contact_s * SECOND)
        while last < due:
            last = self._next(number, last)
        return last

    def _next(self, number: int, last: int) -> int:
        self._seqs[number] += 1
        return last + next_contact(self._fleet.contact_s, str(number), self._seqs[number]) * SECOND

    def _asked(self, number: int, now: int) -> int | None:
        """When the device comes again, or `None`: it was certified."""
        begun, over = self._outage
        if begun <= now < over:
            return self._next(number, now)
        if now // SECOND != self._second:
            self._second, self._made = now // SECOND, 0
        if self._made >= CAPACITY:
            self.outcome.refusals += 1
            return now + 20 * SECOND + _lot(f"{number} {now}", 40 * SECOND)
        self._made += 1
        return None


def _rates(outcome: Outcome, until: int) -> tuple[float, float]:
    """The mean and the peak, renewals an hour."""
    first = min(outcome.hours)
    return sum(outcome.hours.values()) / (until // HOUR - first), max(outcome.hours.values())


def _storm(fleet: Fleet) -> None:
    for name, schedule in (("even lots", even), ("  peer, plain", plain)):
        outcome = World(fleet, schedule).run()
        mean, peak = _rates(outcome, LIVES * fleet.leaf_days * DAY)
        print(
            f"{name}, {fleet}: mean {mean:,.0f} an hour, peak {peak:,.0f}, {peak / mean:.2f} times  (target 2)  "
            f"[{outcome.lapses} lapsed, {outcome.refusals} told to come later]"
        )


def _outages(fleet: Fleet) -> None:
    lapses = refusals = 0
    least, worst = 10**15, 0.0
    for turn in range(OUTAGES):
        # From when the first are due until the first of the next generation have been renewed.
        begun = int(fleet.leaf_days * DAY * (0.35 + 0.65 * turn / OUTAGES))
        outcome = World(fleet, even, lives=2.0, outage=(begun, begun + OUTAGE)).run()
        lapses, refusals = lapses + outcome.lapses, refusals + outcome.refusals
        least, worst = min(least, outcome.least_left), max(worst, *outcome.hours.values())
    print(
        f"24 h without the authority at {OUTAGES} moments, {fleet}: {lapses} lapsed  (target 0), at least "
        f"{least / HOUR:.1f} h were left; at most {worst:,.0f} an hour after it, {refusals:,} told to come later"
    )


def main() -> None:
    for fleet in FLEETS:
        _storm(fleet)
    for fleet in FLEETS:
        _outages(fleet)
