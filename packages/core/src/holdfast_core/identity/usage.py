"""Granted and used: which topics a device was granted and did not use for thirty days, and which it tried in vain.

1. Use is counted by the day (UTC) and by the granted filter it falls under, never by topic: it stays as small as the
   grants are, however many topics a device invents.
2. What was refused is kept as the newest few topics, each with its last day and how often that day.
3. A filter that no grant names any more is forgotten with its use.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from holdfast_core.identity.grants import Grants
from holdfast_core.inventory.topics import MANY, ONE, covers, includes
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.kept import Kept
from holdfast_core.kernel.limits import LIMITS

UNUSED_DAYS = 30
REFUSED_KEPT = 16
PUBLISH, SUBSCRIBE = "publish", "subscribe"


class Used(msgspec.Struct, frozen=True):
    """A granted filter, and the last day (counted from 1970) on which it was used."""

    action: str
    pattern: str
    day: int


class Refused(msgspec.Struct, frozen=True):
    """A topic or filter that was refused: the last day, and how often on it."""

    action: str
    topic: str
    day: int
    times: int


class TopicUse(Kept, frozen=True):
    """What one device did at one broker; `id` is ``<broker>/<device>``."""

    since: int
    """The day from which on it is known."""
    used: tuple[Used, ...] = ()
    refused: tuple[Refused, ...] = ()


class BrokerMark(Kept, frozen=True):
    """Up to where the log of a broker was read; `id` is the broker."""

    mark: str


class Act(msgspec.Struct, frozen=True):
    """One thing a device did: `action` and `topic` as it was sent, and whether the broker refused it."""

    action: str
    topic: str
    refused: bool


def day_of(now: Instant) -> int:
    """The day of an instant, counted from 1970."""
    return now // DAY


def taken_in(use: TopicUse, grants: Grants, acts: Iterable[Act], now: Instant) -> TopicUse:
    """`use` with `acts` taken in, and without what `grants` no longer name; the same value when nothing changed."""
    day = day_of(now)
    granted = {(PUBLISH, pattern) for pattern in grants.publish} | {
        (SUBSCRIBE, pattern) for pattern in grants.subscribe
    }
    used = {(u.action, u.pattern): u for u in use.used if (u.action, u.pattern) in granted}
    refused = {(r.action, r.topic): r for r in use.refused}
    for act in acts:
        under = None if act.refused else _granted(act, grants)
        if under is not None:
            used[act.action, under] = Used(act.action, under, day)
            continue
        known = refused.pop((act.action, act.topic), None)
        times = known.times + 1 if known is not None and known.day == day else 1
        topic = act.topic[: LIMITS.topic_bytes]
        refused[act.action, topic] = Refused(act.action, topic, day, times)
    newest = tuple(refused.values())[-REFUSED_KEPT:]
    return msgspec.structs.replace(use, used=tuple(used[key] for key in sorted(used)), refused=newest)


def _granted(act: Act, grants: Grants) -> str | None:
    """The granted filter that `act` falls under; the narrowest, for a wide one would hide that it is too wide."""
    if act.action == PUBLISH:
        found = [pattern for pattern in grants.publish if covers(pattern, act.topic)]
    else:
        found = [pattern for pattern in grants.subscribe if includes(pattern, act.topic)]
    return max(found, key=_narrowness, default=None)


def _narrowness(pattern: str) -> tuple[bool, int, int]:
    levels = pattern.split("/")
    return MANY not in levels, -levels.count(ONE), len(levels)


def unused(use: TopicUse | None, grants: Grants, now: Instant) -> tuple[tuple[str, str], ...]:
    """The granted (action, filter) pairs that were not used for `UNUSED_DAYS`.

    Nothing is said of a device that was not watched for so long.
    """
    oldest = day_of(now) - UNUSED_DAYS
    if use is None or use.since > oldest:
        return ()
    recent = {(u.action, u.pattern) for u in use.used if u.day > oldest}
    ways = ((PUBLISH, grants.publish), (SUBSCRIBE, grants.subscribe))
    granted = ((action, pattern) for action, patterns in ways for pattern in patterns)
    return tuple(pair for pair in granted if pair not in recent)
