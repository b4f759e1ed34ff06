"""An audit as a page: what comes first, what is said, and that it stays small and quiet."""

from __future__ import annotations

import re

import msgspec
import pytest

from baseline_builders import catalogue, control, findings, model
from document_builders import BODY, FOLDER, IMAGE, OF, as_earlier, audit_of
from holdfast.baseline.html import AT_LENGTH, page, verdict
from holdfast.inventory import model_file
from holdfast_core.baseline.document import Document, Seen, Target
from holdfast_core.baseline.model import Finding, Outcome
from holdfast_core.baseline.waivers import Waiver
from holdfast_core.inventory.answers import integrity_answer
from holdfast_core.kernel.severity import Severity
from holdfast_probe.catalogue import shipped_catalogue

MAX_PAGE = 100 * 1024
WAIVER = Waiver("NET-01", "The gateway does this for it.", "Ada Holm", "2027-01-31")


def came_out(*outcomes: tuple[Outcome, Severity]) -> Document:
    of = catalogue(*(control(f"FS-{n:02}", severity) for n, (_, severity) in enumerate(outcomes)))
    body = (Finding(f"FS-{n:02}", outcome, reason="So it is.") for n, (outcome, _) in enumerate(outcomes))
    return audit_of(findings((), (), *body), of, model())


@pytest.mark.parametrize(
    ("document", "tone", "words"),
    [
        (came_out((Outcome.FAIL, Severity.CRITICAL)), "bad", "a door stands open"),
        (came_out((Outcome.FAIL, Severity.CRITICAL), (Outcome.FAIL, Severity.CRITICAL)), "bad", "2 doors stand open"),
        (came_out((Outcome.FAIL, Severity.HIGH), (Outcome.FAIL, Severity.LOW)), "bad", "1 finding would let"),
        (
            came_out((Outcome.FAIL, Severity.HIGH), (Outcome.UNKNOWN, Severity.CRITICAL)),
            "bad",
            "1 critical control could",
        ),
        (came_out((Outcome.UNKNOWN, Severity.CRITICAL), (Outcome.FAIL, Severity.LOW)), "blind", "cannot be ruled out"),
        (came_out((Outcome.FAIL, Severity.LOW)), "warn", "1 lesser finding"),
        (came_out((Outcome.PASS, Severity.LOW), (Outcome.UNKNOWN, Severity.LOW)), "good", "1 control could not be"),
        (came_out((Outcome.PASS, Severity.LOW)), "good", "everything was looked at"),
        (came_out((Outcome.UNKNOWN, Severity.LOW)), "blind", "Not one control"),
        (audit_of(target=Target("x", "image", trouble="It is encrypted.")), "blind", "Nothing of it could be"),
    ],
)
def test_the_verdict_is_one_sentence_and_never_kinder_than_the_audit(document: Document, tone: str, words: str) -> None:
    how, sentence = verdict(document)
    assert how == tone
    assert words in sentence
    text = page(document)
    assert sentence in text
    assert document.target.trouble in text


def test_the_worst_comes_first_with_all_that_is_known_of_it() -> None:
    text = page(audit_of(waivers=(WAIVER,)))
    first = text.index('id="FS-01"')
    assert first < text.index('id="undecided"')
    finding = text[first : text.index("</article>")]
    for told in ("Fault of FS-01.", "/etc/shadow has mode 0666", "Rationale of FS-01.", "Remedy of FS-01.", "Undo of"):
        assert told in finding
    assert "EN 303 645 5.1-1" in finding
    assert "<b>Ada Holm</b> answers for it until <b>2027-01-31</b>" in text


def test_everything_that_was_given_is_on_the_page() -> None:
    lamp = model()
    made = audit_of(
        BODY,
        OF,
        lamp,
        target=IMAGE,
        answers=(integrity_answer(lamp),),
        waivers=(WAIVER, Waiver("FS-02", "It was fixed long ago.", "Ben", "2027-01-31")),
        earlier=as_earlier(audit_of(findings(["FS-01"], ["FS-02", "FS-04"]), target=FOLDER)),
    )
    text = page(made)
    for told in ("Two questions first", "Can it prove its integrity?", "jffs2", "not understood", "4,096", "idle"):
        assert told in text
    assert "The earlier audit looked at /srv/root." in text
    assert re.search(r"<b>2</b> new", text)
    assert "--waivers WAIVERS.yaml --compare EARLIER.json" in text
    bare = page(audit_of(model=None))
    assert "Two questions" not in bare
    assert "--class linux-iot" in bare


