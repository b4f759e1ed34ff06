"""The hardening guide of a model: what its maker did, what its owner has to do, and what nobody must do to it.

1. Everything comes from the model file, the catalogue and the calendar; the same three give the same guide.
2. It is written for who runs the device, not for who built it: first what to do, then what is done, then the proof.
3. Text of a model file is data: escaped in HTML by the engine, in Markdown by `plain`; no script, no network.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from holdfast_core.baseline.control import Catalogue
from holdfast_core.baseline.model import Demand, Line
from holdfast_core.baseline.survival import NOUNS
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.answers import Answer, integrity_answer, recovery_answer, update_answer
from holdfast_core.inventory.model import (
    Classification,
    DeviceModel,
    Direction,
    Exposure,
    Fallback,
    Flow,
    RootFilesystem,
    UpdateKind,
)
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.digests import canonical, digest_of
from holdfast_core.kernel.instants import DAY, SECOND, Instant, in_words, to_datetime
from holdfast_core.kernel.printable import printable

GuideFormat = Literal["md", "html"]
SOON = 90 * DAY
"""From here on an end that comes is shown as one that is near."""

_SENSITIVE = frozenset({Classification.CONFIDENTIAL, Classification.PERSONAL, Classification.SAFETY})
_EXPOSED = {
    Exposure.LOCKED_ROOM: "It is built for a locked room. Keep it there, and know who has the key.",
    Exposure.STAFF_AREA: "Staff pass by it. Mount it so that opening its case is seen.",
    Exposure.PUBLIC: "Anybody can touch it. Mount it so that its case and its cable cannot be reached without tools.",
    Exposure.REMOTE_SITE: "Nobody is near it. Visit it on a schedule, and look for an opened case.",
}
_UPDATED = {
    UpdateKind.AB_IMAGE: "It takes whole images, and keeps the one before beside the new one.",
    UpdateKind.PACKAGE_MANAGER: "It takes packages from its maker's feed; install them as they come.",
    UpdateKind.MCU_SWAP: "It takes a whole image, and swaps it in at the next start.",
    UpdateKind.SINGLE_IMAGE: "It takes whole images and has room for one: never cut the power during an update.",
    UpdateKind.VENDOR: "Only the vendor can update it: agree on how often, and ask for the record.",
    UpdateKind.NONE: "Nothing can update it. Plan its replacement, and let nothing reach it that need not.",
}
_FELL_BACK = {
    Fallback.AUTOMATIC: "An update that does not start is taken back by itself.",
    Fallback.MANUAL: "An update that does not start has to be taken back by hand; rehearse that once.",
    Fallback.NONE: "An update that does not start is not taken back.",
}


class Task(msgspec.Struct, frozen=True):
    """Something that the owner does: what, and in which sentences."""

    title: str
    steps: tuple[str, ...]


class StandsIn(msgspec.Struct, frozen=True):
    """Controls the device does not meet for one reason, what stands in for them, and until when."""

    controls: tuple[tuple[str, str], ...]
    """Their ids and titles."""
    reason: str
    by: tuple[str, ...]
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
    by_demand = {demand: tuple(line for line in lines if line.demand is demand) for demand in Demand}
    return Guide(
        model=model,
        noun=NOUNS[model.device_class],
        made_on=_day(now),
        digest=digest_of(canonical(model)),
        catalogue=catalogue.digest,
        support=_support(model, now),
        answers=(integrity_answer(model, now), update_answer(model, now), recovery_answer(model, now)),
        tasks=tuple(task for task in _tasks(model) if task.steps),
        done=tuple(_done(model)),
        stand_ins=_stand_ins(by_demand[Demand.COMPENSATED], model, now),
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


# What the owner does


def _tasks(model: DeviceModel) -> tuple[Task, ...]:
    return (
        Task("Give it its own place in the network", tuple(_network(model))),
        Task("Decide who may log in", tuple(_accounts(model))),
        Task("Guard its case", tuple(_case(model))),
        Task("Keep it up to date", tuple(_updates(model))),
        Task("Know what it holds", tuple(_data(model))),
        Task("Watch it", tuple(_watch(model))),
        Task("Before you give it away", tuple(_disposal(model))),
    )


def _network(model: DeviceModel) -> list[str]:
    if not model.flows:
        return ["Its maker declares no conversations. Connect it to nothing it does not need for its work."]
    told = [
        "Put it in a segment of its own, and refuse everything there by default, in both directions.",
        "Let through what the table of conversations below lists, and nothing else.",
    ]
    open_ones = [flow for flow in model.flows if not flow.encrypted]
    if open_ones:
        names = ", ".join(_named(flow) for flow in open_ones)
        told.append(f"Not encrypted: {names}. Let them run only inside that segment, or through a tunnel.")
    if any(flow.direction is Direction.IN for flow in model.flows):
        told.append("Never make it reachable from the internet, and switch UPnP off on the router in front of it.")
    return told


def _accounts(model: DeviceModel) -> list[str]:
    accounts = model.expected.accounts
    if not accounts:
        return ["Nobody is meant to log in. If it asks you for a password, ask its maker why."]
    return [
        f"Only {_listed(accounts)} may log in. Give each its own password or key, on every device another one.",
        "Do that before it is connected for the first time: what it came with is known to others.",
        "Keep them in a password safe, and change them when somebody leaves who knew them.",
        "An account beyond these does not belong there: report it to the security contact.",
    ]


def _case(model: DeviceModel) -> list[str]:
    told = [_EXPOSED[model.constraints.exposure]]
    off = [entry.name for entry in model.interfaces if not entry.enabled_in_production]
    if off:
        told.append(
            f"Switched off in production: {_listed(off)}. A device on which one of them answers is not as sold."
        )
    used = [f"{entry.name} ({entry.reason.rstrip('.')})" for entry in model.interfaces if entry.enabled_in_production]
    if used:
        told.append(f"In use: {'; '.join(used)}. Leave every other connector empty.")
    return told


def _updates(model: DeviceModel) -> list[str]:
    update = model.update
    told = [_UPDATED[update.kind]]
    if update.kind is UpdateKind.NONE:
        return told
    if not update.signed:
        told.append("Updates are not signed: take them only from its maker, over a connection you trust.")
    told.append(_FELL_BACK[update.fallback])
    if model.constraints.maintenance_window:
        told.append(f"It may be disturbed between {model.constraints.maintenance_window.replace('-', ' and ')}.")
    if not model.constraints.reboot_allowed:
        told.append(f"It must not restart while it works: {model.essential_function.name} would stop.")
    if update.recovery:
        told.append(f"If it does not come up: {update.recovery.rstrip('.')}.")
    return told


def _data(model: DeviceModel) -> list[str]:
    return [
        f"{item.name} ({item.classification.value}) is encrypted on it."
        if item.encrypted_at_rest
        else f"{item.name} ({item.classification.value}) lies on it in the clear."
        + (" Who holds the device can read that." if item.classification in _SENSITIVE else "")
        for item in model.data
    ]


def _watch(model: DeviceModel) -> list[str]:
    interval = model.constraints.contact_interval_s * SECOND
    return [
        f"It calls every {in_words(interval)}; when it is silent for {in_words(3 * interval)}, see what is wrong.",
        f"Report a weakness to {model.supplier.security_contact}.",
    ]


def _disposal(model: DeviceModel) -> list[str]:
    held = [item.name for item in model.data if item.classification in _SENSITIVE]
    told = ["End its keys first: holdfast device retire NAME. It is refused from then on, wherever it goes."]
    if held:
        told.append(f"Set it back to factory state, and see that nothing is left of {_listed(held)}.")
        if any(not item.encrypted_at_rest for item in model.data if item.classification in _SENSITIVE):
            told.append(
                "Some of that lies on it in the clear: where you cannot see that it is gone, destroy the memory."
            )
    return told


# What its maker did, and what stands in


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
        (bool(expected.autostart), f"Only these start by themselves: {_listed(expected.autostart)}."),
        (bool(expected.accounts), f"Only these accounts may log in: {_listed(expected.accounts)}."),
        (bool(expected.writable), f"Only these places can be written: {_listed(expected.writable)}."),
        (
            any(not entry.enabled_in_production for entry in model.interfaces),
            "What was needed to build it, and is not needed to run it, is switched off.",
        ),
        (
            bool(model.data) and all(i.encrypted_at_rest for i in model.data if i.classification in _SENSITIVE),
            "What it holds of people and secrets is encrypted.",
        ),
    )
    return [sentence for true, sentence in facts if true]


def _stand_ins(lines: tuple[Line, ...], model: DeviceModel, now: Instant) -> tuple[StandsIn, ...]:
    """What people signed comes first, one by one; the rest is told once for each reason."""
    signed = {entry.control: entry for entry in model.compensations}
    by_name: list[StandsIn] = []
    by_reason: dict[tuple[str, tuple[str, ...]], list[tuple[str, str]]] = {}
    for line in lines:
        entry = signed.get(line.control)
        if entry is None or entry.owner != line.owner:
            by_reason.setdefault((line.reason, line.by), []).append((line.control, line.title))
            continue
        tone: Literal["good", "medium"] = "medium" if last_day_ends(entry.expires) - now < SOON else "good"
        named = ((line.control, line.title),)
        by_name.append(StandsIn(named, entry.reason, line.by, entry.owner, entry.expires, tone))
    return (*by_name, *(StandsIn(tuple(controls), *why) for why, controls in by_reason.items()))


def _support(model: DeviceModel, now: Instant) -> tuple[str, str]:
    end, supplier = model.supplier.support_end, model.supplier.name
    left = last_day_ends(end) - now
    if left <= 0:
        return "critical", f"{supplier} ended its security support after {end}. Replace it, or let nothing reach it."
    if left < SOON:
        return "medium", f"{supplier} mends its weaknesses until {end}, and no longer. Plan what comes after it."
    return "good", f"{supplier} mends its weaknesses until {end}."


def _named(flow: Flow) -> str:
    return f"{flow.name} ({flow.transport.value} {flow.port})"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), names[-1]]) if names else ""


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
