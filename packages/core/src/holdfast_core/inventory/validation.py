"""Is a model file possible at all? What the types cannot say: dates that parse, ports that exist, names that resolve.

1. Everything here is about one document on its own; what argues with itself or with the calendar is in
   `contradictions`.
2. Every problem names its place as a path from the document's root: ``$.flows[2].port``.
3. Every string and list is bounded, and no string carries a control character: a model is printed on terminals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from holdfast_core.inventory.accounts import faults as account_faults
from holdfast_core.inventory.attesting import faults as attestation_faults
from holdfast_core.inventory.erasure import is_erasable
from holdfast_core.inventory.model import DeviceModel, Eraser, HealthProbe, Sanitizing
from holdfast_core.inventory.topics import parse_filter
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.ids import parse_name
from holdfast_core.kernel.instants import DAY, Instant, from_datetime
from holdfast_core.kernel.limits import LIMITS

SCHEMA = 1
"""The version of the format that this code reads."""

SHORTEST_LEAF_DAYS = 7
LONGEST_LEAF_DAYS = 30
"""A certificate that outlives its theft by more than this is no short-lived one."""
LONGEST_GRACE_DAYS = 366

MAX_PORT = 65_535
MAX_NUMBER = 2**31 - 1
OWN_FILTERS = 1
"""Filters each way that a device has without a flow."""
PROBE_KINDS = ("tcp", "file-fresh", "process", "self-reported")

_CONTROL = re.compile(r"[A-Z]{2,4}-[0-9]{2}")
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")
_DRIVER = re.compile(r"[a-z0-9_-]{1,32}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Problem(msgspec.Struct, frozen=True):
    """One thing that cannot be: where, what, and what to write instead."""

    code: str
    path: str
    sentence: str
    remedy: str


class ModelInvalid(HostileData):
    """A model that cannot be; `path` is the place in the document."""

    def __init__(self, code: str, sentence: str, *, remedy: str, path: str) -> None:
        super().__init__(code, sentence, remedy=remedy)
        self.path = path


def validate(model: DeviceModel) -> None:
    """Refuse a model that cannot be.

    Raises:
        ModelInvalid: ``model.*`` for the first problem in the document's own order of checks; its sentence says how
            many more there are.
    """
    found = problems(model)
    if not found:
        return
    first = found[0]
    more = f" ({len(found) - 1} more like it follow.)" if len(found) > 1 else ""
    raise ModelInvalid(first.code, f"{first.path}: {first.sentence}{more}", remedy=first.remedy, path=first.path)


def problems(model: DeviceModel) -> tuple[Problem, ...]:
    """Every problem of `model`, at most `LIMITS.model_items` of them."""
    found: list[Problem] = []
    for check in _CHECKS:
        for problem in check(model):
            found.append(problem)
            if len(found) == LIMITS.model_items:
                return tuple(found)
    return tuple(found)


def last_day_ends(date: str) -> Instant:
    """The instant at which the day `date` (``YYYY-MM-DD``, UTC) is over.

    Raises:
        HostileData: ``model.date``.
    """
    try:
        day = datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC) if _DATE.fullmatch(date) else None
    except ValueError:
        day = None
    if day is None:
        raise HostileData("model.date", f"{date[:40]!r} is not a day.", remedy="Write a day as YYYY-MM-DD.")
    return Instant(from_datetime(day) + DAY)


def _strings(value: Any, path: str) -> Iterator[Problem]:
    """Bounds on every string and list, wherever it is."""
    if isinstance(value, str):
        if len(value) > LIMITS.text:
            yield Problem(
                "model.text_too_long",
                path,
                f"The text has {len(value)} characters.",
                f"Keep it within {LIMITS.text}.",
            )
        odd = next((sign for sign in value if not sign.isprintable() and sign not in "\n\u00a0"), None)
        if odd is not None:
            yield Problem(
                "model.unprintable",
                path,
                f"The text contains the character U+{ord(odd):04X}.",
                "Remove control characters, direction marks and lone surrogates.",
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        if len(value) > LIMITS.model_items:
            yield Problem(
                "model.too_many",
                path,
                f"The list has {len(value)} entries.",
                f"Keep it within {LIMITS.model_items}.",
            )
        for index, item in enumerate(value[: LIMITS.model_items]):
            yield from _strings(item, f"{path}[{index}]")


def _texts(model: DeviceModel) -> Iterator[Problem]:
    yield from _strings(msgspec.to_builtins(model), "$")


def _format(model: DeviceModel) -> Iterator[Problem]:
    if model.schema != SCHEMA:
        yield Problem(
            "model.schema_unknown",
            "$.schema",
            f"This is version {model.schema} of the model file.",
            f"Write version {SCHEMA}, or use a Holdfast that reads version {model.schema}.",
        )


def _names(model: DeviceModel) -> Iterator[Problem]:
    """Names are names, and are not used twice within their list."""
    yield from _name(model.name, "$.name", "model name")
    yield from _name(model.version, "$.version", "model version")
    lists: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("flows", "name", tuple(flow.name for flow in model.flows)),
        ("data", "name", tuple(item.name for item in model.data)),
        ("interfaces", "name", tuple(interface.name for interface in model.interfaces)),
        ("shared_services", "name", tuple(service.name for service in model.shared_services)),
        ("exceptions", "name", tuple(entry.name for entry in model.exceptions)),
        ("needs", "appraisal", tuple(need.appraisal for need in model.needs)),
    )
    for key, field, names in lists:
        for index, name in enumerate(names):
            path = f"$.{key}[{index}].{field}"
            yield from _name(name, path, "name")
            if name in names[:index]:
                yield Problem(
                    "model.duplicate",
                    path,
                    f"{name[:80]!r} appears twice.",
                    "Give each entry of a list its own name.",
                )


def _name(text: str, path: str, what: str) -> Iterator[Problem]:
    try:
        parse_name(text, what=what)
    except HostileData as error:
        yield Problem("model.name", path, error.sentence, error.remedy)


def _numbers(model: DeviceModel) -> Iterator[Problem]:
    """Amounts and intervals are positive, and small enough to reckon with."""
    limits = model.constraints
    amounts: list[tuple[str, int | None]] = [
        (f"$.constraints.{key}", getattr(limits, key))
        for key in (
            "memory_mib",
            "storage_mib",
            "contact_interval_s",
            "cpu_mhz",
            "cpu_cores",
            "flash_writes_mib_per_day",
            "bandwidth_kbit_s",
            "heavy_audit_interval_s",
        )
    ]
    amounts += [(f"$.needs[{index}].max_age_s", need.max_age_s) for index, need in enumerate(model.needs)]
    for path, amount in amounts:
        if amount is not None and not 1 <= amount <= MAX_NUMBER:
            yield Problem(
                "model.number",
                path,
                f"{str(amount)[:20]} is not possible here.",
                f"Write a whole number from 1 to {MAX_NUMBER}; round a small amount up.",
            )


def _identity(model: DeviceModel) -> Iterator[Problem]:
    """Certificates live for days that a device and its revocation can both bear."""
    for key, amount, least, most in (
        ("leaf_days", model.identity.leaf_days, SHORTEST_LEAF_DAYS, LONGEST_LEAF_DAYS),
        ("grace_days", model.identity.grace_days, 0, LONGEST_GRACE_DAYS),
    ):
        if not least <= amount <= most:
            yield Problem(
                "model.number",
                f"$.identity.{key}",
                f"{str(amount)[:20]} is not possible here.",
                f"Write a whole number from {least} to {most}.",
            )


def _retirement(model: DeviceModel) -> Iterator[Problem]:
    """What the agent erases are places it may erase, by a method that it can carry out."""
    retirement = model.retirement
    if retirement.erase is Eraser.AGENT and retirement.method is Sanitizing.DESTROY:
        yield Problem(
            "model.retirement",
            "$.retirement.method",
            "No agent can destroy what it runs on.",
            "Write erase: by-hand with method: destroy, or method: purge.",
        )
    if retirement.paths and retirement.erase is not Eraser.AGENT:
        yield Problem(
            "model.retirement",
            "$.retirement.paths",
            "Only the agent erases places, and it is not asked to.",
            "Write erase: agent, or leave the paths out.",
        )
    if len(retirement.paths) > LIMITS.erased_paths:
        yield Problem(
            "model.too_many",
            "$.retirement.paths",
            f"The list has {len(retirement.paths)} entries.",
            f"Keep it within {LIMITS.erased_paths}; name the folder that holds them.",
        )
    for index, path in enumerate(retirement.paths):
        if not is_erasable(path):
            yield Problem(
                "model.path",
                f"$.retirement.paths[{index}]",
                f"{path[:80]!r} is no place that an agent may erase.",
                "Write an absolute path to data, without '..' and not of what the device starts from.",
            )


def _window(model: DeviceModel) -> Iterator[Problem]:
    window = model.constraints.maintenance_window
    if window is None:
        return
    start, _, end = window.partition("-")
    if not _WINDOW.fullmatch(window) or start == end:
        yield Problem(
            "model.window",
            "$.constraints.maintenance_window",
            f"{window[:40]!r} is not a daily window.",
            "Write HH:MM-HH:MM, local time, with two different times, such as 02:00-04:00.",
        )


def _flows(model: DeviceModel) -> Iterator[Problem]:
    held = {item.name for item in model.data}
    for index, flow in enumerate(model.flows):
        path = f"$.flows[{index}]"
        yield from _port(flow.port, f"{path}.port")
        yield from _said(flow.peer, f"{path}.peer", "the other end of the flow")
        yield from _said(flow.reason, f"{path}.reason", "why the device needs the flow")
        if "/" in flow.program or any(sign.isspace() for sign in flow.program):
            yield Problem(
                "model.program",
                f"{path}.program",
                f"{flow.program[:40]!r} is not the name of a program.",
                "Write its name without folders and arguments, such as camera-stream.",
            )
        for place, name in enumerate(flow.carries):
            if name not in held:
                yield _unresolved(f"{path}.carries[{place}]", name, "data item")
    for index, interface in enumerate(model.interfaces):
        yield from _said(interface.kind, f"$.interfaces[{index}].kind", "the kind of interface")
        yield from _said(interface.reason, f"$.interfaces[{index}].reason", "why the interface is there")


def _topics(model: DeviceModel) -> Iterator[Problem]:
    """Topic filters are filters, few enough for a broker; an exception says for which, why, who owns it, until when."""
    for index, flow in enumerate(model.flows):
        for key in ("publish", "subscribe"):
            yield from _filters(getattr(flow, key), f"$.flows[{index}].{key}")
    for key in ("publish", "subscribe"):
        count = sum(len(getattr(flow, key)) for flow in model.flows)
        if count > LIMITS.device_filters - OWN_FILTERS:
            yield Problem(
                "model.too_many",
                "$.flows",
                f"All flows together have {count} filters to {key}.",
                f"Keep them within {LIMITS.device_filters - OWN_FILTERS}; a wildcard below {{device}} covers many.",
            )
    for index, entry in enumerate(model.exceptions):
        path = f"$.exceptions[{index}]"
        yield from _filters(entry.filters, f"{path}.filters")
        yield from _said(entry.reason, f"{path}.reason", "why the device must reach beyond its own name")
        yield from _said(entry.owner, f"{path}.owner", "who answers for the exception")
        yield from _date(entry.expires, f"{path}.expires")


def _filters(filters: tuple[str, ...], path: str) -> Iterator[Problem]:
    for place, text in enumerate(filters[: LIMITS.model_items]):
        try:
            parse_filter(text)
        except HostileData as error:
            yield Problem("model.topic", f"{path}[{place}]", error.sentence, error.remedy)


def _port(port: int, path: str) -> Iterator[Problem]:
    if not 1 <= port <= MAX_PORT:
        yield Problem("model.port", path, f"{str(port)[:20]} is not a port.", f"Write a port from 1 to {MAX_PORT}.")


def _said(text: str, path: str, what: str) -> Iterator[Problem]:
    if not text.strip():
        yield Problem("model.empty", path, "The text is empty.", f"Say {what}.")


def _unresolved(path: str, name: str, what: str) -> Problem:
    return Problem(
        "model.unresolved",
        path,
        f"No {what} is called {name[:80]!r}.",
        f"Name a {what} of this file, or declare it.",
    )


def _essential_function(model: DeviceModel) -> Iterator[Problem]:
    """Its flows exist, and its probe says all that its kind needs."""
    function = model.essential_function
    yield from _said(function.name, "$.essential_function.name", "what must go on")
    declared = {flow.name for flow in model.flows}
    for index, name in enumerate(function.flows):
        if name not in declared:
            yield _unresolved(f"$.essential_function.flows[{index}]", name, "flow")
    yield from _probe(function.probe)


def _probe(probe: HealthProbe) -> Iterator[Problem]:
    path = "$.essential_function.probe"
    if probe.kind not in PROBE_KINDS:
        yield Problem(
            "model.probe_kind",
            f"{path}.kind",
            f"{probe.kind[:40]!r} is not a kind of probe.",
            f"Use one of {', '.join(PROBE_KINDS)}.",
        )
    if probe.kind == "tcp":
        yield from _port(probe.port, f"{path}.port")
    if probe.kind == "file-fresh":
        yield from _absolute(probe.path, f"{path}.path")
        if not 1 <= probe.max_age_s <= MAX_NUMBER:
            yield Problem(
                "model.number",
                f"{path}.max_age_s",
                "A file-fresh probe needs an age.",
                "Write in max_age_s how many seconds old the file may be.",
            )
    if probe.kind == "process" and (not probe.process.strip() or "/" in probe.process):
        yield Problem(
            "model.probe_process",
            f"{path}.process",
            f"{probe.process[:80]!r} is not the name of a process.",
            "Write the bare name, as the kernel shows it, without folders.",
        )


def _absolute(text: str, path: str) -> Iterator[Problem]:
    if not text.startswith("/") or ".." in text.split("/"):
        yield Problem(
            "model.path",
            path,
            f"{text[:80]!r} is not an absolute path.",
            "Write the path from the device's root, without '..'.",
        )


def _supplier(model: DeviceModel) -> Iterator[Problem]:
    yield from _said(model.supplier.name, "$.supplier.name", "who answers for the model")
    yield from _date(model.supplier.support_end, "$.supplier.support_end")


def _date(text: str, path: str) -> Iterator[Problem]:
    try:
        last_day_ends(text)
    except HostileData as error:
        yield Problem(error.code, path, error.sentence, error.remedy)


def _control(text: str, path: str) -> Iterator[Problem]:
    if not _CONTROL.fullmatch(text):
        yield Problem(
            "model.control",
            path,
            f"{text[:40]!r} is not a control.",
            "Write the id of a control, such as NET-01.",
        )


def _compensations(model: DeviceModel) -> Iterator[Problem]:
    """A compensation names its control, what stands in, why, who owns it and until when."""
    compensated = tuple(entry.control for entry in model.compensations)
    for index, entry in enumerate(model.compensations):
        path = f"$.compensations[{index}]"
        yield from _control(entry.control, f"{path}.control")
        yield from _said(entry.reason, f"{path}.reason", "why the device cannot meet the control")
        yield from _said(entry.owner, f"{path}.owner", "who answers for the compensation")
        yield from _date(entry.expires, f"{path}.expires")
        if entry.control in compensated[:index]:
            yield Problem("model.duplicate", f"{path}.control", "The control is compensated twice.", "Merge the two.")
        if not entry.by or entry.control in entry.by:
            yield Problem(
                "model.nothing_stands_in",
                f"{path}.by",
                "No other control stands in.",
                "Name one or more controls that stand in; each is verified itself.",
            )
        for place, control in enumerate(entry.by):
            yield from _control(control, f"{path}.by[{place}]")
    for index, control in enumerate(model.forbidden):
        yield from _control(control, f"$.forbidden[{index}]")


def _needs(model: DeviceModel) -> Iterator[Problem]:
    if not model.needs:
        yield Problem(
            "model.needs_nothing",
            "$.needs",
            "The verdict of this model would need no evidence.",
            "Name at least one appraisal and how old it may be.",
        )
    for index, service in enumerate(model.shared_services):
        if not service.dependants:
            yield Problem(
                "model.empty",
                f"$.shared_services[{index}].dependants",
                "Nobody depends on it.",
                "Name the classes that depend on the service, or remove it.",
            )


def _expected(model: DeviceModel) -> Iterator[Problem]:
    for key in ("setuid", "writable"):
        for index, path in enumerate(getattr(model.expected, key)):
            yield from _absolute(path, f"$.expected.{key}[{index}]")
    for key in ("autostart", "accounts"):
        for index, entry in enumerate(getattr(model.expected, key)):
            yield from _said(entry, f"$.expected.{key}[{index}]", "what is expected")
    for index, driver in enumerate(model.expected.root_fs_drivers):
        if not _DRIVER.fullmatch(driver):
            yield Problem(
                "model.driver",
                f"$.expected.root_fs_drivers[{index}]",
                f"{driver[:40]!r} is not a file system driver.",
                "Write the kernel's name of it, such as squashfs.",
            )


def _of_their_own(model: DeviceModel) -> Iterator[Problem]:
    """What has rules in a module of its own."""
    for fault in (*account_faults(model), *attestation_faults(model)):
        yield Problem(*fault)


_CHECKS: tuple[Callable[[DeviceModel], Iterator[Problem]], ...] = (
    _texts,
    _format,
    _names,
    _numbers,
    _identity,
    _retirement,
    _window,
    _flows,
    _topics,
    _essential_function,
    _supplier,
    _compensations,
    _needs,
    _expected,
    _of_their_own,
)
