"""An audit as OSCAL assessment results: the structure that OSCAL 1.1 asks for, and what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from baseline_builders import findings
from document_builders import IMAGE, as_earlier, audit_of
from holdfast_core.baseline.document import Document, Target
from holdfast_core.baseline.oscal import oscal
from holdfast_core.baseline.waivers import Waiver

WAIVER = Waiver("NET-01", "The gateway does this for it.", "Ada", "2027-01-31")
UUID5 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9.\-_]*")
REQUIRED = {
    "assessment-results": {"uuid", "metadata", "import-ap", "results"},
    "metadata": {"title", "last-modified", "version", "oscal-version"},
    "results": {"uuid", "title", "description", "start", "reviewed-controls"},
    "observations": {"uuid", "description", "methods", "collected"},
    "findings": {"uuid", "title", "description", "target"},
    "target": {"type", "target-id", "status"},
    "risks": {"uuid", "title", "description", "statement", "status"},
    "components": {"uuid", "type", "title", "description", "status"},
    "relevant-evidence": {"description"},
    "mitigating-factors": {"uuid", "description"},
    "remediations": {"uuid", "lifecycle", "title", "description"},
    "props": {"name", "value"},
}
"""What OSCAL 1.1 requires of each object that is written here."""


def whole(made: Document) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(oscal(made)))
    return document


def result(made: Document) -> dict[str, Any]:
    (only,) = whole(made)["assessment-results"]["results"]
    return dict(only)


def objects(value: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object, with the name of the field it stands in."""
    if isinstance(value, dict):
        yield name, value
        for key, item in value.items():
            yield from objects(item, key)
    elif isinstance(value, list):
        assert value, f"{name} is empty, and OSCAL has no empty lists"
        for item in value:
            yield from objects(item, name)


DOCUMENTS = (
    audit_of(),
    audit_of(target=IMAGE, waivers=(WAIVER,), earlier=as_earlier(audit_of(findings(["FS-01"], ["FS-02"])))),
    audit_of(findings(), target=Target("x", "image", trouble="It is encrypted."), model=None),
)


def test_every_object_has_what_oscal_requires() -> None:
    for made in DOCUMENTS:
        for name, each in objects(whole(made)):
            assert REQUIRED.get(name, set()) <= each.keys(), name
            assert all(value != "" for value in each.values()), name


def test_identifiers_are_unique_and_every_reference_is_of_one() -> None:
    for made in DOCUMENTS:
        everything = list(objects(whole(made)))
        uuids = [each["uuid"] for _, each in everything if "uuid" in each]
        assert len(set(uuids)) == len(uuids)
        assert all(UUID5.fullmatch(uuid) for uuid in uuids)
        pointed = [v for _, each in everything for k, v in each.items() if k.endswith("-uuid")]
        assert set(pointed) <= set(uuids)
        assert whole(made)["assessment-results"]["import-ap"]["href"].removeprefix("#") in uuids
        names = [each["name"] for name, each in everything if name == "props"]
        assert all(TOKEN.fullmatch(name) for name in names)


def test_a_finding_carries_its_proof_and_what_it_maps_to() -> None:
    made = result(audit_of())
    (finding,) = (each for each in made["findings"] if each["target"]["target-id"] == "FS-01")
    assert finding["target"]["status"]["state"] == "not-satisfied"
    told = {(prop["name"], prop["value"]) for prop in finding["props"]}
    assert {("severity", "critical"), ("maps-to-etsi", "5.1-1"), ("maps-to-cra", "I.2.d")} <= told
    (observation,) = (each for each in made["observations"] if each["title"].startswith("FS-01"))
    assert [each["description"] for each in observation["relevant-evidence"]][1] == "/etc/shadow has mode 0666"


def test_undecided_is_not_satisfied_and_what_does_not_apply_is_no_finding() -> None:
    made = result(audit_of())
    states = {each["target"]["target-id"]: each["target"]["status"] for each in made["findings"]}
    assert (states["FS-05"]["state"], states["FS-05"]["reason"]) == ("not-satisfied", "other")
    assert states["FS-02"]["state"] == "satisfied"
    assert "FS-03" not in states
    (selection,) = made["reviewed-controls"]["control-selections"]
    assert selection["exclude-controls"] == [{"control-id": "FS-03"}]


def test_a_deviation_is_approved_until_its_deadline_and_everything_else_is_open() -> None:
    made = result(audit_of(waivers=(WAIVER,)))
    risks = {each["title"].removeprefix("Title of "): each for each in made["risks"]}
    assert {name: each["status"] for name, each in risks.items()} == {
        "FS-01": "open",
        "FS-04": "deviation-approved",
        "NET-01": "deviation-approved",
    }
    assert risks["NET-01"]["deadline"] == "2027-01-31T23:59:59Z"
    assert risks["FS-04"]["deadline"].startswith("2027-02-01T00:00")
