"""The document of an audit, and what every view of it has in common."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseline_builders import catalogue, control, findings, model
from document_builders import ATTACK, BODY, FOLDER, IMAGE, OF, as_earlier, audit_of
from holdfast.baseline.html import page
from holdfast_core.baseline.document import Document, Target, schema
from holdfast_core.baseline.junit import junit
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.oscal import oscal
from holdfast_core.baseline.sarif import sarif
from holdfast_core.baseline.waivers import Waiver
from holdfast_core.kernel.severity import Severity

WAIVER = Waiver("NET-01", "The gateway does this for it.", "Ada", "2027-01-31")
WHATEVER = Waiver("FS-00", "It is excused for now.", "Ada", "2026-12-31")
OUTCOMES = (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE)


def test_it_is_what_its_schema_says(checkout: Path) -> None:
    made = audit_of(target=IMAGE, waivers=(WAIVER,), earlier=as_earlier(audit_of()))
    plain = json.loads(msgspec.json.encode(made))
    jsonschema.Draft202012Validator(schema()).validate(plain)
    assert plain["format"] == 1
    told = json.loads((checkout / "docs" / "reference" / "audit.schema.json").read_text())
    assert told == json.loads(msgspec.json.encode(schema())), "run tools/audit_schema.py"


def test_it_is_read_back_whole() -> None:
    made = audit_of(target=IMAGE, waivers=(WAIVER,), earlier=as_earlier(audit_of()))
    assert msgspec.json.decode(msgspec.json.encode(made), type=Document) == made


def test_whatever_is_not_printable_is_escaped_everywhere() -> None:
    made = audit_of(
        findings((), (), Finding("FS-01", Outcome.FAIL, (ATTACK,)), Finding("FS-02", Outcome.UNKNOWN, (), ATTACK)),
        target=Target(ATTACK, "folder", trouble=ATTACK),
        waivers=(Waiver("FS-01", ATTACK, ATTACK, "2026-12-31"),),
        model=ATTACK,
    )
    assert all(text.isprintable() for text in _texts(json.loads(msgspec.json.encode(made))))
    assert made.target.name.isprintable()
    assert "<script>" in made.target.name


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in (*value, *value.values()):
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


Counts = Counter[str]


def _in_sarif(made: Document) -> Counts:
    run = sarif(made, root_uri="file:///")["runs"][0]
    assert run["properties"]["counts"] == made.counts
    return Counter("excused" if "suppressions" in r else r["kind"] for r in run["results"])


def _in_junit(made: Document) -> Counts:
    root = ET.fromstring(junit(made))  # noqa: S314  (our own document)
    counts: Counts = Counter()
    for case in root.iter("testcase"):
        tag = next((child.tag for child in case if child.tag != "system-out"), "pass")
        counts[{"failure": "fail", "error": "unknown", "skipped": "skipped"}.get(tag, tag)] += 1
    assert int(root.get("tests", "")) == counts.total()
    assert int(root.get("failures", "")) == counts["fail"]
    assert int(root.get("errors", "")) == counts["unknown"]
    assert int(root.get("skipped", "")) == counts["skipped"]
    return counts


def _in_oscal(made: Document) -> Counts:
    (result,) = oscal(made)["assessment-results"]["results"]
    outcomes = Counter(o["props"][0]["value"] for o in result["observations"])
    assert len(result.get("findings", ())) == outcomes.total() - outcomes["not_applicable"]
    assert len(result.get("risks", ())) == outcomes["fail"] + outcomes["compensated"]
    outcomes["waived"] = sum(r["status"] == "deviation-approved" for r in result.get("risks", ()))
    return outcomes


def _in_html(made: Document) -> Counts:
    text = page(made)
    return Counter(
        fail=len(re.findall(r'<article class="card find|<tr class="brief"', text)),
        unknown=len(re.findall(r'<tr class="blind"', text)),
    )


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=40), st.sampled_from(((), (WHATEVER,))))
@settings(max_examples=40, deadline=None)
def test_every_format_tells_the_same_findings(outcomes: list[Outcome], waivers: tuple[Waiver, ...]) -> None:
    of = catalogue(*(control(f"FS-{number:02}", Severity.MEDIUM) for number in range(len(outcomes))))
    body = findings((), (), *(Finding(f"FS-{n:02}", each, (), "Because.") for n, each in enumerate(outcomes)))
    made = audit_of(body, of, model(), waivers=waivers)
    told = Counter(made.counts)
    assert told.total() == len(outcomes)
    assert _in_sarif(made) == Counter({"fail": told["fail"], "excused": told["waived"]})
    assert _in_junit(made) == Counter(
        {
            "pass": told["pass"],
            "fail": told["fail"],
            "unknown": told["unknown"],
            "skipped": told["not_applicable"] + told["waived"],
        }
    )
    oscal_told = _in_oscal(made)
    assert (oscal_told["fail"], oscal_told["waived"]) == (told["fail"] + told["waived"], told["waived"])
    assert (oscal_told["unknown"], oscal_told["pass"]) == (told["unknown"], told["pass"])
    assert _in_html(made) == Counter(fail=told["fail"], unknown=told["unknown"])


class _Tags(HTMLParser):
    """Every element of a page, with its attributes, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [f"{name}={value}" for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _hostile(text: str) -> Document:
    return audit_of(
        findings((), (), Finding("FS-01", Outcome.FAIL, (text,)), Finding("FS-02", Outcome.UNKNOWN, (), text)),
        target=Target(text, "folder", IMAGE.parts),
        waivers=(Waiver("FS-01", text, text, "2026-01-01"), Waiver("NET-01", text, text, "2026-12-31", (text,))),
        model=text,
        earlier=as_earlier(audit_of(findings((), ["FS-02"], Finding("FS-01", Outcome.FAIL, ("/other",))))),
    )


def _elements(made: Document) -> _Tags:
    parser = _Tags()
    parser.feed(page(made))
    parser.close()
    return parser


@given(st.one_of(st.just(ATTACK), st.text(min_size=12, max_size=60)))
@settings(max_examples=30, deadline=None)
def test_a_hostile_name_is_only_ever_text(text: str) -> None:
    made = _hostile(text)
    plain = _hostile("an ordinary name")
    hostile, ordinary = _elements(made), _elements(plain)
    assert hostile.tags == ordinary.tags
    assert [a.partition("=")[0] for a in hostile.attributes] == [a.partition("=")[0] for a in ordinary.attributes]
    assert made.judged[0].proof[0] in "".join(hostile.text)
    root = ET.fromstring(junit(made))  # noqa: S314  (our own document)
    assert [e.tag for e in root.iter()] == [e.tag for e in ET.fromstring(junit(plain)).iter()]  # noqa: S314  (same)
    assert any(made.judged[0].proof[0] in (failure.text or "") for failure in root.iter("failure"))
    for view in (sarif(made, root_uri="file:///"), oscal(made)):
        assert json.loads(msgspec.json.encode(view))


def test_markdown_in_a_proof_is_escaped_for_those_who_read_markdown() -> None:
    made = audit_of(findings((), (), Finding("FS-01", Outcome.FAIL, ("/a/![x](http://evil) <b>`rm`",))))
    (observation, *_) = oscal(made)["assessment-results"]["results"][0]["observations"]
    (evidence,) = observation["relevant-evidence"]
    assert evidence["description"] == r"/a/\!\[x\](http://evil) \<b\>\`rm\`"


@pytest.mark.parametrize("target", [FOLDER, IMAGE])
def test_what_an_image_holds_and_was_not_understood_is_in_every_format(target: Target) -> None:
    made = audit_of(BODY, OF, target=target)
    views = (
        msgspec.json.encode(made).decode(),
        json.dumps(sarif(made, root_uri="file:///")),
        junit(made).decode(),
        json.dumps(oscal(made)),
        page(made),
    )
    assert {"jffs2" in view for view in views} == {target is IMAGE}


def test_the_same_audit_gives_the_same_documents() -> None:
    first, second = audit_of(), audit_of()
    assert page(first) == page(second)
    assert junit(first) == junit(second)
    assert oscal(first) == oscal(second)
    later = msgspec.structs.replace(first, at="2027-01-01T00:00:00.000Z")
    told = json.dumps(oscal(later)).replace(later.at, first.at)
    assert told == json.dumps(oscal(first))
