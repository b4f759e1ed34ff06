"""What a person went and looked at: the word of an inspector, and until when it counts.

1. Only a control whose probe is an `Inspection` is judged by one; nothing a device says can stand in its place.
2. It names who looked, on which day, and the day until which that counts; a photo is named by its digest and kept
   elsewhere.
3. One that has lapsed is `unknown` again, like one that was never made: what nobody looked at is no pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from holdfast_core.baseline.model import ControlId, Finding, Outcome, Text
from holdfast_core.baseline.probes import Inspection
from holdfast_core.inventory.validation import last_day_ends
from holdfast_core.kernel.errors import HostileData
from holdfast_core.kernel.instants import DAY, Instant
from holdfast_core.kernel.limits import LIMITS

Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class InspectionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One control that a person looked at."""

    control: ControlId
    outcome: Literal["pass", "fail"]
    inspector: Name
    date: Day
    expires: Day
    """The last day on which it counts."""
    photo: Annotated[str, msgspec.Meta(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    """Digest of a picture that shows it."""
    remark: Text = ""


InspectionRecords = Annotated[tuple[InspectionRecord, ...], msgspec.Meta(max_length=LIMITS.findings)]
"""What an inspections file holds."""


def check_inspections(records: Iterable[InspectionRecord], now: Instant) -> None:
    """Refuse records that cannot be.

    Raises:
        HostileData: ``inspections.date`` for a day that is none or has not come, or one that lapses before it was
            made; ``inspections.twice`` for a control with two records.
    """
    seen: set[ControlId] = set()
    for record in records:
        made, ends = _ends(record, record.date), _ends(record, record.expires)
        if made - DAY > now:
            raise _date(f"The inspection of {record.control} is dated {record.date}, which has not come.")
        if ends < made:
            raise _date(f"The inspection of {record.control} lapses before it was made.")
        if record.control in seen:
            raise HostileData(
                "inspections.twice",
                f"{record.control} is inspected twice in one file.",
                remedy="Correct the inspections file; it has one entry a control.",
            )
        seen.add(record.control)


def judge_inspection(probe: Inspection, control: ControlId, record: InspectionRecord | None, now: Instant) -> Finding:
    """What inspections say of one control at `now`."""
    if record is None:
        return Finding(control, Outcome.UNKNOWN, reason=f"Nobody has inspected it. {probe.look}"[: LIMITS.text])
    if now >= last_day_ends(record.expires):
        lapsed = f"{record.inspector} inspected it on {record.date}, which counted until {record.expires}. {probe.look}"
        return Finding(control, Outcome.UNKNOWN, reason=lapsed[: LIMITS.text])
    remark = (" ".join(record.remark.split()),) if record.remark else ()
    photo = (f"photo {record.photo}",) if record.photo else ()
    proof = (f"{record.inspector} inspected it on {record.date}, which counts until {record.expires}", *remark, *photo)
    return Finding(control, Outcome(record.outcome), proof)


def _ends(record: InspectionRecord, day: str) -> Instant:
    try:
        return last_day_ends(day)
    except HostileData:
        raise _date(f"The inspection of {record.control} names the day {day}, which does not exist.") from None


def _date(sentence: str) -> HostileData:
    return HostileData(
        "inspections.date",
        sentence,
        remedy="Give days that exist, as YYYY-MM-DD: the look's today or earlier, the last one not before it.",
    )
