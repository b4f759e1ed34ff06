"""Who answers for which finding, and until when."""

from __future__ import annotations

import msgspec
import pytest

from document_builders import audit_of
from holdfast_core.baseline.document import Document
from holdfast_core.baseline.waivers import Standing, Waiver, checked_waivers
from holdfast_core.kernel.errors import HostileData

FORWARDS = Waiver("NET-01", "The gateway does this for it.", "Ada", "2026-12-31")
OPEN = Waiver("FS-01", "The door is bricked up until then.", "Ben", "2027-02-19")


def standing(waiver: Waiver) -> tuple[Document, Standing, str]:
    made = audit_of(waivers=(waiver,))
    (weighed,) = made.waivers
    return made, weighed.standing, weighed.sentence


def test_a_waived_finding_is_shown_and_does_not_count() -> None:
    made, how, sentence = standing(FORWARDS)
    assert how is Standing.IN_FORCE
    assert sentence == "Ada answers for NET-01 until 2026-12-31."
    assert [entry.control for entry in made.failed()] == ["FS-01"]
    assert [entry.control for entry in made.failed(waived=True)] == ["NET-01"]
    assert (made.counts["fail"], made.counts["waived"]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ({"expires": "2026-11-21"}, Standing.IN_FORCE),
        ({"expires": "2026-11-20"}, Standing.EXPIRED),
        ({"proof": ("net.ipv4.ip_forward",)}, Standing.IN_FORCE),
        ({"proof": ("net.ipv4.ip_forward = 1",)}, Standing.IN_FORCE),
        ({"proof": ("net.ipv4.*",)}, Standing.IN_FORCE),
        ({"proof": ("net.ipv4.ip_forward = 2",)}, Standing.UNCOVERED),
        ({"proof": ("net.ipv4",)}, Standing.UNCOVERED),
        ({"control": "FS-02"}, Standing.IDLE),
        ({"control": "FS-05"}, Standing.IDLE),
        ({"control": "ABC-99"}, Standing.IDLE),
    ],
    ids=[
        "last day",
        "day after",
        "by subject",
        "by line",
        "by beginning",
        "other line",
        "half a name",
        "passes",
        "undecided",
        "unheard of",
    ],
)
def test_what_a_waiver_excuses(change: dict[str, object], how: Standing) -> None:
    made, came_out, sentence = standing(msgspec.structs.replace(FORWARDS, **change))
    assert came_out is how
    assert sentence
    assert ("NET-01" in {entry.control for entry in made.failed()}) is (how is not Standing.IN_FORCE)


def test_one_open_file_more_is_a_finding_again() -> None:
    _, how, sentence = standing(msgspec.structs.replace(OPEN, proof=("/etc/a", "/etc/shadow")))
    assert how is Standing.UNCOVERED
    assert sentence.endswith("Not named: no path at all")
    _, how, _ = standing(msgspec.structs.replace(OPEN, proof=("/etc/a", "/etc/shadow", "no path *")))
    assert how is Standing.IN_FORCE


def test_an_open_door_is_excused_for_ninety_days_at_the_most() -> None:
    assert standing(OPEN)[1] is Standing.IN_FORCE
    made, how, _ = standing(msgspec.structs.replace(OPEN, expires="2027-02-20"))
    assert how is Standing.TOO_LONG
    assert made.failed()[0].control == "FS-01"
    assert standing(msgspec.structs.replace(FORWARDS, expires="2099-12-31"))[1] is Standing.IN_FORCE


def test_the_first_waiver_that_holds_speaks_for_the_finding() -> None:
    lapsed = msgspec.structs.replace(FORWARDS, owner="Cleo", expires="2026-01-01")
    other = msgspec.structs.replace(FORWARDS, owner="Dan")
    made = audit_of(waivers=(lapsed, FORWARDS, other))
    (entry,) = made.failed(waived=True)
    assert entry.waiver == FORWARDS


def test_a_day_that_does_not_exist_is_refused() -> None:
    folded = msgspec.structs.replace(FORWARDS, reason="The gateway\n does this\u00a0for it.\n")
    assert checked_waivers((folded,)) == (FORWARDS,)
    with pytest.raises(HostileData) as refused:
        checked_waivers((msgspec.structs.replace(FORWARDS, expires="2027-02-29"),))
    assert refused.value.code == "waivers.date"
