"""Somebody with the export, or with the server's store, tries to change history. Each attack beside its control."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from holdfast_core.record.report import Outcome, VerifyReport
from holdfast_core.record.verify import verify_export
from record_builders import KEY, LogKey, export, hash_text, leaves, rewritten, sealed

HISTORY = leaves(12)
FORGED = leaves(12, story="nothing to see here")


def verify(lines: list[bytes], pins: Sequence[str] = (), key: str | None = KEY.text) -> VerifyReport:
    return verify_export(iter(lines), pins=pins, trusted_key=key)


def codes(report: VerifyReport) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.fixture(autouse=True)
def control() -> None:
    """The same log, left alone, verifies with every pin; an attack below is found for no other reason."""
    report = verify(export(HISTORY), [sealed(HISTORY[:size]) for size in (0, 1, 5, 12)])
    assert (report.outcome, report.findings) == (Outcome.VERIFIED, ())
    assert (report.leaves, report.size, report.proven_prefix, report.pins_checked) == (12, 12, 12, 4)


def test_edited_leaf_is_named_and_the_name_is_proven() -> None:
    lines = export(HISTORY)
    lines[8] = rewritten(lines[8], leaf=FORGED[7].decode())
    report = verify(lines)
    assert report.outcome is Outcome.BROKEN
    assert codes(report) == ["record.leaf_edited"]
    assert (report.first_bad, report.first_bad_proven) == (7, True)


def test_edited_leaf_with_its_hash_edited_too_is_found_but_not_named() -> None:
    lines = export(HISTORY)
    lines[8] = rewritten(lines[8], leaf=FORGED[7].decode(), hash=hash_text(FORGED[7]))
    report = verify(lines)
    assert codes(report) == ["record.root_differs"]
    assert report.first_bad is None


def test_edited_leaf_with_its_hash_edited_too_is_narrowed_down_by_pins() -> None:
    lines = export(HISTORY)
    lines[8] = rewritten(lines[8], leaf=FORGED[7].decode(), hash=hash_text(FORGED[7]))
    around = [sealed(HISTORY[:7]), sealed(HISTORY[:8])]
    report = verify(lines, around)
    assert codes(report) == ["record.root_differs", "record.pin_differs"]
    assert (report.proven_prefix, report.first_bad, report.first_bad_proven) == (7, 7, True)


def test_two_edited_leaves_of_which_the_first_hides_its_hash_are_not_misnamed_as_proven() -> None:
    lines = export(HISTORY)
    lines[4] = rewritten(lines[4], leaf=FORGED[3].decode(), hash=hash_text(FORGED[3]))
    lines[8] = rewritten(lines[8], leaf=FORGED[7].decode())
    report = verify(lines)
    assert "record.leaf_edited" in codes(report)
    assert (report.first_bad, report.first_bad_proven) == (7, False)


def test_edited_hash_beside_a_good_leaf_is_told_from_an_edited_leaf() -> None:
    lines = export(HISTORY)
    lines[8] = rewritten(lines[8], hash=hash_text(FORGED[7]))
    report = verify(lines)
    assert codes(report) == ["export.hash_wrong"]
    assert report.first_bad == 7


def test_dropped_leaf_is_named() -> None:
    lines = export(HISTORY)
    del lines[6]
    report = verify(lines)
    assert codes(report) == ["record.leaf_missing"]
    assert (report.first_bad, report.first_bad_proven) == (5, False)
    assert verify(lines, [sealed(HISTORY[:5])]).first_bad_proven


def test_dropped_leaf_with_the_rest_renumbered_is_found() -> None:
    lines = export(HISTORY[:5] + HISTORY[6:], seal=sealed(HISTORY))
    assert codes(verify(lines)) == ["record.tail_missing"]
    report = verify(lines, [sealed(HISTORY[:5]), sealed(HISTORY[:6])])
    assert codes(report) == ["record.tail_missing", "record.pin_differs"]
    assert (report.proven_prefix, report.first_bad) == (5, 5)


def test_reordered_leaves_are_named() -> None:
    lines = export(HISTORY)
    lines[5], lines[6] = lines[6], lines[5]
    report = verify(lines)
    assert codes(report) == ["record.leaves_reordered"]
    assert report.first_bad == 4


def test_reordered_leaves_renumbered_and_rehashed_are_found() -> None:
    swapped = [*HISTORY[:4], HISTORY[5], HISTORY[4], *HISTORY[6:]]
    assert codes(verify(export(swapped, seal=sealed(HISTORY)))) == ["record.root_differs"]


def test_duplicated_leaf_is_named() -> None:
    lines = export(HISTORY)
    lines.insert(6, lines[5])
    report = verify(lines)
    assert codes(report) == ["record.leaf_repeated"]
    assert report.first_bad == 4


def test_duplicated_leaf_with_the_rest_renumbered_is_found() -> None:
    lines = export([*HISTORY[:5], HISTORY[4], *HISTORY[5:]], seal=sealed(HISTORY))
    assert codes(verify(lines)) == ["record.leaf_surplus", "record.root_differs"]


def test_tail_cut_off_the_export_file_is_found_without_a_pin() -> None:
    report = verify(export(HISTORY)[:-3])
    assert codes(report) == ["record.tail_missing"]
    assert report.first_bad == 9


def test_file_cut_in_the_middle_of_a_line_is_found() -> None:
    lines = export(HISTORY)[:-3]
    report = verify([*lines[:-1], lines[-1][:40]])
    assert codes(report) == ["export.line_invalid", "record.tail_missing"]
    assert report.first_bad == 8


def test_tail_cut_off_the_log_itself_passes_without_a_pin_and_is_found_with_one() -> None:
    """The key's holder truncates the store and signs what is left: only a checkpoint held elsewhere can tell."""
    lines = export(HISTORY[:9])
    assert verify(lines).outcome is Outcome.VERIFIED
    assert verify(lines, [sealed(HISTORY[:9])]).outcome is Outcome.VERIFIED
    report = verify(lines, [sealed(HISTORY)])
    assert codes(report) == ["record.tail_cut"]
    assert (report.first_bad, report.first_bad_proven) == (9, True)


