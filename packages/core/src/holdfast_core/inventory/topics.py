"""MQTT topic filters, as a model file declares them and as a broker matches them (MQTT 3.1.1, section 4.7).

1. A filter is hostile input: bounded in bytes and levels, printable, `+` and `#` only where the standard allows them.
2. What a model declares must mean the same on every broker, so it is narrower than the standard: no empty level, no
   white space, quote or backslash, no `.`, `*` or `>` (NATS reads these as its own), and no first level that begins
   with `$` (the server's).
3. ``{device}`` and ``{site}`` each stand for one whole level, never the first; they are filled in per device.
4. A device is named in topics by its id with every `.` written `~`, which no id contains: the same on every broker.
5. `covers` and `includes` follow the standard whole, empty levels and `$` too: topics in logs are not ours to choose.
"""

from __future__ import annotations

from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.limits import LIMITS

DEVICE = "{device}"
SITE = "{site}"
TOPIC_ROOT = "fleet"
"""The first level of every device's own topics."""
ONE = "+"
MANY = "#"
_FOREIGN = frozenset('.*>{}"\\')
"""What another broker, or we, would read as something else than a character."""


def topic_name(name: str) -> str:
    """How a device (or a site) is named in topics: its name, each `.` as `~`; one to one, for no name contains `~`."""
    return name.replace(".", "~")


def parse_filter(text: str) -> tuple[str, ...]:
    """The levels of a topic filter of a model file.

    Raises:
        HostileData: ``topic.too_long``, ``topic.character``, ``topic.level``, ``topic.wildcard``.
    """
    if not 0 < len(text.encode("utf-8", "surrogatepass")) <= LIMITS.topic_bytes:
        raise _refused("topic.too_long", text, f"Write 1 to {LIMITS.topic_bytes} bytes.")
    levels = tuple(text.split("/"))
    if len(levels) > LIMITS.topic_levels:
        raise _refused("topic.too_long", text, f"Use at most {LIMITS.topic_levels} levels.")
    for place, level in enumerate(levels):
        _check_level(text, level, last=place == len(levels) - 1)
    if levels[0].startswith("$") or levels[0] in (DEVICE, SITE):
        # A device called `fleet` must not turn {device}/other into fleet/other.
        raise _refused("topic.level", text, "Begin with a word of your own: not with $ (the broker's), not with { }.")
    return levels


def _check_level(text: str, level: str, *, last: bool) -> None:
    if not level:
        raise _refused("topic.level", text, "Leave no level empty: no / at either end, and no // within.")
    if level in (DEVICE, SITE):
        return
    if any(sign in _FOREIGN or sign.isspace() or not sign.isprintable() for sign in level):
        raise _refused(
            "topic.character",
            text,
            "Use printable characters without white space, quotes, backslashes and . * > { }, except for {device} and "
            "{site} as whole levels.",
        )
    if (ONE in level and level != ONE) or (MANY in level and (level != MANY or not last)):
        raise _refused("topic.wildcard", text, "Let + be a whole level, and # the whole last level.")


def _refused(code: str, text: str, remedy: str) -> HostileData:
    return HostileData(code, f"{text[:80]!r} is not a topic filter that every broker reads alike.", remedy=remedy)


def has_wildcard(levels: tuple[str, ...]) -> bool:
    """Whether more than one topic fits."""
    return ONE in levels or MANY in levels


def crosses(levels: tuple[str, ...]) -> bool:
    """Whether a declared filter reaches beyond the device's own name, so that it needs an exception.

    A wildcard is free only below a level ``{device}``; under ``fleet``, the second level must be ``{device}`` itself.
    """
    own = levels.index(DEVICE) if DEVICE in levels else len(levels)
    if has_wildcard(levels[:own]):
        return True
    return levels[0] == TOPIC_ROOT and levels[1:2] != (DEVICE,)


def covers(pattern: str, topic: str) -> bool:
    """Whether the filter `pattern` matches the topic name `topic` (sections 4.7.1 to 4.7.3)."""
    if topic.startswith("$") and pattern[:1] in (ONE, MANY):
        return False
    wanted, levels = pattern.split("/"), topic.split("/")
    for place, level in enumerate(wanted):
        if level == MANY:
            return place == len(wanted) - 1
        if place == len(levels):
            return False
        if level not in (ONE, levels[place]):
            return False
    return len(levels) == len(wanted) or (len(wanted) == len(levels) + 1 and wanted[-1] == MANY)


def includes(wider: str, narrower: str) -> bool:
    """Whether every topic that the filter `narrower` matches is matched by the filter `wider`."""
    if narrower[:1] in (ONE, MANY) and wider[:1] == "$":
        return False
    if narrower.startswith("$") and wider[:1] in (ONE, MANY):
        return False
    outer, inner = wider.split("/"), narrower.split("/")
    for place, level in enumerate(outer):
        if level == MANY:
            return True
        if place == len(inner) or inner[place] == MANY:
            return False
        if level != ONE and level != inner[place]:
            return False
    return len(inner) == len(outer)
