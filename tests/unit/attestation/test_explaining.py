"""In words: how a boot differs from what releases say, and what changed between two."""

from __future__ import annotations

from attest_builders import judged, policy, statement
from holdfast_core.attestation.comparison import UNEXPECTED, Measured, gaps
from holdfast_core.attestation.explaining import diff, explain
from holdfast_core.attestation.reference import Golden, Measurement, Standing

NEW, OLD = statement("2.0.0"), statement("1.0.0")
BOTH = (*judged(NEW), *judged(OLD, standing=Standing.RETIRED))


def booted(*measurements, register=None):
    return [
        Measured(number, m.register if register is None else register, m.digest, m.what)
        for number, m in enumerate(measurements)
    ]


def explained(events, judged=BOTH, values=None):
    return explain(gaps(events, values or {}, policy(), judged), judged)


def test_where_no_release_speaks_of_the_registers_that_is_said():
    told = explained([], ())
    assert (told.release, told.differences) == ("", ())
    assert told.summary.startswith("No release says anything")


def test_a_boot_of_a_release_is_told_with_what_that_is_worth():
    assert explained(booted(*NEW.measurements)).summary == "The device booted gateway:2.0.0, which is current."
    told = explained(booted(*OLD.measurements))
    assert (told.release, told.standing, told.differences) == ("gateway:1.0.0", "retired", ())
    assert told.summary.endswith("which is retired.")


def test_what_is_of_another_release_is_told_as_that():
    """All of the new one but its kernel, which is the old one's."""
    kernel = next(m for m in OLD.measurements if m.what == "kernel")
    mixture = [m if m.what != "kernel" else kernel for m in NEW.measurements]
    told = explained(booted(*mixture))
    assert "Nearest is gateway:2.0.0 (current): 2 differences in register 9." in told.summary
    unexpected, missing = told.differences
    assert unexpected.known_as == ("kernel of gateway:1.0.0 (retired)",)
    assert "It is kernel of gateway:1.0.0 (retired), not of gateway:2.0.0." in unexpected.sentence
    assert (missing.event, missing.known_as) == (None, ())
    assert "was not measured into register 9" in missing.sentence


def test_what_no_release_names_is_told_by_its_digest_and_the_logs_word_as_its_word():
    strange = Measured(7, 9, "ee" * 32, "a good kernel")
    told = explained([*booted(*NEW.measurements), strange])
    (difference,) = told.differences
    assert "1 difference in" in told.summary
    assert "which the log calls 'a good kernel'" in difference.sentence
    assert "with eeeeeeeeeeeeeeee…, which no release here names" in difference.sentence
    assert (difference.event, difference.register, difference.digest) == (7, 9, "ee" * 32)
    (silent,) = explained([*booted(*NEW.measurements), Measured(7, 9, "ee" * 32, "")]).differences
    assert "calls" not in silent.sentence


def test_of_a_long_log_it_is_said_how_much_is_not_told():
    told = explained([*booted(*NEW.measurements), *(Measured(n, 9, f"{n:064x}", "") for n in range(100, 300))])
    assert len(told.differences) == UNEXPECTED
    assert f"200 differences, of which {UNEXPECTED} are told in register 9." in told.summary


def test_a_whole_register_that_differs_is_told_as_far_as_it_can_be():
    golden = judged(statement(measurements=(), golden=(Golden(9, "22" * 32),)))
    (difference,) = explained(None, golden, {9: bytes(32)}).differences
    assert (difference.register, difference.digest) == (9, "22" * 32)
    assert "Without an event log nobody can say why." in difference.sentence


def test_what_changed_between_releases_is_in_order():
    before = (Measurement(9, "aa" * 32, "kernel"), Measurement(4, "bb" * 32, "shim"))
    after = (Measurement(9, "cc" * 32, "kernel"), Measurement(4, "bb" * 32, "shim"), Measurement(8, "dd" * 32, "line"))
    assert [(sign, each.register, each.digest[:2]) for sign, each in diff(before, after)] == [
        ("+", 8, "dd"),
        ("-", 9, "aa"),
        ("+", 9, "cc"),
    ]
    assert diff(before, before) == ()