def test_history_rewritten_by_the_key_holder_passes_without_a_pin_and_is_a_fork_with_one() -> None:
    lines = export([*HISTORY[:6], FORGED[6], *HISTORY[7:]])
    assert verify(lines).outcome is Outcome.VERIFIED
    assert verify(lines, [sealed(HISTORY[:6])]).outcome is Outcome.VERIFIED
    assert codes(verify(lines, [sealed(HISTORY)])) == ["record.fork"]
    report = verify(lines, [sealed(HISTORY[:6]), sealed(HISTORY[:7])])
    assert codes(report) == ["record.fork"]
    assert report.first_bad == 6


def test_tail_cut_and_grown_again_is_a_fork() -> None:
    lines = export(HISTORY[:9] + FORGED[9:])
    assert codes(verify(lines, [sealed(HISTORY[:11])])) == ["record.fork"]


def test_checkpoint_forged_with_another_key_is_refused() -> None:
    thief = LogKey("a thief")
    report = verify(export(FORGED, key=thief))
    assert codes(report) == ["export.key_differs", "note.unverified"]
    assert report.proven_prefix == 0


def test_checkpoint_forged_with_another_key_under_the_right_key_line_is_refused() -> None:
    lines = export(FORGED, seal=sealed(FORGED, LogKey("a thief")))
    assert codes(verify(lines)) == ["note.unverified"]


def test_checkpoint_forged_with_the_right_key_id_is_refused() -> None:
    lines = export(FORGED, seal=sealed(FORGED).split("\n\n")[0] + "\n\n" + sealed(HISTORY).split("\n\n")[1])
    assert codes(verify(lines)) == ["note.signature_wrong"]


def test_whole_export_forged_with_a_key_of_its_own_is_never_called_verified() -> None:
    report = verify(export(FORGED, key=LogKey("a thief")), key=None)
    assert report.outcome is Outcome.KEY_UNTRUSTED
    assert report.key_from_export
    assert not verify(export(HISTORY)).key_from_export


def test_whole_export_forged_with_a_key_of_its_own_meets_an_honest_pin() -> None:
    report = verify(export(FORGED, key=LogKey("a thief")), [sealed(HISTORY)], key=None)
    assert codes(report) == ["record.pin_unverified"]


def test_export_of_another_log_of_the_same_key_does_not_pass_for_this_one() -> None:
    lines = export(HISTORY, seal=sealed(HISTORY, origin="log.example/other"))
    assert codes(verify(lines)) == ["export.origin_differs"]
    assert codes(verify(export(HISTORY), [sealed(HISTORY, origin="log.example/other")])) == ["record.pin_other_log"]
