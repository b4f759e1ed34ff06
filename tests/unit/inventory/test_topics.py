"""Topic filters: what is refused, by name, and the rules of MQTT 3.1.1, section 4.7, as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.inventory.topics import covers, crosses, includes, parse_filter, topic_name
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.limits import LIMITS

LEVEL = st.sampled_from(["a", "b", "", "$x", "fleet"])
TOPIC = st.lists(LEVEL, min_size=1, max_size=5).map("/".join)


@st.composite
def filters(draw) -> str:
    levels = draw(st.lists(st.one_of(LEVEL, st.just("+")), min_size=1, max_size=5))
    if draw(st.booleans()):
        levels[-1] = "#"
    return "/".join(levels)


REFUSED = {
    "empty": ("", "topic.too_long"),
    "too long": ("a" * (LIMITS.topic_bytes + 1), "topic.too_long"),
    "too long in bytes": ("ä" * (LIMITS.topic_bytes // 2 + 1), "topic.too_long"),
    "too deep": ("/".join("a" * (LIMITS.topic_levels + 1)), "topic.too_long"),
    "lone surrogate": ("a/\ud800", "topic.character"),
    "NUL": ("a/\x00", "topic.character"),
    "line end": ("a/b\ntopic readwrite #", "topic.character"),
    "white space": ("a b", "topic.character"),
    "right-to-left mark": ("a/\u202eb", "topic.character"),
    "dot": ("a/b.c", "topic.character"),
    "NATS star": ("a/*", "topic.character"),
    "NATS rest": ("a/>", "topic.character"),
    "quotation mark": ('a/"b', "topic.character"),
    "backslash": ("a/\\b", "topic.character"),
    "unknown placeholder": ("a/{owner}", "topic.character"),
    "placeholder in a level": ("a/x{device}", "topic.character"),
    "empty level": ("a//b", "topic.level"),
    "slash first": ("/a", "topic.level"),
    "slash last": ("a/", "topic.level"),
    "the broker's own": ("$SYS/broker", "topic.level"),
    "control of mosquitto": ("$CONTROL/dynamic-security/v1", "topic.level"),
    "shared subscription": ("$share/g/a", "topic.level"),
    "device as the first level": ("{device}/a", "topic.level"),
    "site as the first level": ("{site}/a", "topic.level"),
    "plus in a level": ("a/b+", "topic.wildcard"),
    "hash in a level": ("a/b#", "topic.wildcard"),
    "hash before the end": ("a/#/b", "topic.wildcard"),
}


@pytest.mark.parametrize(("text", "code"), REFUSED.values(), ids=REFUSED)
def test_what_not_every_broker_reads_alike_is_refused(text, code):
    with pytest.raises(HostileData) as raised:
        parse_filter(text)
    assert raised.value.code == code


@given(st.text(max_size=300))
def test_any_text_is_a_filter_or_refused_with_a_code(text):
    try:
        levels = parse_filter(text)
    except HostileData as error:
        code = error.code
    else:
        code = ""
        assert "/".join(levels) == text
        assert all(level and level.isprintable() for level in levels)
    assert code in {"", "topic.too_long", "topic.character", "topic.level", "topic.wildcard"}


MATCHES = {
    "itself": ("a/b", "a/b", True),
    "another": ("a/b", "a/c", False),
    "one level": ("a/+/c", "a/b/c", True),
    "one level is not two": ("a/+", "a/b/c", False),
    "one level may be empty": ("a/+", "a/", True),
    "plus needs its level": ("a/+", "a", False),
    "rest": ("a/#", "a/b/c", True),
    "rest includes the parent (4.7.1.2)": ("a/#", "a", True),
    "everything": ("#", "a/b", True),
    "slash is a level (4.7.3)": ("+/+", "/a", True),
    "one plus is not two levels": ("+", "/a", False),
    "everything but the broker's own (4.7.2)": ("#", "$SYS/x", False),
    "plus neither": ("+/x", "$SYS/x", False),
    "the broker's own by name": ("$SYS/#", "$SYS/x", True),
    "case counts (4.7.3)": ("A", "a", False),
}


@pytest.mark.parametrize(("pattern", "topic", "expected"), MATCHES.values(), ids=MATCHES)
def test_the_standards_own_examples(pattern, topic, expected):
    assert covers(pattern, topic) is expected


@given(filters(), filters(), TOPIC)
def test_a_wider_filter_matches_whatever_a_narrower_one_does(wider, narrower, topic):
    if includes(wider, narrower) and covers(narrower, topic):
        assert covers(wider, topic)


@given(filters())
def test_a_filter_includes_itself(pattern):
    assert includes(pattern, pattern) or pattern.startswith("$")


@given(TOPIC, filters())
def test_for_a_topic_including_and_covering_are_one(topic, pattern):
    assert includes(pattern, topic) is covers(pattern, topic)


CROSSING = {
    "own name": ("fleet/{device}/x/#", False),
    "another's name": ("fleet/pump-2/x", True),
    "all names": ("fleet/+/x", True),
    "everything": ("#", True),
    "the root alone": ("fleet", True),
    "the site's name under the root": ("fleet/{site}/x", True),
    "shared, by name": ("alarm/{site}/fire", False),
    "shared, any": ("alarm/+/fire", True),
    "below the own name": ("alarm/{device}/+", False),
    "before the own name": ("alarm/+/{device}", True),
}


@pytest.mark.parametrize(("text", "expected"), CROSSING.values(), ids=CROSSING)
def test_what_reaches_beyond_the_devices_own_name(text, expected):
    assert crosses(parse_filter(text)) is expected


@given(st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True), st.data())
def test_two_devices_never_share_a_topic_name(name, data):
    other = data.draw(st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True))
    assert (topic_name(name) == topic_name(other)) is (name == other)
    assert "." not in topic_name(name)
