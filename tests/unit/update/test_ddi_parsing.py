"""What clients of the DDI API send is read, bounded and made fit to be shown; nothing but refusals leaves."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.errors import HostileData, LimitExceeded
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import Instant
from holdfast_core.update.ddi import DdiClient, answered, board, described, numbered, running_release, stopped
from holdfast_core.update.ddi_parsing import (
    ATTRIBUTES,
    LARGEST_CONFIG,
    LARGEST_FEEDBACK,
    SAID,
    parse_config,
    parse_feedback,
    said,
    sleep_text,
)
from holdfast_core.update.ddi_shapes import Execution, Finished
from holdfast_core.update.ddi_standing import offset_of
from holdfast_core.update.model import Assignment, Stage
from holdfast_core.wire.update import Attempt, Step

SCOPE = Scope("default", "production")
NOW = Instant(1_795_000_000_000)
FEEDBACK = {
    "id": "5",
    "time": "20270101T000000",
    "status": {
        "result": {"finished": "none", "progress": {"cnt": 1, "of": 3}},
        "execution": "proceeding",
        "details": ["Installing.", "Written."],
    },
}
CONFIG = {"id": "", "mode": "merge", "data": {"mac": "00:11", "release": "2.0"}}


def feedback(execution="closed", finished="success", details=(), **result):
    status = {"execution": execution, "result": {"finished": finished, **result}, "details": list(details)}
    return parse_feedback(json.dumps({"status": status}).encode())


def config(data, mode="merge"):
    return parse_config(json.dumps({"data": data, "mode": mode}).encode())


def client(**about):
    return DdiClient(SCOPE, "cam-1", action=5, rollout="r1", trial=1, **about)


def test_a_feedback_reads_as_it_was_sent():
    read = parse_feedback(json.dumps(FEEDBACK).encode())
    assert read.status.execution is Execution.PROCEEDING
    assert read.status.result.finished is Finished.NONE
    assert (read.status.result.progress.cnt, read.status.result.progress.of) == (1, 3)
    assert said(read) == "Installing.; Written."


def test_the_least_that_clients_send_is_enough():
    read = parse_feedback(b'{"id":5,"status":{"execution":"closed","result":{"finished":"success","progress":null}}}')
    assert read.status.result.finished is Finished.SUCCESS
    assert parse_config(b'{"data":{}}').data == {}


@pytest.mark.parametrize("parse", [parse_feedback, parse_config])
@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_or_read(parse, data):
    with contextlib.suppress(HostileData):
        parse(data)


@pytest.mark.parametrize(("parse", "valid"), [(parse_feedback, FEEDBACK), (parse_config, CONFIG)])
@given(st.data())
def test_mutated_documents_are_refused_or_read(parse, valid, data):
    raw = bytearray(json.dumps(valid).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(HostileData):
        parse(bytes(raw))


@pytest.mark.parametrize(("parse", "valid"), [(parse_feedback, FEEDBACK), (parse_config, CONFIG)])
def test_a_document_cut_anywhere_is_refused(parse, valid):
    raw = json.dumps(valid).encode()
    for length in range(len(raw)):
        with pytest.raises(HostileData) as refused:
            parse(raw[:length])
        assert refused.value.code == "ddi.malformed"


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 50_000,
        b'{"status":' * 5_000,
        b'{"status":{"execution":"closed","details":["' + b"\xff" * 10 + b'"]}}',
        b'{"status":{"execution":"exploded"}}',
        b'{"status":{"execution":"closed","result":{"finished":"success","progress":{"cnt":-1,"of":2}}}}',
        b'{"status":{"execution":"closed","result":{"finished":"success","progress":{"cnt":1e99,"of":2}}}}',
    ],
)
def test_deep_wild_and_unknown_documents_are_refused(raw):
    with pytest.raises(HostileData) as refused:
        parse_feedback(raw)
    assert refused.value.code == "ddi.malformed"


def test_bodies_have_bounds():
    for parse, largest in ((parse_feedback, LARGEST_FEEDBACK), (parse_config, LARGEST_CONFIG)):
        with pytest.raises(LimitExceeded) as refused:
            parse(b" " * (largest + 1))
        assert refused.value.code == "ddi.too_large"


@pytest.mark.parametrize(
    "data",
    [
        {str(number): "x" for number in range(ATTRIBUTES + 1)},
        {"": "x"},
        {"n" * 64: "x"},
        {"a\x1bb": "x"},
        {"name": "v" * 257},
    ],
)
def test_attributes_have_bounds(data):
    with pytest.raises(HostileData) as refused:
        config(data)
    assert refused.value.code == "ddi.attributes"


def test_attributes_are_merged_replaced_and_removed():
    first = described(client(), config({"a": "1", "b": "2\u202e"}), "cam", NOW)
    assert first.attributes == (("a", "1"), ("b", "2\\u202e"))
    assert described(first, config({"c": "3"}), "cam", NOW).attributes == (*first.attributes, ("c", "3"))
    assert described(first, config({"c": "3"}, "replace"), "cam", NOW).attributes == (("c", "3"),)
    assert described(first, config({"a": ""}, "remove"), "cam", NOW).attributes == (("b", "2\\u202e"),)


def test_attributes_do_not_grow_without_end():
    full = described(client(), config({f"a{number}": "" for number in range(ATTRIBUTES)}), "cam", NOW)
    with pytest.raises(HostileData) as refused:
        described(full, config({"one more": ""}), "cam", NOW)
    assert refused.value.code == "ddi.attributes"


@given(st.lists(st.text(max_size=900), max_size=60))
def test_what_is_kept_of_details_is_short_and_printable(details):
    kept = said(feedback(details=details))
    assert 0 < len(kept) <= SAID
    assert kept.isprintable()


def test_the_number_of_an_action_is_of_one_trial_and_rises():
    assigned = Assignment(
        SCOPE, "cam-1", rollout="r1", wave=0, release="cam:2", counter=2, stage=Stage.DIRECTED, at=NOW
    )
    waits = Assignment(SCOPE, "cam-1", rollout="r1", wave=0, release="cam:2", counter=2, at=NOW)
    new = DdiClient(SCOPE, "cam-1")
    assert numbered(new, waits, NOW) is new
    one = numbered(new, assigned, NOW)
    assert 100_000_000 < one.action < 2**31
    assert numbered(one, assigned, NOW) is one
    other = Assignment(SCOPE, "cam-1", rollout="r2", wave=0, release="cam:3", counter=3, stage=Stage.DIRECTED, at=NOW)
    two = numbered(one, other, Instant(0))
    assert two.action == one.action + 1
    assert two.attempt is None


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Execution)), st.sampled_from(list(Finished)), st.booleans(), st.booleans()),
        max_size=8,
    )
)
def test_no_order_of_feedback_leaves_the_rules(words):
    after, ended = client(), None
    for execution, finished, called_off, cancels in words:
        told = feedback(execution.value, finished.value)
        with contextlib.suppress(HostileData):
            if cancels:
                after = stopped(after, told, "cam:2")
            else:
                after = answered(after, told, "cam:2", "cam", called_off=called_off, now=NOW)
        step = after.attempt.step if after.attempt is not None else None
        if ended is not None:
            assert step is ended
        if step in (Step.FAILED, Step.FELL_BACK, Step.STOPPED):
            ended = step
        assert step is not Step.CONFIRMED  # nothing that is said of an action confirms it


def test_a_skipped_action_is_no_success():
    told = answered(client(skipped=True), feedback(), "cam:2", "cam", called_off=False, now=NOW)
    assert (told.attempt, told.succeeded_at) == (None, None)
    taken = answered(client(), feedback(), "cam:2", "cam", called_off=False, now=NOW)
    assert taken.attempt.step is Step.BOOTED


def test_what_runs_is_what_the_attributes_name_and_else_what_was_installed():
    booted = Attempt(5, "cam:2", Step.BOOTED)
    assert running_release(client(runs="cam:1"), "cam") == "cam:1"
    assert running_release(client(runs="cam:1", attempt=booted), "cam") == "cam:2"
    assert running_release(client(attempt=booted, attributes=(("release", "1"),)), "cam") == "cam:1"
    assert running_release(client(attributes=(("release", "cam:7"),)), "cam") == "cam:7"


def test_boards_are_names():
    assert board(client(), "a, b,,c") == ("a", "b", "c")
    assert board(client(attributes=(("hardware", "x"),)), "") == ("x",)
    assert board(client(attributes=(("hardware", "x"),)), "a") == ("a",)
    assert board(client(), "n" * 64) == ()
    assert len(board(client(), ",".join("abcdefgh" * 20))) == 32


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:30"), (300, "00:05:00"), (86_399, "23:59:59"), (10**9, "23:59:59"), (3_723, "01:02:03")],
)
def test_polling_intervals_are_written_as_clients_read_them(seconds, text):
    assert sleep_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("+02:00", 120), ("-03:30", -210), ("", 0), ("+25:00", 0), ("02:00", 0), ("+\u0660\u0662:\u0660\u0660", 0)],
)
def test_offsets_from_utc_are_read_strictly(text, minutes):
    assert offset_of((("utc-offset", text),)) == minutes
