"""The hardening guide of a model: what its maker declares, what its owner has to do, and what nobody must do to it.

1. Everything comes from the model file, the catalogue and the calendar; the same three give the same guide.
2. It is written for who runs the device, not for who built it: first what to do, then what is declared, then what it
   is held to. What is only the model file's word is told as that.
3. Text of a model file is data: escaped in HTML by the engine, in Markdown by `plain`; no script, no network.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from holdfast.baseline.guide_tasks import SENSITIVE, Task, listed, tasks_of
from holdfast_core.baseline.control import Catalogue
from holdfast_core.baseline.model import ControlId, Demand, Line
from holdfast_core.baseline.survival import NOUNS
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.answers import Answer, integrity_answer, recovery_answer, update_answer
from holdfast_core.inventory.contradictions import DEBUG_KINDS
from holdfast_core.inventory.model import DeviceModel, Direction, RootFilesystem
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.instants import DAY, SECOND, Instant, to_datetime
from holdfast_core.kernel.printable import printable

GuideFormat = Literal["md", "html"]
SOON = 90 * DAY
"""From here on an end that comes is shown as one that is near."""
_ID = re.compile(r"\b[A-Z]{2,4}-[0-9]{2}\b")


class StandsIn(msgspec.Struct, frozen=True):
    """Controls the device does not meet for one reason, what stands in for them, and until when."""

    controls: tuple[tuple[str, str], ...]
    """Their ids and titles."""
    reason: str
    by: tuple[str, ...] = ()
    """Titles and ids of what stands in, where the reason does not tell them."""
    owner: str = ""
    until: str = ""
    tone: Literal["good", "medium", "critical"] = "good"


class Guide(msgspec.Struct, frozen=True):
    """A guide, before it is laid out."""

    model: DeviceModel
    noun: str
    made_on: str
    digest: str
    catalogue: str
    contact: str
    """Whom to tell of a weakness."""
    support: tuple[str, str]
    """How support stands, as a tone and a sentence."""
    answers: tuple[Answer, ...]
    tasks: tuple[Task, ...]
    done: tuple[str, ...]
    stand_ins: tuple[StandsIn, ...]
    forbidden: tuple[Line, ...]
    asked: tuple[Line, ...]
    """What the model is held to, and can be audited for."""
    spared: tuple[Line, ...]


def guide_of(model: DeviceModel, catalogue: Catalogue, now: Instant) -> Guide:
    """The guide of `model` as of `now`.

    Raises:
        HostileData: ``model.date`` when a compensation's last day is no date.
    """
    lines = tailor(catalogue, model, now).lines
    titles = {line.control: line.title for line in lines}
    by_demand = {demand: tuple(line for line in lines if line.demand is demand) for demand in Demand}
    return Guide(
        model=model,
        noun=NOUNS[model.device_class],
        made_on=_day(now),
        digest=digest_of(canonical(model)),
        catalogue=catalogue.digest,
        contact=_contact(model),
        support=_support(model, now),
        answers=tuple(
            _titled(answer, titles)
            for answer in (integrity_answer(model, now), update_answer(model, now), recovery_answer(model, now))
        ),
        tasks=tuple(task for task in tasks_of(model) if task.steps),
        done=tuple(_done(model)),
        stand_ins=_stand_ins(by_demand[Demand.COMPENSATED], titles, model, now),
        forbidden=by_demand[Demand.FORBIDDEN],
        asked=by_demand[Demand.REQUIRED],
        spared=by_demand[Demand.NOT_APPLICABLE],
    )


def render(guide: Guide, kind: GuideFormat) -> str:
    """`guide` as Markdown, or as one HTML file."""
    model = guide.model
    text: str = (
        _templates()
        .get_template(f"guide.{kind}")
        .render(
            guide=guide,
            model=model,
            flows_in=[flow for flow in model.flows if flow.direction is Direction.IN],
            flows_out=[flow for flow in model.flows if flow.direction is Direction.OUT],
            needed=frozenset(model.essential_function.flows),
        )
    )
    return text


# What its maker declares, and what stands in


def _done(model: DeviceModel) -> list[str]:
    boot, update, expected = model.boot, model.update, model.expected
    root = model.constraints.root_of_trust.value.replace("-", " ")
    facts = (
        (boot.secure_boot, "It starts only software that its maker signed."),
        (boot.measured_boot, f"It measures what it starts, and its {root} signs that."),
        (boot.anti_rollback, "It refuses old software, also when that was signed."),
        (update.signed, "It takes only signed updates."),
        (
            model.constraints.root_filesystem is RootFilesystem.IMMUTABLE,
            "Its system cannot be changed while it runs; settings live apart from it.",
        ),
        (bool(expected.autostart), f"Only these start by themselves: {listed(expected.autostart)}."),
        (bool(expected.accounts), f"Only these accounts may log in: {listed(expected.accounts)}."),
        (bool(expected.writable), f"Only these places can be written: {listed(expected.writable)}."),
        (
            any(not entry.enabled_in_production for entry in model.interfaces)
            and not any(entry.enabled_in_production and entry.kind in DEBUG_KINDS for entry in model.interfaces),
            "What was needed to build it, and is not needed to run it, is switched off.",
        ),
        (
            bool(model.data) and all(i.encrypted_at_rest for i in model.data if i.classification in SENSITIVE),
            "What it holds of people and secrets is encrypted.",
        ),
    )
    return [sentence for true, sentence in facts if true]


def _stand_ins(
    lines: tuple[Line, ...], titles: dict[ControlId, str], model: DeviceModel, now: Instant
) -> tuple[StandsIn, ...]:
    """What people signed comes first, one by one; the rest is told once for each reason."""
    signed = {entry.control: entry for entry in model.compensations}
    by_name: list[StandsIn] = []
    by_reason: dict[tuple[str, str, Instant | None], list[tuple[str, str]]] = {}
    for line in lines:
        entry = signed.get(line.control)
        if entry is None or not line.signed:
            by_reason.setdefault((line.reason, line.owner, line.expires), []).append((line.control, line.title))
            continue
        named = ((line.control, line.title),)
        by = tuple(f"{titles.get(name, name)} ({name})" for name in line.by)
        by_name.append(StandsIn(named, entry.reason, by, entry.owner, entry.expires, _tone(line.expires, now)))
    unsigned = (
        StandsIn(tuple(controls), reason, (), owner, _last_day(ends), _tone(ends, now))
        for (reason, owner, ends), controls in by_reason.items()
    )
    return (*by_name, *unsigned)


def _titled(answer: Answer, titles: dict[ControlId, str]) -> Answer:
    """An answer in which every control has its title beside its id."""
    told = _ID.sub(
        lambda found: f"{found[0]} ({titles[found[0]]})" if found[0] in titles else found[0], answer.sentence
    )
    return msgspec.structs.replace(answer, sentence=told)


def _tone(ends: Instant | None, now: Instant) -> Literal["good", "medium"]:
    return "medium" if ends is not None and ends - now < SOON else "good"


def _last_day(ends: Instant | None) -> str:
    """The last day before a compensation ends."""
    return _day(Instant(ends - SECOND)) if ends is not None else ""


def _contact(model: DeviceModel) -> str:
    return model.supplier.security_contact.strip() or f"none is stated; ask {model.supplier.name}"


def _support(model: DeviceModel, now: Instant) -> tuple[str, str]:
    end, supplier = model.supplier.support_end, model.supplier.name
    left = last_day_ends(end) - now
    if left <= 0:
        return "critical", f"{supplier} ended its security support after {end}. Replace it, or let nothing reach it."
    if left < SOON:
        return "medium", f"{supplier} mends its weaknesses until {end}, and no longer. Plan what comes after it."
    return "good", f"{supplier} mends its weaknesses until {end}."


def _day(now: Instant) -> str:
    return to_datetime(now).strftime("%Y-%m-%d")


# The engine


def plain(text: Any) -> str:
    """Text that Markdown shows as it is: nothing in it is a mark, a link, a line end or a piece of HTML."""
    return "".join(f"\\{sign}" if sign in _MARKS else sign for sign in printable(str(text)))


_MARKS = frozenset("\\`*_[]<>#!|~&")


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("holdfast.baseline"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["md"] = plain
    return made
