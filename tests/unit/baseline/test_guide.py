"""The hardening guide: what it tells for every example, and that a model file cannot act through it."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import msgspec
import pytest

from holdfast.baseline.guide import guide_of, plain, render
from holdfast.inventory import model_file
from holdfast_core.baseline.model import Demand
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.kernel.instants import DAY, Instant, parse_rfc3339
from holdfast_probe.catalogue import shipped_catalogue

NOW = parse_rfc3339("2026-11-21T10:00:00Z")
MODELS = model_file.load_examples()
HOSTILE = "<script>alert(1)</script>\n# [x](javascript:x) | ](x) \x1b[2J\u202e"


def told(model: DeviceModel, kind: str = "html", now: Instant = NOW) -> str:
    return render(guide_of(model, shipped_catalogue(), now), kind)  # type: ignore[arg-type]  # one of two words


@pytest.mark.parametrize("kind", ["md", "html"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_example_has_a_whole_guide(name: str, kind: str) -> None:
    model = MODELS[name]
    text = html.unescape(told(model, kind)).replace("\\", "")
    lines = {line.control: line for line in tailor(shipped_catalogue(), model, NOW).lines}
    for entry in model.compensations:
        if lines[entry.control].demand is not Demand.COMPENSATED:
            continue  # signed for something that is not asked after all
        assert entry.control in text
        assert entry.expires in text
        assert entry.owner in text
    for flow in model.flows:
        assert f"{flow.transport.value} {flow.port}" in text
        assert flow.reason in text
    for line in lines.values():
        if line.demand in {Demand.FORBIDDEN, Demand.REQUIRED}:
            assert line.title in text
        if line.demand is Demand.FORBIDDEN:
            assert line.reason in text
    assert model.essential_function.name in text
    assert "Can it prove its integrity?" in text
    assert "Can it be updated safely" in text
    assert model.supplier.security_contact in text
    assert len(text.encode()) < 200_000


def test_the_same_model_gives_the_same_guide_until_a_date_passes() -> None:
    model = MODELS["door-camera"]
    assert told(model) == told(model)
    ended = told(model, "md", Instant(NOW + 2000 * DAY))
    assert "ended its security support" in ended
    assert "2028-06-30" not in ended.partition("What it cannot")[2], "a compensation that lapsed stands in for nothing"


def test_a_support_that_ends_soon_is_said() -> None:
    soon = parse_rfc3339("2030-11-30T00:00:00Z")
    assert "and no longer. Plan what comes after" in told(MODELS["door-camera"], "md", soon)


@pytest.mark.parametrize("kind", ["md", "html"])
def test_what_is_not_declared_is_not_made_up(kind: str) -> None:
    replace, model = msgspec.structs.replace, MODELS["door-camera"]
    uart = replace(model.interfaces[0], name="header", kind="debug-uart", reason="bringup", enabled_in_production=True)
    bare = replace(
        model,
        supplier=replace(model.supplier, security_contact=""),
        interfaces=(*model.interfaces, uart),
        expected=replace(model.expected, accounts=("root",)),
        flows=tuple(flow for flow in model.flows if flow.peer != "control-plane"),
    )
    text = html.unescape(told(bare, kind)).replace("\\", "")
    assert f"none is stated; ask {model.supplier.name}" in text
    assert f"Report a weakness to {model.supplier.name}." in text
    assert "Warning: header (debug-uart) is for debugging and is left on in production" in text
    assert "header (bringup)" not in text
    assert "only root may log in. Give it a password or key of its own" in text
    assert "It calls every" not in text
    assert "device retire" not in text
    assert "device retire" in told(model, kind)


@pytest.mark.parametrize("name", ["pump-controller", "door-camera"])
def test_what_stands_in_has_a_title_and_an_end(name: str) -> None:
    guide = guide_of(MODELS[name], shipped_catalogue(), NOW)
    assert guide.stand_ins
    for entry in guide.stand_ins:
        assert re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", entry.until)
        assert entry.owner
        assert all(re.fullmatch(r".+ \([A-Z]+-[0-9]+\)", each) for each in entry.by)
    said = guide.answers[0].sentence
    titles = {line.control: line.title for line in (*guide.asked, *guide.spared)}
    assert "In its stead" not in said or f"SVC-03 ({titles['SVC-03']})" in said
    signed = [entry.until for entry in guide.stand_ins if entry.by]
    assert set(signed) <= {entry.expires for entry in MODELS[name].compensations}


def hostile(model: DeviceModel) -> DeviceModel:
    replace = msgspec.structs.replace
    return replace(
        model,
        name=HOSTILE,
        description=HOSTILE,
        supplier=replace(model.supplier, name=HOSTILE, security_contact=HOSTILE),
        update=replace(model.update, recovery=HOSTILE),
        flows=tuple(replace(flow, name=HOSTILE, reason=HOSTILE, peer=HOSTILE) for flow in model.flows),
        interfaces=tuple(replace(entry, name=HOSTILE, reason=HOSTILE) for entry in model.interfaces),
        data=tuple(replace(entry, name=HOSTILE) for entry in model.data),
        expected=replace(model.expected, accounts=(HOSTILE,), autostart=(HOSTILE, HOSTILE)),
        essential_function=replace(model.essential_function, name=HOSTILE),
        compensations=tuple(replace(entry, reason=HOSTILE, owner=HOSTILE) for entry in model.compensations),
    )


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.seen |= {f"@{name}" for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]


def test_a_model_file_cannot_put_script_into_the_page() -> None:
    tags = Tags()
    tags.feed(told(hostile(MODELS["door-camera"])))
    assert not tags.seen & {"script", "img", "iframe", "form", "object", "link"}
    assert not {name for name in tags.seen if name.startswith("@on")}
    assert all(link.startswith("#") for link in tags.links)


def test_a_model_file_cannot_put_marks_or_lines_into_the_markdown() -> None:
    text = told(hostile(MODELS["door-camera"]), "md")
    assert not re.search(r"(?<!\\)<", text)
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)\]\(", text)
    assert not [line for line in text.splitlines() if line.startswith("# [")]
    rows = [line for line in text.splitlines() if line.startswith(("| in ", "| out "))]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_plain_keeps_words_as_they_are() -> None:
    assert plain("psirt@example.com, 02:00-04:00 (night)") == "psirt@example.com, 02:00-04:00 (night)"
