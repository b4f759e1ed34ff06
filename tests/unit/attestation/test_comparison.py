"""Comparing a boot with releases: whole registers, of one release, and never by half."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from attest_builders import judged, policy, statement
from holdfast_core.attestation.comparison import UNEXPECTED, Measured, gaps, needs_log, told_gap, told_standing
from holdfast_core.attestation.reference import Golden, Measurement, Standing

KERNEL, INITRD, LINE, SPLASH = ("aa" * 32, "bb" * 32, "cc" * 32, "dd" * 32)
RELEASE = statement(
    measurements=(
        Measurement(9, KERNEL, "kernel"),
        Measurement(9, INITRD, "initrd"),
        Measurement(8, LINE, "command line"),
        Measurement(9, SPLASH, "splash", optional=True),
    )
)
GOLDEN = statement("0.1.0", measurements=(), golden=(Golden(8, "11" * 32), Golden(9, "22" * 32)))
BOTH = statement("0.2.0", measurements=(Measurement(9, KERNEL, "kernel"),), golden=(Golden(8, "11" * 32),))
VALUES = {8: b"\x11" * 32, 9: b"\x22" * 32}


def events(*pairs, structural=()):
    return tuple(
        Measured(number, register, digest, f"event {number}", number in structural)
        for number, (register, digest) in enumerate(pairs)
    )


GOOD = events((9, KERNEL), (9, INITRD), (8, LINE))


def sizes(seen, *statements, values=VALUES, **asked):
    return [gap.size for gap in gaps(seen, values, policy(**asked), judged(*statements))]


def test_a_boot_of_the_release_has_no_gap_with_and_without_what_is_optional():
    assert sizes(GOOD, RELEASE) == [0]
    assert sizes((*GOOD, *events((9, SPLASH))), RELEASE) == [0]


def test_each_event_too_many_and_each_missing_one_is_told():
    (gap,) = gaps(events((9, KERNEL), (9, "ee" * 32)), VALUES, policy(), judged(RELEASE))
    assert [event.digest for event in gap.unexpected] == ["ee" * 32]
    assert [each.what for each in gap.missing] == ["initrd", "command line"]
    assert gap.size == 3


def test_a_measurement_in_another_register_is_not_that_measurement():
    assert sizes(events((8, KERNEL), (9, INITRD), (8, LINE)), RELEASE) == [2]


def test_what_a_release_does_not_speak_of_is_not_compared():
    assert sizes((*GOOD, *events((4, "ee" * 32))), RELEASE) == [0]


def test_what_every_boot_writes_is_of_no_release():
    assert sizes((*GOOD, *events((9, "ff" * 32), structural=(0,))), RELEASE) == [0]


def test_only_registers_that_are_quoted_are_compared():
    assert sizes(events((8, LINE)), RELEASE, registers=(8,)) == [0]
    assert sizes(GOOD, RELEASE, registers=(0, 7)) == []


def test_a_release_of_another_bank_is_not_compared():
    other = msgspec.structs.replace(RELEASE, bank="sha384")
    assert sizes(GOOD, other) == []


def test_the_nearest_release_comes_first_and_equals_stay_in_their_order():
    far = statement("9.0.0", measurements=tuple(Measurement(9, f"{n:02x}" * 32, "x") for n in range(5)))
    near = statement("8.0.0", measurements=RELEASE.measurements)
    found = gaps(GOOD, VALUES, policy(), judged(far, near, RELEASE))
    assert [gap.judged.statement.version for gap in found] == ["8.0.0", "1.0.0", "9.0.0"]


def test_whole_registers_are_compared_where_there_is_no_log():
    assert sizes(None, GOLDEN) == [0]
    assert sizes(None, GOLDEN, values={8: VALUES[8], 9: bytes(32)}) == [1]
    assert sizes(None, GOLDEN, values={8: VALUES[8]}) == [1]
    assert sizes((), GOLDEN) == [0], "and where there is one"


def test_without_a_log_no_release_is_told_by_half():
    """A kernel is named by its measurement, the rest by a register: who keeps the log back would hide the kernel."""
    assert sizes(events((9, KERNEL)), BOTH) == [0]
    assert sizes(events((9, "ee" * 32)), BOTH) == [2]
    assert sizes(None, BOTH) == []
    assert sizes(None, RELEASE) == []
    assert sizes(None, BOTH, registers=(8,)) == [0], "where that register is not asked for, the rest is all there is"


def test_a_register_named_by_both_is_whole_without_a_log():
    named = msgspec.structs.replace(BOTH, golden=(*BOTH.golden, Golden(9, "22" * 32)))
    assert sizes(None, named) == [0]


def test_a_log_is_needed_where_no_release_can_be_told_without_one():
    assert needs_log(policy(), judged(RELEASE))
    assert needs_log(policy(), judged(RELEASE, BOTH))
    assert not needs_log(policy(), judged(RELEASE, GOLDEN))
    assert not needs_log(policy(), judged(GOLDEN))
    assert not needs_log(policy(), ())
    assert not needs_log(policy(registers=(0,)), judged(RELEASE)), "no release speaks of it at all"


def test_a_gap_is_told_by_its_nearest_release():
    (gap,) = gaps(events((9, "ee" * 32), (9, "ef" * 32)), VALUES, policy(), judged(RELEASE))
    told = told_gap(gap)
    assert told.code == "attestation.unrecognized_boot"
    for words in ("gateway:1.0.0", "event 0 in register 9 (event 0) and 1 more", "its kernel and 2 more was not"):
        assert words in told.sentence
    (one,) = gaps((*GOOD, Measured(7, 9, "ee" * 32, "")), VALUES, policy(), judged(RELEASE))
    assert "event 7 in register 9 (no words) is not of it" in told_gap(one).sentence
    (one,) = gaps(GOOD[:2], VALUES, policy(), judged(RELEASE))
    assert "its command line was not measured" in told_gap(one).sentence
    (one,) = gaps(None, {}, policy(), judged(GOLDEN))
    assert "register 8, 9 has another value" in told_gap(one).sentence


def test_of_a_long_log_so_many_events_are_told_and_the_others_counted():
    strange = [(9 - number % 2, f"{number % 90:02x}" * 32) for number in range(1_000)]
    (gap,) = gaps(events(*strange), VALUES, policy(), judged(RELEASE))
    assert len(gap.unexpected) == UNEXPECTED
    assert [event.number for event in gap.unexpected[:2]] == [0, 1]
    assert gap.size == 1_000 + len(gap.missing)
    assert "event 0 in register 9 (event 0) and 999 more is not of it" in told_gap(gap).sentence


def test_an_event_that_came_often_counts_as_often():
    (gap,) = gaps((*GOOD, *events(*[(9, "ee" * 32)] * 3)), VALUES, policy(), judged(RELEASE))
    assert (len(gap.unexpected), gap.untold, gap.size) == (3, 0, 3)


def test_what_is_told_is_bounded():
    long = statement(measurements=(Measurement(9, KERNEL, "k" * 512),))
    (gap,) = gaps((), VALUES, policy(), judged(long))
    assert len(told_gap(gap).sentence) <= 500


def test_what_is_wrong_with_a_release_is_told_by_its_standing():
    codes = {}
    for standing in Standing:
        reason = told_standing(judged(RELEASE, standing=standing)[0])
        codes[standing] = reason and reason.code.removeprefix("attestation.")
    assert codes == {
        Standing.CURRENT: None,
        Standing.RETIRED: "release_retired",
        Standing.SUPERSEDED: "release_superseded",
        Standing.REVOKED: "release_revoked",
    }


@given(st.lists(st.tuples(st.sampled_from([8, 9]), st.sampled_from([KERNEL, INITRD, LINE, SPLASH, "ee" * 32]))))
def test_a_boot_is_of_the_release_only_if_it_is_so_as_a_set(pairs):
    wanted = {(m.register, m.digest) for m in RELEASE.measurements if not m.optional}
    allowed = {(m.register, m.digest) for m in RELEASE.measurements}
    assert (sizes(events(*pairs), RELEASE) == [0]) == (wanted <= set(pairs) <= allowed)


DIGESTS = [KERNEL, INITRD, LINE, SPLASH, "ee" * 32, "ef" * 32]
PLACES = st.lists(st.tuples(st.sampled_from([4, 8, 9]), st.sampled_from(DIGESTS)), max_size=200)


@given(PLACES, PLACES, st.sampled_from([(8,), (8, 9), (4, 8, 9)]))
def test_every_event_is_counted_as_if_it_were_looked_at_alone(pairs, named, registers):
    release = statement(measurements=tuple(Measurement(register, digest, "x") for register, digest in named))
    found = gaps(events(*pairs), VALUES, policy(registers=registers), judged(release))
    spoken = {register for register, _ in named} & set(registers)
    assert bool(found) == bool(spoken)
    for gap in found:
        strange = [pair for pair in pairs if pair[0] in spoken and pair not in named]
        lacking = [pair for pair in named if pair[0] in spoken and pair not in pairs]
        assert (len(gap.unexpected) + gap.untold, len(gap.missing)) == (len(strange), len(lacking))
        if not gap.untold:
            assert [(event.register, event.digest) for event in gap.unexpected] == strange
