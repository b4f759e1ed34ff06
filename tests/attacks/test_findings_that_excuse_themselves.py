"""A device that writes its own findings tries to look better than it is; passing controls stand beside the attacks."""

from __future__ import annotations

import pytest

from baseline_builders import EVERYWHERE, NOW, by_manifest, catalogue, compensated, control, findings, model
from holdfast_core.baseline.model import BuildManifest, Finding, Findings, Outcome, Report
from holdfast_core.baseline.rules import appraise, judge
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.inventory.model import Compensation, DeviceClass, DeviceModel
from holdfast_core.kernel.appraisals import Tier
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import HOUR
from holdfast_core.kernel.limits import LIMITS
from holdfast_core.kernel.severity import Severity

OPEN_DOOR = catalogue(control("ACC-01", Severity.CRITICAL), control("FS-01", Severity.LOW))


def judged(body: Findings | BuildManifest, device: DeviceModel | None = None) -> Report:
    return judge(tailor(OPEN_DOOR, device or model(), NOW), body, OPEN_DOOR, NOW)


def tier(body: Findings | BuildManifest, device: DeviceModel | None = None) -> Tier:
    return appraise(judged(body, device), now=NOW, max_age_ms=HOUR).tier


def test_control_honest_findings_are_affirmed() -> None:
    assert tier(findings(["ACC-01", "FS-01"])) is Tier.AFFIRMING


def test_attack_a_second_finding_hides_the_first() -> None:
    with pytest.raises(HostileData) as refused:
        judged(findings(["ACC-01"], ["ACC-01"]))
    assert refused.value.code == "baseline.findings_duplicate"


def test_attack_it_does_not_apply_because_i_say_so() -> None:
    with pytest.raises(HostileData) as refused:
        judged(findings((), (), Finding("FS-01", Outcome.NOT_APPLICABLE)))
    assert refused.value.code == "baseline.findings_excuse"


def test_attack_an_open_door_does_not_apply_to_me() -> None:
    excuse = Finding("ACC-01", Outcome.NOT_APPLICABLE, reason="There is no /etc/shadow.")
    assert tier(findings(["FS-01"], (), excuse)) is Tier.WARNING


def test_control_a_lesser_control_may_not_apply_with_a_reason() -> None:
    excuse = Finding("FS-01", Outcome.NOT_APPLICABLE, reason="There is no such file.")
    assert tier(findings(["ACC-01"], (), excuse)) is Tier.AFFIRMING


def test_attack_i_am_compensated() -> None:
    with pytest.raises(HostileData) as refused:
        judged(findings((), (), Finding("ACC-01", Outcome.COMPENSATED, reason="Signed by nobody.")))
    assert refused.value.code == "baseline.findings_claim"


def test_attack_the_bad_finding_is_left_out() -> None:
    assert tier(findings([], ["ACC-01"])) is Tier.CONTRAINDICATED
    assert tier(findings(["FS-01"])) is Tier.WARNING


def test_attack_more_findings_than_there_are_controls() -> None:
    flood = tuple(Finding(f"FS-{number:02}", Outcome.PASS) for number in range(100)) * 6
    assert len(flood) > LIMITS.findings
    with pytest.raises(HostileData) as refused:
        judged(Findings(findings().plan, flood))
    assert refused.value.code == "baseline.findings_too_many"


def test_attack_a_build_manifest_in_place_of_an_audit() -> None:
    assert tier(BuildManifest("7", {"default_password": False})) is Tier.NONE


def test_attack_an_audit_in_place_of_a_build_manifest() -> None:
    of = catalogue(by_manifest("BOOT-01", "signed"))
    baseline = tailor(of, model(DeviceClass.MCU), NOW)
    assert judge(baseline, BuildManifest("7", {"signed": True}), of, NOW).coverage == 1.0
    assert judge(baseline, findings(["BOOT-01"]), of, NOW).coverage == 0.0


def test_attack_a_maker_compensates_two_controls_with_each_other() -> None:
    circle = tuple(
        Compensation(name, (other,), "It takes time", "Ada", "2030-01-01")
        for name, other in (("ACC-01", "FS-01"), ("FS-01", "ACC-01"))
    )
    device = model(compensations=circle)
    assert tier(findings([], ["ACC-01", "FS-01"]), device) is Tier.CONTRAINDICATED
    assert tier(findings(["FS-01"], ["ACC-01"]), device) is Tier.AFFIRMING


def test_attack_a_stand_in_is_compensated_away_as_well() -> None:
    of = catalogue(
        control("FS-01", classes={**EVERYWHERE, DeviceClass.OT: compensated("FS-02")}),
        control("FS-02"),
        control("FS-03"),
    )
    chain = (Compensation("FS-02", ("FS-03",), "It takes time", "Ada", "2030-01-01"),)
    baseline = tailor(of, model(DeviceClass.OT, compensations=chain), NOW)
    made = judge(baseline, findings(["FS-03"], ["FS-01", "FS-02"]), of, NOW)
    assert [entry.outcome for entry in made.judged] == [Outcome.FAIL, Outcome.COMPENSATED, Outcome.PASS]


def test_attack_a_path_that_drives_the_terminal() -> None:
    escape = Finding("ACC-01", Outcome.FAIL, ("/srv/\x1b]0;all fine\x07\u202egnp.exe",), "\x1b[2J")
    made = judged(findings(["FS-01"], (), escape))
    said = appraise(made, now=NOW, max_age_ms=HOUR).reasons[0].sentence
    assert said.isprintable()
    assert "\\x1b]0;all fine\\x07\\u202egnp.exe" in said
