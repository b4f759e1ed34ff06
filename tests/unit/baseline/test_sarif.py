"""An audit as SARIF 2.1.0."""

from __future__ import annotations

import json
from typing import Any

from baseline_builders import findings
from document_builders import BODY, FOLDER, IMAGE, as_earlier, audit_of
from holdfast_core.baseline.document import Document
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.sarif import sarif
from holdfast_core.baseline.waivers import Waiver

WAIVER = Waiver("NET-01", "The gateway does this for it.", "Ada", "2027-01-31")


def run(made: Document | None = None, root_uri: str = "file:///srv/root") -> dict[str, Any]:
    log = json.loads(json.dumps(sarif(made or audit_of(), root_uri=root_uri)))
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    run: dict[str, Any] = log["runs"][0]
    return run


def results(made: Document | None = None) -> dict[str, dict[str, Any]]:
    return {result["ruleId"]: result for result in run(made)["results"]}


def test_only_what_somebody_has_to_act_on_is_a_result() -> None:
    assert {name: (result["kind"], result["level"]) for name, result in results().items()} == {
        "FS-01": ("fail", "error"),
        "FS-04": ("fail", "error"),
        "NET-01": ("fail", "error"),
    }
    assert len(run()["tool"]["driver"]["rules"]) == 6


def test_what_is_grave_and_undecided_is_an_open_result() -> None:
    made = results(audit_of(findings(["FS-02"], [])))
    assert {name: (result["kind"], result["level"]) for name, result in made.items()} == {
        "FS-01": ("open", "none"),
        "FS-03": ("open", "none"),
        "FS-04": ("fail", "error"),
        "NET-01": ("open", "none"),
    }


def test_results_point_at_their_rules() -> None:
    made = run()
    rules = made["tool"]["driver"]["rules"]
    for result in made["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert rules[0]["properties"]["security-severity"] == "9.5"
    assert rules[0]["properties"]["mappings"] == {"etsi": ["5.1-1"], "cra": ["I.2.d"]}
    assert rules[0]["help"]["text"] == "Remedy of FS-01."


def test_what_is_compensated_or_waived_is_a_suppressed_failure_and_nothing_else_is() -> None:
    made = results(audit_of(waivers=(WAIVER,)))
    assert [name for name, result in made.items() if "suppressions" in result] == ["FS-04", "NET-01"]
    (terms,) = made["FS-04"]["suppressions"]
    assert terms["status"] == "accepted"
    assert "Ada answers for it" in terms["justification"]
    (waived,) = made["NET-01"]["suppressions"]
    assert waived["justification"] == "The gateway does this for it. Ada answers for it until 2027-01-31."


def test_proof_that_names_a_path_becomes_a_location_below_the_root() -> None:
    made = results()
    places = [place["physicalLocation"]["artifactLocation"] for place in made["FS-01"]["locations"]]
    assert places == [{"uri": "etc/a", "uriBaseId": "ROOT"}, {"uri": "etc/shadow", "uriBaseId": "ROOT"}]
    assert made["NET-01"]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "."


def test_a_path_within_the_proof_is_a_location_with_the_line_that_the_proof_has() -> None:
    proof = ("telnet is started by /etc/inetd.conf", "/etc/passwd:12: root", "it is on ('/etc/x.conf:3', by default)")
    made = results(audit_of(findings((), (), Finding("FS-01", Outcome.FAIL, proof))))
    places = [place["physicalLocation"] for place in made["FS-01"]["locations"]]
    assert [(place["artifactLocation"]["uri"], place.get("region")) for place in places] == [
        ("etc/inetd.conf", None),
        ("etc/passwd", {"startLine": 12}),
        ("etc/x.conf", {"startLine": 3}),
    ]


def test_paths_are_percent_encoded() -> None:
    made = audit_of(findings((), (), Finding("FS-01", Outcome.FAIL, ("/srv/ü%#?",))))
    place = results(made)["FS-01"]["locations"][0]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "srv/%C3%BC%25%23%3F"


def test_the_root_is_a_folder() -> None:
    assert run()["originalUriBaseIds"] == {"ROOT": {"uri": "file:///srv/root/"}}
    assert run(root_uri="file:///srv/root/")["originalUriBaseIds"] == {"ROOT": {"uri": "file:///srv/root/"}}


def test_coverage_is_told() -> None:
    assert run()["properties"] == {
        "asked": 6,
        "decided": 5,
        "coverage": 0.8333,
        "counts": {"pass": 1, "fail": 2, "not_applicable": 1, "unknown": 1, "compensated": 1, "waived": 0},
        "class": "linux-iot",
        "model": "lamp@1",
    }


def test_the_same_finding_has_the_same_fingerprint_and_another_has_another() -> None:
    first, second = results(), results()
    assert first["FS-01"]["partialFingerprints"] == second["FS-01"]["partialFingerprints"]
    assert first["FS-01"]["partialFingerprints"] != first["FS-04"]["partialFingerprints"]


def test_against_an_earlier_audit_every_result_has_a_state_and_what_was_fixed_is_no_failure() -> None:
    before = audit_of(findings(["FS-03"], ["FS-02", "FS-04"], *BODY.findings[2:3]))
    made = results(audit_of(earlier=as_earlier(before)))
    assert {name: result["baselineState"] for name, result in made.items()} == {
        "FS-01": "unchanged",
        "FS-04": "updated",
        "NET-01": "new",
    }
    changes = run(audit_of(earlier=as_earlier(before)))["properties"]["changes"]
    assert {name: count for name, count in changes.items() if count} == {
        "new": 1, "unchanged": 1, "excused": 1, "fixed": 1,
    }  # fmt: skip
    assert not any("baselineState" in result for result in results().values())


def test_what_was_lost_sight_of_stays_a_result_however_small_it_is() -> None:
    before = audit_of(findings((), ["FS-02"]))
    made = results(audit_of(findings(), earlier=as_earlier(before)))
    assert (made["FS-02"]["kind"], made["FS-02"]["properties"]["change"]) == ("open", "lost")


def test_what_was_not_understood_is_a_notification() -> None:
    (told,) = run(audit_of(target=IMAGE))["invocations"]
    assert told["executionSuccessful"]
    (note,) = told["toolExecutionNotifications"]
    assert note["message"]["text"] == "data (jffs2) was not understood. It cannot be read here."
    assert run(audit_of(target=FOLDER))["invocations"][0]["toolExecutionNotifications"] == []
