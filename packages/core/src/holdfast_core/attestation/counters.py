"""What a TPM's clock and counters say of its life between two quotes.

1. One more reset or restart is a new boot: its log is appraised anew, and nothing else is concluded.
2. A boot after a power cut has a clock that the TPM itself does not vouch for (``safe`` is off) and that may stand a
   little before the last one seen. That boot is *pending* until one more quote of it came; it is no compromise.
3. Counters that go back within what one chip can do never happen: a virtual TPM was restored from a snapshot, or its
   state was copied. Once is a warning. When somebody then goes on from where the counters stood before, at the pace of
   time, there are two of them.
   So there are where the counters go back again and again: a second TPM that is started anew before each quote never
   goes on from anywhere, but the first one's counters are then always behind.
4. Keys of the owner hierarchy see the counters plus an offset of their own, modulo 2^32 (Part 1, section 36.7): these
   are compared as distances, and forgotten with the key.
5. Two chips that are kept in step, or nearer to each other than two quotes, cannot be told apart by this. That limit is
   the protocol's, and stated in the docs.

Source: TPM 2.0 Library, Part 1, section 36; measured with swtpm.
"""

from __future__ import annotations

import msgspec

from holdfast_core.attestation.model import Counters, DeviceState, Freshness
from holdfast_core.attestation.refusals import Refused
from holdfast_core.formats.tpm.attest import Clock
from holdfast_core.kernel.instants import DAY, MINUTE, Instant
from holdfast_core.kernel.reasons import Reason

DRIFT = 0.35
"""A TPM's clock may be this much too fast or too slow (Part 1, section 36.2: 15 %; simulators and throttled chips)."""
SLACK = 5 * MINUTE
TURNS, WITHIN = 3, 30 * DAY
"""So often may counters not go back within that time."""
_HALF = 1 << 31
WENT_BACK = Reason(
    "attestation.counters_back",
    "The TPM's counters stand before where they stood: a virtual TPM was restored from a snapshot, or was copied.",
    "If it was restored on purpose: holdfast attest reset DEVICE --why …. Otherwise find the second one.",
)


class Life(msgspec.Struct, frozen=True):
    """What was concluded: whether this is another boot than the last, and how much of the present it speaks of."""

    counters: Counters
    left: Counters | None
    backs: tuple[Instant, ...]
    new_boot: bool
    freshness: Freshness
    reasons: tuple[Reason, ...]


def follow(before: DeviceState, clock: Clock, now: Instant) -> Life:
    """The life of the TPM up to a quote with `clock`.

    Raises:
        Refused: ``cloned``.
    """
    seen = Counters(clock.resets, clock.restarts, clock.clock, now)
    last, left = before.counters, before.left
    if before.cloned or (left is not None and _goes_on(left, seen)):
        raise Refused("cloned")
    if last is None:
        return Life(seen, None, (), new_boot=True, freshness=_first(clock), reasons=())
    moved = _moved(last, seen)
    new_boot = moved != 0
    back = moved < 0 or (not new_boot and seen.clock < last.clock)
    backs = (*(at for at in before.backs if now - at < WITHIN), *((now,) if back else ()))
    if len(backs) >= TURNS:
        raise Refused("cloned")
    if back:
        left = last if left is None else left
    fresh = _first(clock) if new_boot or back else Freshness.FRESH
    return Life(seen, left, backs, new_boot=new_boot, freshness=fresh, reasons=(WENT_BACK,) if left else ())


def _moved(last: Counters, seen: Counters) -> int:
    """By how many resets, or in the same reset restarts, `seen` is after `last`; negative where it is before."""
    return _distance(last.resets, seen.resets) or _distance(last.restarts, seen.restarts)


def _distance(last: int, seen: int) -> int:
    """From one UINT32 to another, the shorter way round."""
    return (seen - last + _HALF) % (2 * _HALF) - _HALF


def _first(clock: Clock) -> Freshness:
    return Freshness.FRESH if clock.safe else Freshness.PENDING


def _goes_on(left: Counters, seen: Counters) -> bool:
    """Whether `seen` is the same boot as `left`, later by as much as time has passed."""
    if _moved(left, seen) or seen.clock < left.clock:
        return False
    passed = seen.at - left.at
    return abs((seen.clock - left.clock) - passed) <= DRIFT * passed + SLACK