def test_what_is_typed_as_it_stands_is_not_broken_at_its_hyphen() -> None:
    remedy = msgspec.structs.replace(OF.controls[0].remedy, steps=("Run chmod o-w on the file.",))
    of = catalogue(control("FS-01", Severity.HIGH, remedy=remedy))
    text = page(audit_of(findings((), ["FS-01"]), of, model()))
    assert 'Run chmod <span class="nb">o-w</span> on the file.' in text


def test_parts_that_only_repeat_are_told_once() -> None:
    part = Seen("lzma at 0x10", "lzma", 16, 18, understood=False, sentence="It is damaged.")
    parts = (
        *(msgspec.structs.replace(part, offset=at) for at in range(40)),
        Seen("kernel", "kernel", 90, 5, understood=True),
    )
    made = audit_of(target=Target("camera.bin", "image", parts))
    assert [each.more for each in made.target.in_short()] == [39, 0]
    assert page(made).count("It is damaged.") == 1
    assert "and 39 more like it" in page(made)


def test_of_what_passed_it_is_told_what_was_seen() -> None:
    made = audit_of(findings((), (), Finding("FS-02", Outcome.PASS, ("/etc/shadow has mode 0640", "/b"))))
    assert "Seen: /etc/shadow has mode 0640, and 1 more" in page(made)


def test_the_page_asks_nobody_for_anything() -> None:
    text = page(audit_of(target=IMAGE))
    assert not re.search(r"<script|<img|<link|<iframe|url\(|@import|https?://", text)
    assert "default-src 'none'" in text


def test_the_ring_is_as_long_as_what_was_asked() -> None:
    arcs = [tuple(map(float, arc)) for arc in re.findall(r'stroke-dasharray="([0-9.]+) ([0-9.]+)"', page(audit_of()))]
    around = arcs[0][0] + arcs[0][1]
    assert sum(length for length, _ in arcs) == pytest.approx(around * 5 / 6, abs=0.1)


@pytest.mark.parametrize("name", model_file.EXAMPLES)
def test_a_page_of_the_shipped_catalogue_stays_small(name: str) -> None:
    controls = shipped_catalogue().controls
    proof = ("/usr/lib/some/where/program has mode 4755, wanted 0755", "/etc/init.d/something starts it")
    body = findings(
        [each.id for each in controls[1::3]],
        (),
        *(Finding(each.id, Outcome.FAIL, proof) for each in controls[::3]),
        *(Finding(each.id, Outcome.UNKNOWN, (), "Nothing here says what starts.") for each in controls[2::3]),
    )
    device = model_file.load(model_file.example_bytes(name))
    if device.device_class.value == "mcu":
        made = audit_of(findings(), shipped_catalogue(), device)
    else:
        made = audit_of(body, shipped_catalogue(), device)
        assert made.counts["fail"] > 10
    assert len(page(made).encode()) <= MAX_PAGE


def test_beyond_the_first_findings_each_is_told_shortly_and_none_is_left_out() -> None:
    made = came_out(*[(Outcome.FAIL, Severity.LOW)] * (AT_LENGTH + 5))
    text = page(made)
    assert text.count("<article") == AT_LENGTH
    assert text.count('<tr class="brief"') == 5
    for entry in made.judged:
        assert text.count(f'id="{entry.control}"') == 1
        assert f"Rationale of {entry.control}." in text
        assert f"Remedy of {entry.control}." in text


def test_a_stand_in_that_broke_is_told_before_the_steps() -> None:
    made = audit_of(findings((), ["FS-02", "FS-04"]))
    assert "<p>Make FS-02 pass.</p>" in page(made)
