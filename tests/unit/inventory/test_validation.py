"""Every way in which a model cannot be, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from holdfast.inventory.model_file import EXAMPLES
from holdfast_core.inventory.model import DeviceModel
from holdfast_core.inventory.rules import ModelInvalid, problems, validate
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import parse_rfc3339
from holdfast_core.kernel.limits import LIMITS

Edited = Callable[..., DeviceModel]

PROBE = "essential_function.probe"
PUMP = "pump-controller"
CAMERA = "door-camera"

IMPOSSIBLE: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "format of the future": (CAMERA, {"schema": 2}, "model.schema_unknown", "$.schema"),
    "name with a slash": (CAMERA, {"name": "door/camera"}, "model.name", "$.name"),
    "version with a space": (CAMERA, {"version": "1 beta"}, "model.name", "$.version"),
    "flow without a name": (CAMERA, {"flows.1.name": ""}, "model.name", "$.flows[1].name"),
    "two flows of one name": (CAMERA, {"flows.1.name": "stream"}, "model.duplicate", "$.flows[1].name"),
    "no memory": (CAMERA, {"constraints.memory_mib": 0}, "model.number", "$.constraints.memory_mib"),
    "negative interval": (
        CAMERA,
        {"constraints.contact_interval_s": -1},
        "model.number",
        "$.constraints.contact_interval_s",
    ),
    "no flash writes at all": (
        CAMERA,
        {"constraints.flash_writes_mib_per_day": 0},
        "model.number",
        "$.constraints.flash_writes_mib_per_day",
    ),
    "interval past reckoning": (
        CAMERA,
        {"constraints.contact_interval_s": 2**31},
        "model.number",
        "$.constraints.contact_interval_s",
    ),
    "need of no age": (CAMERA, {"needs.0.max_age_s": 0}, "model.number", "$.needs[0].max_age_s"),
    "window at 25 o'clock": (
        PUMP,
        {"constraints.maintenance_window": "25:00-26:00"},
        "model.window",
        "$.constraints.maintenance_window",
    ),
    "window of no length": (
        PUMP,
        {"constraints.maintenance_window": "02:00-02:00"},
        "model.window",
        "$.constraints.maintenance_window",
    ),
    "window in words": (
        PUMP,
        {"constraints.maintenance_window": "at night"},
        "model.window",
        "$.constraints.maintenance_window",
    ),
    "port 0": (CAMERA, {"flows.0.port": 0}, "model.port", "$.flows[0].port"),
    "port 65536": (CAMERA, {"flows.0.port": 65536}, "model.port", "$.flows[0].port"),
    "flow without a reason": (CAMERA, {"flows.0.reason": " "}, "model.empty", "$.flows[0].reason"),
    "flow without a peer": (CAMERA, {"flows.0.peer": ""}, "model.empty", "$.flows[0].peer"),
    "flow carrying unknown data": (CAMERA, {"flows.0.carries": ["vidoe"]}, "model.unresolved", "$.flows[0].carries[0]"),
    "interface without a reason": (CAMERA, {"interfaces.0.reason": ""}, "model.empty", "$.interfaces[0].reason"),
    "essential flow misspelt": (
        CAMERA,
        {"essential_function.flows": ["steam"]},
        "model.unresolved",
        "$.essential_function.flows[0]",
    ),
    "probe of no known kind": (CAMERA, {f"{PROBE}.kind": "ping"}, "model.probe_kind", f"$.{PROBE}.kind"),
    "tcp probe without a port": (CAMERA, {PROBE: {"kind": "tcp"}}, "model.port", f"$.{PROBE}.port"),
    "file probe without a file": (
        CAMERA,
        {PROBE: {"kind": "file-fresh", "max_age_s": 9}},
        "model.path",
        f"$.{PROBE}.path",
    ),
    "file probe without an age": (
        CAMERA,
        {PROBE: {"kind": "file-fresh", "path": "/run/x"}},
        "model.number",
        f"$.{PROBE}.max_age_s",
    ),
    "process probe with a path": (
        CAMERA,
        {PROBE: {"kind": "process", "process": "/bin/x"}},
        "model.probe_process",
        f"$.{PROBE}.process",
    ),
    "supplier without a name": (CAMERA, {"supplier.name": ""}, "model.empty", "$.supplier.name"),
    "support to 30 February": (CAMERA, {"supplier.support_end": "2030-02-30"}, "model.date", "$.supplier.support_end"),
    "support in words": (CAMERA, {"supplier.support_end": "next year"}, "model.date", "$.supplier.support_end"),
    "day without its zero": (CAMERA, {"supplier.support_end": "2030-2-3"}, "model.date", "$.supplier.support_end"),
    "compensation without an owner": (PUMP, {"compensations.0.owner": ""}, "model.empty", "$.compensations[0].owner"),
    "compensation without a reason": (PUMP, {"compensations.0.reason": ""}, "model.empty", "$.compensations[0].reason"),
    "compensation without an end": (PUMP, {"compensations.0.expires": ""}, "model.date", "$.compensations[0].expires"),
    "compensation of no control": (
        PUMP,
        {"compensations.0.control": "tls"},
        "model.control",
        "$.compensations[0].control",
    ),
    "compensation by nothing": (PUMP, {"compensations.0.by": []}, "model.nothing_stands_in", "$.compensations[0].by"),
    "compensation by itself": (
        PUMP,
        {"compensations.0.by": ["CRY-06"]},
        "model.nothing_stands_in",
        "$.compensations[0].by",
    ),
    "compensation by no control": (PUMP, {"compensations.0.by": ["hope"]}, "model.control", "$.compensations[0].by[0]"),
    "control compensated twice": (
        PUMP,
        {"compensations.1.control": "CRY-06"},
        "model.duplicate",
        "$.compensations[1].control",
    ),
    "forbidden no control": (PUMP, {"forbidden": ["reboots"]}, "model.control", "$.forbidden[0]"),
    "needs nothing": (CAMERA, {"needs": []}, "model.needs_nothing", "$.needs"),
    "service nobody depends on": (
        "site-gateway",
        {"shared_services.0.dependants": []},
        "model.empty",
        "$.shared_services[0].dependants",
    ),
    "relative setuid path": (CAMERA, {"expected.setuid": ["bin/su"]}, "model.path", "$.expected.setuid[0]"),
    "writable path that climbs": (
        CAMERA,
        {"expected.writable": ["/var/../etc"]},
        "model.path",
        "$.expected.writable[0]",
    ),
    "account without a name": (CAMERA, {"expected.accounts": [""]}, "model.empty", "$.expected.accounts[0]"),
    "driver that is a path": (
        CAMERA,
        {"expected.root_fs_drivers": ["fs/squashfs"]},
        "model.driver",
        "$.expected.root_fs_drivers[0]",
    ),
    "text without end": (CAMERA, {"description": "x" * (LIMITS.text + 1)}, "model.text_too_long", "$.description"),
    "list without end": (
        CAMERA,
        {"expected.accounts": ["a"] * (LIMITS.model_items + 1)},
        "model.too_many",
        "$.expected.accounts",
    ),
    "terminal escape": (CAMERA, {"description": "\x1b[2J"}, "model.unprintable", "$.description"),
    "text direction mark": (CAMERA, {"flows.0.peer": "a\u202eb"}, "model.unprintable", "$.flows[0].peer"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_cannot_be_is_refused_at_its_place(name: str, edited: Edited) -> None:
    example, edits, code, path = IMPOSSIBLE[name]
    model = edited(example, edits)
    with pytest.raises(ModelInvalid) as refusal:
        validate(model)
    assert (refusal.value.code, refusal.value.path) == (code, path)
    assert path in refusal.value.sentence
    assert refusal.value.remedy


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_unchanged_example_has_no_problem(name: str, edited: Edited) -> None:
    assert problems(edited(name, {})) == ()


def test_every_problem_is_told_and_the_first_says_how_many(edited: Edited) -> None:
    model = edited(CAMERA, {"flows.0.port": 0, "supplier.support_end": "never", "needs": []})
    assert [problem.code for problem in problems(model)] == ["model.port", "model.date", "model.needs_nothing"]
    with pytest.raises(ModelInvalid, match="2 more"):
        validate(model)


def test_problems_are_bounded(edited: Edited) -> None:
    model = edited(CAMERA, {"expected.accounts": [""] * 200, "expected.autostart": [""] * 200})
    assert len(problems(model)) == LIMITS.model_items


@pytest.mark.parametrize("window", ["00:00-23:59", "22:00-02:00"])
def test_a_window_may_pass_midnight(window: str, edited: Edited) -> None:
    assert problems(edited(PUMP, {"constraints.maintenance_window": window})) == ()


def test_a_last_day_counts_to_its_end() -> None:
    assert last_day_ends("2028-02-29") == parse_rfc3339("2028-03-01T00:00:00Z")
    with pytest.raises(HostileData, match="not a day"):
        last_day_ends("2027-02-29")
