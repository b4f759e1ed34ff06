"""When a device should call again: its contact interval, spread so that a fleet never calls in step.

Devices that call often fall out of step by themselves, for each interval varies. Those that call rarely would stay
in step for weeks after they were enrolled together: their first interval is therefore any part of one.
"""

from __future__ import annotations

import hashlib

SPREAD = 0.1
"""The share of the interval by which a contact may come earlier or later."""
RARE_S = 4 * 3600
"""From this interval on a device calls rarely: it takes some 75 calls to fall out of step."""


def next_contact(interval_s: int, device: str, seq: int) -> int:
    """Seconds until the next check-in, decided by device and sequence number: `interval_s` give or take `SPREAD`.

    After the first check-in of a device that calls rarely, it is any part of the interval.

    A hash spreads as well as chance would, needs no randomness, and gives a resent check-in the same answer.
    """
    lot = int.from_bytes(hashlib.sha256(f"{device}\n{seq}".encode()).digest()[:4], "big") / 2**32
    if seq <= 1 and interval_s >= RARE_S:
        return max(1, round(interval_s * lot))
    return max(1, round(interval_s * (1 - SPREAD + 2 * SPREAD * lot)))
