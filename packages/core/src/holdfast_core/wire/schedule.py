"""When a device should call again: its contact interval, spread so that a fleet never calls in step."""

from __future__ import annotations

import hashlib

SPREAD = 0.1
"""The share of the interval by which a contact may come earlier or later."""


def next_contact(interval_s: int, device: str, seq: int) -> int:
    """Seconds until the next check-in: `interval_s` give or take `SPREAD`, decided by device and sequence number.

    A hash spreads as well as chance would, needs no randomness, and gives a resent check-in the same answer.
    """
    lot = int.from_bytes(hashlib.sha256(f"{device}\n{seq}".encode()).digest()[:4], "big") / 2**32
    return max(1, round(interval_s * (1 - SPREAD + 2 * SPREAD * lot)))
