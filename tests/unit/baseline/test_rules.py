"""Judging an audit, and the appraisal of it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseline_builders import EVERYWHERE, NOW, by_manifest, catalogue, compensated, control, excused, findings, model
from holdfast_core.baseline.control import Catalogue
from holdfast_core.baseline.inspections import InspectionRecord
from holdfast_core.baseline.model import BuildManifest, Demand, Finding, Findings, Judged, Outcome, Report
from holdfast_core.baseline.probes import Inspection, Manifest
from holdfast_core.baseline.rules import MAX_REASONS, appraise, judge, judge_for
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.model import Compensation, DeviceClass, DeviceModel
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.errors import Bug
from holdfast_core.kernel.instants import DAY, HOUR, Instant
from holdfast_core.kernel.severity import Severity
from holdfast_probe.catalogue import shipped_catalogue

SIGNED = Compensation("FS-01", ("FS-02",), "The vendor is slow", "Ada", "2027-01-31")
PAIR = catalogue(control("FS-01"), control("FS-02"))


def report(of: Catalogue, body: Findings | BuildManifest, device: DeviceModel | None = None, days: int = 0) -> Report:
    """`body` read against the baseline of `device`, judged `days` after it was tailored."""
    return judge(tailor(of, device or model(), NOW), body, of, Instant(NOW + days * DAY))


def outcome(made: Report, name: str) -> Judged:
    return next(entry for entry in made.judged if entry.control == name)


def read(made: Report) -> Appraisal:
    return appraise(made, now=NOW, max_age_ms=HOUR)


def test_what_is_found_is_judged() -> None:
    made = report(PAIR, findings(["FS-01"], ["FS-02"]))
    assert outcome(made, "FS-01").outcome is Outcome.PASS
    failed = outcome(made, "FS-02")
    assert (failed.outcome, failed.reason, failed.proof) == (Outcome.FAIL, "Fault of FS-02.", ("/etc/fs-02",))
    assert (failed.why, failed.remedy) == ("Rationale of FS-02.", "Remedy of FS-02.")
    assert (made.asked, made.decided, made.coverage) == (2, 2, 1.0)


def test_what_was_not_reported_is_unknown() -> None:
    made = report(PAIR, findings(["FS-01"]))
    assert outcome(made, "FS-02").outcome is Outcome.UNKNOWN
    assert (made.asked, made.decided) == (2, 1)


def test_what_was_not_asked_is_ignored() -> None:
    unasked = control("FS-02", classes={**EVERYWHERE, DeviceClass.LINUX_IOT: excused("It has none.")})
    made = report(catalogue(control("FS-01"), unasked), findings(["FS-01"], ["FS-02", "XX-99"]))
    assert outcome(made, "FS-02") == Judged(
        "FS-02", unasked.title, Severity.HIGH, Outcome.NOT_APPLICABLE, "It has none."
    )
    assert (made.asked, made.decided) == (1, 1)
    assert len(made.judged) == 2


def test_a_class_compensation_counts_only_while_its_stand_in_passes() -> None:
    of = catalogue(control("FS-01", classes={**EVERYWHERE, DeviceClass.OT: compensated("FS-02")}), control("FS-02"))
    plc = model(DeviceClass.OT)
    assert outcome(report(of, findings(["FS-02"], ["FS-01"]), plc), "FS-01").outcome is Outcome.COMPENSATED
    assert outcome(report(of, findings(["FS-02"]), plc), "FS-01").outcome is Outcome.COMPENSATED
    broken = outcome(report(of, findings([], ["FS-01", "FS-02"]), plc), "FS-01")
    assert broken.outcome is Outcome.FAIL
    assert "does not hold: FS-02" in broken.reason
    assert outcome(report(of, findings([], ["FS-01"]), plc), "FS-01").outcome is Outcome.UNKNOWN


def test_a_device_may_always_meet_what_is_compensated() -> None:
    made = report(PAIR, findings(["FS-01"], ["FS-02"]), model(compensations=(SIGNED,)))
    assert outcome(made, "FS-01").outcome is Outcome.PASS


def test_a_signed_compensation_lapses_although_nobody_tailors_anew() -> None:
    device = model(compensations=(SIGNED,))
    body = findings(["FS-02"], ["FS-01"])
    assert outcome(report(PAIR, body, device), "FS-01").outcome is Outcome.COMPENSATED
    lapsed = outcome(report(PAIR, body, device, days=90), "FS-01")
    assert lapsed.outcome is Outcome.FAIL
    assert "Ada answered for has lapsed" in lapsed.reason


def test_a_stand_in_that_does_not_apply_stands_in_for_nothing() -> None:
    absent = Finding("FS-02", Outcome.NOT_APPLICABLE, reason="There is no such thing.")
    made = report(PAIR, findings([], ["FS-01"], absent), model(compensations=(SIGNED,)))
    assert outcome(made, "FS-01").outcome is Outcome.FAIL


def test_a_build_manifest_decides_what_is_judged_by_manifest() -> None:
    of = catalogue(by_manifest("BOOT-01", "signed"), by_manifest("BOOT-02", "locked"), by_manifest("BOOT-03", "gone"))
    made = report(of, BuildManifest("7", {"signed": True, "locked": False}), model(DeviceClass.MCU))
    assert [entry.outcome for entry in made.judged] == [Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN]
    assert (made.asked, made.decided) == (3, 2)


def test_a_baseline_of_another_catalogue_is_a_bug_of_ours() -> None:
    with pytest.raises(Bug) as refused:
        judge_for(tailor(PAIR, model(), NOW), catalogue(control("FS-01")))
    assert refused.value.code == "baseline.other_catalogue"


TIERS = [
    pytest.param({}, Tier.AFFIRMING, id="all met"),
    pytest.param({"FS-04": Outcome.FAIL}, Tier.AFFIRMING, id="a low failure"),
    pytest.param({"FS-03": Outcome.FAIL}, Tier.AFFIRMING, id="a medium failure"),
    pytest.param({"FS-02": Outcome.FAIL}, Tier.WARNING, id="a high failure"),
    pytest.param({"FS-02": Outcome.UNKNOWN}, Tier.WARNING, id="a high one undecided"),
    pytest.param({"FS-03": Outcome.UNKNOWN}, Tier.AFFIRMING, id="a medium one undecided"),
    pytest.param({"FS-01": Outcome.UNKNOWN}, Tier.WARNING, id="a critical one undecided"),
    pytest.param({"FS-01": Outcome.FAIL}, Tier.CONTRAINDICATED, id="a critical failure"),
    pytest.param(
        {"FS-01": Outcome.FAIL, "FS-02": Outcome.FAIL, "FS-03": Outcome.UNKNOWN}, Tier.CONTRAINDICATED, id="the worst"
    ),
]
LADDER = catalogue(*(control(f"FS-0{number}", severity) for number, severity in enumerate(Severity, 1)))


@pytest.mark.parametrize(("changes", "tier"), TIERS)
def test_the_worst_failure_decides_the_tier(changes: dict[str, Outcome], tier: Tier) -> None:
    body = findings(
        (), (), *(Finding(c.id, changes.get(c.id, Outcome.PASS), reason="So it is.") for c in LADDER.controls)
    )
    made = read(report(LADDER, body))
    assert (made.feature, made.tier) == ("baseline", tier)
    assert (made.appraised_at, made.valid_until) == (NOW, NOW + HOUR)
    failing = [name for name, value in changes.items() if value is Outcome.FAIL]
    assert [reason.code for reason in made.reasons if ".fail." in reason.code] == [
        f"baseline.fail.{name}" for name in failing
    ]


def test_deciding_nothing_is_no_appraisal() -> None:
    made = read(report(PAIR, findings()))
    assert made.tier is Tier.NONE
    assert [reason.code for reason in made.reasons] == ["baseline.nothing_decided"]


def test_a_baseline_that_asks_nothing_affirms_nothing() -> None:
    nothing = catalogue(control("FS-01", classes=dict.fromkeys(DeviceClass, excused())))
    made = report(nothing, findings())
    assert (made.coverage, read(made).tier) == (0.0, Tier.NONE)


def test_a_reason_says_what_was_seen_why_it_matters_and_what_to_do() -> None:
    seen = Finding("FS-01", Outcome.FAIL, ("/bin/a", "/bin/b", "/bin/c"))
    (reason,) = read(report(catalogue(control("FS-01")), findings((), (), seen))).reasons
    assert reason.code == "baseline.fail.FS-01"
    assert reason.sentence == "Fault of FS-01. Seen: /bin/a and 2 more. Rationale of FS-01."
    assert reason.remedy == "Remedy of FS-01."


def test_the_worst_come_first_and_the_rest_is_counted() -> None:
    severities = list(Severity) * 6
    of = catalogue(*(control(f"FS-{number:02}", severity) for number, severity in enumerate(severities)))
    made = read(report(of, findings((), [c.id for c in of.controls])))
    assert len(made.reasons) == MAX_REASONS + 1
    assert made.reasons[-1].code == "baseline.more"
    assert "8 more" in made.reasons[-1].sentence
    ranks = [severities[int(reason.code[-2:])].rank for reason in made.reasons[:-1]]
    assert ranks == sorted(ranks)


def test_exactly_the_limit_needs_no_last_line() -> None:
    of = catalogue(*(control(f"FS-{number:02}") for number in range(MAX_REASONS)))
    made = read(report(of, findings((), [c.id for c in of.controls])))
    assert len(made.reasons) == MAX_REASONS
    assert all(reason.code != "baseline.more" for reason in made.reasons)


BOARD = model(DeviceClass.MCU)
SHIPPED = {each.id: each for each in shipped_catalogue().controls}
ASKED = [
    SHIPPED[line.control] for line in tailor(shipped_catalogue(), BOARD, NOW).lines if line.demand is Demand.REQUIRED
]
WORDED = {"true": True, "false": False, "sha256:*": "sha256:" + "a" * 64}


def _stated(wanted: str) -> bool | str:
    return WORDED.get(wanted, "2031-01-01" if wanted.startswith("20[") else wanted)


GOOD = {each.manifest.key: _stated(each.manifest.one_of[0]) for each in ASKED if each.manifest is not None}
"""What a good build of such a board states."""
LOOKED = [InspectionRecord(each.id, "pass", "Ada", "2026-11-01", "2027-11-01") for each in ASKED if each.inspected]


def _board(facts: dict[str, bool | str]) -> Report:
    build = BuildManifest("7", dict(facts))
    baseline = tailor(shipped_catalogue(), BOARD, NOW)
    return judge_for(baseline, shipped_catalogue()).report(build, NOW, LOOKED)


def test_a_good_build_of_a_microcontroller_is_affirmed() -> None:
    made = _board(GOOD)
    assert (made.coverage, read(made).tier, read(made).reasons) == (1.0, Tier.AFFIRMING, ())


@pytest.mark.parametrize("fact", sorted(GOOD))
def test_every_fact_of_a_build_counts(fact: str) -> None:
    good = GOOD[fact]
    bad = _board({**GOOD, fact: not good if isinstance(good, bool) else "?"})
    assert [entry.outcome for entry in bad.judged].count(Outcome.FAIL) == 1
    silent = _board({name: value for name, value in GOOD.items() if name != fact})
    assert silent.decided == silent.asked - 1


outcomes = st.sampled_from([Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE])


@settings(max_examples=40)
@given(st.sampled_from(DeviceClass), st.lists(outcomes, min_size=40, max_size=40), st.sets(st.integers(0, 39)))
def test_a_critical_control_that_is_left_out_is_never_affirmed(
    device_class: DeviceClass, chosen: list[Outcome], kept: set[int]
) -> None:
    of = shipped_catalogue()
    device = model(device_class)
    sent = [Finding(of.controls[index].id, chosen[index], reason="So it is.") for index in sorted(kept)]
    made = report(of, findings((), (), *sent), device)
    asked = {entry.control for entry in report(of, findings(), device).judged if entry.outcome is Outcome.UNKNOWN}
    critical = {control.id for control in of.controls if control.severity is Severity.CRITICAL}
    if (critical & asked) - {finding.control for finding in sent}:
        assert read(made).tier is not Tier.AFFIRMING
    # What stands in for a control decides it, for good or ill; nothing else is decided that was not reported.
    leaning = {line.control for line in tailor(of, device, NOW).lines if line.demand is Demand.COMPENSATED}
    decided = {
        entry.control for entry in made.judged if entry.control in asked and entry.outcome is not Outcome.UNKNOWN
    }
    assert decided <= leaning | {finding.control for finding in sent}


@settings(max_examples=40)
@given(st.lists(outcomes, min_size=40, max_size=40))
def test_a_report_survives_storage(chosen: list[Outcome]) -> None:
    of = shipped_catalogue()
    body = Findings(
        findings().plan,
        tuple(Finding(c.id, made, ("/etc/x",), "So it is.") for c, made in zip(of.controls, chosen, strict=False)),
    )
    made = report(of, body)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Report) == made


def test_a_device_that_calls_a_declared_lack_not_applicable_does_not_release_what_stands_in() -> None:
    """Its maker says that it cannot meet it; the device says that there is nothing to meet."""
    device = model(compensations=(SIGNED,))
    excuse = Finding("FS-01", Outcome.NOT_APPLICABLE, reason="There is none here.")
    assert outcome(report(PAIR, findings(["FS-02"], (), excuse), device), "FS-01").outcome is Outcome.COMPENSATED
    assert outcome(report(PAIR, findings((), ["FS-02"], excuse), device), "FS-01").outcome is Outcome.FAIL
    undeclared = report(PAIR, findings((), ["FS-02"], excuse), model())
    assert outcome(undeclared, "FS-01").outcome is Outcome.NOT_APPLICABLE


def test_what_a_build_could_state_and_did_not_says_so() -> None:
    of = catalogue(control("FS-01", probe=Manifest(key="sealed", one_of=("true",))))
    seen = outcome(report(of, findings((), (), Finding("FS-01", Outcome.UNKNOWN, reason="Nobody says."))), "FS-01")
    assert "State sealed in the build manifest" in seen.remedy


def test_what_only_a_person_sees_asks_for_one() -> None:
    of = catalogue(control("PHY-11", probe=Inspection("Look at the casing, please.")))
    assert "holdfast device inspect" in outcome(report(of, findings()), "PHY-11").remedy
