"""The two questions at the head of an audit."""

from __future__ import annotations

from baseline_builders import NOW, catalogue, control, findings, model
from holdfast_core.baseline.questions import answers_in
from holdfast_core.baseline.rules import judge
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.answers import Answer
from holdfast_core.inventory.model import Compensation
from holdfast_core.kernel.severity import Severity

OF = catalogue(
    control("BOOT-03", Severity.HIGH), control("NET-01", Severity.HIGH), control("UPD-01"), control("SVC-03")
)
PUMP = model(
    compensations=(
        Compensation("BOOT-03", ("NET-01",), "The vendor never will.", "Ada", "2027-01-31"),
        Compensation("UPD-01", ("SVC-03",), "The vendor is slow.", "Ada", "2027-01-31"),
    )
)


def answered(passed: list[str], failed: list[str]) -> tuple[Answer, ...]:
    report = judge(tailor(OF, PUMP, NOW), findings(passed, failed), OF, NOW)
    return answers_in(report, PUMP, NOW)


def test_what_stands_in_counts_while_the_report_bears_it_out() -> None:
    integrity, _ = answered(["NET-01", "SVC-03"], ["BOOT-03", "UPD-01"])
    assert [each.what for each in integrity.stands_in] == ["NET-01 for BOOT-03"]


def test_a_stand_in_that_fails_in_the_same_report_is_no_answer() -> None:
    integrity, _ = answered(["SVC-03"], ["BOOT-03", "NET-01", "UPD-01"])
    assert integrity.stands_in == ()
    assert "In its stead" not in integrity.sentence
    assert integrity.sentence.endswith("does not hold in this audit: NET-01 for BOOT-03.")


def test_a_stand_in_that_is_not_needed_is_not_called_broken() -> None:
    integrity, _ = answered(["BOOT-03"], ["NET-01"])
    assert "does not hold" not in integrity.sentence


def test_it_is_told_as_what_the_model_file_says() -> None:
    for answer in answered([], ["BOOT-03"]):
        assert answer.sentence.startswith("By its model file: ")
