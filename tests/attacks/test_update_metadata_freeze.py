"""Who keeps a device at old metadata: by what he does not send, or by what he makes of its clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from holdfast_agent.update.clock import ANSWER_MS
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, SECOND, Instant, from_datetime
from holdfast_core.update.time import Source
from tuf_builders import BUILT, DEVICE_ID, TRUE_NOW, Pair, envelope, key
from update_trust_builders import Device

Y1970, Y2040, Y2106 = (from_datetime(datetime(year, 1, 2, tzinfo=UTC)) for year in (1970, 2040, 2106))
CLOCKS = {"1970": Y1970, "true": TRUE_NOW, "in-60-days": TRUE_NOW + 60 * DAY, "2106": Y2106}
STALE = Instant(TRUE_NOW - 30 * DAY)
clocks = pytest.mark.parametrize("wall", CLOCKS.values(), ids=CLOCKS.keys())


def refusal(work, *arguments, **named):
    with pytest.raises(HostileData) as refused:
        work(*arguments, **named)
    assert refused.value.remedy
    return refused.value.code


@clocks
def test_control_fresh_metadata_and_a_signed_time_serve_whatever_the_clock_says(tmp_path, wall):
    device = Device(tmp_path, Pair(), wall=wall)
    checked = device.ask()
    assert (checked.sense.source, checked.sense.now) == (Source.SIGNED, TRUE_NOW)
    assert not device.trust.frozen
    assert device.trust.imaged(device.pair.path)


@clocks
def test_a_month_old_repository_with_a_signed_time_is_refused_whatever_the_clock_says(tmp_path, wall):
    device = Device(tmp_path, Pair(now=STALE), wall=wall)
    assert refusal(device.ask, now=TRUE_NOW) == "update.metadata_expired"
    assert refusal(device.trust.imaged, device.pair.path) == "update.metadata_missing"  # nothing of it was kept
    assert refusal(device.trust.directed, device.pair.path) == "update.metadata_missing"


@clocks
def test_a_month_old_repository_without_a_signed_time_is_never_taken_for_fresh(tmp_path, wall):
    """Where the clock cannot be right the device knows that it does not know the time; its driver then waits."""
    device = Device(tmp_path, Pair(now=STALE), wall=wall)
    if wall in {Y1970, Y2106}:
        checked = device.ask(told=False)
        assert checked.sense.source is Source.FLOOR
    else:
        assert refusal(device.ask, told=False) == "update.metadata_expired"


@clocks
def test_a_device_is_not_stuck_once_the_server_signs_anew(tmp_path, wall):
    device = Device(tmp_path, Pair(now=STALE), wall=wall)
    assert refusal(device.ask, now=TRUE_NOW) == "update.metadata_expired"
    device.pair.at(TRUE_NOW)
    assert device.again().ask().sense.source is Source.SIGNED
    assert device.trust.imaged(device.pair.path)


@pytest.mark.parametrize("lie", [Y2106, Y2040], ids=["2106", "2040"])
@clocks
def test_a_server_that_lies_about_the_time_stops_nothing_for_good(tmp_path, wall, lie):
    device = Device(tmp_path, Pair(), wall=wall)
    lied = {} if lie == Y2106 else None  # beyond the device's life: not believed at all
    if lied is None or wall == TRUE_NOW + 60 * DAY:
        assert refusal(device.ask, now=lie) == "update.metadata_expired"
    else:
        device.ask(now=lie)
    device.pair.at(TRUE_NOW + DAY)
    assert device.ask().sense.source is Source.SIGNED
    assert device.trust.imaged(device.pair.path)


def test_a_lie_about_the_time_does_not_outlive_the_agent(tmp_path):
    device = Device(tmp_path, Pair())
    device.ask()
    assert refusal(device.ask, now=Y2040) == "update.metadata_expired"
    assert device.trust.frozen
    assert device.again().trust.sense().source is Source.CLOCK
    assert not device.trust.frozen
    assert device.ask(told=False)


def test_the_server_says_nothing_new_until_what_is_held_has_expired(tmp_path):
    device = Device(tmp_path, Pair())
    device.ask()
    for _ in range(6):
        device.pass_time(DAY)
        device.ask(told=False)
    device.pass_time(DAY + SECOND)
    assert device.trust.frozen
    assert refusal(device.ask, told=False) == "update.metadata_expired"
    assert refusal(device.ask, now=device.wall) == "update.metadata_expired"
    assert refusal(device.trust.imaged, device.pair.path) == "update.metadata_expired"
    device.pair.at(device.wall)
    assert device.ask()
    assert not device.trust.frozen


def test_a_clock_that_is_set_back_after_fresh_metadata_does_not_bring_the_old_back_to_life(tmp_path):
    device = Device(tmp_path, Pair())
    device.ask(told=False)
    device.pair.at(TRUE_NOW + 60 * DAY)
    device.wall = TRUE_NOW + 60 * DAY
    device.ask(told=False)
    device.wall = Y1970
    assert device.again().trust.sense().now == TRUE_NOW + 60 * DAY
    device.wall = TRUE_NOW
    assert device.trust.sense() == (device.trust.sense().__class__)(TRUE_NOW + 60 * DAY, Source.FLOOR)


def told(asking, **changed):
    """An answer whose signed time is wrong in one thing."""
    holding = asking.question()
    nonce = changed.pop("nonce", holding.nonce)
    answer = asking.pair.answer(holding, told=False)
    return type(answer)(answer.director, answer.image, asking.pair.time(nonce, **changed))


def test_control_a_time_with_nonce_device_and_key_in_order(tmp_path):
    device = Device(tmp_path, Pair(), wall=Y1970)
    assert device.trust.take(told(device)).sense.source is Source.SIGNED


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"nonce": "nonce-9999"}, "update.time_replayed"),
        ({"device": "cam-2"}, "update.time_other_device"),
        ({"signer": "somebody"}, "update.time_signature"),
        ({"signer": "image-timestamp-0"}, "update.time_signature"),
        ({"signer": "director-root-0"}, "update.time_signature"),
    ],
)
def test_a_signed_time_that_is_for_something_else(tmp_path, changed, code):
    device = Device(tmp_path, Pair(), wall=Y1970)
    assert refusal(lambda: device.trust.take(told(device, **changed))) == code
    assert device.trust.sense().source is Source.FLOOR


def test_a_signed_time_is_played_again(tmp_path):
    device = Device(tmp_path, Pair(), wall=Y1970)
    answer = device.pair.answer(device.question())
    device.trust.take(answer)
    assert refusal(device.trust.take, answer) == "update.time_replayed"
    device.question()
    assert refusal(device.trust.take, answer) == "update.time_replayed"
    assert refusal(device.again().trust.take, answer) == "update.time_replayed"
    assert device.trust.sense().source is Source.FLOOR


def test_an_answer_that_somebody_held_back(tmp_path):
    device = Device(tmp_path, Pair(), wall=Y1970)
    answer = device.pair.answer(device.question())
    device.up += ANSWER_MS + 1
    assert refusal(device.trust.take, answer) == "update.time_late"
    answer = device.pair.answer(device.question(), now=TRUE_NOW)
    device.up += ANSWER_MS
    assert device.trust.take(answer).sense.now == TRUE_NOW + ANSWER_MS  # never earlier than it is


@pytest.mark.parametrize(
    "data",
    [b"x", b"{}", b'{"payload":"","payloadType":"x","signatures":[]}', b"\xff" * 50, b"[" * 900, b"{" * 5000],
)
def test_a_signed_time_that_is_garbage(tmp_path, data):
    device = Device(tmp_path, Pair(), wall=Y1970)
    answer = device.pair.answer(device.question(), told=False)
    broken = type(answer)(answer.director, answer.image, data)
    assert refusal(device.trust.take, broken) == "update.time_malformed"


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"now":-1,"nonce":"nonce-0001","device":"cam-1"}', b"[1"])
def test_a_signed_time_whose_content_is_garbage(tmp_path, payload):
    device = Device(tmp_path, Pair(), wall=Y1970)
    answer = device.pair.answer(device.question(), told=False)
    broken = type(answer)(answer.director, answer.image, envelope(payload, key("director-online")))
    assert refusal(device.trust.take, broken) == "update.time_malformed"


def test_a_signed_statement_of_another_type_is_no_time(tmp_path):
    device = Device(tmp_path, Pair(), wall=Y1970)
    answer = device.pair.answer(device.question(), told=False)
    payload = b'{"now":1803859200000,"nonce":"nonce-0001","device":"%s"}' % DEVICE_ID.encode()
    other = envelope(payload, key("director-online"), "application/vnd.holdfast.other+json")
    assert refusal(device.trust.take, type(answer)(answer.director, answer.image, other)) == "update.time_malformed"


@pytest.mark.parametrize("issued", [Y2040, Y2106, TRUE_NOW + 8 * DAY], ids=["2040", "2106", "after-its-own-end"])
@pytest.mark.parametrize("which", ["director", "image"])
def test_a_stolen_timestamp_key_claims_an_issue_far_ahead(tmp_path, which, issued):
    """It would lift the floor of time for good, and with it make everything look expired."""
    device = Device(tmp_path, Pair())
    device.ask()
    getattr(device.pair, which).publish_timestamp(issued=issued)
    assert refusal(device.ask) == "update.time_impossible"
    assert device.again().trust.sense().now == TRUE_NOW
    assert device.trust.imaged(device.pair.path)


def test_a_stolen_timestamp_key_lifts_the_floor_until_the_key_is_replaced(tmp_path):
    """Within the life of its root nobody can tell; a new root that drops the key drops what it did."""
    device = Device(tmp_path, Pair())
    device.ask()
    lifted = TRUE_NOW + 300 * DAY
    image = device.pair.image
    image.now = lifted
    image.publish_timestamp()
    assert refusal(device.ask, now=TRUE_NOW) == "update.metadata_expired"
    assert device.trust.sense().now == lifted
    assert refusal(device.again().trust.imaged, device.pair.path) == "update.metadata_expired"
    image.now = TRUE_NOW
    image.rotate("timestamp", "timestamp-anew")
    image.timestamp.version = 0
    image.publish_timestamp()
    with pytest.raises(HostileData, match="did not come"):
        device.ask()  # the server thinks that the thief's timestamp, whose version is higher, is held
    assert device.ask().image == 1
    assert device.trust.imaged(device.pair.path)
    assert device.again().trust.sense().now == TRUE_NOW


def test_a_clock_before_the_agent_was_built_counts_for_nothing(tmp_path):
    device = Device(tmp_path, Pair(), wall=BUILT - 1)
    assert device.trust.sense().now == BUILT
    assert device.trust.sense().source is Source.FLOOR
