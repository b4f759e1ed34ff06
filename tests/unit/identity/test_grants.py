"""What a device is granted: its own name, its model's flows, exceptions while they count; else nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.inventory.model_file import load_examples
from holdfast_core.identity.grants import Grants, grants_of, mqtt_topic, nats_subjects
from holdfast_core.identity.usage import PUBLISH, SUBSCRIBE, Act, TopicUse, day_of, taken_in, unused
from holdfast_core.inventory.lifecycle import Device, Lifecycle
from holdfast_core.inventory.model import TopicException
from holdfast_core.inventory.rules import contradictions, problems
from holdfast_core.inventory.topics import covers
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import DeviceId, DeviceKey, Scope
from holdfast_core.kernel.instants import DAY, Instant, parse_rfc3339
from holdfast_core.kernel.limits import LIMITS

SCOPE = Scope("acme", "production")
NOW = parse_rfc3339("2026-11-21T12:00:00Z")
CAMERA = load_examples()["door-camera"]


def device(name: str = "cam-1", lifecycle: Lifecycle = Lifecycle.ACTIVE, site: str = "hall") -> Device:
    return Device(DeviceKey(SCOPE, DeviceId(name)), lifecycle, NOW, model="door-camera@1.0.0", site=site)


def model(*, publish=(), subscribe=(), exceptions=(), flow: int = 0):
    flows = list(CAMERA.flows)
    flows[flow] = msgspec.structs.replace(flows[flow], publish=tuple(publish), subscribe=tuple(subscribe))
    return msgspec.structs.replace(CAMERA, flows=tuple(flows), exceptions=tuple(exceptions))


def exception(*filters: str, expires: str = "2026-12-31") -> TopicException:
    return TopicException("watch-all", filters, "The recorder shows every camera.", "Ops", expires)


def test_every_device_has_its_own_name_and_nothing_else():
    granted = grants_of(device(), None, NOW)
    assert granted == Grants(DeviceId("cam-1"), ("fleet/cam-1/up/#",), ("fleet/cam-1/#",))
    assert granted.may_publish("fleet/cam-1/up/x")
    assert not granted.may_publish("fleet/cam-1/cmd")
    assert not granted.may_publish("fleet/cam-10/up/x")
    assert not granted.may_subscribe("fleet/#")


@pytest.mark.parametrize("lifecycle", [Lifecycle.UNMANAGED, Lifecycle.EXPECTED, Lifecycle.RETIRED])
def test_who_has_no_key_is_granted_nothing(lifecycle):
    assert grants_of(device(lifecycle=lifecycle), CAMERA, NOW) is None


def test_a_flows_topics_are_filled_in():
    granted = grants_of(device("cam.1"), model(publish=["alarm/{site}/{device}"], subscribe=["clock/now"]), NOW)
    assert granted.publish == ("fleet/cam~1/up/#", "alarm/hall/cam~1")
    assert granted.subscribe == ("fleet/cam~1/#", "clock/now")


def test_what_reaches_beyond_needs_an_exception_in_force():
    wanted = model(subscribe=["fleet/+/up/motion"])
    assert [r.code for r in grants_of(device(), wanted, NOW).withheld] == ["grants.unexcepted"]
    allowed = model(subscribe=["fleet/+/up/motion"], exceptions=[exception("fleet/+/up/motion")])
    assert "fleet/+/up/motion" in grants_of(device(), allowed, NOW).subscribe
    ended = model(subscribe=["fleet/+/up/motion"], exceptions=[exception("fleet/+/up/motion", expires="2026-11-20")])
    assert grants_of(device(), ended, NOW).subscribe == ("fleet/cam-1/#",)


def test_a_wildcard_before_the_end_of_an_exceptions_last_day_still_counts():
    allowed = model(subscribe=["#"], exceptions=[exception("#", expires="2026-11-21")])
    assert "#" in grants_of(device(), allowed, NOW).subscribe
    assert "#" not in grants_of(device(), allowed, Instant(NOW + DAY // 2)).subscribe


def test_a_site_that_is_no_name_grants_nothing():
    wanted = model(publish=["alarm/{site}/x"])
    for site in ("", "Hall +", "#", "a/b"):
        granted = grants_of(device(site=site), wanted, NOW)
        assert granted.publish == ("fleet/cam-1/up/#",)
        assert [r.code for r in granted.withheld] == ["grants.site"]


def test_a_quarantined_device_keeps_the_flows_of_its_essential_function():
    essential = next(i for i, flow in enumerate(CAMERA.flows) if flow.name in CAMERA.essential_function.flows)
    other = next(i for i, flow in enumerate(CAMERA.flows) if flow.name not in CAMERA.essential_function.flows)
    kept = grants_of(device(), model(publish=["video/{device}"], flow=essential), NOW, quarantined=True)
    lost = grants_of(device(), model(publish=["video/{device}"], flow=other), NOW, quarantined=True)
    assert kept.publish == ("fleet/cam-1/up/#", "video/cam-1")
    assert lost.publish == ("fleet/cam-1/up/#",)


def test_more_filters_than_a_broker_should_hold_cannot_be():
    with pytest.raises(HostileData, match="more than"):
        Grants(DeviceId("a"), tuple(f"t/{n}" for n in range(LIMITS.device_filters + 1)), ())


def test_a_model_is_told_what_it_asks_for_in_vain():
    codes = {r.code for r in contradictions(model(subscribe=["fleet/+/up/x"]), NOW)}
    assert "model.topic_unexcepted" in codes
    ended = model(subscribe=["fleet/+/up/x"], exceptions=[exception("fleet/+/up/x", expires="2026-11-20")])
    assert {"model.topic_unexcepted", "model.exception_expired"} <= {r.code for r in contradictions(ended, NOW)}
    idle = model(exceptions=[exception("fleet/+/up/x")])
    assert "model.exception_unused" in {r.code for r in contradictions(idle, NOW)}
    fine = model(subscribe=["fleet/+/up/x"], exceptions=[exception("fleet/+/up/x")])
    assert not {r.code for r in contradictions(fine, NOW)} & {"model.topic_unexcepted", "model.exception_unused"}


def test_a_model_with_a_broken_filter_or_exception_cannot_be():
    assert [(p.code, p.path) for p in problems(model(publish=["a//b"]))] == [("model.topic", "$.flows[0].publish[0]")]
    broken = model(exceptions=[TopicException("x", ("a/b.c",), " ", "", "soon")])
    assert [p.path for p in problems(broken)] == [
        "$.exceptions[0].filters[0]",
        "$.exceptions[0].reason",
        "$.exceptions[0].owner",
        "$.exceptions[0].expires",
    ]
    many = model(publish=[f"t/{n}" for n in range(LIMITS.device_filters)])
    assert [p.code for p in problems(many)] == ["model.too_many"]


SUBJECTS = {
    "plain": ("fleet/a/up", ("fleet.a.up",)),
    "one level": ("fleet/+/up", ("fleet.*.up",)),
    "rest, and its parent": ("fleet/a/#", ("fleet.a", "fleet.a.>")),
    "everything": ("#", (">",)),
}


@pytest.mark.parametrize(("pattern", "subjects"), SUBJECTS.values(), ids=SUBJECTS)
def test_filters_as_subjects(pattern, subjects):
    assert nats_subjects(pattern) == subjects


LEVEL = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="~-_"), min_size=1, max_size=4)


@given(st.lists(LEVEL, min_size=1, max_size=5), st.data())
def test_subjects_match_the_topics_that_their_filter_matches(levels, data):
    mask = data.draw(st.lists(st.booleans(), min_size=len(levels), max_size=len(levels)))
    pattern = "/".join("+" if one else level for level, one in zip(levels, mask, strict=True))
    if data.draw(st.booleans()):
        pattern += "/#"
    topic = "/".join(levels)
    assert covers(pattern, topic)
    assert any(covers(mqtt_topic(subject), topic) for subject in nats_subjects(pattern))


GRANTS = Grants(DeviceId("cam-1"), ("fleet/cam-1/up/#", "fleet/cam-1/up/x"), ("fleet/cam-1/#",))


def use(since: int = 0) -> TopicUse:
    return TopicUse(SCOPE, "hall/cam-1", since=since)


def test_use_counts_by_the_narrowest_filter_and_the_day():
    taken = taken_in(use(), GRANTS, [Act(PUBLISH, "fleet/cam-1/up/x", refused=False)], NOW)
    assert [(u.action, u.pattern, u.day) for u in taken.used] == [(PUBLISH, "fleet/cam-1/up/x", day_of(NOW))]
    assert taken_in(taken, GRANTS, [Act(PUBLISH, "fleet/cam-1/up/x", refused=False)], NOW) == taken


def test_a_subscription_beyond_the_grants_counts_as_refused_whatever_the_broker_answered():
    taken = taken_in(use(), GRANTS, [Act(SUBSCRIBE, "#", refused=False)], NOW)
    assert [(r.action, r.topic, r.times) for r in taken.refused] == [(SUBSCRIBE, "#", 1)]
    again = taken_in(taken, GRANTS, [Act(SUBSCRIBE, "#", refused=False)], NOW)
    assert [r.times for r in again.refused] == [2]


def test_what_was_not_used_for_thirty_days_is_named_and_not_before():
    watched = taken_in(use(), GRANTS, [Act(SUBSCRIBE, "fleet/cam-1/cmd", refused=False)], NOW)
    assert unused(None, GRANTS, NOW) == ()
    assert unused(use(since=day_of(NOW) - 29), GRANTS, NOW) == ()
    assert unused(watched, GRANTS, NOW) == ((PUBLISH, "fleet/cam-1/up/#"), (PUBLISH, "fleet/cam-1/up/x"))
    assert len(unused(watched, GRANTS, Instant(NOW + 31 * DAY))) == 3


@given(st.lists(st.tuples(st.sampled_from([PUBLISH, SUBSCRIBE]), st.text(max_size=20), st.booleans()), max_size=60))
def test_use_stays_small_whatever_a_device_does(acts):
    taken = taken_in(use(), GRANTS, [Act(*act) for act in acts], NOW)
    assert len(taken.used) <= 3
    assert len(taken.refused) <= 16
