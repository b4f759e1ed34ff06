"""What is kept of the repositories: versions that always rise, lives, proposals that stand."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdfast_core.kernel.digests import digest_of
from holdfast_core.kernel.ids import Scope
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.update.repository import (
    FIRST_ROOT,
    ROOTS,
    TIMESTAMP_LIFE,
    Direction,
    Issue,
    Name,
    Part,
    Proposal,
    Repository,
    is_due,
    next_version,
    timestamp_life,
)
from holdfast_core.wire.update_metadata import Versions

SCOPE = Scope("acme", "production")
DIGEST = digest_of(b"x")


@given(st.integers(0, 2**52), st.integers(0, 2**50))
def test_a_version_is_always_above_the_one_before_and_not_below_the_clock(before, now):
    after = next_version(before, Instant(now))
    assert after > before
    assert after >= now // 1000
    assert after in (before + 1, now // 1000)


@given(st.lists(st.integers(0, 2**45), min_size=1, max_size=20))
def test_versions_rise_though_the_clock_jumps(clock):
    version = 0
    for now in clock:
        after = next_version(version, Instant(now))
        assert after > version
        version = after


def test_roots_of_two_repositories_never_have_one_number():
    ranges = [range(first, first + ROOTS) for first in FIRST_ROOT.values()]
    assert len(set().union(*ranges)) == len(Name) * ROOTS
    assert all(Versions(root=each[-1]) for each in ranges)


def test_half_of_a_life_is_when_it_is_due():
    assert not is_due(Instant(0), TIMESTAMP_LIFE, Instant(TIMESTAMP_LIFE // 2 - 1))
    assert is_due(Instant(0), TIMESTAMP_LIFE, Instant(TIMESTAMP_LIFE // 2))
    assert not is_due(Instant(DAY), TIMESTAMP_LIFE, Instant(0)), "a clock that was set back"


def test_a_device_that_rarely_calls_gets_a_timestamp_that_lives_three_of_its_calls():
    assert timestamp_life(DAY) == TIMESTAMP_LIFE
    assert timestamp_life(30 * DAY) == 90 * DAY


def test_a_proposal_stands_while_the_version_before_its_own_is_in_force():
    made = Proposal(
        SCOPE, "targets", version=3, digest=DIGEST, length=1, made_at=Instant(0), expires_at=Instant(10), by="x"
    )
    before = Part("targets", 2, DIGEST, 1)
    assert made.stands(before, Instant(9))
    assert not made.stands(before, Instant(10))
    assert not made.stands(msgspec.structs.replace(before, version=3), Instant(0))
    assert not made.stands(None, Instant(0))


def test_a_repository_holds_one_file_of_each_role():
    empty = Repository(SCOPE, "image")
    assert empty.role("targets") is empty.role("cam") is None
    made = empty.with_role(Part("targets", 1, DIGEST, 1)).with_role(Part("cam", 1, DIGEST, 1))
    made = made.with_role(Part("cam", 2, DIGEST, 1)).with_role(Part("axe", 1, DIGEST, 1))
    assert [part.role for part in made.roles] == ["axe", "cam"]
    assert (made.role("cam").version, made.role("targets").version) == (2, 1)


def test_records_come_back_as_they_were_kept():
    for record in (
        Repository(SCOPE, "image", roots=(Part("root", 1, DIGEST, 1),), snapshot=Issue(1, Instant(2))),
        Direction(SCOPE, "cam-1", version=1, issued=Instant(1), timestamp=1, stamped=Instant(1)),
    ):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=type(record)) == record
