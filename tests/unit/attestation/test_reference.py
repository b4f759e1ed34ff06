"""Reference values: what a release is worth when, and statements from outside."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import NOW, statement
from holdfast_core.attestation.reference import (
    MEASUREMENTS,
    Golden,
    Learned,
    Reference,
    Standing,
    TokenComponent,
    parse_statement,
    standings,
    statement_bytes,
)
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.supply.model import parse_release_id, release_id

BYTES, DIGEST = statement_bytes(statement())


def reference(version, *, svn=1, retire=None, revoked=None, made=0):
    made_of = statement(version, svn=svn, made_at=Instant(NOW + made))
    _, digest = statement_bytes(made_of)
    at = {"retire_at": None if retire is None else Instant(NOW + retire)}
    at |= {"revoked_at": None if revoked is None else Instant(NOW + revoked)}
    return Reference(
        Scope("acme", "plant"), made_of.id, statement=made_of, digest=digest, signer="ci", added_at=NOW, **at
    )


def worth(*references, now=NOW):
    return {each.statement.version: each.standing.value for each in standings(references, Instant(now))}


def test_several_releases_may_be_current_at_once():
    assert worth(reference("1", svn=1), reference("2", svn=2)) == {"1": "current", "2": "current"}


def test_a_release_retires_at_its_date_and_is_then_below_those_that_go_on():
    ends = reference("1", retire=DAY)
    assert worth(ends, reference("2"), now=NOW + DAY - 1)["1"] == "current"
    assert worth(ends, reference("2"), now=NOW + DAY)["1"] == "retired"
    assert worth(ends, reference("2", svn=2), now=NOW + DAY)["1"] == "superseded"


def test_the_floor_is_the_lowest_number_in_force():
    old, kept = reference("1", svn=1, retire=0), reference("2", svn=2)
    assert worth(old, kept, reference("3", svn=3)) == {"1": "superseded", "2": "current", "3": "current"}
    assert worth(old, reference("2", svn=2, revoked=0), reference("1b", svn=1))["1"] == "retired"


def test_where_no_release_is_in_force_none_is_superseded():
    assert worth(reference("1", retire=0), reference("2", svn=2, retire=0)) == {"1": "retired", "2": "retired"}


def test_revoked_counts_before_all_else_and_from_its_moment_on():
    gone = reference("1", retire=0, revoked=0)
    assert worth(gone, reference("2", svn=2))["1"] == "revoked"
    assert worth(reference("1", revoked=DAY))["1"] == "current"


def test_the_highest_number_and_the_newest_come_first():
    made = [reference("a", svn=1, made=5), reference("b", svn=2), reference("c", svn=2, made=1)]
    assert [each.statement.version for each in standings(made, NOW)] == ["c", "b", "a"]


def test_every_release_has_its_worth_however_many_there_are():
    many = [reference(f"v{n}", svn=n, revoked=0 if n == 0 else None) for n in range(1_000)]
    found = standings(many, NOW)
    assert (len(found), found[-1].standing) == (len(many), Standing.REVOKED)


def test_nothing_is_worth_nothing():
    assert standings((), NOW) == ()


# Statements


def test_a_statement_is_read_back_as_it_was_written():
    full = statement(
        golden=(Golden(0, "00" * 32), Golden(1, "00" * 32)),
        components=(TokenComponent("BL", "55" * 32),),
        learned=Learned("gate-1", "it never changes"),
    )
    data, _ = statement_bytes(full)
    assert parse_statement(data) == full
    assert parse_statement(data).registers == {0, 1, 4, 8, 9}


def changed(**values):
    return json.dumps(json.loads(BYTES) | values).encode()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "reference.malformed"),
        (b"[]", "reference.malformed"),
        (b"\xff\xfe", "reference.malformed"),
        (b'{"model":' + b"[" * 100_000, "reference.malformed"),
        (changed(v=2), "reference.malformed"),
        (changed(bank="sha1"), "reference.malformed"),
        (changed(bank="sha3_256"), "reference.malformed"),
        (changed(bank="sha384"), "reference.malformed"),
        (changed(svn=-1), "reference.malformed"),
        (changed(svn=1.5), "reference.malformed"),
        (changed(surprise=1), "reference.malformed"),
        (changed(made_at=-1), "reference.malformed"),
        (changed(model="No Name"), "name.invalid"),
        (changed(version="../1"), "name.invalid"),
        (changed(measurements=[]), "reference.empty"),
        (changed(measurements=[{"register": 24, "digest": "00" * 32, "what": ""}]), "reference.malformed"),
        (changed(measurements=[{"register": 0, "digest": "0G" * 32, "what": ""}]), "reference.malformed"),
        (changed(measurements=[{"register": 0, "digest": "00" * 20, "what": ""}]), "reference.malformed"),
        (changed(measurements=[{"register": 0, "digest": "00" * 32, "what": "x" * 600}]), "reference.malformed"),
        (
            changed(measurements=[{"register": 0, "digest": "00" * 32, "what": ""}] * (MEASUREMENTS + 1)),
            "reference.malformed",
        ),
        (changed(golden=[{"register": 0, "value": "00" * 48}]), "reference.malformed"),
        (changed(golden=[{"register": 16, "value": "00" * 32}]), "reference.register"),
        (changed(measurements=[{"register": 23, "digest": "00" * 32, "what": "x"}]), "reference.register"),
        (changed(golden=[{"register": 0, "value": v * 32} for v in ("00", "11")]), "reference.malformed"),
    ],
)
def test_a_statement_that_says_something_odd_is_refused(data, code):
    with pytest.raises(HostileData) as caught:
        parse_statement(data)
    assert caught.value.code == code


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_statement(data):
    with pytest.raises(HostileData):
        parse_statement(data)


@given(st.integers(0, len(BYTES) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_a_statement_with_bytes_changed_is_read_or_refused(place, put, cut):
    try:
        parse_statement(BYTES[:place] + put + BYTES[place + cut :])
    except HostileData as refused:
        assert refused.remedy  # noqa: PT017 (some changes leave a statement)


def test_a_statement_truncated_at_every_byte_is_refused():
    for end in range(len(BYTES)):
        with pytest.raises(HostileData):
            parse_statement(BYTES[:end])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(msgspec.structs.asdict(statement()))), JSON)
def test_any_value_in_any_field_is_read_or_refused(field, value):
    try:
        parse_statement(changed(**{field: value}))
    except HostileData as refused:
        assert refused.remedy  # noqa: PT017 (some values are fine)


def test_a_release_is_named_by_model_and_version():
    assert release_id("site-gateway", "2.3.1") == "site-gateway:2.3.1"
    assert parse_release_id("site-gateway:2.3.1") == ("site-gateway", "2.3.1")


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "release.name"), ("gateway", "release.name"), (":", "name.invalid"), ("a:b:c", "name.invalid"),
     ("../x:1", "name.invalid"), ("gateway:", "name.invalid")],
)  # fmt: skip
def test_what_is_no_name_of_a_release_is_refused(text, code):
    with pytest.raises(HostileData) as caught:
        parse_release_id(text)
    assert caught.value.code == code


def test_every_standing_has_a_word():
    assert {standing.value for standing in Standing} == {"current", "retired", "superseded", "revoked"}
