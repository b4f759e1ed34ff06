"""When an audit is due, and how results are joined."""

from __future__ import annotations

import msgspec
import pytest

from agent_builders import a_plan
from holdfast_agent.audit import Extent, ended, extent_due, joined, looked
from holdfast_agent.state import AuditMark, Config, LightAudit
from holdfast_core.baseline.model import Finding, Findings, Outcome
from holdfast_core.inventory.model import HealthProbe
from holdfast_core.kernel.digests import Digest
from holdfast_core.wire.confirm import Moment

PLAN, OTHER = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
MARK = AuditMark(PLAN, full=Moment("b1", 100), light=Moment("b1", 5_000))
INTERVAL = Config("https://x", "cam-1", light_interval_s=3_600)
AS_PLANNED = Config("https://x", "cam-1")
ALWAYS = Config("https://x", "cam-1", light_audit=LightAudit.EVERY_CHECK_IN)
DAY = 86_400
ASKED = msgspec.structs.replace(
    a_plan(heavy_interval_s=DAY, health=HealthProbe("self-reported")), light_interval_s=7_200
)


@pytest.mark.parametrize(
    ("plan", "mark", "now", "config", "asked", "expected"),
    [
        (PLAN, None, Moment("b1", 5_001), INTERVAL, False, Extent.FULL),
        (OTHER, MARK, Moment("b1", 5_001), INTERVAL, False, Extent.FULL),
        (PLAN, MARK, Moment("b2", 5_001), INTERVAL, False, Extent.FULL),
        (PLAN, MARK, Moment("b1", 5_001), INTERVAL, True, Extent.FULL),
        (PLAN, MARK, Moment("b1", 100 + DAY), INTERVAL, False, Extent.FULL),
        (PLAN, MARK, Moment("b1", 99 + DAY), INTERVAL, False, Extent.LIGHT),
        (PLAN, MARK, Moment("b1", 5_000 + 3_600), INTERVAL, False, Extent.LIGHT),
        (PLAN, MARK, Moment("b1", 4_999 + 3_600), INTERVAL, False, Extent.NOTHING),
        (PLAN, MARK, Moment("b1", 5_001), ALWAYS, False, Extent.LIGHT),
        (PLAN, MARK, Moment("b1", 5_000 + 7_200), AS_PLANNED, False, Extent.LIGHT),
        (PLAN, MARK, Moment("b1", 4_999 + 7_200), AS_PLANNED, False, Extent.NOTHING),
    ],
    ids=[
        "never yet",
        "new plan",
        "reboot",
        "asked",
        "interval",
        "light before it",
        "light",
        "nothing",
        "every time",
        "as planned",
        "not yet as planned",
    ],
)
def test_what_is_due(
    plan: Digest, mark: AuditMark | None, now: Moment, config: Config, *, asked: bool, expected: Extent
) -> None:
    assert extent_due(plan, ASKED, mark, now, config, asked=asked) is expected


def finding(control: str, outcome: Outcome) -> Finding:
    return Finding(control, outcome)


def test_a_light_result_replaces_its_controls_last_one_only() -> None:
    before = Findings(PLAN, (finding("ACC-04", Outcome.PASS), finding("FS-06", Outcome.PASS)))
    seen = Findings(PLAN, (finding("ACC-04", Outcome.FAIL),))
    assert joined(before, seen).findings == (finding("ACC-04", Outcome.FAIL), finding("FS-06", Outcome.PASS))


def test_nothing_of_another_plan_is_kept() -> None:
    before = Findings(OTHER, (finding("FS-06", Outcome.PASS),))
    seen = Findings(PLAN, (finding("ACC-04", Outcome.FAIL),))
    assert joined(before, seen) == seen
    assert joined(None, seen) == seen


LATER = Moment("b1", 9_000)


def test_a_light_look_leaves_the_age_of_the_whole() -> None:
    assert looked(Extent.LIGHT, PLAN, MARK, LATER) == AuditMark(PLAN, MARK.full, LATER)


def test_until_the_costly_look_has_ended_its_results_are_as_old_as_the_last_one() -> None:
    begun = looked(Extent.FULL, PLAN, MARK, LATER)
    assert begun == AuditMark(PLAN, MARK.full, LATER, LATER)
    next_day = Moment("b1", 99_000)
    assert looked(Extent.FULL, PLAN, begun, next_day) == AuditMark(PLAN, MARK.full, next_day, LATER)
    assert ended(begun) == AuditMark(PLAN, LATER, LATER)


@pytest.mark.parametrize("mark", [None, MARK, AuditMark(OTHER, LATER, LATER, LATER)], ids=["first", "boot", "plan"])
def test_a_new_plan_or_boot_begins_anew(mark: AuditMark | None) -> None:
    now = Moment("b2", 10)
    assert looked(Extent.FULL, PLAN, mark, now) == AuditMark(PLAN, now, now, now, whole=False)
