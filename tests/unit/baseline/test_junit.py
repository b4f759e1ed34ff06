"""An audit as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from baseline_builders import findings
from document_builders import IMAGE, as_earlier, audit_of
from holdfast_core.baseline.document import Document
from holdfast_core.baseline.junit import junit
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.waivers import Waiver
from holdfast_core.kernel.severity import Severity


def read(made: Document) -> ET.Element:
    return ET.fromstring(junit(made))  # noqa: S314  (our own document)


def cases(made: Document) -> dict[str, ET.Element]:
    return {(case.get("name") or "").split(" ")[0]: case for case in read(made).iter("testcase")}


def outcome(case: ET.Element) -> tuple[str, str]:
    child = next((child for child in case if child.tag != "system-out"), None)
    return ("pass", "") if child is None else (child.tag, child.get("message") or "")


def test_every_control_is_a_test_case_in_the_suite_of_its_group() -> None:
    root = read(audit_of())
    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [("FS", "5"), ("NET", "1")]
    assert {name: outcome(case)[0] for name, case in cases(audit_of()).items()} == {
        "FS-01": "failure",
        "FS-02": "pass",
        "FS-03": "skipped",
        "FS-04": "skipped",
        "FS-05": "error",
        "NET-01": "failure",
    }
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("6", "2", "1", "2")


def test_a_failure_tells_what_was_seen_why_it_matters_and_what_to_do() -> None:
    failure = cases(audit_of())["FS-01"].find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("critical", "Fault of FS-01.")
    assert (failure.text or "").splitlines() == [
        "severity: critical",
        "seen: /etc/a b%:12: open",
        "seen: /etc/shadow has mode 0666",
        "seen: no path at all",
        "why: Asked of every Linux IoT device. Rationale of FS-01.",
        "fix: Remedy of FS-01.",
    ]


def test_what_is_waived_is_skipped_with_who_answers_for_it() -> None:
    waiver = Waiver("NET-01", "The gateway does this for it.", "Ada", "2027-01-31")
    tag, message = outcome(cases(audit_of(waivers=(waiver,)))["NET-01"])
    assert tag == "skipped"
    assert message.startswith("Waived until 2027-01-31 by Ada: The gateway does this for it. Found: ")


def test_the_output_tells_coverage_and_what_was_not_understood() -> None:
    told = read(audit_of(target=IMAGE)).findtext("testsuite/system-out") or ""
    assert "coverage 83%: 5 of 6 controls were decided" in told
    assert "not understood: data (jffs2). It cannot be read here." in told


def test_a_comparison_is_told_with_the_finding() -> None:
    failure = cases(audit_of(earlier=as_earlier(audit_of())))["FS-01"].find("failure")
    assert failure is not None
    assert "change: unchanged since the earlier audit" in (failure.text or "")


def test_a_failure_below_what_is_to_fail_the_run_is_skipped_and_still_told() -> None:
    made = audit_of()
    root = ET.fromstring(junit(made, fail_on=Severity.CRITICAL))  # noqa: S314  (our own document)
    assert (root.get("failures"), root.get("skipped")) == ("1", "3")
    below = next(case for case in root.iter("testcase") if (case.get("name") or "").startswith("NET-01"))
    assert outcome(below) == ("skipped", "below --fail-on critical: Fault of NET-01.")
    assert "seen: net.ipv4.ip_forward = 1" in (below.findtext("skipped") or "")


def test_of_what_passed_it_is_told_what_was_seen() -> None:
    made = audit_of(findings((), (), Finding("FS-01", Outcome.PASS, ("/etc/shadow has mode 0640",))))
    assert cases(made)["FS-01"].findtext("system-out") == "seen: /etc/shadow has mode 0640"
