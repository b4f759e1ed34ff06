"""Whether a device is affirmed right now: what opens only on good evidence of the present asks this, and nothing else.

1. Affirmed is one tier at one moment: an appraisal that is affirming and has not lapsed. Everything else is a lack.
2. A boot that is not confirmed yet does not count, nor does a device whose newest evidence was refused: its last
   appraisal may speak of another boot.
3. Every lack says what is missing and what mends it. Nobody is asked to switch the demand off.

Source: RFC 9334, sections 8.4 and 10 (results and their freshness).
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from holdfast_core.attestation.model import DeviceState, Freshness
from holdfast_core.kernel.appraisals import Appraisal, Tier
from holdfast_core.kernel.instants import Instant, rfc3339

AGAIN = "Let the device check in with fresh evidence, then ask again"


class Shortfall(StrEnum):
    """What keeps a device from being affirmed."""

    NOT_ATTESTED = "not_attested"
    STALE = "stale"
    PENDING = "pending"
    NOT_AFFIRMING = "not_affirming"


class Lack(msgspec.Struct, frozen=True):
    """A shortfall as it is told: `sentence` goes on after the device's name, `remedy` stands by itself."""

    shortfall: Shortfall
    sentence: str
    remedy: str


def lack_of(appraisal: Appraisal | None, state: DeviceState, now: Instant, *, within: int | None = None) -> Lack | None:
    """What keeps a device from being affirmed at `now`; `None` where nothing does.

    Args:
        appraisal: its last reading of attestation, as it was made.
        state: what is remembered of its attestation.
        now: the moment that counts (milliseconds).
        within: how long ago it may have been made (milliseconds), where that is less than it holds.
    """
    if appraisal is None or state.freshness is Freshness.NEVER:
        return Lack(
            Shortfall.NOT_ATTESTED,
            "has not attested since it enrolled",
            f"{AGAIN}. What is asked of it: holdfast attest show DEVICE.",
        )
    too_long = within is not None and now - appraisal.appraised_at > within
    if too_long or now >= appraisal.valid_until or state.freshness is Freshness.STALE:
        return Lack(
            Shortfall.STALE,
            f"last attested at {rfc3339(appraisal.appraised_at)}, which is too long ago to count",
            f"{AGAIN}; if it cannot, find out why.",
        )
    if appraisal.tier is not Tier.AFFIRMING:
        return _not_affirming(appraisal)
    if state.freshness is not Freshness.FRESH:
        return Lack(
            Shortfall.PENDING,
            "started anew, and that boot is not confirmed yet",
            f"{AGAIN}: one more quote confirms it.",
        )
    if state.refused is not None:
        return Lack(
            Shortfall.PENDING,
            f"sent evidence since its last appraisal that did not count ({state.refused.code})",
            f"{AGAIN}.",
        )
    return None


def _not_affirming(appraisal: Appraisal) -> Lack:
    first = appraisal.reasons[0] if appraisal.reasons else None
    told = f" ({first.code})" if first is not None else ""
    remedy = first.remedy if first is not None and first.remedy else ""
    return Lack(
        Shortfall.NOT_AFFIRMING,
        f"is not affirmed: its appraisal is {appraisal.tier.value}{told}",
        remedy or f"{AGAIN}. What it says: holdfast attest show DEVICE.",
    )
