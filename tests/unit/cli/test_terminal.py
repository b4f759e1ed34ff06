"""What is told to a person in a few words."""

from __future__ import annotations

import pytest

from holdfast.cli.log import brief
from holdfast.cli.terminal import ago
from holdfast_core.kernel.instants import DAY, HOUR, MINUTE, SECOND, Instant, parse_rfc3339, rfc3339

NOW = parse_rfc3339("2026-11-21T10:00:00Z")


@pytest.mark.parametrize(
    ("distance", "told"),
    [
        (1_440, "1 s ago"),
        (90 * SECOND, "90 s ago"),
        (2 * HOUR + 29 * MINUTE, "2 h ago"),
        (-(3 * DAY + HOUR), "in 3 days"),
        (0, "0 s ago"),
    ],
)
def test_a_distance_in_time_is_told_in_whole_numbers(distance: int, told: str) -> None:
    assert ago(rfc3339(Instant(NOW - distance)), NOW) == told


def test_a_time_in_the_record_is_told_as_one_and_a_number_stays_a_number() -> None:
    assert brief(1_795_285_558_232) == rfc3339(Instant(1_795_285_558_232))[:19].replace("T", " ")
    assert brief(14) == "14"
    assert brief(2**53) == str(2**53)
