"""What a person looked at, judged."""

from __future__ import annotations

import msgspec
import pytest

from baseline_builders import NOW, catalogue, control, findings, model
from holdfast_core.baseline.inspections import InspectionRecord, check_inspections
from holdfast_core.baseline.model import Findings, Judged, Outcome
from holdfast_core.baseline.probes import Inspection
from holdfast_core.baseline.rules import judge_for
from holdfast_core.baseline.tailoring import tailor
from holdfast_core.kernel.errors import HostileData

LOOK = Inspection(look="Look at the seal over the debug header.")
"""A control that a person looks at."""


def _inspected(*records: InspectionRecord, body: Findings | None = None) -> Judged:
    of = catalogue(control("FS-01", probe=LOOK), control("FS-02"))
    judged = judge_for(tailor(of, model(), NOW), of).report(body or findings(["FS-02"]), NOW, records).judged
    return judged[0]


SEALED = InspectionRecord("FS-01", "pass", "Ada", "2026-11-01", "2027-11-01", "sha256:" + "a" * 64, "Seal 17 is whole.")


def test_a_persons_look_decides_and_is_the_proof() -> None:
    entry = _inspected(SEALED)
    assert entry.outcome is Outcome.PASS
    assert _inspected(msgspec.structs.replace(SEALED, remark="Seal 17\n is whole.\n")) == entry
    assert entry.proof == (
        "Ada inspected it on 2026-11-01, which counts until 2027-11-01",
        "Seal 17 is whole.",
        f"photo {SEALED.photo}",
    )
    broken = _inspected(msgspec.structs.replace(SEALED, outcome="fail", remark="The seal is broken."))
    assert (broken.outcome, broken.proof[1]) == (Outcome.FAIL, "The seal is broken.")


def test_what_nobody_looked_at_or_not_lately_is_unknown_whatever_the_device_says() -> None:
    assert _inspected().reason.startswith("Nobody has inspected it. Look at the seal")
    told = _inspected(body=findings(["FS-01", "FS-02"]))
    assert told.outcome is Outcome.UNKNOWN
    lapsed = _inspected(msgspec.structs.replace(SEALED, expires="2026-11-20"))
    assert lapsed.outcome is Outcome.UNKNOWN
    assert "which counted until 2026-11-20" in lapsed.reason
    assert _inspected(msgspec.structs.replace(SEALED, expires="2026-11-21")).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ((msgspec.structs.replace(SEALED, date="2026-11-22"),), "inspections.date"),
        ((msgspec.structs.replace(SEALED, date="2026-02-30"),), "inspections.date"),
        ((msgspec.structs.replace(SEALED, expires="2026-10-31"),), "inspections.date"),
        ((SEALED, SEALED), "inspections.twice"),
    ],
    ids=["in the future", "no day", "lapsed before it was made", "twice"],
)
def test_an_inspection_that_cannot_be_is_refused(records: tuple[InspectionRecord, ...], code: str) -> None:
    check_inspections((SEALED,), NOW)
    with pytest.raises(HostileData) as refused:
        check_inspections(records, NOW)
    assert refused.value.code == code
