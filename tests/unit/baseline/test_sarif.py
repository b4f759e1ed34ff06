"""A report as SARIF 2.1.0."""

from __future__ import annotations

import json
from typing import Any

from baseline_builders import NOW, catalogue, control, findings, model
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.rules import judge
from holdfast_core.baseline.sarif import sarif
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.model import Compensation
from holdfast_core.kernel.severity import Severity

OF = catalogue(
    control("FS-01", Severity.CRITICAL),
    control("FS-02", Severity.LOW),
    control("FS-03"),
    control("FS-04"),
    control("FS-05", Severity.MEDIUM),
)
SIGNED = Compensation("FS-04", ("FS-02",), "The vendor is slow", "Ada", "2027-01-31")
BODY = findings(
    ["FS-02"],
    ["FS-04"],
    Finding("FS-01", Outcome.FAIL, ("/etc/a b%:12: open", "/etc/shadow has mode 0666", "no path at all")),
    Finding("FS-03", Outcome.NOT_APPLICABLE, reason="There is none."),
)


def run(root_uri: str = "file:///srv/root") -> dict[str, Any]:
    report = judge(tailor(OF, model(compensations=(SIGNED,)), NOW), BODY, OF, NOW)
    log = json.loads(json.dumps(sarif(report, OF, root_uri=root_uri)))
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    made: dict[str, Any] = log["runs"][0]
    return made


def results() -> dict[str, dict[str, Any]]:
    return {result["ruleId"]: result for result in run()["results"]}


def test_every_control_is_a_result_of_its_kind() -> None:
    assert {name: (result["kind"], result["level"]) for name, result in results().items()} == {
        "FS-01": ("fail", "error"),
        "FS-02": ("pass", "none"),
        "FS-03": ("notApplicable", "none"),
        "FS-04": ("fail", "error"),
        "FS-05": ("open", "none"),
    }


def test_results_point_at_their_rules() -> None:
    made = run()
    rules = made["tool"]["driver"]["rules"]
    for result in made["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert rules[0]["properties"]["security-severity"] == "9.5"
    assert rules[0]["help"]["text"] == "Remedy of FS-01."


def test_what_is_compensated_is_a_suppressed_failure_and_nothing_else_is() -> None:
    made = results()
    assert [name for name, result in made.items() if "suppressions" in result] == ["FS-04"]
    (suppression,) = made["FS-04"]["suppressions"]
    assert suppression["status"] == "accepted"
    assert "Ada answers for it" in suppression["justification"]


def test_proof_that_names_a_path_becomes_a_location_below_the_root() -> None:
    made = results()
    places = [place["physicalLocation"]["artifactLocation"] for place in made["FS-01"]["locations"]]
    assert places == [{"uri": "etc/a", "uriBaseId": "ROOT"}, {"uri": "etc/shadow", "uriBaseId": "ROOT"}]
    assert made["FS-05"]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "."


def test_paths_are_percent_encoded() -> None:
    report = judge(tailor(OF, model(), NOW), findings((), (), Finding("FS-01", Outcome.FAIL, ("/srv/ü%#?",))), OF, NOW)
    place = sarif(report, OF, root_uri="file:///")["runs"][0]["results"][0]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "srv/%C3%BC%25%23%3F"


def test_the_root_is_a_folder() -> None:
    assert run()["originalUriBaseIds"] == {"ROOT": {"uri": "file:///srv/root/"}}
    assert run("file:///srv/root/")["originalUriBaseIds"] == {"ROOT": {"uri": "file:///srv/root/"}}


def test_coverage_is_told() -> None:
    assert run()["properties"] == {"asked": 5, "decided": 4, "coverage": 0.8}


def test_the_same_finding_has_the_same_fingerprint_and_another_has_another() -> None:
    first, second = results(), results()
    assert first["FS-01"]["partialFingerprints"] == second["FS-01"]["partialFingerprints"]
    assert first["FS-01"]["partialFingerprints"] != first["FS-04"]["partialFingerprints"]
